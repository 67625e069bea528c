/* The relay where bytes go through pipes. */
#include "relaying.h"

#define BUDGET 4

static ssize_t refused; /* calls of splice() that are to fail with EINVAL */

ssize_t __real_splice(int in, off64_t *in_offset, int out, off64_t *out_offset, size_t n,
                      unsigned flags);
ssize_t __wrap_splice(int in, off64_t *in_offset, int out, off64_t *out_offset, size_t n,
                      unsigned flags);

/* The linker sends the relay's calls here, see --wrap in Makefile.inc. */
ssize_t __wrap_splice(int in, off64_t *in_offset, int out, off64_t *out_offset, size_t n,
                      unsigned flags)
{
    if (refused > 0) {
        refused--;
        errno = EINVAL;
        return -1;
    }
    return __real_splice(in, in_offset, out, out_offset, n, flags);
}

static void begin_tcp(enum conf_splice mode)
{
    begin_with(tcp_pair, AF_INET, mode);
}

static void begin_unix(enum conf_splice mode)
{
    begin_with(unix_pair, AF_UNIX, mode);
}

/* --- every byte, in order ---------------------------------------------------------------- */

/* One direction as the test sees it: a stream whose byte at offset n is byte_at(n). */
struct flow {
    int from;
    int to;
    uint64_t total;
    uint64_t sent;
    uint64_t received;
};

static unsigned char byte_at(uint64_t offset)
{
    return (unsigned char)((offset * 2654435761u) >> 13);
}

static void flow_send(struct flow *f, size_t most)
{
    static unsigned char block[1 << 20];
    size_t n = f->total - f->sent < most ? (size_t)(f->total - f->sent) : most;
    if (n > sizeof(block))
        n = sizeof(block);
    if (n == 0)
        return;
    for (size_t i = 0; i < n; i++)
        block[i] = byte_at(f->sent + i);
    ssize_t put = write(f->from, block, n);
    if (put > 0)
        f->sent += (uint64_t)put;
    if (f->sent == f->total)
        ck_assert_int_eq(shutdown(f->from, SHUT_WR), 0);
}

/* Returns whether it was the end. */
static bool flow_receive(struct flow *f, size_t most)
{
    static unsigned char block[1 << 20];
    ssize_t got = read(f->to, block, most < sizeof(block) ? most : sizeof(block));
    for (ssize_t i = 0; i < got; i++)
        unit_assert(block[i] == byte_at(f->received + (uint64_t)i));
    if (got > 0)
        f->received += (uint64_t)got;
    if (got == 0)
        ck_assert_uint_eq(f->received, f->total);
    return got == 0;
}

/* Pieces of all sizes, most of them small. */
static size_t random_size(void)
{
    return 1 + (size_t)random() % ((size_t)1 << (random() % 21));
}

static void flow_both_ways(struct flow *up, struct flow *down)
{
    do {
        flow_send(up, random_size());
        flow_send(down, random_size());
        (void)flow_receive(up, random_size());
        (void)flow_receive(down, random_size());
    } while (turn() != RELAY_DONE);
    ck_assert(relay.end == END_CLIENT_CLOSED || relay.end == END_SERVER_CLOSED);
    conn_close(&client);
    conn_close(&server);
    while (!flow_receive(up, SIZE_MAX) || !flow_receive(down, SIZE_MAX))
        ;
}

static void random_sizes(void)
{
    struct flow up = {.from = peer[0], .to = peer[1], .total = UNIT_WORK(24u << 20) + 1};
    struct flow down = {.from = peer[1], .to = peer[0], .total = UNIT_WORK(32u << 20)};
    flow_both_ways(&up, &down);
    ck_assert_uint_eq(relay.in.received, up.total);
    ck_assert_uint_eq(relay.out.sent, down.total);
    if (relay.in.mode == CONF_SPLICE_ON) {
        ck_assert(relay.in.spliced);
        ck_assert(relay.out.spliced);
    }
    end();
}

