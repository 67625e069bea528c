/* Sinks that follow each other while some of them take nothing. */
#include "base/log_route.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "unit.h"

static struct log_sinks sinks;

/* A pipe as a target: nobody opens its path. */
static struct log_target pipe_target(const char *path, int *ret_reader)
{
    int fds[2];
    ck_assert_int_eq(pipe2(fds, O_NONBLOCK), 0);
    *ret_reader = fds[0];
    return (struct log_target){.output = LOG_OUTPUT_FILE, .path = path, .fd = fds[1]};
}

/* Let all lines go to `t`. */
static size_t take(struct log_target t)
{
    struct log_options o = {.error = t, .access = t};
    struct log_route route;
    const char *path;
    ck_assert_int_eq(log_route_open(&route, &o, &sinks.route, &path), 0);
    ck_assert_ptr_eq(route.error, route.access);
    return log_sinks_take(&sinks, &route);
}

static void add_line(struct log_sink *s, const char *line)
{
    text_add_string(log_sink_begin(s), line);
    ck_assert(log_sink_end(s, LOG_LEVEL_INFO));
}

/* Fill the pipe of the sink in use, and have it hold three lines more. */
static void block(void)
{
    struct log_sink *s = sinks.route.error;
    while (!log_sink_pending(s)) {
        add_line(s, "filling");
        ck_assert_uint_eq(log_sinks_flush(&sinks), 0);
    }
    ck_assert_uint_eq(log_sink_lines(s), 1);
    add_line(s, "held");
    add_line(s, "held");
}

static size_t read_out(int fd)
{
    static char text[1 << 16];
    size_t total = 0;
    for (ssize_t n; (n = read(fd, text, sizeof(text))) > 0;)
        total += (size_t)n;
    return total;
}

START_TEST(a_retired_one_goes_when_it_is_empty)
{
    int readers[2];
    ck_assert_uint_eq(take(pipe_target("a", &readers[0])), 0);
    block();
    ck_assert_uint_eq(take(pipe_target("b", &readers[1])), 0);
    ck_assert_uint_eq(sinks.count, 2);
    ck_assert_uint_eq(log_sinks_flush(&sinks), 0);
    ck_assert_uint_eq(sinks.count, 2);
    ck_assert(log_sinks_pending(&sinks));
    read_out(readers[0]);
    ck_assert_uint_eq(log_sinks_flush(&sinks), 0);
    ck_assert_uint_eq(sinks.count, 1);
    ck_assert(!log_sinks_pending(&sinks));
    ck_assert_uint_eq(read_out(readers[0]), 2 * strlen("held\n") + strlen("filling\n"));
    ck_assert_int_eq(read(readers[0], &(char){0}, 1), 0); /* closed */
    log_sinks_close(&sinks);
}
END_TEST

START_TEST(too_many_that_take_nothing)
{
    enum { MANY = LOG_SINKS_MAX + 4 };
    int readers[MANY];
    char paths[MANY][8];
    for (size_t i = 0; i < MANY; i++) {
        snprintf(paths[i], sizeof(paths[i]), "%zu", i);
        size_t lost = take(pipe_target(paths[i], &readers[i]));
        ck_assert_uint_eq(lost, i < LOG_SINKS_MAX ? 0 : 3);
        block();
    }
    ck_assert_uint_eq(sinks.count, LOG_SINKS_MAX);
    for (size_t i = 0; i < MANY; i++) {
        read_out(readers[i]); /* the oldest are closed, the newest stay */
        bool closed = read(readers[i], &(char){0}, 1) == 0;
        ck_assert_int_eq(closed, i < MANY - LOG_SINKS_MAX);
    }
    ck_assert_uint_eq(log_sinks_flush(&sinks), 0);
    ck_assert_uint_eq(sinks.count, 1);
    log_sinks_close(&sinks);
}
END_TEST

/* What nobody will ever read is lost, and counted. */
START_TEST(a_retired_one_whose_reader_is_gone)
{
    int readers[2];
    take(pipe_target("a", &readers[0]));
    block();
    take(pipe_target("b", &readers[1]));
    close(readers[0]);
    signal(SIGPIPE, SIG_IGN);
    ck_assert_uint_eq(log_sinks_flush(&sinks), 3);
    ck_assert_uint_eq(sinks.count, 1);
    log_sinks_close(&sinks);
}
END_TEST

UNIT_MAIN("log_route", a_retired_one_goes_when_it_is_empty, too_many_that_take_nothing,
          a_retired_one_whose_reader_is_gone)
