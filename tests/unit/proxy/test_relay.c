#include "proxy/relay.h"

#include "relaying.h"

static void begin(void)
{
    begin_with(unix_pair, AF_UNIX, CONF_SPLICE_OFF);
}

static void both_ways(void *arg)
{
    (void)arg;
    begin();
    ck_assert_int_eq(turn(), RELAY_WAITING);
    ck_assert_int_eq(write(peer[0], "ask", 3), 3);
    ck_assert_int_eq(write(peer[1], "answer", 6), 6);
    ck_assert_int_eq(turn(), RELAY_WAITING);
    expect_bytes(peer[1], "ask");
    expect_bytes(peer[0], "answer");
    ck_assert_uint_eq(relay.in.received, 3);
    ck_assert_uint_eq(relay.in.sent, 3);
    ck_assert_uint_eq(relay.out.sent, 6);
    ck_assert(!relay_half_closed(&relay));
    end();
}

START_TEST(bytes_go_both_ways)
{
    in_fiber(both_ways, NULL);
}
END_TEST

static void half_close(void *arg)
{
    (void)arg;
    begin();
    ck_assert_int_eq(write(peer[0], "bye", 3), 3);
    ck_assert_int_eq(shutdown(peer[0], SHUT_WR), 0);
    ck_assert_int_eq(turn(), RELAY_WAITING);
    ck_assert(relay_half_closed(&relay));
    expect_bytes(peer[1], "bye");
    expect_fin(peer[1]);
    ck_assert_int_eq(write(peer[1], "still here", 10), 10);
    ck_assert_int_eq(turn(), RELAY_WAITING);
    expect_bytes(peer[0], "still here");
    ck_assert_int_eq(shutdown(peer[1], SHUT_WR), 0);
    ck_assert_int_eq(turn(), RELAY_DONE);
    ck_assert_int_eq(relay.end, END_CLIENT_CLOSED);
    end();
}

START_TEST(a_half_close_goes_on_and_the_other_way_stays_open)
{
    in_fiber(half_close, NULL);
}
END_TEST

static void server_first(void *arg)
{
    (void)arg;
    begin();
    close_peer(1);
    ck_assert_int_eq(turn(), RELAY_WAITING);
    expect_fin(peer[0]);
    close_peer(0);
    ck_assert_int_eq(turn(), RELAY_DONE);
    ck_assert_int_eq(relay.end, END_SERVER_CLOSED);
    end();
}

START_TEST(the_side_that_closes_first_is_named)
{
    in_fiber(server_first, NULL);
}
END_TEST

static void reset(void *arg)
{
    (void)arg;
    begin();
    /* A UNIX socket that is closed with something unread resets its peer. */
    ck_assert_int_eq(write(peer[0], "x", 1), 1);
    ck_assert_int_eq(turn(), RELAY_WAITING);
    close_peer(1);
    ck_assert_int_eq(turn(), RELAY_DONE);
    ck_assert_int_eq(relay.end, END_SERVER_RESET);
    end();
}

START_TEST(a_reset_ends_it)
{
    in_fiber(reset, NULL);
}
END_TEST

/* Nobody reads at the far end: what is buffered stays bounded, and nothing is lost at last. */
static void back_pressure(void *arg)
{
    (void)arg;
    begin();
    size_t sent = 0, more;
    do {
        more = fill(peer[0]);
        sent += more;
        ck_assert_int_eq(turn(), RELAY_WAITING);
    } while (more > 0);
    ck_assert_uint_le(ring_length(&relay.in.ring), (size_t)RING_IOV_MAX * RING_NODE_SIZE);
    ck_assert_uint_gt(ring_length(&relay.in.ring), 0);
    ck_assert_int_eq(shutdown(peer[0], SHUT_WR), 0);
    size_t got = 0, part;
    do {
        part = empty(peer[1]);
        got += part;
        (void)turn();
    } while (part > 0);
    ck_assert_uint_eq(got, sent);
    ck_assert_uint_eq(relay.in.sent, sent);
    ck_assert_uint_eq(ring_length(&relay.in.ring), 0);
    ck_assert_int_eq(relay.in.phase, HALF_CLOSED);
    end();
}

START_TEST(a_slow_reader_bounds_what_is_buffered)
{
    in_fiber(back_pressure, NULL);
}
END_TEST

