/*
 * No memory, at any place: every allocation fails once, the first, the second and so on, and what
 * comes of it is a configuration or a list of faults, with nothing lost.
 */
#include <errno.h>
#include <search.h>
#include <stdio.h>
#include <unistd.h>
#include <yaml.h>

#include "base/error.h"
#include "conf/arena.h"
#include "conf/diff.h"
#include "reading.h"

static unsigned until_failure; /* 0: none fails */
static bool failed;

static bool fails(void)
{
    if (until_failure == 0 || --until_failure > 0)
        return false;
    failed = true;
    return true;
}

/* The linker sends the room's calls of NAME() here, see --wrap in Makefile.inc. */
#define WRAP(type, name, args, pass, failure)                                                      \
    type __real_##name args;                                                                       \
    type __wrap_##name args;                                                                       \
    type __wrap_##name args                                                                        \
    {                                                                                              \
        return fails() ? (failure) : __real_##name pass;                                           \
    }

WRAP(void *, malloc, (size_t n), (n), NULL)
WRAP(void *, calloc, (size_t count, size_t size), (count, size), NULL)
WRAP(void *, realloc, (void *old, size_t n), (old, n), NULL)
WRAP(void *, arena_alloc, (struct arena * a, size_t n), (a, n), NULL)
WRAP(char *, arena_copy, (struct arena * a, const char *s, size_t n), (a, s, n), NULL)
WRAP(void *, tsearch, (const void *key, void **root, __compar_fn_t fn), (key, root, fn), NULL)
WRAP(int, yaml_parser_initialize, (yaml_parser_t * p), (p), 0)
WRAP(int, yaml_parser_parse, (yaml_parser_t * p, yaml_event_t *e), (p, e),
     (p->error = YAML_MEMORY_ERROR, 0))

/* Let the allocation number `n` fail while `fn` makes a configuration; false once none did. */
static bool survive(int (*fn)(const struct conf **ret, struct conf_faults **ret_faults), unsigned n,
                    int sound)
{
    const struct conf *c = NULL;
    struct conf_faults *faults = NULL;
    failed = false;
    until_failure = n;
    int rc = fn(&c, &faults);
    until_failure = 0;
    struct text out;
    text_init(&out);
    if (rc == 0) {
        ck_assert_ptr_nonnull(c);
        conf_unref(c);
    } else {
        ck_assert_int_eq(rc, -WEFT_ECONF);
        ck_assert_uint_gt(conf_faults_count(faults), 0);
        conf_faults_write(faults, &out);
        ck_assert_uint_gt(out.length, 0);
        if (failed)
            ck_assert_msg(strstr(out.data, "out of memory") != NULL, "%u: %s", n, out.data);
        conf_faults_free(faults);
    }
    if (failed)
        ck_assert_msg(rc < 0, "allocation %u failed and nobody noticed", n);
    else
        ck_assert_int_eq(rc, sound);
    text_free(&out);
    return failed;
}

static void survive_all(int (*fn)(const struct conf **ret, struct conf_faults **ret_faults),
                        int sound)
{
    unsigned n = 1;
    while (survive(fn, n, sound))
        n++;
    ck_assert_uint_gt(n, 20);
}

static int read_good(const struct conf **ret, struct conf_faults **ret_faults)
{
    static const char yaml[] = "log: {access: {output: /a, format: text}}\n"
                               "weft: {group: root, pid_file: /p, control: ./c}\n"
                               "listeners:\n"
                               "  a: {bind: [':1', '127.0.0.1:2'], pool: p}\n"
                               "  b: {bind: 'unix:/b', pool: &p p, idle_timeout: 5s}\n"
                               "pools:\n"
                               "  p: {servers: [{name: s, address: '127.0.0.1:1'}]}\n"
                               "  q: {servers: ['127.0.0.1:1', '127.0.0.1:2']}\n";
    return load_bytes(yaml, sizeof(yaml) - 1, ret, ret_faults);
}

