/* Outputs and levels that change while lines are on their way. */
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <sys/stat.h>

#include "alloc.h"
#include "base/log.h"
#include "logging.h"

static char other_path[96]; /* a third file */

static void set_up(void)
{
    make_dir();
    snprintf(other_path, sizeof(other_path), "%s/other", dir);
}

static int try_set(struct log_target error, enum log_level level, struct log_target access,
                   const char **ret_path)
{
    struct log_options o = {.error = error, .error_level = level, .access = access};
    return log_set(&o, ret_path);
}

static void set(struct log_target error, struct log_target access)
{
    const char *path = NULL;
    int rc = try_set(error, LOG_LEVEL_INFO, access, &path);
    if (rc != 0)
        ck_abort_msg("%s: %s", path, strerror(-rc));
}

static struct log_target opened(const char *path)
{
    struct log_target t = file(path);
    t.fd = log_open_file(path);
    ck_assert_int_ge(t.fd, 0);
    return t;
}

static int count_fds(void)
{
    int n = 0;
    DIR *d = opendir("/proc/self/fd");
    ck_assert_ptr_nonnull(d);
    while (readdir(d) != NULL)
        n++;
    closedir(d);
    return n;
}

/* The log thread closes what it has left, soon. */
static void wait_for_fds(int n)
{
    while (count_fds() != n)
        usleep(1000);
}

static void rename_file(const char *from, const char *to)
{
    ck_assert_int_eq(rename(from, to), 0);
}

START_TEST(lines_go_where_they_were_meant_to)
{
    start(file(error_path), LOG_LEVEL_INFO, file(access_path));
    int fds = count_fds();
    log_line(LOG_LEVEL_INFO, "one");
    add_record(1);
    set(file(other_path), file(access_path));
    log_line(LOG_LEVEL_INFO, "two");
    add_record(2);
    wait_for_text(other_path, "two");
    wait_for_fds(fds); /* while it runs */
    log_stop();
    expect_match(content(error_path), "^" TIME "info: one\n$");
    expect_match(content(other_path), "^" TIME "info: two\n$");
    ck_assert_str_eq(content(access_path), "record 1\nrecord 2\n");
}
END_TEST

START_TEST(the_level_changes_with_them)
{
    const char *path;
    start(file(error_path), LOG_LEVEL_INFO, off);
    log_line(LOG_LEVEL_DEBUG, "not one");
    ck_assert_int_eq(try_set(file(error_path), LOG_LEVEL_DEBUG, off, &path), 0);
    log_line(LOG_LEVEL_DEBUG, "two");
    ck_assert_int_eq(try_set(file(error_path), LOG_LEVEL_ERROR, off, &path), 0);
    log_line(LOG_LEVEL_WARNING, "not three");
    set(off, off);
    ck_assert(!log_enabled(LOG_LEVEL_ERROR));
    log_line(LOG_LEVEL_ERROR, "not four");
    set(file(error_path), off);
    log_line(LOG_LEVEL_INFO, "five");
    log_stop();
    expect_match(content(error_path), "^" TIME "debug: two\n" TIME "info: five\n$");
}
END_TEST

START_TEST(records_come_and_go)
{
    start(file(error_path), LOG_LEVEL_INFO, off);
    ck_assert(!log_access_enabled());
    set(file(error_path), file(access_path));
    ck_assert(log_access_enabled());
    add_record(1);
    set(file(error_path), off);
    ck_assert(!log_access_enabled());
    add_record(2);
    set(file(error_path), file(error_path)); /* one file for both */
    add_record(3);
    log_line(LOG_LEVEL_INFO, "line");
    set(file(access_path), file(error_path)); /* and two again, the other way round */
    add_record(4);
    log_stop();
    ck_assert_int_eq(atomic_load(&released), 4);
    ck_assert_str_eq(content(access_path), "record 1\n");
    expect_match(content(error_path), "^record 3\n" TIME "info: line\nrecord 4\n$");
}
END_TEST

/* A file that stays keeps its descriptor, under whatever name it is by now. */
START_TEST(what_stays_is_not_opened_anew)
{
    start(file(error_path), LOG_LEVEL_INFO, file(access_path));
    rename_file(error_path, other_path);
    unlink(access_path);
    set(file(error_path), off);
    log_line(LOG_LEVEL_INFO, "one");
    set(file(error_path), file(error_path));
    add_record(1);
    log_stop();
    ck_assert_int_ne(access(error_path, F_OK), 0);
    expect_match(content(other_path), "^" TIME "info: one\nrecord 1\n$");
}
END_TEST

