/* Files that can't be read, and the life of a configuration. */
#include "conf/conf.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "reading.h"

static char dir[32];

static const char *in_dir(const char *name)
{
    static char path[128];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return path;
}

static void make_dir(void)
{
    strcpy(dir, "/tmp/weft-conf-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
}

static const char *make_file(const char *name, const char *content)
{
    const char *path = in_dir(name);
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_ge(fputs(content, f), 0);
    ck_assert_int_eq(fclose(f), 0);
    return path;
}

static void drop(const char *name)
{
    ck_assert_int_eq(unlink(in_dir(name)), 0);
    ck_assert_int_eq(rmdir(dir), 0);
}

static void check_unreadable(const char *path, const char *why)
{
    const struct conf *c = NULL;
    struct conf_faults *faults;
    struct text out, expected;
    text_init(&out);
    text_init(&expected);
    ck_assert_int_eq(conf_load(path, &c, &faults), -WEFT_ECONF);
    ck_assert_ptr_null(c);
    ck_assert_uint_eq(conf_faults_count(faults), 1);
    conf_faults_write(faults, &out);
    text_format(&expected, "%s: error: %s\n", path, why);
    ck_assert_str_eq(out.data, expected.data);
    conf_faults_free(faults);
    text_free(&out);
    text_free(&expected);
}

START_TEST(a_file_that_can_not_be_read)
{
    check_unreadable("/nonexistent/weft.yaml", "No such file or directory");
    check_unreadable("/dev/null/weft.yaml", "Not a directory");
    check_unreadable("/", "Is a directory");
    check_unreadable("", "No such file or directory");
    check_unreadable("/dev/zero", "more than 32 MiB are too many");
}
END_TEST

START_TEST(a_file_is_read)
{
    make_dir();
    const struct conf *c;
    struct conf_faults *faults;
    const char *path = make_file("good.yaml", WITH_TOP(""));
    ck_assert_int_eq(conf_load(path, &c, &faults), 0);
    ck_assert_str_eq(c->listeners[0].mark.file, path);
    conf_unref(c);
    drop("good.yaml");
}
END_TEST

START_TEST(faults_name_the_file_as_it_was_given)
{
    make_dir();
    struct conf_faults *faults;
    const struct conf *c;
    struct text out, expected;
    text_init(&out);
    text_init(&expected);
    const char *path = make_file("bad.yaml", "listeners:\n\tx: 1\n");
    ck_assert_int_eq(conf_load(path, &c, &faults), -WEFT_ECONF);
    conf_faults_write(faults, &out);
    text_format(&expected,
                "%s:2:1: error: found character that cannot start any token while scanning for "
                "the next token: indent with spaces, not tabs\n",
                path);
    ck_assert_str_eq(out.data, expected.data);
    conf_faults_free(faults);
    text_free(&out);
    text_free(&expected);
    drop("bad.yaml");
}
END_TEST

/* More than is read at once, from something that has no size. */
static void *write_much(void *arg)
{
    FILE *f = fopen(arg, "w");
    ck_assert_ptr_nonnull(f);
    for (int i = 0; i < 100000; i++)
        fputs("# a comment\n", f);
    fputs(WITH_TOP(""), f);
    fclose(f);
    return NULL;
}

START_TEST(a_pipe_is_read_to_its_end)
{
    make_dir();
    char path[128];
    snprintf(path, sizeof(path), "%s", in_dir("pipe"));
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    pthread_t writer;
    ck_assert_int_eq(pthread_create(&writer, NULL, write_much, path), 0);
    const struct conf *c;
    struct conf_faults *faults;
    ck_assert_int_eq(conf_load(path, &c, &faults), 0);
    ck_assert_uint_eq(c->listeners[0].mark.line, 100001);
    conf_unref(c);
    ck_assert_int_eq(pthread_join(writer, NULL), 0);
    drop("pipe");
}
END_TEST

#define THREADS 4

static void *take_and_drop(void *arg)
{
    const struct conf *c = arg;
    for (int i = 0; i < UNIT_WORK(200000); i++) {
        const struct conf *mine = conf_ref(c);
        ck_assert_uint_eq(mine->listener_count, 1);
        conf_unref(mine);
    }
    conf_unref(c);
    return NULL;
}

/* The sanitizers are the judges here: a reference too few is a use after free, one too many a leak.
 */
START_TEST(the_last_reference_frees_it)
{
    const struct conf *c = accept_text(WITH_TOP(""));
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, take_and_drop, (void *)conf_ref(c)), 0);
    conf_unref(c);
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    conf_unref(NULL);
}
END_TEST

UNIT_MAIN("conf", a_file_that_can_not_be_read, a_file_is_read, faults_name_the_file_as_it_was_given,
          a_pipe_is_read_to_its_end, the_last_reference_frees_it)