static int read_bad(const struct conf **ret, struct conf_faults **ret_faults)
{
    static const char yaml[] = "log: {access: {output: /a, format: tex}, error: [5]}\n"
                               "weft: {user: no-such-user, control: c}\n"
                               "splice: &a on\n"
                               "listeners:\n"
                               "  a: {bind: [':1', '127.0.0.1:2', 5], pool: q, idle_timeout: 5}\n"
                               "  a: {bind: 'unix:/b', pool: *b, half_close_timeout: 5}\n"
                               "pools:\n"
                               "  p: {servers: [{name: '', address: '127.0.0.1:1'}], admin: 1}\n";
    return load_bytes(yaml, sizeof(yaml) - 1, ret, ret_faults);
}

static int read_broken(const struct conf **ret, struct conf_faults **ret_faults)
{
    static const char yaml[] = "log: {access: {output: /a, format: tex}, error: [5\n";
    return load_bytes(yaml, sizeof(yaml) - 1, ret, ret_faults);
}

static int read_nothing(const struct conf **ret, struct conf_faults **ret_faults)
{
    return conf_load("/nonexistent", ret, ret_faults);
}

/* Two files, the second of which is included by a pattern. */
static char dir[] = "/tmp/weft-memory-XXXXXX";
static char main_path[64], included_path[64];

static void make_file(const char *path, const char *content)
{
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_ge(fputs(content, f), 0);
    ck_assert_int_eq(fclose(f), 0);
}

static int read_several(const struct conf **ret, struct conf_faults **ret_faults)
{
    return conf_load(main_path, ret, ret_faults);
}

static int quick(const struct conf **ret, struct conf_faults **ret_faults)
{
    const char *const listen[] = {":1", "unix:/a"};
    const char *const backend[] = {"127.0.0.1:1", "127.0.0.1:2"};
    return conf_quick(listen, 2, backend, 2, ret, ret_faults);
}

START_TEST(no_memory_for_a_good_file)
{
    survive_all(read_good, 0);
}
END_TEST

START_TEST(no_memory_for_a_bad_file)
{
    survive_all(read_bad, -WEFT_ECONF);
    survive_all(read_broken, -WEFT_ECONF);
}
END_TEST

START_TEST(no_memory_for_a_file_that_is_not_there)
{
    unsigned n = 1;
    while (survive(read_nothing, n, -WEFT_ECONF))
        n++;
}
END_TEST

START_TEST(no_memory_for_several_files)
{
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(main_path, sizeof(main_path), "%s/main", dir);
    snprintf(included_path, sizeof(included_path), "%s/more", dir);
    make_file(main_path, "include: ['m?re']\nlisteners: {a: {bind: ':1', pool: p}}\n");
    make_file(included_path, "pools: {p: {servers: ['127.0.0.1:1']}}\n");
    survive_all(read_several, 0);
    make_file(main_path, WITH_TOP("include: ['m?re', more, main, 'none']\n"));
    survive_all(read_several, -WEFT_ECONF);
    ck_assert_int_eq(unlink(main_path), 0);
    ck_assert_int_eq(unlink(included_path), 0);
    ck_assert_int_eq(rmdir(dir), 0);
}
END_TEST

START_TEST(no_memory_for_quick_mode)
{
    survive_all(quick, 0);
}
END_TEST

/* Returns whether an allocation failed. */
static bool survive_diff(const struct conf *a, const struct conf *b, unsigned n)
{
    struct diff d;
    failed = false;
    until_failure = n;
    int rc = diff_init(&d, a, b);
    until_failure = 0;
    ck_assert_int_eq(rc, failed ? -ENOMEM : 0);
    if (rc == 0)
        diff_free(&d);
    return failed;
}

START_TEST(no_memory_for_a_diff)
{
    const struct conf *a, *b = accept_text(WITH_TOP("weft: {workers: 99, pin: on}\n"));
    struct conf_faults *faults;
    ck_assert_int_eq(read_good(&a, &faults), 0);
    unsigned n = 1;
    while (survive_diff(a, b, n))
        n++;
    ck_assert_uint_gt(n, 20);
    conf_unref(a);
    conf_unref(b);
}
END_TEST

UNIT_MAIN("memory", no_memory_for_a_good_file, no_memory_for_a_bad_file,
          no_memory_for_a_file_that_is_not_there, no_memory_for_several_files,
          no_memory_for_quick_mode, no_memory_for_a_diff)
