#include "proxy/relay.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fiber/netpoll.h"
#include "fibers.h"
#include "io/buffers.h"
#include "unit.h"

/*
 *      peer[0] <──socket──> client [ relay ] server <──socket──> peer[1]
 */
static struct conn client, server;
static int peer[2];
static struct relay relay;

static void connect_side(struct conn *c, int *ret_peer)
{
    int pair[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    conn_init(c, pair[0], AF_UNIX);
    ck_assert_int_eq(conn_watch(c), 0);
    *ret_peer = pair[1];
}

static void begin(void)
{
    connect_side(&client, &peer[0]);
    connect_side(&server, &peer[1]);
    relay_init(&relay);
}

static void end(void)
{
    relay_reset(&relay);
    struct pool_stats st;
    pool_stats(io_buffers(), &st);
    ck_assert_uint_eq(st.taken, 0);
    conn_close(&client);
    conn_close(&server);
    for (int i = 0; i < 2; i++) {
        if (peer[i] >= 0)
            close(peer[i]);
    }
}

/* Let the netpoller see what has happened, then take a turn; to the end of what can be moved. */
static enum relay_state turn(void)
{
    enum relay_state state;
    do {
        fiber_yield();
        state = relay_turn(&relay, &client, &server);
    } while (state == RELAY_BUSY);
    return state;
}

static void expect_bytes(int fd, const char *bytes)
{
    char buf[64];
    ssize_t got = read(fd, buf, sizeof(buf));
    ck_assert_int_eq(got, (ssize_t)strlen(bytes));
    ck_assert_mem_eq(buf, bytes, strlen(bytes));
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
    char byte;
    ck_assert_int_eq(read(peer[1], &byte, 1), 0);
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
    close(peer[1]);
    peer[1] = -1;
    ck_assert_int_eq(turn(), RELAY_WAITING);
    char byte;
    ck_assert_int_eq(read(peer[0], &byte, 1), 0);
    close(peer[0]);
    peer[0] = -1;
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
    close(peer[1]);
    peer[1] = -1;
    ck_assert_int_eq(turn(), RELAY_DONE);
    ck_assert_int_eq(relay.end, END_SERVER_RESET);
    end();
}

START_TEST(a_reset_ends_it)
{
    in_fiber(reset, NULL);
}
END_TEST

static size_t fill(int fd)
{
    static const char block[4096];
    size_t total = 0;
    ssize_t put;
    while ((put = write(fd, block, sizeof(block))) > 0)
        total += (size_t)put;
    return total;
}

static size_t empty(int fd)
{
    static char block[65536];
    size_t total = 0;
    ssize_t got;
    while ((got = read(fd, block, sizeof(block))) > 0)
        total += (size_t)got;
    return total;
}

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

static void prefetch(void *arg)
{
    (void)arg;
    begin();
    ck_assert(relay_prefetch(&relay, &client));
    ck_assert_int_eq(relay_first_write(&relay, &server), 0);
    ck_assert_int_eq(write(peer[0], "early", 5), 5);
    fiber_yield();
    ck_assert(relay_prefetch(&relay, &client));
    ck_assert_int_eq(relay_first_write(&relay, &server), 0);
    expect_bytes(peer[1], "early");
    close(peer[0]);
    peer[0] = -1;
    fiber_yield();
    ck_assert(relay_prefetch(&relay, &client));
    ck_assert_int_eq(turn(), RELAY_WAITING);
    char byte;
    ck_assert_int_eq(read(peer[1], &byte, 1), 0);
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
                 a_turn_is_bounded)