static void every_byte(void *arg)
{
    (void)arg;
    for (unsigned seed = 0; seed < 4; seed++) {
        srandom(seed);
        begin_tcp(CONF_SPLICE_ON);
        random_sizes();
        begin_unix(CONF_SPLICE_ON);
        random_sizes();
        begin_tcp(CONF_SPLICE_AUTO);
        random_sizes();
        begin_unix(CONF_SPLICE_AUTO);
        random_sizes();
    }
}

START_TEST(every_byte_arrives_in_order)
{
    in_fiber(every_byte, NULL);
}
END_TEST

/* --- what decides ------------------------------------------------------------------------ */

/* Send so much from the client's peer at once, and see it through. */
static void pass(size_t n)
{
    struct flow f = {.from = peer[0], .to = peer[1], .total = n + 1};
    while (f.received < n) {
        flow_send(&f, n - (size_t)f.sent);
        ck_assert_int_eq(turn(), RELAY_WAITING);
        (void)flow_receive(&f, n);
    }
}

static void decided(void *arg)
{
    (void)arg;
    begin_unix(CONF_SPLICE_AUTO);
    for (int i = 0; i < 100; i++)
        pass(1000);
    ck_assert(!relay.in.spliced);
    pass(16 << 20);
    ck_assert(relay.in.spliced);
    ck_assert(relay.in.splicing);
    ck_assert(!relay.out.spliced);
    pass(1000);
    ck_assert(relay.in.splicing);
    for (int i = 0; i < 100; i++)
        pass(1000);
    ck_assert(!relay.in.splicing);
    pass(16 << 20);
    ck_assert(relay.in.splicing);
    end();
}

START_TEST(auto_splices_in_bulk_and_goes_back)
{
    in_fiber(decided, NULL);
}
END_TEST

static void fixed(void *arg)
{
    (void)arg;
    begin_unix(CONF_SPLICE_ON);
    for (int i = 0; i < 100; i++)
        pass(1);
    ck_assert(relay.in.splicing);
    ck_assert(relay.in.spliced);
    end();
    begin_unix(CONF_SPLICE_OFF);
    pass(16 << 20);
    ck_assert(!relay.in.spliced);
    end();
}

START_TEST(on_and_off_stay_as_they_are)
{
    in_fiber(fixed, NULL);
}
END_TEST

static void first_bytes(void *arg)
{
    (void)arg;
    begin_unix(CONF_SPLICE_ON);
    ck_assert_int_eq(write(peer[0], "early", 5), 5);
    ck_assert(relay_prefetch(&relay, &client));
    ck_assert(!relay.in.spliced);
    ck_assert_int_eq(write(peer[0], "late", 4), 4);
    ck_assert_int_eq(turn(), RELAY_WAITING);
    expect_bytes(peer[1], "earlylate");
    ck_assert(relay.in.spliced);
    end();
}

START_TEST(what_was_read_ahead_goes_first)
{
    in_fiber(first_bytes, NULL);
}
END_TEST

static void not_spliced(void *arg)
{
    (void)arg;
    begin_unix(CONF_SPLICE_ON);
    refused = 1;
    pass(16 << 20);
    ck_assert_int_eq(refused, 0);
    ck_assert(!relay.in.spliced);
    ck_assert(!relay.in.splicing);
    end();
    begin_unix(CONF_SPLICE_AUTO);
    refused = 1;
    pass(16 << 20);
    ck_assert_int_eq(refused, 0);
    ck_assert(!relay.in.spliced);
    end();
}

START_TEST(a_socket_that_cannot_be_spliced_is_copied)
{
    in_fiber(not_spliced, NULL);
}
END_TEST

/* --- ends -------------------------------------------------------------------------------- */

/* Fill the way to the server until its pipe holds what the sink refused. Returns the bytes sent. */
static size_t stuff(void)
{
    size_t sent = 0, more;
    do {
        more = fill(peer[0]);
        sent += more;
        ck_assert_int_eq(turn(), RELAY_WAITING);
    } while (more > 0);
    ck_assert_ptr_nonnull(relay.in.pipe);
    ck_assert_uint_gt(relay.in.pipe->length, 0);
    ck_assert_uint_eq(ring_length(&relay.in.ring), 0);
    return sent;
}

