#include "worker/limits.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>

#include "io/pipes.h"
#include "unit.h"

/* Each test runs in a process of its own, which may lower its limit for good. */
static void limit_descriptors(unsigned n)
{
    struct rlimit r = {.rlim_cur = n, .rlim_max = n};
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &r), 0);
}

static struct conf conf = {.process = {.workers = 2}};

START_TEST(descriptors_bind_where_nothing_else_does)
{
    limit_descriptors(1024);
    struct limits l;
    ck_assert_int_eq(limits_find(&conf, 4, &l), 0);
    ck_assert_uint_eq(l.descriptors, 1024);
    ck_assert_uint_eq(l.max_connections, (1024 - l.reserved) / 2);
    struct text said;
    text_init(&said);
    limits_describe(&l, &conf, &said);
    ck_assert_ptr_nonnull(strstr(said.data, "the descriptor limit of 1024"));
    unsigned at_most;
    ck_assert_str_eq(limits_bound_by(&l, &conf, &at_most), "descriptors");
    ck_assert_uint_eq(at_most, l.max_connections);
    text_free(&said);
}
END_TEST

START_TEST(max_connections_binds_below_it)
{
    limit_descriptors(1024);
    conf.process.max_connections = 100;
    struct limits l;
    ck_assert_int_eq(limits_find(&conf, 4, &l), 0);
    ck_assert_uint_eq(l.max_connections, 100);
    struct text said;
    text_init(&said);
    limits_describe(&l, &conf, &said);
    ck_assert_str_eq(said.data, "100 connections at most: max_connections");
    unsigned at_most;
    ck_assert_str_eq(limits_bound_by(&l, &conf, &at_most), "max_connections");
    ck_assert_uint_eq(at_most, 100);
    text_free(&said);
}
END_TEST

START_TEST(max_connections_above_it_is_cut_and_told)
{
    limit_descriptors(1024);
    conf.process.max_connections = 5000;
    struct limits l;
    ck_assert_int_eq(limits_find(&conf, 4, &l), 0);
    ck_assert_uint_eq(l.max_connections, (1024 - l.reserved) / 2);
    struct text said;
    text_init(&said);
    limits_describe(&l, &conf, &said);
    ck_assert_ptr_nonnull(strstr(said.data, "asks for 5000"));
    text_free(&said);
    unsigned at_most;
    ck_assert_str_eq(limits_bound_by(&l, &conf, &at_most), "descriptors");
}
END_TEST

START_TEST(ports_bind_where_there_are_fewer)
{
    const struct limits l = {.descriptors = 1024, .ports = 50, .max_connections = 100};
    unsigned at_most;
    conf.process.max_connections = 100;
    ck_assert_str_eq(limits_bound_by(&l, &conf, &at_most), "ports");
    ck_assert_uint_eq(at_most, 50);
}
END_TEST

START_TEST(too_few_for_one_connection_is_an_error)
{
    limit_descriptors(20);
    struct limits l;
    ck_assert_int_eq(limits_find(&conf, 4, &l), -EMFILE);
    ck_assert_uint_gt(l.reserved, 20);
}
END_TEST

START_TEST(pipes_are_kept_only_where_some_listener_splices)
{
    limit_descriptors(2000);
    struct conf_listener listeners[] = {{.splice = CONF_SPLICE_OFF}, {.splice = CONF_SPLICE_OFF}};
    struct limits l;
    conf.listeners = listeners;
    conf.listener_count = 2;
    ck_assert_int_eq(limits_find(&conf, 4, &l), 0);
    ck_assert_uint_eq(l.pipes, 0);
    unsigned without = l.reserved;
    listeners[1].splice = CONF_SPLICE_AUTO;
    ck_assert_int_eq(limits_find(&conf, 4, &l), 0);
    ck_assert_uint_eq(l.pipes, pipes_advise(2000, 2));
    ck_assert_uint_gt(l.pipes, 0);
    ck_assert_uint_eq(l.reserved, without + 2 * l.pipes);
    ck_assert_uint_eq(l.max_connections, (2000 - l.reserved) / 2);
}
END_TEST

START_TEST(the_soft_limit_is_raised)
{
    struct rlimit r;
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &r), 0);
    rlim_t hard = r.rlim_max;
    r.rlim_cur = 64;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &r), 0);
    struct limits l;
    ck_assert_int_eq(limits_find(&conf, 4, &l), 0);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &r), 0);
    ck_assert(r.rlim_cur == hard);
}
END_TEST

UNIT_MAIN("limits", descriptors_bind_where_nothing_else_does, max_connections_binds_below_it,
          max_connections_above_it_is_cut_and_told, ports_bind_where_there_are_fewer,
          too_few_for_one_connection_is_an_error, pipes_are_kept_only_where_some_listener_splices,
          the_soft_limit_is_raised)