START_TEST(all_of_it_or_nothing)
{
    char missing[128];
    const char *path = NULL;
    snprintf(missing, sizeof(missing), "%s/no/such", dir);
    start(file(error_path), LOG_LEVEL_INFO, file(access_path));
    int fds = count_fds();
    ck_assert_int_eq(try_set(file(other_path), LOG_LEVEL_DEBUG, file(missing), &path), -ENOENT);
    ck_assert_str_eq(path, missing);
    ck_assert_int_eq(try_set(file(missing), LOG_LEVEL_DEBUG, off, &path), -ENOENT);
    ck_assert_str_eq(path, missing);
    /* Descriptors that come with it are gone all the same. */
    ck_assert_int_eq(try_set(file(missing), LOG_LEVEL_DEBUG, opened(other_path), &path), -ENOENT);
    ck_assert_int_eq(try_set(opened(other_path), LOG_LEVEL_DEBUG, file(missing), &path), -ENOENT);
    ck_assert_int_eq(count_fds(), fds);
    ck_assert(!log_enabled(LOG_LEVEL_DEBUG));
    log_line(LOG_LEVEL_INFO, "one");
    add_record(1);
    log_stop();
    expect_match(content(error_path), "^" TIME "info: one\n$");
    ck_assert_str_eq(content(access_path), "record 1\n");
    ck_assert_str_eq(content(other_path), "");
}
END_TEST

START_TEST(no_memory_changes_nothing)
{
    const char *path;
    start(file(error_path), LOG_LEVEL_INFO, off);
    log_line(LOG_LEVEL_INFO, "first"); /* what this thread needs to queue at all is made once */
    wait_for_text(error_path, "first");
    int fds = count_fds(), rc = -ENOMEM;
    long budget = 0;
    for (; rc == -ENOMEM; budget++) {
        long live = alloc_live;
        alloc_limit(budget);
        rc = try_set(file(other_path), LOG_LEVEL_INFO, file(access_path), &path);
        alloc_limit(-1);
        if (rc == -ENOMEM) {
            ck_assert_int_eq(count_fds(), fds);
            ck_assert_int_eq(alloc_live, live);
        }
    }
    ck_assert_int_eq(rc, 0);
    ck_assert_int_ge(budget, 5); /* two sinks and their paths */
    log_line(LOG_LEVEL_INFO, "line");
    log_stop();
    expect_match(content(error_path), "^" TIME "info: first\n$");
    expect_match(content(other_path), "^" TIME "info: line\n$");
}
END_TEST

/* --- descriptors that come with their targets -------------------------------------------- */

START_TEST(a_descriptor_stands_for_its_path)
{
    struct log_target error = opened(error_path), access_log = opened(access_path);
    unlink(access_path); /* a path that is not to be opened */
    ck_assert_int_eq(mkdir(access_path, 0700), 0);
    start(error, LOG_LEVEL_INFO, access_log);
    int fds = count_fds();
    rename_file(error_path, other_path);
    log_line(LOG_LEVEL_INFO, "before");
    set(opened(error_path), file(access_path)); /* as after a rotation */
    log_line(LOG_LEVEL_INFO, "after");
    wait_for_text(error_path, "after");
    wait_for_fds(fds);
    log_stop();
    ck_assert_int_eq(count_fds(), fds - 3); /* the two files, and what wakes the thread */
    expect_match(content(other_path), "^" TIME "info: before\n$");
    expect_match(content(error_path), "^" TIME "info: after\n$");
    ck_assert_int_eq(rmdir(access_path), 0);
}
END_TEST

START_TEST(one_file_needs_one_descriptor)
{
    int fds = count_fds();
    for (int i = 0; i < 4; i++) {
        struct log_target a = i & 1 ? opened(error_path) : file(error_path);
        struct log_target b = i & 2 ? opened(error_path) : file(error_path);
        start(a, LOG_LEVEL_INFO, b);
        ck_assert_int_eq(count_fds(), fds + 2);
        log_line(LOG_LEVEL_INFO, "line %d", i);
        add_record(i);
        log_stop();
        ck_assert_int_eq(count_fds(), fds);
    }
    struct log_target both = opened(error_path);
    start(both, LOG_LEVEL_INFO, both);
    log_stop();
    ck_assert_int_eq(count_fds(), fds);
    ck_assert_uint_eq(count(content(error_path), "\n"), 8);
}
END_TEST