static void fin_behind(void (*begin)(enum conf_splice))
{
    begin(CONF_SPLICE_ON);
    size_t sent = stuff(), got = 0, part;
    ck_assert_int_eq(shutdown(peer[0], SHUT_WR), 0);
    ck_assert_int_eq(turn(), RELAY_WAITING);
    ck_assert_int_eq(relay.in.phase, HALF_FLOWING);
    do {
        part = empty(peer[1]);
        got += part;
        (void)turn();
    } while (part > 0);
    ck_assert_uint_eq(got, sent);
    expect_fin(peer[1]);
    ck_assert_int_eq(relay.in.phase, HALF_CLOSED);
    ck_assert_ptr_null(relay.in.pipe);
    ck_assert_int_eq(write(peer[1], "answer", 6), 6);
    ck_assert_int_eq(turn(), RELAY_WAITING);
    expect_bytes(peer[0], "answer");
    close_peer(1);
    ck_assert_int_eq(turn(), RELAY_DONE);
    ck_assert_int_eq(relay.end, END_CLIENT_CLOSED);
    end();
}

static void fins(void *arg)
{
    (void)arg;
    fin_behind(begin_tcp);
    fin_behind(begin_unix);
}

START_TEST(a_fin_goes_on_behind_what_is_in_the_pipe)
{
    in_fiber(fins, NULL);
}
END_TEST

static unsigned pipes_open(void)
{
    struct pipes_stats st;
    pipes_stats(&st);
    return st.open;
}

static void reset(int fd)
{
    const struct linger now = {.l_onoff = 1};
    ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
}

/* `side` is reset while the pipe to the server holds bytes. */
static void reset_behind(int side, enum session_end expected)
{
    begin_tcp(CONF_SPLICE_ON);
    stuff();
    unsigned open = pipes_open();
    reset(peer[side]);
    close_peer(side);
    ck_assert_int_eq(turn(), RELAY_DONE);
    ck_assert_int_eq(relay.end, expected);
    relay_reset(&relay);
    ck_assert_uint_eq(pipes_open(), open - 1);
    end();
}

/* `side` is reset while nothing is on its way. */
static void reset_at_rest(int side, enum session_end expected)
{
    begin_tcp(CONF_SPLICE_ON);
    ck_assert_int_eq(write(peer[0], "x", 1), 1);
    ck_assert_int_eq(turn(), RELAY_WAITING);
    expect_bytes(peer[1], "x");
    ck_assert_ptr_null(relay.in.pipe);
    reset(peer[side]);
    close_peer(side);
    ck_assert_int_eq(turn(), RELAY_DONE);
    ck_assert_int_eq(relay.end, expected);
    end();
}

/* `side` is reset after the client's FIN has gone on; that the client is, only a write tells. */
static void reset_after_fin(int side, enum session_end expected)
{
    begin_tcp(CONF_SPLICE_ON);
    ck_assert_int_eq(write(peer[0], "x", 1), 1);
    ck_assert_int_eq(shutdown(peer[0], SHUT_WR), 0);
    ck_assert_int_eq(turn(), RELAY_WAITING);
    expect_bytes(peer[1], "x");
    expect_fin(peer[1]);
    reset(peer[side]);
    close_peer(side);
    if (side == 0)
        ck_assert_int_eq(write(peer[1], "x", 1), 1);
    ck_assert_int_eq(turn(), RELAY_DONE);
    ck_assert_int_eq(relay.end, expected);
    end();
}

static void resets(void *arg)
{
    (void)arg;
    reset_behind(0, END_CLIENT_RESET);
    reset_behind(1, END_SERVER_RESET);
    reset_at_rest(0, END_CLIENT_RESET);
    reset_at_rest(1, END_SERVER_RESET);
    reset_after_fin(0, END_CLIENT_RESET);
    reset_after_fin(1, END_SERVER_RESET);
}

START_TEST(a_reset_in_every_phase)
{
    in_fiber(resets, NULL);
}
END_TEST

/* splice(2) stops for good before the urgent byte; what is behind it must come all the same. */
static void urgent(void *arg)
{
    (void)arg;
    begin_tcp(CONF_SPLICE_ON);
    ck_assert_int_eq(write(peer[0], "before", 6), 6);
    ck_assert_int_eq(send(peer[0], "!", 1, MSG_OOB), 1);
    ck_assert_int_eq(write(peer[0], "behind", 6), 6);
    ck_assert_int_eq(turn(), RELAY_WAITING);
    ck_assert_int_eq(turn(), RELAY_WAITING);
    expect_bytes(peer[1], "beforebehind");
    end();
}

