/* Configurations of several files: what they make together, and what is said where. */
#include "conf/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "reading.h"

static char dir[80];

static const char *in_dir(const char *name)
{
    static char path[256];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return path;
}

static void make_file(const char *name, const char *content)
{
    FILE *f = fopen(in_dir(name), "w");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_ge(fputs(content, f), 0);
    ck_assert_int_eq(fclose(f), 0);
}

static void set_up(void)
{
    strcpy(dir, "/tmp/weft-source-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    ck_assert_int_eq(mkdir(in_dir("d"), 0700), 0);
}

static void tear_down(void)
{
    char command[128];
    snprintf(command, sizeof(command), "rm -r '%s'", dir);
    ck_assert_int_eq(system(command), 0);
}

/* What is said of the file F of the directory, whose name is left out; "" where it has no fault.
 * The caller frees it. */
static char *faults_in_dir(void)
{
    const struct conf *c;
    struct conf_faults *faults;
    struct text out, shorter;
    text_init(&out);
    text_init(&shorter);
    text_add_string(&shorter, "");
    if (conf_load(in_dir("F"), &c, &faults) == 0) {
        conf_unref(c);
        return shorter.data;
    }
    conf_faults_write(faults, &out);
    conf_faults_free(faults);
    const char *from = out.data;
    for (const char *at; (at = strstr(from, dir)) != NULL; from = at + strlen(dir) + 1)
        text_add(&shorter, from, (size_t)(at - from));
    text_add_string(&shorter, from);
    text_free(&out);
    return shorter.data;
}

static void expect_faults(const char *expected)
{
    char *said = faults_in_dir();
    ck_assert_str_eq(said, expected);
    free(said);
}

static const struct conf *accept_dir(void)
{
    const struct conf *c = NULL;
    struct conf_faults *faults;
    if (conf_load(in_dir("F"), &c, &faults) != 0)
        ck_abort_msg("%s", faults_in_dir());
    return c;
}

static void has_mark(const struct conf_mark *m, const char *file, unsigned line, unsigned column)
{
    ck_assert_str_eq(m->file, in_dir(file));
    ck_assert_uint_eq(m->line, line);
    ck_assert_uint_eq(m->column, column);
}

START_TEST(files_are_one_configuration)
{
    make_file("F", "include: [d/*.yaml, pools.yaml]\nweft: {workers: 3}\n"
                   "listeners: {main: {bind: ':1', pool: last}}\n");
    make_file("d/2.yaml", "listeners:\n  two: {bind: ':3', pool: first}\n");
    make_file("d/1.yaml", "listeners:\n  one: {bind: ':2', pool: first}\n"
                          "pools: {first: {servers: ['127.0.0.1:2']}}\n");
    make_file("d/3.yaml~", "no YAML at all: [");
    make_file("d/empty.yaml", "");
    make_file("pools.yaml", "pools: {last: {servers: ['127.0.0.1:2'], retries: 7}}\n");
    const struct conf *c = accept_dir();
    static const char *const names[] = {"main", "one", "two"};
    ck_assert_uint_eq(c->listener_count, 3);
    for (size_t i = 0; i < 3; i++)
        ck_assert_str_eq(c->listeners[i].name, names[i]);
    has_mark(&c->listeners[0].mark, "F", 3, 13);
    has_mark(&c->listeners[1].mark, "d/1.yaml", 2, 3);
    has_mark(&c->listeners[2].binds[0].mark, "d/2.yaml", 2, 15);
    ck_assert_uint_eq(c->pool_count, 2);
    ck_assert_ptr_eq(c->listeners[0].pool, &c->pools[1]);
    ck_assert_ptr_eq(c->listeners[2].pool, &c->pools[0]);
    ck_assert_uint_eq(c->pools[1].retries, 7);
    ck_assert_uint_eq(c->process.workers, 3);
    conf_unref(c);
}
END_TEST

START_TEST(the_dump_is_one_file)
{
    make_file("F", "include: d/1.yaml\nlisteners: {a: {bind: ':1', pool: p}}\n");
    make_file("d/1.yaml", "pools: {p: {servers: ['127.0.0.1:2']}}\n");
    const struct conf *c = accept_dir();
    struct text dump;
    text_init(&dump);
    conf_dump(c, &dump);
    conf_unref(c);
    char *alone = dump_of(WITH_TOP(""));
    ck_assert_ptr_null(strstr(dump.data, "include"));
    ck_assert_str_eq(strstr(dump.data, "pools:"), strstr(alone, "pools:"));
    char *again = dump_of(dump.data);
    ck_assert_str_eq(again, dump.data);
    free(again);
    free(alone);
    text_free(&dump);
}
END_TEST

START_TEST(nothing_to_include)
{
    static const char *const nothings[] = {"", "~", "[]", "no/such/*", "'*.none'", "[[x]]"};
    for (size_t i = 0; i < array_size(nothings); i++) {
        char yaml[200];
        snprintf(yaml, sizeof(yaml), WITH_TOP("include: %s\n"), nothings[i]);
        make_file("F", yaml);
        expect_faults(i < 5 ? "" : "F:3:11: error: include: must be a path, not a list\n");
    }
}
END_TEST

START_TEST(included_files_may_include)
{
    make_file("F", WITH_TOP("include: d/1\n"));
    make_file("d/1", "include: [2, ../3]\npools: {one: {servers: ['127.0.0.1:2']}}\n");
    make_file("d/2", "pools: {two: {servers: ['127.0.0.1:2']}}\n");
    make_file("3", "pools: {three: {servers: ['127.0.0.1:2']}}\n");
    const struct conf *c = accept_dir();
    ck_assert_uint_eq(c->pool_count, 4);
    ck_assert_str_eq(c->pools[1].name, "one");
    ck_assert_str_eq(c->pools[2].name, "two");
    ck_assert_str_eq(c->pools[3].name, "three");
    has_mark(&c->pools[3].mark, "d/../3", 1, 9);
    conf_unref(c);
}
END_TEST

/* What stands for itself in a directory's name is no pattern in a file's. */
START_TEST(a_directory_with_a_strange_name)
{
    ck_assert_int_eq(mkdir(in_dir("[x]*"), 0700), 0);
    make_file("[x]*/F", WITH_TOP("include: ['*.yaml', 'b[1]']\n"));
    make_file("[x]*/a.yaml", "pools: {one: {servers: ['127.0.0.1:2']}}\n");
    make_file("[x]*/b1", "pools: {two: {servers: ['127.0.0.1:2']}}\n");
    strcpy(dir + strlen(dir), "/[x]*");
    const struct conf *c = accept_dir();
    ck_assert_uint_eq(c->pool_count, 3);
    conf_unref(c);
    *strrchr(dir, '/') = '\0';
}
END_TEST

START_TEST(a_name_defined_twice_has_two_places)
{
    make_file("F", WITH_TOP("include: [d/1, d/2]\n"));
    make_file("d/1", "listeners:\n  a: {bind: ':1', pool: p}\n  b: {bind: ':2', pool: p}\n");
    make_file("d/2", "listeners: {b: {bind: ':2', pool: p}}\n"
                     "pools: {p: {servers: ['127.0.0.1:2']}}\n");
    char expected[1000];
    snprintf(expected, sizeof(expected),
             "d/1:2:3: error: duplicate listener 'a', first at F:1:13\n"
             "d/2:1:13: error: duplicate listener 'b', first at d/1:3:3\n"
             "d/2:1:23: error: duplicate bind address '[::]:2', first at d/1:3:13\n"
             "d/2:2:9: error: duplicate pool 'p', first at F:2:9\n");
    expect_faults(expected);
}
END_TEST

START_TEST(only_listeners_and_pools)
{
    make_file("F", WITH_TOP("include: d/1\n"));
    make_file("d/1", "weft: {workers: 1}\nlog: {}\nadmin: {}\nlistener: {}\n"
                     "listeners: {}\npools:\ninclude: []\ninclude: []\n");
#define ONLY " can't be in an included file: only include, listeners and pools can\n"
    expect_faults("d/1:1:1: error: 'weft'" ONLY "d/1:2:1: error: 'log'" ONLY
                  "d/1:3:1: error: 'admin'" ONLY
                  "d/1:4:1: error: unknown key 'listener': did you mean 'listeners'?\n"
                  "d/1:8:1: error: duplicate key 'include', first at d/1:7:1\n");
    make_file("d/1", "- a\n");
    expect_faults("d/1:1:1: error: the file must be a mapping, not a list\n");
}
END_TEST

START_TEST(what_include_must_be)
{
    static const struct {
        const char *value, *faults;
    } cases[] = {
        {"{a: b}", "F:3:10: error: include: must be a path or a list of paths, not a mapping\n"},
        {"[{a: b}, ~]", "F:3:11: error: include: must be a path, not a mapping\n"
                        "F:3:19: error: include: has no value\n"},
        {"['', \"a\\tb\"]", "F:3:11: error: include: the path is empty\n"
                            "F:3:15: error: include: 'a?b' has characters that can't be shown\n"},
        {"[*x, !y z]", "F:3:11: error: alias '*x' has no anchor '&x' that ends before it\n"
                       "F:3:15: error: tags are not supported: '!y'\n"},
        {"[gone, /gone, d, gone/*]", "F:3:11: error: include: 'gone': No such file or directory\n"
                                     "F:3:17: error: include: '/gone': No such file or directory\n"
                                     "F:3:24: error: include: 'd': Is a directory\n"},
    };
    for (size_t i = 0; i < array_size(cases); i++) {
        char yaml[200];
        snprintf(yaml, sizeof(yaml), WITH_TOP("include: %s\n"), cases[i].value);
        make_file("F", yaml);
        expect_faults(cases[i].faults);
    }
}
END_TEST

START_TEST(a_match_that_cannot_be_read)
{
    make_file("F", WITH_TOP("include: 'd/*'\n"));
    ck_assert_int_eq(symlink("nowhere", in_dir("d/a")), 0);
    expect_faults("F:3:10: error: include: 'd/a': No such file or directory\n");
    make_file("F", WITH_TOP("include: 'd/b/*'\n"));
    ck_assert_int_eq(symlink("b", in_dir("d/b")), 0);
    expect_faults("F:3:10: error: include: 'd/b/*': Too many levels of symbolic links\n");
}
END_TEST

START_TEST(circles_are_refused)
{
    make_file("F", WITH_TOP("include: F\n"));
    expect_faults("F:3:10: error: include: 'F' would include itself\n");
    make_file("F", WITH_TOP("include: '*'\n"));
    ck_assert_int_eq(rmdir(in_dir("d")), 0);
    expect_faults("F:3:10: error: include: 'F' would include itself\n");
    ck_assert_int_eq(mkdir(in_dir("d"), 0700), 0);
    make_file("F", WITH_TOP("include: d/1\n"));
    make_file("d/1", "include: 2\n");
    make_file("d/2", "include: ../d/1\n");
    expect_faults("d/2:1:10: error: include: 'd/../d/1' would include itself\n");
    make_file("d/2", "include: /dev/null\n");
    ck_assert_int_eq(symlink("../F", in_dir("d/3")), 0);
    make_file("d/1", "include: 3\n");
    expect_faults("d/1:1:10: error: include: 'd/3' would include itself\n");
}
END_TEST

START_TEST(a_file_counts_once)
{
    make_file("F", WITH_TOP("include: [d/*, d/1]\n"));
    make_file("d/1", "pools: {q: {servers: ['127.0.0.1:2']}}\n");
    expect_faults("F:3:16: error: include: duplicate file 'd/1', first at F:3:11\n");
}
END_TEST

START_TEST(not_too_deep)
{
    make_file("F", WITH_TOP("include: 1\n"));
    for (int i = 1; i <= SOURCE_DEPTH_MAX; i++) {
        char name[8], yaml[32];
        snprintf(name, sizeof(name), "%d", i);
        snprintf(yaml, sizeof(yaml), "include: '%d'\n", i + 1);
        make_file(name, i < SOURCE_DEPTH_MAX ? yaml : "");
    }
    expect_faults("");
    make_file("8", "include: '9'\n");
    make_file("9", "");
    expect_faults("8:1:10: error: include: '9' is included deeper than 8 levels\n");
}
END_TEST

/* A file with much in it: a comment of that many bytes. */
static void make_large(const char *name, size_t size)
{
    int fd = open(in_dir(name), O_WRONLY | O_CREAT, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, "#", 1), 1);
    char blanks[4096];
    memset(blanks, ' ', sizeof(blanks));
    for (size_t done = 1; done < size; done += sizeof(blanks)) {
        size_t n = size - done < sizeof(blanks) ? size - done : sizeof(blanks);
        unit_assert(write(fd, blanks, n) == (ssize_t)n);
    }
    close(fd);
}

