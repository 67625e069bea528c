#include "conf/fault.h"

#include <string.h>

#include "unit.h"

static const char file[] = "a.yaml";

static char *written(const struct conf_faults *f)
{
    struct text out;
    text_init(&out);
    conf_faults_write(f, &out);
    return out.data;
}

START_TEST(faults_come_in_the_order_of_the_files)
{
    struct conf_faults *f = fault_list_new();
    fault_file(f, "main.yaml");
    fault_add(f, &(struct conf_mark){"late.yaml", 1, 1}, "of a file that nobody announced");
    fault_add(f, &(struct conf_mark){file, 10, 1}, "%s", "last");
    fault_add(f, &(struct conf_mark){file, 2, 7}, "third");
    fault_add(f, &(struct conf_mark){file, 2, 7}, "fourth");
    fault_add(f, &(struct conf_mark){file, 2, 3}, "second");
    fault_add(f, &(struct conf_mark){.file = file}, "first");
    fault_file(f, file);
    fault_add(f, &(struct conf_mark){"main.yaml", 20, 1}, "of the main file");
    fault_sort(f);
    char *text = written(f);
    ck_assert_uint_eq(conf_faults_count(f), 7);
    ck_assert_str_eq(text, "main.yaml:20:1: error: of the main file\n"
                           "late.yaml:1:1: error: of a file that nobody announced\n"
                           "a.yaml: error: first\n"
                           "a.yaml:2:3: error: second\n"
                           "a.yaml:2:7: error: third\n"
                           "a.yaml:2:7: error: fourth\n"
                           "a.yaml:10:1: error: last\n");
    free(text);
    conf_faults_free(f);
}
END_TEST

START_TEST(what_an_alias_repeats_is_said_once)
{
    struct conf_faults *f = fault_list_new();
    for (int i = 0; i < 3; i++) {
        fault_add(f, &(struct conf_mark){file, 1, 1}, "same");
        fault_add(f, &(struct conf_mark){.file = "--backend"}, "both ends");
    }
    fault_sort(f);
    char *text = written(f);
    ck_assert_str_eq(text, "a.yaml:1:1: error: same\n"
                           "--backend: error: both ends\n"
                           "--backend: error: both ends\n"
                           "--backend: error: both ends\n");
    free(text);
    conf_faults_free(f);
}
END_TEST

START_TEST(a_list_outlives_the_names_it_was_told)
{
    struct conf_faults *f = fault_list_new();
    char name[] = "gone";
    fault_add(f, &(struct conf_mark){name, 1, 1}, "kept");
    memset(name, 'x', 4);
    char *text = written(f);
    ck_assert_str_eq(text, "gone:1:1: error: kept\n");
    free(text);
    conf_faults_free(f);
}
END_TEST

START_TEST(no_memory_is_a_fault_too)
{
    struct conf_faults *f = fault_list_no_memory();
    char *text = written(f);
    ck_assert_uint_eq(conf_faults_count(f), 1);
    ck_assert_str_eq(text, "weft: error: out of memory while reading the configuration\n");
    free(text);
    conf_faults_free(f);
    conf_faults_free(f);
    conf_faults_free(NULL);
}
END_TEST

START_TEST(a_users_text_is_made_fit_to_show)
{
    char big[1000];
    memset(big, 'a', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    ck_assert_str_eq(fault_show("plain \xc3\xa4").text, "plain \xc3\xa4");
    ck_assert_str_eq(fault_show("a\nb\x1b[0m\xff").text, "a?b?[0m?");
    ck_assert_uint_eq(strlen(fault_show(big).text), 83);
    for (size_t i = 0; i < sizeof(big) - 4; i += 4)
        memcpy(big + i, "\xf0\x9f\x98\x80", 4);
    ck_assert_uint_eq(strlen(fault_show(big + 1).text + 3), 83);
}
END_TEST

UNIT_MAIN("fault", faults_come_in_the_order_of_the_files, what_an_alias_repeats_is_said_once,
          a_list_outlives_the_names_it_was_told, no_memory_is_a_fault_too,
          a_users_text_is_made_fit_to_show)
