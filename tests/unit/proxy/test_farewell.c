#include "proxy/farewell.h"

#include <errno.h>

#include "world.h"

/* A client, the session and the server's end of a connection that the test plays both sides of. */
static struct conn client, server;

static struct session *only_session(void)
{
    ck_assert(!list_empty(&world.shard.live));
    ck_assert_ptr_eq(world.shard.live.next, world.shard.live.prev);
    return container_of(world.shard.live.next, struct session, link);
}

static void set_deadlines(struct conn *c)
{
    stream_deadline(&c->stream, clock_now() + SOON, clock_now() + SOON);
}

/* Connect through weft, with the server's end in the test's hands. */
static void connect_both(void)
{
    begin("splice: off", 0, true);
    fiber_cancel(world.echo);
    ck_assert_int_eq(fiber_join(world.echo), 0);
    world.echo = NULL;
    set_deadlines(&world.backend);
    open_client(&client);
    struct addr peer;
    ck_assert_int_eq(conn_accept(&world.backend, &server, &peer), 0);
    set_deadlines(&server);
    char byte;
    ck_assert_int_eq(stream_write(&client.stream, "a", 1), 0);
    ck_assert_int_eq(stream_read_full(&server.stream, &byte, 1), 0);
    conn_close(&world.backend);
}

static void finish(void)
{
    conn_close(&client);
    conn_close(&server);
    end();
}

static void expect_fin(struct conn *c)
{
    char byte;
    ck_assert_int_eq(stream_read(&c->stream, &byte, 1), 0);
}

static void await_end(int64_t by)
{
    while (shard_active(&world.shard) > 0) {
        ck_assert_int_lt(clock_now(), by);
        ck_assert_int_eq(fiber_sleep(clock_now() + NSEC_PER_MSEC), 0);
    }
}

static void both_close(void *arg)
{
    (void)arg;
    connect_both();
    session_part(only_session(), clock_now() + SOON);
    expect_fin(&client);
    expect_fin(&server);
    ck_assert_uint_eq(shard_active(&world.shard), 1);
    conn_close(&client);
    fiber_yield();
    ck_assert_uint_eq(shard_active(&world.shard), 1);
    conn_close(&server);
    await_end(clock_now() + SOON / 2);
    finish();
}

START_TEST(it_ends_when_both_sides_have_closed)
{
    in_fiber(both_close, NULL);
}
END_TEST

static void nobody_closes(void *arg)
{
    (void)arg;
    connect_both();
    int64_t deadline = clock_now() + 100 * NSEC_PER_MSEC;
    session_part(only_session(), deadline);
    expect_fin(&client);
    expect_fin(&server);
    await_end(clock_now() + SOON);
    ck_assert_int_ge(clock_now(), deadline);
    finish();
}

START_TEST(it_ends_at_the_deadline_when_nobody_closes)
{
    in_fiber(nobody_closes, NULL);
}
END_TEST

/* Write until nobody takes any more, and a while later neither. */
static size_t fill(struct conn *c)
{
    static char block[65536];
    size_t total = 0;
    for (;;) {
        stream_deadline(&c->stream, CLOCK_NEVER, clock_now() + 100 * NSEC_PER_MSEC);
        const struct iovec iov = {.iov_base = block, .iov_len = sizeof(block)};
        ssize_t put = c->stream.ops->writev(&c->stream, &iov, 1);
        if (put < 0)
            break;
        total += (size_t)put;
    }
    set_deadlines(c);
    return total;
}

static void buffered(void *arg)
{
    (void)arg;
    connect_both();
    size_t sent = fill(&server);
    struct session *s = only_session();
    session_part(s, clock_now() + SOON);
    size_t got = 0;
    static char block[65536];
    for (ssize_t n; (n = stream_read(&client.stream, block, sizeof(block))) != 0; got += (size_t)n)
        ck_assert_int_gt(n, 0);
    /* What had not come to weft yet may be lost, what had may not. */
    ck_assert_uint_eq(got, s->relay.out.sent);
    ck_assert_uint_eq(got, s->relay.out.received);
    ck_assert_uint_le(got, sent);
    conn_reset(&server);
    finish();
}

START_TEST(what_is_buffered_comes_before_the_fin)
{
    in_fiber(buffered, NULL);
}
END_TEST

static void undelivered(void *arg)
{
    (void)arg;
    connect_both();
    fill(&server);
    session_part(only_session(), clock_now() + 50 * NSEC_PER_MSEC);
    await_end(clock_now() + SOON);
    static char block[65536];
    ssize_t n;
    while ((n = stream_read(&client.stream, block, sizeof(block))) > 0)
        continue;
    ck_assert_int_eq(n, -ECONNRESET);
    finish();
}

START_TEST(who_did_not_get_all_of_it_sees_a_reset)
{
    in_fiber(undelivered, NULL);
}
END_TEST

/* The last bytes of one side cross the FIN: the other's answer must not be lost to an RST. */
static void crossing(void *arg)
{
    (void)arg;
    connect_both();
    static char block[65536];
    session_part(only_session(), clock_now() + SOON);
    fiber_yield();
    ck_assert_int_eq(stream_write(&client.stream, block, sizeof(block)), 0);
    ck_assert_int_eq(stream_write(&client.stream, block, sizeof(block)), 0);
    expect_fin(&client);
    expect_fin(&server);
    conn_close(&client);
    conn_close(&server);
    await_end(clock_now() + SOON / 2);
    finish();
}

START_TEST(what_comes_too_late_is_thrown_away)
{
    in_fiber(crossing, NULL);
}
END_TEST

static void half_closed(void *arg)
{
    (void)arg;
    connect_both();
    ck_assert_int_eq(conn_shutdown(&client), 0);
    expect_fin(&server);
    session_part(only_session(), clock_now() + SOON);
    expect_fin(&client);
    conn_close(&server);
    await_end(clock_now() + SOON / 2);
    finish();
}

START_TEST(a_side_that_had_closed_is_not_waited_for)
{
    in_fiber(half_closed, NULL);
}
END_TEST

static void cut(void *arg)
{
    (void)arg;
    connect_both();
    session_part(only_session(), clock_now() + SOON);
    expect_fin(&client);
    session_end(only_session(), END_SHUTDOWN);
    await_end(clock_now() + SOON / 2);
    finish();
}

START_TEST(it_can_be_cut_short)
{
    in_fiber(cut, NULL);
}
END_TEST

static void reset(void *arg)
{
    (void)arg;
    connect_both();
    session_part(only_session(), clock_now() + SOON);
    expect_fin(&client);
    conn_reset(&client);
    conn_reset(&server);
    await_end(clock_now() + SOON / 2);
    finish();
}

START_TEST(a_reset_is_an_end_too)
{
    in_fiber(reset, NULL);
}
END_TEST

UNIT_MAIN_AROUND("farewell", world_set_up, world_tear_down, it_ends_when_both_sides_have_closed,
                 it_ends_at_the_deadline_when_nobody_closes, what_is_buffered_comes_before_the_fin,
                 who_did_not_get_all_of_it_sees_a_reset, what_comes_too_late_is_thrown_away,
                 a_side_that_had_closed_is_not_waited_for, it_can_be_cut_short,
                 a_reset_is_an_end_too)