/* A header is taken out in front, another one goes in front of what is left. */
static void fronts(void *arg)
{
    (void)arg;
    begin();
    ck_assert_int_eq(write(peer[0], "header:body", 11), 11);
    fiber_yield();
    ck_assert(relay_prefetch(&relay, &client));
    relay_skip(&relay, 7);
    ck_assert_uint_eq(relay.in.received, 4);
    struct iovec front = {(char[]){"other:"}, 6};
    ck_assert_int_eq(relay_first_write(&relay, &server, &front), 0);
    ck_assert_uint_eq(front.iov_len, 0);
    ck_assert_uint_eq(relay.in.sent, 4);
    expect_bytes(peer[1], "other:body");
    front = (struct iovec){(char[]){"alone"}, 5};
    ck_assert_int_eq(relay_first_write(&relay, &server, &front), 0);
    expect_bytes(peer[1], "alone");
    ck_assert_uint_eq(relay.in.sent, 4);
    end();
}

START_TEST(other_bytes_can_go_first)
{
    in_fiber(fronts, NULL);
}
END_TEST

static void prefetch(void *arg)
{
    (void)arg;
    begin();
    ck_assert(relay_prefetch(&relay, &client));
    ck_assert_int_eq(relay_first_write(&relay, &server, NULL), 0);
    ck_assert_int_eq(write(peer[0], "early", 5), 5);
    fiber_yield();
    ck_assert(relay_prefetch(&relay, &client));
    ck_assert_int_eq(relay_first_write(&relay, &server, NULL), 0);
    expect_bytes(peer[1], "early");
    close_peer(0);
    fiber_yield();
    ck_assert(relay_prefetch(&relay, &client));
    ck_assert_int_eq(turn(), RELAY_WAITING);
    expect_fin(peer[1]);
    end();
}

START_TEST(what_came_before_the_server_is_sent_first)
{
    in_fiber(prefetch, NULL);
}
END_TEST

static void busy(void *arg)
{
    (void)arg;
    begin();
    enum relay_state state = RELAY_WAITING;
    int turns = 0;
    size_t passed = 0;
    do {
        fill(peer[0]);
        fiber_yield();
        state = relay_turn(&relay, &client, &server);
        uint64_t moved = relay.in.sent - passed;
        ck_assert_uint_le(moved, 4 * (uint64_t)RING_IOV_MAX * RING_NODE_SIZE);
        passed = relay.in.sent;
        empty(peer[1]);
    } while (state != RELAY_BUSY && ++turns < 100);
    ck_assert_int_eq(state, RELAY_BUSY);
    end();
}

START_TEST(a_turn_is_bounded)
{
    in_fiber(busy, NULL);
}
END_TEST

static void send_and_see_through(size_t n)
{
    static const char block[2 * RING_NODE_SIZE];
    ck_assert_int_eq(write(peer[0], block, n), (ssize_t)n);
    ck_assert_int_eq(turn(), RELAY_WAITING);
    ck_assert_uint_eq(empty(peer[1]), n);
}

static void offers(void *arg)
{
    (void)arg;
    begin();
    for (int i = 0; i < 10; i++) {
        send_and_see_through(RING_NODE_PAYLOAD + 1);
        ck_assert_uint_eq(relay.in.nodes, 2);
    }
    for (int i = 0; i < 10; i++)
        send_and_see_through(1);
    ck_assert_uint_eq(relay.in.nodes, 1);
    end();
}

START_TEST(what_is_offered_to_a_read_follows_the_messages)
{
    in_fiber(offers, NULL);
}
END_TEST

static void set_up(void)
{
    ck_assert_int_eq(io_buffers_init(), 0);
}

static void tear_down(void)
{
    io_buffers_free();
}

UNIT_MAIN_AROUND("relay", set_up, tear_down, bytes_go_both_ways,
                 a_half_close_goes_on_and_the_other_way_stays_open,
                 the_side_that_closes_first_is_named, a_reset_ends_it,
                 a_slow_reader_bounds_what_is_buffered, what_came_before_the_server_is_sent_first,
                 other_bytes_can_go_first, a_turn_is_bounded,
                 what_is_offered_to_a_read_follows_the_messages)