START_TEST(bounds_are_for_all_files)
{
    static const char main_file[] = WITH_TOP("include: [d/*]\n");
    make_file("F", main_file);
    make_large("d/1", 16 << 20);
    make_large("d/2", (16 << 20) - strlen(main_file));
    expect_faults("");
    make_file("d/3", " ");
    expect_faults("F:3:11: error: include: more than 32 MiB in all files are too many\n");
}
END_TEST

START_TEST(values_of_all_files_count)
{
    struct text yaml;
    text_init(&yaml);
    text_add_string(&yaml, "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n");
    for (char c = 'b'; c <= 'e'; c++)
        text_format(&yaml, "%c: &%c [*%c, *%c, *%c, *%c, *%c, *%c, *%c, *%c, *%c, *%c]\n", c, c,
                    c - 1, c - 1, c - 1, c - 1, c - 1, c - 1, c - 1, c - 1, c - 1, c - 1);
    make_file("F", WITH_TOP("include: d/*\n"));
    for (char c = 'a'; c <= 'q'; c++) { /* 123,000 values in each */
        char name[] = {'d', '/', c, '\0'};
        make_file(name, yaml.data);
    }
    char *said = faults_in_dir();
    ck_assert_ptr_nonnull(
        strstr(said, "d/q:5:12: error: more than 2000000 values, aliases unfolded, are too many"));
    free(said);
    text_free(&yaml);
}
END_TEST

