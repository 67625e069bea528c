#include "ctl/bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/text.h"
#include "unit.h"

static char directory[64];
static struct bundle bundle;
static struct text taken; /* what was handed out: PATH=CONTENT or PATH!ERROR, a line each */

static void set_up(void)
{
    strcpy(directory, "/tmp/weft-test-bundle-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    ck_assert_int_eq(chdir(directory), 0);
    text_init(&taken);
}

static void tear_down(void)
{
    bundle_free(&bundle);
    text_free(&taken);
    unlink("main");
    unlink("a.inc");
    unlink("b.inc");
    rmdir(directory);
}

static void write_file(const char *path, const char *content)
{
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    fputs(content, f);
    fclose(f);
}

static void read_into(int fd, struct text *out)
{
    char buf[4096];
    for (ssize_t n; (n = read(fd, buf, sizeof(buf))) > 0;)
        text_add(out, buf, (size_t)n);
    close(fd);
}

static int take(void *arg, const char *path, int fd)
{
    ck_assert_ptr_eq(arg, &taken);
    text_format(&taken, "%s%s", path, fd >= 0 ? "=" : "!");
    if (fd >= 0)
        read_into(fd, &taken);
    else
        text_format(&taken, "%d", -fd);
    text_add_string(&taken, "\n");
    return 0;
}

static void begin(const char *content)
{
    int fd, again;
    write_file("main", content);
    fd = open("main", O_RDONLY);
    ck_assert_int_eq(bundle_begin(&bundle, "main", fd, &again), 0);
    close(fd);
    struct text read_again;
    text_init(&read_again);
    read_into(again, &read_again);
    ck_assert_str_eq(read_again.length > 0 ? read_again.data : "", content);
    text_free(&read_again);
}

/* Pass it on, and forget the files. */
static void pass_on(void)
{
    int fd = bundle_pack(&bundle);
    ck_assert_int_ge(fd, 0);
    bundle_free(&bundle);
    unlink("main");
    unlink("a.inc");
    unlink("b.inc");
    ck_assert_int_eq(write(fd, "x", 1), -1);
    ck_assert_int_eq(ftruncate(fd, 0), -1);
    ck_assert_int_eq(bundle_unpack(&bundle, fd), 0);
    close(fd);
    ck_assert_str_eq(bundle_path(&bundle), "main");
}

START_TEST(the_main_file_is_as_it_was)
{
    begin("weft: {}\n# \xc3\xa4\n");
    pass_on();
    int fd = bundle_open(&bundle);
    ck_assert_int_ge(fd, 0);
    read_into(fd, &taken);
    ck_assert_str_eq(taken.data, "weft: {}\n# \xc3\xa4\n");
}
END_TEST

START_TEST(what_is_included_is_as_it_was)
{
    static const char expected[] = "a.inc=one\nb.inc=\nmissing!2\n";
    write_file("a.inc", "one");
    write_file("b.inc", "");
    begin("include: ['*.inc', missing, 'no*']\n");
    ck_assert_int_eq(bundle_record(&bundle, "*.inc", take, &taken), 0);
    ck_assert_int_eq(bundle_record(&bundle, "missing", take, &taken), 0);
    ck_assert_int_eq(bundle_record(&bundle, "no*", take, &taken), 0);
    ck_assert_str_eq(taken.data, expected);
    text_clear(&taken);
    pass_on();
    ck_assert_int_eq(bundle_replay(&bundle, "*.inc", take, &taken), 0);
    ck_assert_int_eq(bundle_replay(&bundle, "missing", take, &taken), 0);
    ck_assert_int_eq(bundle_replay(&bundle, "no*", take, &taken), 0);
    ck_assert_str_eq(taken.data, expected);
    ck_assert_int_eq(bundle_replay(&bundle, "another", take, &taken), -ENOENT);
}
END_TEST

static int take_one(void *arg, const char *path, int fd)
{
    (void)path;
    (*(int *)arg)++;
    close(fd);
    return -EXDEV;
}

START_TEST(who_takes_can_end_it)
{
    int count = 0;
    write_file("a.inc", "one");
    write_file("b.inc", "two");
    begin("");
    ck_assert_int_eq(bundle_record(&bundle, "*.inc", take_one, &count), -EXDEV);
    ck_assert_int_eq(count, 1);
}
END_TEST

START_TEST(a_pipe_is_read_once)
{
    int fds[2], again;
    ck_assert_int_eq(pipe(fds), 0);
    ck_assert_int_eq(write(fds[1], "piped", 5), 5);
    close(fds[1]);
    ck_assert_int_eq(bundle_begin(&bundle, "/dev/stdin", fds[0], &again), 0);
    close(fds[0]);
    read_into(again, &taken);
    ck_assert_str_eq(taken.data, "piped");
}
END_TEST

/* It is who reads the file that says what is wrong with it; nothing of it is passed on. */
START_TEST(what_is_no_text_is_handed_out_all_the_same)
{
    write_file("a.inc", "\xff\xfe");
    begin("");
    ck_assert_int_eq(bundle_record(&bundle, "a.inc", take, &taken), 0);
    ck_assert_str_eq(taken.data, "a.inc=\xff\xfe\n");
    text_clear(&taken);
    pass_on();
    ck_assert_int_eq(bundle_replay(&bundle, "a.inc", take, &taken), 0);
    ck_assert_str_eq(taken.data, "a.inc!71\n");
}
END_TEST

static int memory_with(const char *content)
{
    int fd = memfd_create("test", 0);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, content, strlen(content)), (ssize_t)strlen(content));
    return fd;
}

START_TEST(garbage_is_no_bundle)
{
    static const char *const cases[] = {"", "x", "[]", "{}", "{\"path\":1}"};
    for (size_t i = 0; i < array_size(cases); i++) {
        int fd = memory_with(cases[i]);
        ck_assert_int_eq(bundle_unpack(&bundle, fd), -EPROTO);
        ck_assert_ptr_null(bundle.root);
        close(fd);
    }
    int fds[2];
    ck_assert_int_eq(pipe(fds), 0);
    ck_assert_int_eq(bundle_unpack(&bundle, fds[0]), -EPROTO);
    close(fds[0]);
    close(fds[1]);
}
END_TEST

START_TEST(half_a_bundle_has_no_files)
{
    int fd = memory_with("{\"path\":\"p\",\"content\":7,\"included\":{\"a\":[{\"path\":7}],"
                         "\"b\":[{\"path\":\"b\",\"error\":-3}],\"c\":7}}");
    ck_assert_int_eq(bundle_unpack(&bundle, fd), 0);
    close(fd);
    ck_assert_int_eq(bundle_open(&bundle), -EPROTO);
    ck_assert_int_eq(bundle_replay(&bundle, "a", take, &taken), -EPROTO);
    ck_assert_int_eq(bundle_replay(&bundle, "b", take, &taken), 0);
    ck_assert_str_eq(taken.data, "b!71\n");
    ck_assert_int_eq(bundle_replay(&bundle, "c", take, &taken), -ENOENT);
}
END_TEST

UNIT_MAIN_AROUND("bundle", set_up, tear_down, the_main_file_is_as_it_was,
                 what_is_included_is_as_it_was, who_takes_can_end_it, a_pipe_is_read_once,
                 what_is_no_text_is_handed_out_all_the_same, garbage_is_no_bundle,
                 half_a_bundle_has_no_files)
