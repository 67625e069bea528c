#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc.h"
#include "base/clock.h"
#include "logging.h"

/* --- lines ------------------------------------------------------------------------------- */

START_TEST(lines_look_as_promised)
{
    make_dir();
    start(file(error_path), LOG_LEVEL_INFO, off);
    log_line(LOG_LEVEL_WARNING, "one %d", 1);
    log_line(LOG_LEVEL_DEBUG, "not this");
    log_line(LOG_LEVEL_ERROR, "two\nlines\tand \x1b[31m");
    log_stop();
    expect_match(content(error_path),
                 "^" TIME "warning: one 1\n" TIME "error: two lines and  \\[31m\n$");
    remove_dir();
}
END_TEST

START_TEST(levels_are_filtered)
{
    static const char *const names[] = {"debug", "info", "notice", "warning", "error"};
    make_dir();
    for (int level = LOG_LEVEL_DEBUG; level <= LOG_LEVEL_ERROR; level++) {
        start(file(error_path), level, off);
        for (int i = LOG_LEVEL_DEBUG; i <= LOG_LEVEL_ERROR; i++) {
            ck_assert_int_eq(log_enabled(i), i >= level);
            log_line(i, "level %d", level);
        }
        log_stop();
        const char *text = content(error_path);
        for (int i = LOG_LEVEL_DEBUG; i <= LOG_LEVEL_ERROR; i++) {
            char line[32];
            snprintf(line, sizeof(line), " %s: level %d\n", names[i], level);
            ck_assert_int_eq(strstr(text, line) != NULL, i >= level);
        }
    }
    start(off, LOG_LEVEL_DEBUG, off);
    ck_assert(!log_enabled(LOG_LEVEL_ERROR));
    log_line(LOG_LEVEL_ERROR, "nowhere");
    log_stop();
    remove_dir();
}
END_TEST

START_TEST(a_long_line_is_cut_at_a_character)
{
    char line[3 * LOG_PAYLOAD_MAX + 1];
    make_dir();
    for (int shift = 0; shift < 3; shift++) {
        memset(line, 'x', sizeof(line));
        for (size_t i = (size_t)shift; i + 3 < sizeof(line); i += 3)
            memcpy(line + i, "\xe2\x82\xac", 3);
        line[sizeof(line) - 1] = '\0';
        start(file(error_path), LOG_LEVEL_INFO, off);
        log_line(LOG_LEVEL_INFO, "%s", line);
        log_stop();
        const char *text = content(error_path);
        size_t n = strlen(text);
        ck_assert_uint_lt(n, LOG_PAYLOAD_MAX + 64);
        ck_assert_str_eq(text + n - 7, "\xe2\x82\xac\xe2\x80\xa6\n");
        unlink(error_path);
    }
    remove_dir();
}
END_TEST

START_TEST(errno_is_preserved)
{
    make_dir();
    int from_stderr = pipe_for_stderr();
    errno = EILSEQ;
    log_line(LOG_LEVEL_ERROR, "direct");
    ck_assert_int_eq(errno, EILSEQ);
    start(file(error_path), LOG_LEVEL_INFO, off);
    errno = EILSEQ;
    log_line(LOG_LEVEL_ERROR, "queued");
    ck_assert_int_eq(errno, EILSEQ);
    log_stop();
    close(from_stderr);
    remove_dir();
}
END_TEST

START_TEST(without_a_thread_lines_go_to_stderr)
{
    char said[200] = "";
    int fd = pipe_for_stderr();
    ck_assert(log_enabled(LOG_LEVEL_INFO));
    ck_assert(!log_enabled(LOG_LEVEL_DEBUG));
    ck_assert(!log_access_enabled());
    log_line(LOG_LEVEL_NOTICE, "here %s", "I am");
    ck_assert_int_gt(read(fd, said, sizeof(said) - 1), 0);
    expect_match(said, "^" TIME "notice: here I am\n$");
    add_record(1);
    ck_assert_int_eq(atomic_load(&released), 1);
    log_stop();
    close(fd);
}
END_TEST

/* What systemd connected wants a level before each line, and has a clock of its own. */
START_TEST(a_journal_stream_gets_levels)
{
    char said[200] = "", stream[64];
    int fd = pipe_for_stderr();
    struct stat st;
    ck_assert_int_eq(fstat(STDERR_FILENO, &st), 0);
    snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
    setenv("JOURNAL_STREAM", stream, 1);
    start(to_stderr, LOG_LEVEL_INFO, off);
    log_line(LOG_LEVEL_WARNING, "text");
    log_stop();
    ck_assert_int_gt(read(fd, said, sizeof(said) - 1), 0);
    ck_assert_str_eq(said, "<4>text\n");
    close(fd);
}
END_TEST