START_TEST(urgent_data_does_not_stop_the_stream)
{
    in_fiber(urgent, NULL);
}
END_TEST

/* --- pipes come and go ------------------------------------------------------------------- */

static void held(void *arg)
{
    (void)arg;
    struct pipes_stats st;
    begin_unix(CONF_SPLICE_ON);
    pass(1 << 20);
    ck_assert_ptr_null(relay.in.pipe);
    pipes_stats(&st);
    ck_assert_uint_eq(st.open, 1);
    ck_assert_uint_eq(st.free, 1);
    end();
}

START_TEST(no_pipe_is_held_while_nothing_is_on_its_way)
{
    in_fiber(held, NULL);
}
END_TEST

/* Pipes are there or not, from turn to turn. */
static void exhausted(void (*begin)(enum conf_splice))
{
    begin(CONF_SPLICE_ON);
    struct flow f = {.from = peer[0], .to = peer[1], .total = UNIT_WORK(32u << 20)};
    struct pipe *taken[BUDGET] = {NULL};
    bool done = false;
    while (!done) {
        for (int i = 0; i < BUDGET; i++) {
            if (taken[i] != NULL)
                pipes_put(taken[i]);
            taken[i] = random() % 2 ? pipes_get() : NULL;
        }
        flow_send(&f, random_size());
        (void)turn();
        done = flow_receive(&f, random_size());
    }
    for (int i = 0; i < BUDGET; i++)
        if (taken[i] != NULL)
            pipes_put(taken[i]);
    ck_assert(relay.in.spliced);
    end();
}

static void exhaustion(void *arg)
{
    (void)arg;
    pipes_set_budget(2);
    exhausted(begin_tcp);
    exhausted(begin_unix);
    struct pipes_stats st;
    pipes_stats(&st);
    ck_assert_uint_gt(st.denied, 0);
}

START_TEST(without_a_pipe_the_ring_goes_on)
{
    in_fiber(exhaustion, NULL);
}
END_TEST

static void none(void *arg)
{
    (void)arg;
    pipes_set_budget(0);
    begin_unix(CONF_SPLICE_ON);
    pass(16 << 20);
    ck_assert(!relay.in.spliced);
    end();
}

START_TEST(without_any_pipe_the_ring_does_all)
{
    in_fiber(none, NULL);
}
END_TEST

static void bounded(void *arg)
{
    (void)arg;
    begin_tcp(CONF_SPLICE_ON);
    uint64_t most = 0;
    for (int i = 0; i < 1000; i++) {
        fill(peer[0]);
        fiber_yield();
        uint64_t before = relay.in.sent;
        (void)relay_turn(&relay, &client, &server);
        if (relay.in.sent - before > most)
            most = relay.in.sent - before;
        empty(peer[1]);
    }
    ck_assert_uint_gt(most, 128 << 10);
    ck_assert_uint_lt(most, 2 << 20);
    end();
}

START_TEST(a_turn_is_bounded)
{
    in_fiber(bounded, NULL);
}
END_TEST

static void set_up(void)
{
    ck_assert_int_eq(io_buffers_init(), 0);
    pipes_set_budget(BUDGET);
}

static void tear_down(void)
{
    pipes_flush();
    io_buffers_free();
}

UNIT_MAIN_AROUND("relay by splice", set_up, tear_down, every_byte_arrives_in_order,
                 auto_splices_in_bulk_and_goes_back, on_and_off_stay_as_they_are,
                 what_was_read_ahead_goes_first, a_socket_that_cannot_be_spliced_is_copied,
                 a_fin_goes_on_behind_what_is_in_the_pipe, a_reset_in_every_phase,
                 urgent_data_does_not_stop_the_stream, no_pipe_is_held_while_nothing_is_on_its_way,
                 without_a_pipe_the_ring_goes_on, without_any_pipe_the_ring_does_all,
                 a_turn_is_bounded)