/* What is missing may be where there was nothing to be read: it is not held against the rest. */
START_TEST(an_incomplete_whole_is_not_judged)
{
    make_file("F", "include: [d/1, gone]\nlisteners: {a: {bind: ':1', pool: p}}\n");
    make_file("d/1", "pools: [\n");
    expect_faults("F:1:16: error: include: 'gone': No such file or directory\n"
                  "d/1:2:1: error: did not find expected node content while parsing a flow node\n");
    make_file("F", "include: gone\n");
    expect_faults("F:1:10: error: include: 'gone': No such file or directory\n");
    make_file("F", "include: d/1\n");
    make_file("d/1", "pools: {p: {servers: ['127.0.0.1:2']}}\n");
    expect_faults("F:1:1: error: no listener: at least one is needed\n");
    make_file("F", "include: d/1\nlisteners:\n");
    expect_faults("F:2:11: error: no listener: at least one is needed\n");
    make_file("d/1", "listeners: {a: {bind: ':1', pool: p}}\n");
    expect_faults("d/1:1:35: error: pool: unknown pool 'p'\n");
}
END_TEST

START_TEST(faults_come_file_by_file)
{
    make_file("F", "include: [d/2, d/1]\nweft: {workers: 0}\n"
                   "listeners: {a: {bind: ':1', pool: q}}\n");
    make_file("d/1", "listeners: {b: {bind: ':2', pool: q}}\n");
    make_file("d/2", "include: 3\n\n\npools: {p: }\n");
    make_file("d/3", "- a\n");
    expect_faults("F:2:17: error: workers: '0' is out of range: 1 to 256, or auto\n"
                  "F:3:35: error: pool: unknown pool 'q'\n"
                  "d/2:4:9: error: pool 'p' has no 'servers'\n"
                  "d/3:1:1: error: the file must be a mapping, not a list\n"
                  "d/1:1:35: error: pool: unknown pool 'q'\n");
}
END_TEST