/* --- records and files ------------------------------------------------------------------- */

START_TEST(records_are_formatted_and_released)
{
    make_dir();
    start(file(error_path), LOG_LEVEL_INFO, file(access_path));
    ck_assert(log_access_enabled());
    for (int i = 0; i < 3; i++)
        add_record(i);
    log_access(format_record, NULL, &(int){3}, sizeof(int));
    log_line(LOG_LEVEL_INFO, "line");
    log_stop();
    ck_assert_int_eq(atomic_load(&released), 3);
    ck_assert_str_eq(content(access_path), "record 0\nrecord 1\nrecord 2\nrecord 3\n");
    expect_match(content(error_path), "^" TIME "info: line\n$");
    remove_dir();
}
END_TEST

START_TEST(one_file_for_both_keeps_their_order)
{
    make_dir();
    start(file(error_path), LOG_LEVEL_INFO, file(error_path));
    add_record(1);
    log_line(LOG_LEVEL_INFO, "between");
    add_record(2);
    log_stop();
    expect_match(content(error_path), "^record 1\n" TIME "info: between\nrecord 2\n$");
    remove_dir();
}
END_TEST

START_TEST(nobody_wants_records)
{
    start(off, LOG_LEVEL_INFO, off);
    ck_assert(!log_access_enabled());
    add_record(1);
    ck_assert_int_eq(atomic_load(&released), 1);
    log_stop();
}
END_TEST

START_TEST(what_cannot_be_opened_is_named)
{
    char missing[96];
    const char *path = NULL;
    make_dir();
    snprintf(missing, sizeof(missing), "%s/no/such", dir);
    struct log_options o = {.error = file(error_path), .access = file(missing)};
    ck_assert_int_eq(log_start(&o, &path), -ENOENT);
    ck_assert_str_eq(path, missing);
    ck_assert_int_eq(mkfifo(access_path, 0600), 0);
    o.access.path = access_path;
    ck_assert_int_eq(log_start(&o, &path), -ENXIO); /* nobody reads it: an error, not a hang */
    ck_assert_str_eq(path, access_path);
    start(file(error_path), LOG_LEVEL_INFO, off); /* nothing is left of the failed ones */
    log_stop();
    remove_dir();
}
END_TEST

START_TEST(no_memory_to_start_is_an_answer)
{
    const char *path;
    make_dir();
    struct log_options o = {.error = file(error_path), .access = file(access_path)};
    int rc = -ENOMEM;
    for (int budget = 0; rc == -ENOMEM; budget++) {
        alloc_limit(budget);
        rc = log_start(&o, &path);
        alloc_limit(-1);
        ck_assert_int_eq(rc, budget < 5 ? -ENOMEM : 0); /* two sinks, their paths, a pool */
    }
    log_stop();
    remove_dir();
}
END_TEST

START_TEST(a_line_without_memory_is_counted)
{
    make_dir();
    start(file(error_path), LOG_LEVEL_INFO, file(access_path));
    alloc_limit(0);
    log_line(LOG_LEVEL_INFO, "not this");
    add_record(1);
    alloc_limit(-1);
    ck_assert_uint_eq(log_dropped(), 2);
    ck_assert_int_eq(atomic_load(&released), 1);
    log_line(LOG_LEVEL_INFO, "but this");
    log_stop();
    const char *text = content(error_path);
    ck_assert_uint_eq(count(text, "not this"), 0);
    ck_assert_uint_eq(count(text, "info: but this\n"), 1);
    ck_assert_uint_eq(count(text, "warning: 2 log lines dropped\n"), 1);
    ck_assert_str_eq(content(access_path), "");
    remove_dir();
}
END_TEST

/* --- threads, and outputs that block ----------------------------------------------------- */

enum { THREADS = 4, LINES = 3000 };

static void *write_lines(void *arg)
{
    for (int i = 0; i < LINES; i++)
        log_line(LOG_LEVEL_INFO, "thread %d line %d end", (int)(intptr_t)arg, i);
    return NULL;
}

