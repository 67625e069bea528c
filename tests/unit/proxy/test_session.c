#include "proxy/session.h"

#include <errno.h>

#include "world.h"

/* What the listener has counted, all shards together. */
static void expect_counted(uint64_t connections, uint64_t received, uint64_t sent)
{
    struct counters_sum sum;
    counters_sum(world.proxy->listeners[0].counters, world.group.count, &sum);
    ck_assert_uint_eq(sum.connections, connections);
    ck_assert_uint_eq(sum.received, received);
    ck_assert_uint_eq(sum.sent, sent);
}

static void proxied(void *arg)
{
    (void)arg;
    begin("", 0, true);
    struct conn c;
    open_client(&c);
    expect_echo(&c);
    expect_counted(1, 5, 5);
    expect_echo(&c);
    expect_counted(1, 10, 10);
    ck_assert_uint_eq(shard_active(&world.shard), 1);
    ck_assert_int_eq(conn_shutdown(&c), 0);
    char byte;
    ck_assert_int_eq(stream_read(&c.stream, &byte, 1), 0);
    conn_close(&c);
    end();
}

START_TEST(a_client_reaches_its_server)
{
    in_fiber(proxied, NULL);
}
END_TEST

static void retried(void *arg)
{
    (void)arg;
    begin("", 2, true);
    for (int i = 0; i < 4; i++) {
        struct conn c;
        open_client(&c);
        expect_echo(&c);
        conn_reset(&c);
    }
    end();
}

START_TEST(dead_servers_are_passed_over)
{
    in_fiber(retried, NULL);
}
END_TEST

static void nobody(void *arg)
{
    (void)arg;
    begin("", 2, false);
    struct conn c;
    open_client(&c);
    char byte;
    ck_assert_int_eq(stream_read(&c.stream, &byte, 1), -ECONNRESET);
    conn_close(&c);
    expect_counted(1, 0, 0);
    end();
}

START_TEST(no_server_left_is_told_at_once)
{
    in_fiber(nobody, NULL);
}
END_TEST

static void idle(void *arg)
{
    (void)arg;
    begin("idle_timeout: 50ms", 0, true);
    struct conn c;
    open_client(&c);
    expect_echo(&c);
    char byte;
    ck_assert_int_eq(stream_read(&c.stream, &byte, 1), 0);
    conn_close(&c);
    end();
}

START_TEST(an_idle_connection_is_closed)
{
    in_fiber(idle, NULL);
}
END_TEST

static void ended(void *arg)
{
    (void)arg;
    begin("", 0, true);
    struct conn c[10];
    for (int i = 0; i < 10; i++) {
        open_client(&c[i]);
        expect_echo(&c[i]);
    }
    shard_drain(&world.shard);
    shard_end_sessions(&world.shard, END_DRAINED);
    for (int i = 0; i < 10; i++) {
        char byte;
        ck_assert_int_eq(stream_read(&c[i].stream, &byte, 1), 0);
        conn_close(&c[i]);
    }
    end();
}

START_TEST(live_sessions_can_be_ended)
{
    in_fiber(ended, NULL);
}
END_TEST

static void limited(void *arg)
{
    (void)arg;
    begin("max_connections: 2", 0, true);
    struct conn c[3];
    for (int i = 0; i < 3; i++)
        open_client(&c[i]); /* the third one's connect is the kernel's backlog speaking */
    expect_echo(&c[0]);
    expect_echo(&c[1]);
    ck_assert_uint_eq(shard_active(&world.shard), 2);
    conn_reset(&c[0]);
    expect_echo(&c[2]);
    conn_reset(&c[1]);
    conn_reset(&c[2]);
    end();
}

START_TEST(over_the_limit_waits_its_turn)
{
    in_fiber(limited, NULL);
}
END_TEST

static void unfair(void *arg)
{
    (void)arg;
    begin_with(2, "", 0, true);
    struct conn c[24];
    for (size_t i = 0; i < array_size(c); i++) {
        open_client(&c[i]);
        expect_echo(&c[i]);
    }
    uint64_t kept = shard_active(&world.shard), given = shard_active(&world.other);
    ck_assert_uint_eq(kept + given, array_size(c));
    ck_assert_uint_le(kept, given + 2 + given / 4);
    ck_assert_uint_eq(counters_read(&world.shard.handed_over), given);
    ck_assert_uint_eq(counters_read(&world.shard.started), kept);
    ck_assert_uint_eq(counters_read(&world.other.started), given);
    expect_counted(array_size(c), 5 * array_size(c), 5 * array_size(c));
    for (size_t i = 0; i < array_size(c); i++)
        conn_reset(&c[i]);
    end();
}

START_TEST(a_shard_with_more_than_its_share_hands_over)
{
    in_fiber(unfair, NULL);
}
END_TEST

/* Sessions on their way to a shard that drains are not lost, or not given. */
static void draining(void *arg)
{
    (void)arg;
    begin_with(2, "", 0, true);
    struct conn c[24];
    for (size_t i = 0; i < array_size(c); i++)
        open_client(&c[i]);
    shard_drain(&world.other);
    for (size_t i = 0; i < array_size(c); i++)
        expect_echo(&c[i]);
    for (size_t i = 0; i < array_size(c); i++)
        conn_reset(&c[i]);
    end();
}

START_TEST(nothing_is_lost_on_the_way_to_a_shard_that_drains)
{
    in_fiber(draining, NULL);
}
END_TEST

UNIT_MAIN_AROUND("session", world_set_up, world_tear_down, a_client_reaches_its_server,
                 dead_servers_are_passed_over, no_server_left_is_told_at_once,
                 an_idle_connection_is_closed, live_sessions_can_be_ended,
                 over_the_limit_waits_its_turn, a_shard_with_more_than_its_share_hands_over,
                 nothing_is_lost_on_the_way_to_a_shard_that_drains)
