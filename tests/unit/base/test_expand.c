#include "base/expand.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit.h"

static char dir[32];
static struct text seen; /* the files taken: name, content or error */
static int answer;       /* of the taker */

static const char *in_dir(const char *name)
{
    static char path[128];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return path;
}

static void make_file(const char *name)
{
    int fd = open(in_dir(name), O_WRONLY | O_CREAT | O_EXCL, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, name, strlen(name)), (ssize_t)strlen(name));
    close(fd);
}

static void set_up(void)
{
    strcpy(dir, "/tmp/weft-expand-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    text_init(&seen);
    text_add_string(&seen, "");
}

static void tear_down(void)
{
    char command[128];
    snprintf(command, sizeof(command), "rm -r %s", dir);
    ck_assert_int_eq(system(command), 0);
    text_free(&seen);
}

static int take(void *arg, const char *path, int fd)
{
    char content[64] = "";
    ck_assert_ptr_eq(arg, dir);
    ck_assert_int_eq(strncmp(path, dir, strlen(dir)), 0);
    text_format(&seen, "%s=", path + strlen(dir) + 1);
    if (fd < 0) {
        text_format(&seen, "%d ", fd);
        return answer;
    }
    ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
    ck_assert_int_ge(read(fd, content, sizeof(content) - 1), 0);
    text_format(&seen, "%s ", content);
    close(fd);
    return answer;
}

/* What a pattern below the directory comes to. */
static void expands_to(const char *pattern, const char *files)
{
    text_clear(&seen);
    text_add_string(&seen, "");
    ck_assert_int_eq(expand_open(in_dir(pattern), take, dir), 0);
    ck_assert_str_eq(seen.data, files);
}

START_TEST(a_path_is_one_file)
{
    char none[32];
    make_file("a.yaml");
    expands_to("a.yaml", "a.yaml=a.yaml ");
    snprintf(none, sizeof(none), "b.yaml=%d ", -ENOENT);
    expands_to("b.yaml", none);
}
END_TEST

START_TEST(a_pattern_is_any_number_in_order)
{
    make_file("b.yaml");
    make_file("a.yaml");
    make_file("B.yaml");
    make_file("c.yml");
    make_file(".d.yaml");
    expands_to("*.yaml", "B.yaml=B.yaml a.yaml=a.yaml b.yaml=b.yaml ");
    expands_to("[bc].y*", "b.yaml=b.yaml c.yml=c.yml ");
    expands_to("?.yml", "c.yml=c.yml ");
    expands_to("*.conf", "");
    expands_to("no/such/*.yaml", "");
    expands_to("a.yaml/*.yaml", "");
}
END_TEST

START_TEST(a_match_that_cannot_be_opened)
{
    char line[64];
    make_file("a.yaml");
    ck_assert_int_eq(symlink("nowhere", in_dir("b.yaml")), 0);
    snprintf(line, sizeof(line), "a.yaml=a.yaml b.yaml=%d ", -ENOENT);
    expands_to("*.yaml", line);
}
END_TEST

START_TEST(the_taker_may_end_it)
{
    make_file("a.yaml");
    make_file("b.yaml");
    answer = -EPIPE;
    ck_assert_int_eq(expand_open(in_dir("*.yaml"), take, dir), -EPIPE);
    ck_assert_str_eq(seen.data, "a.yaml=a.yaml ");
    ck_assert_int_eq(expand_open(in_dir("b.yaml"), take, dir), -EPIPE);
}
END_TEST

/* A loop of links, for a directory that root can't read either. */
START_TEST(a_directory_that_cannot_be_read)
{
    ck_assert_int_eq(symlink("loop", in_dir("loop")), 0);
    ck_assert_int_eq(expand_open(in_dir("loop/*"), take, dir), -ELOOP);
    ck_assert_str_eq(seen.data, "");
}
END_TEST

START_TEST(a_fifo_holds_nobody_up)
{
    ck_assert_int_eq(mkfifo(in_dir("fifo"), 0600), 0);
    expands_to("fifo", "fifo= ");
}
END_TEST

START_TEST(what_is_quoted_stands_for_itself)
{
    struct text pattern;
    text_init(&pattern);
    make_file("a*[b]?\\.yaml");
    make_file("axb?.yaml");
    expand_quote(&pattern, "a*[b]?\\");
    text_add_string(&pattern, ".*");
    ck_assert_str_eq(pattern.data, "a\\*\\[b]\\?\\\\.*");
    expands_to(pattern.data, "a*[b]?\\.yaml=a*[b]?\\.yaml ");
    text_free(&pattern);
}
END_TEST

UNIT_MAIN_AROUND("expand", set_up, tear_down, a_path_is_one_file, a_pattern_is_any_number_in_order,
                 a_match_that_cannot_be_opened, the_taker_may_end_it,
                 a_directory_that_cannot_be_read, a_fifo_holds_nobody_up,
                 what_is_quoted_stands_for_itself)