/* Each thread's lines come in its order, whole; what is missing was counted. */
START_TEST(threads_share_it)
{
    pthread_t threads[THREADS];
    int next[THREADS] = {0}, lines = 0;
    make_dir();
    start(file(error_path), LOG_LEVEL_INFO, off);
    for (intptr_t i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, write_lines, (void *)i), 0);
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    log_stop();
    for (const char *p = strstr(content(error_path), "thread "); p; p = strstr(p + 1, "thread ")) {
        int thread, line, length = 0;
        unit_assert(sscanf(p, "thread %d line %d end%n", &thread, &line, &length) == 2);
        unit_assert(length > 0 && p[length] == '\n');
        unit_assert(line >= next[thread] && line < LINES);
        next[thread] = line + 1;
        lines++;
    }
    ck_assert_uint_eq((uint64_t)lines + log_dropped(), THREADS * LINES);
    remove_dir();
}
END_TEST

static void *read_stderr(void *arg)
{
    static char text[8 << 20];
    read_all((int)(intptr_t)arg, text, sizeof(text));
    return text;
}

/* Far more than the pipe, the sink and the queue hold: were any of it waited for, this would hang
 * until the time-out. */
#define FLOOD 30000

START_TEST(a_full_pipe_delays_nobody)
{
    pthread_t reader;
    void *text;
    int fd = pipe_for_stderr();
    start(to_stderr, LOG_LEVEL_INFO, off);
    for (int i = 0; i < FLOOD; i++)
        log_line(LOG_LEVEL_INFO, "flood %d", i);
    while (log_dropped() == 0) /* the thread is still at what was queued */
        log_line(LOG_LEVEL_INFO, "flood");
    ck_assert_int_eq(pthread_create(&reader, NULL, read_stderr, (void *)(intptr_t)fd), 0);
    usleep(50000); /* the pipe is read again: this line may come through */
    log_line(LOG_LEVEL_INFO, "last");
    log_stop();
    close(STDERR_FILENO);
    ck_assert_int_eq(pthread_join(reader, &text), 0);

    uint64_t told = 0;
    for (const char *p = strstr(text, "warning: "); p != NULL; p = strstr(p + 1, "warning: "))
        told += strtoull(p + strlen("warning: "), NULL, 10);
    ck_assert_uint_ge(count(text, "log lines dropped\n"), 1);
    ck_assert_uint_eq(told, log_dropped());
    ck_assert_uint_ge(count(text, "info: flood") + told, FLOOD);
    close(fd);
}
END_TEST

START_TEST(stopping_does_not_wait_for_ever)
{
    int fd = pipe_for_stderr();
    start(to_stderr, LOG_LEVEL_INFO, off);
    for (int i = 0; i < FLOOD; i++)
        log_line(LOG_LEVEL_INFO, "flood %d", i);
    int64_t before = clock_update();
    log_stop();
    ck_assert_int_lt(clock_update() - before, 20 * NSEC_PER_SEC);
    close(fd);
}
END_TEST

START_TEST(one_blocked_output_holds_up_no_other)
{
    make_dir();
    int fd = pipe_for_stderr();
    start(file(error_path), LOG_LEVEL_INFO, to_stderr);
    for (int i = 0; i < FLOOD; i++)
        add_record(i);
    while (log_dropped() == 0)
        add_record(0);
    while (!has_text(error_path, "still heard")) /* the queue may be full yet */
        log_line(LOG_LEVEL_INFO, "still heard");
    wait_for_text(error_path, "log lines dropped");
    close(fd);
    log_stop();
    ck_assert_int_ge(atomic_load(&released), FLOOD);
    remove_dir();
}
END_TEST

/* A reader that is gone costs the lines, not the process. */
START_TEST(a_broken_pipe_is_survived)
{
    make_dir();
    close(pipe_for_stderr());
    start(to_stderr, LOG_LEVEL_INFO, file(access_path));
    log_line(LOG_LEVEL_INFO, "into the void");
    while (log_dropped() == 0)
        usleep(1000);
    add_record(1);
    log_stop();
    ck_assert_str_eq(content(access_path), "record 1\n");
    remove_dir();
}
END_TEST

UNIT_MAIN("log", lines_look_as_promised, levels_are_filtered, a_long_line_is_cut_at_a_character,
          errno_is_preserved, without_a_thread_lines_go_to_stderr, a_journal_stream_gets_levels,
          records_are_formatted_and_released, one_file_for_both_keeps_their_order,
          nobody_wants_records, what_cannot_be_opened_is_named, no_memory_to_start_is_an_answer,
          a_line_without_memory_is_counted, threads_share_it, a_full_pipe_delays_nobody,
          stopping_does_not_wait_for_ever, one_blocked_output_holds_up_no_other,
          a_broken_pipe_is_survived)
