#include "cmd/table.h"

#include <string.h>

#include "unit.h"

static const struct command_column columns[] = {
    {"name", "Name", COLUMN_TEXT, NULL},
    {"addresses", "Addresses", COLUMN_LIST, NULL},
    {"active", "Active", COLUMN_COUNT, NULL},
    {"pool", "Pool", COLUMN_TEXT, NULL},
    {.key = NULL},
};
static const struct command listing = {.columns = columns,
                                       .sentence = "{name} has {active} of {pool}, {none}."};

static struct text out;

static void set_up(void)
{
    text_init(&out);
}

static void tear_down(void)
{
    text_free(&out);
}

static void write_rows(const char *json, unsigned width)
{
    json_t *rows = json_loads(json, 0, NULL);
    ck_assert_ptr_nonnull(rows);
    text_clear(&out);
    table_write(columns, rows, width, &out);
    json_decref(rows);
}

#define WEB                                                                                        \
    "{\"name\":\"web\",\"addresses\":[\"[::]:443\",\"0.0.0.0:443\"],\"active\":12,\"pool\":\"a\"}"
#define LONG                                                                                       \
    "{\"name\":\"a-listener-of-some-length\",\"addresses\":[],\"active\":1234567,\"pool\":null}"

START_TEST(columns_are_aligned)
{
    write_rows("[" WEB "," LONG "]", 0);
    ck_assert_str_eq(out.data, "Name                       Addresses               Active  Pool\n"
                               "web                        [::]:443, 0.0.0.0:443       12  a\n"
                               "a-listener-of-some-length  -                      1234567  -\n");
}
END_TEST

START_TEST(no_rows_leave_the_titles)
{
    write_rows("[]", 0);
    ck_assert_str_eq(out.data, "Name  Addresses  Active  Pool\n");
}
END_TEST

/* Texts are cut, the longest first; numbers never are. */
START_TEST(a_narrow_terminal_is_not_overrun)
{
    for (unsigned width = 80; width >= 36; width--) {
        write_rows("[" WEB "," LONG "]", width);
        size_t longest = 0;
        for (const char *line = out.data; *line != '\0'; line = strchr(line, '\n') + 1) {
            size_t length = (size_t)(strchr(line, '\n') - line);
            longest = length > longest ? length : longest;
        }
        ck_assert_uint_le(longest, width);
        ck_assert_ptr_nonnull(strstr(out.data, "1234567"));
    }
    write_rows("[" WEB "," LONG "]", 40);
    ck_assert_str_eq(out.data, "Name         Addresses      Active  Pool\n"
                               "web          [::]:443,...       12  a\n"
                               "a-listen...  -             1234567  -\n");
}
END_TEST

START_TEST(what_can_not_be_cut_further_is_not)
{
    write_rows("[" WEB "," LONG "]", 10);
    ck_assert_str_eq(out.data, "Name      Addresses   Active  Pool\n"
                               "web       [::]:4...       12  a\n"
                               "a-lis...  -          1234567  -\n");
}
END_TEST

START_TEST(characters_are_counted_and_not_bytes)
{
    write_rows(
        "[{\"name\":\"gr\\u00fc\\u00dfe\",\"active\":1},{\"name\":\"gruesse\",\"active\":2}]", 0);
    ck_assert_str_eq(out.data, "Name     Addresses  Active  Pool\n"
                               "gr\xc3\xbc\xc3\x9f"
                               "e    -               1  -\n"
                               "gruesse  -               2  -\n");
    write_rows(
        "[{\"name\":\"\\u00e4\\u00e4\\u00e4\\u00e4\\u00e4\\u00e4\\u00e4\\u00e4\\u00e4\\u00e4\","
        "\"active\":1}]",
        33);
    ck_assert_ptr_nonnull(strstr(out.data, "\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4...  -"));
}
END_TEST

START_TEST(a_record_leaves_out_what_there_is_not)
{
    json_t *row = json_loads("{\"name\":\"web\",\"active\":3,\"pool\":null}", 0, NULL);
    table_write_record(columns, row, &out);
    ck_assert_str_eq(out.data, "Name    web\nActive  3\n");
    json_decref(row);
}
END_TEST

START_TEST(a_sentence_has_values_for_keys)
{
    json_t *row = json_loads("{\"name\":\"web\",\"active\":3}", 0, NULL);
    table_write_sentence(&listing, row, &out);
    ck_assert_str_eq(out.data, "web has 3 of -, .\n");
    json_decref(row);
}
END_TEST

UNIT_MAIN_AROUND("table", set_up, tear_down, columns_are_aligned, no_rows_leave_the_titles,
                 a_narrow_terminal_is_not_overrun, what_can_not_be_cut_further_is_not,
                 characters_are_counted_and_not_bytes, a_record_leaves_out_what_there_is_not,
                 a_sentence_has_values_for_keys)