/* --- files that somebody else opens ------------------------------------------------------ */

/* Knows two files, and no directory. */
static int expand_for_others(void *arg, const char *pattern, expand_fn *take, void *taker)
{
    int *calls = arg;
    ++*calls;
    if (strcmp(pattern, "/nowhere/trouble") == 0)
        return -EIO;
    ck_assert_str_eq(pattern, "/nowhere/d/*");
    for (char c = '1'; c <= '2'; c++) {
        char name[] = {'d', '/', c, '\0'}, path[] = {'/', 'x', '/', c, '\0'};
        int rc = take(taker, path, open(in_dir(name), O_RDONLY));
        if (rc < 0)
            return rc;
    }
    return take(taker, "/x/3", -EACCES);
}

static char *faults_from(const struct conf_source *source)
{
    const struct conf *c;
    struct conf_faults *faults;
    struct text out;
    text_init(&out);
    ck_assert_int_eq(conf_load_from(source, &c, &faults), -WEFT_ECONF);
    conf_faults_write(faults, &out);
    conf_faults_free(faults);
    return out.data;
}

START_TEST(others_may_open_the_files)
{
    int calls = 0;
    make_file("F", WITH_TOP("include: [d/*, trouble]\nweft: {worker: 1}\n"));
    make_file("d/1", "pools: {q: {servers: ['127.0.0.1:2']}}\n");
    make_file("d/2", "nonsense: 1\n");
    struct conf_source source = {.path = "/nowhere/F",
                                 .fd = open(in_dir("F"), O_RDONLY),
                                 .expand = expand_for_others,
                                 .arg = &calls};
    char *said = faults_from(&source);
    ck_assert_str_eq(said, "/nowhere/F:3:11: error: include: '/x/3': Permission denied\n"
                           "/nowhere/F:3:16: error: include: '/nowhere/trouble': "
                           "Input/output error\n"
                           "/nowhere/F:4:8: error: unknown key 'worker': did you mean 'workers'?\n"
                           "/x/2:1:1: error: unknown key 'nonsense'\n");
    ck_assert_int_eq(calls, 2);
    ck_assert_int_eq(close(source.fd), 0); /* it is still ours */
    free(said);
}
END_TEST

START_TEST(a_descriptor_that_cannot_be_read)
{
    struct conf_source source = {.path = "/nowhere/F", .fd = open("/", O_RDONLY)};
    char *said = faults_from(&source);
    ck_assert_str_eq(said, "/nowhere/F: error: Is a directory\n");
    free(said);
    close(source.fd);
}
END_TEST

UNIT_MAIN_AROUND("source", set_up, tear_down, files_are_one_configuration, the_dump_is_one_file,
                 nothing_to_include, included_files_may_include, a_directory_with_a_strange_name,
                 a_name_defined_twice_has_two_places, only_listeners_and_pools,
                 what_include_must_be, a_match_that_cannot_be_read, circles_are_refused,
                 a_file_counts_once, not_too_deep, bounds_are_for_all_files,
                 values_of_all_files_count, an_incomplete_whole_is_not_judged,
                 faults_come_file_by_file, others_may_open_the_files,
                 a_descriptor_that_cannot_be_read)