START_TEST(a_failed_start_closes_them)
{
    char missing[128];
    const char *path;
    snprintf(missing, sizeof(missing), "%s/no/such", dir);
    int fds = count_fds();
    struct log_options o = {.error = file(missing), .access = opened(access_path)};
    ck_assert_int_eq(log_start(&o, &path), -ENOENT);
    o = (struct log_options){.error = opened(error_path), .access = file(missing)};
    ck_assert_int_eq(log_start(&o, &path), -ENOENT);
    ck_assert_int_eq(count_fds(), fds);
}
END_TEST

/* --- under load -------------------------------------------------------------------------- */

enum { THREADS = 3, LINES = 2000 };

static void *write_lines(void *arg)
{
    for (int i = 0; i < LINES; i++) {
        log_line(LOG_LEVEL_INFO, "thread %d line %d end", (int)(intptr_t)arg, i);
        if (i % 64 == 0)
            usleep(1000); /* let the outputs change between lines */
    }
    return NULL;
}

/* Count the lines of a file; each thread's are in its order. */
static int check_order(const char *path)
{
    int lines = 0, next[THREADS] = {0};
    for (const char *p = strstr(content(path), "thread "); p; p = strstr(p + 1, "thread ")) {
        int thread, line, length = 0;
        unit_assert(sscanf(p, "thread %d line %d end%n", &thread, &line, &length) == 2);
        unit_assert(length > 0 && p[length] == '\n');
        unit_assert(line >= next[thread]);
        next[thread] = line + 1;
        lines++;
    }
    return lines;
}

START_TEST(nothing_is_lost_or_out_of_order)
{
    pthread_t threads[THREADS];
    start(file(error_path), LOG_LEVEL_INFO, off);
    for (intptr_t i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, write_lines, (void *)i), 0);
    for (int i = 0; i < 200; i++) {
        set(i % 2 ? file(error_path) : opened(other_path), i % 3 ? off : file(access_path));
        usleep(100);
    }
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    log_stop();
    ck_assert_uint_eq(log_dropped(), 0);
    int first = check_order(error_path), second = check_order(other_path);
    ck_assert_int_gt(first, 0);
    ck_assert_int_gt(second, 0);
    ck_assert_int_eq(first + second, THREADS * LINES);
}
END_TEST

static void *read_stderr(void *arg)
{
    static char text[8 << 20];
    read_all((int)(intptr_t)arg, text, sizeof(text));
    return text;
}

/* An output that takes nothing more keeps what it holds, and gets rid of it when it can. */
START_TEST(a_blocked_output_that_is_left)
{
    enum { FLOOD = 5000 }; /* more than a pipe holds, less than the queue and the sink do */
    pthread_t reader;
    void *text;
    int fd = pipe_for_stderr();
    start(to_stderr, LOG_LEVEL_INFO, off);
    for (int i = 0; i < FLOOD; i++)
        log_line(LOG_LEVEL_INFO, "flood %d", i);
    set(file(error_path), off);
    log_line(LOG_LEVEL_INFO, "elsewhere");
    wait_for_text(error_path, "elsewhere");
    ck_assert_int_eq(pthread_create(&reader, NULL, read_stderr, (void *)(intptr_t)fd), 0);
    log_stop();
    close(STDERR_FILENO);
    ck_assert_int_eq(pthread_join(reader, &text), 0);
    ck_assert_uint_eq(log_dropped(), 0);
    ck_assert_uint_eq(count(text, "info: flood"), FLOOD);
    ck_assert_uint_eq(count(text, "elsewhere"), 0);
    close(fd);
}
END_TEST

UNIT_MAIN_AROUND("log_set", set_up, remove_dir, lines_go_where_they_were_meant_to,
                 the_level_changes_with_them, records_come_and_go, what_stays_is_not_opened_anew,
                 all_of_it_or_nothing, no_memory_changes_nothing, a_descriptor_stands_for_its_path,
                 one_file_needs_one_descriptor, a_failed_start_closes_them,
                 nothing_is_lost_or_out_of_order, a_blocked_output_that_is_left)
