#include "base/ring.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "unit.h"

static struct pool *nodes;

static uint64_t taken(void)
{
    struct pool_stats st;
    pool_stats(nodes, &st);
    return st.taken;
}

static void begin(struct ring *r, bool shared)
{
    nodes = ring_pool_new();
    ck_assert_ptr_nonnull(nodes);
    ring_init(r, nodes, shared);
}

static void end(struct ring *r)
{
    ring_reset(r);
    ck_assert_uint_eq(ring_length(r), 0);
    ck_assert_uint_eq(taken(), 0);
    pool_free(nodes);
}

/* A cheap generator, the same on every run: xorshift64* (Vigna, 2016). */
static uint64_t random_next(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(2685821657736338717);
}

/* Mostly small, sometimes many nodes. */
static size_t random_size(uint64_t *state)
{
    uint64_t x = random_next(state);
    size_t limit = (size_t)1 << (x % 18);
    return 1 + (size_t)(x >> 32) % limit;
}

/* The byte that the stream has at a position: tells a lost node from a repeated one. */
static unsigned char byte_at(uint64_t position)
{
    return (unsigned char)(position ^ (position >> 8) ^ (position >> 16) ^ (position >> 24));
}

static size_t iov_bytes(const struct iovec *iov, int n)
{
    size_t sum = 0;
    for (int i = 0; i < n; i++)
        sum += iov[i].iov_len;
    return sum;
}

/* Write up to `want` bytes of the stream from `position`, as much as one reservation gives. */
static size_t produce(struct ring *r, size_t want, uint64_t position)
{
    struct iovec iov[RING_IOV_MAX];
    int n = ring_reserve(r, want, iov, RING_IOV_MAX);
    unit_assert(n > 0);
    size_t room = iov_bytes(iov, n);
    unit_assert(room <= want);
    for (int i = 0; i < n; i++)
        for (size_t k = 0; k < iov[i].iov_len; k++)
            ((unsigned char *)iov[i].iov_base)[k] = byte_at(position++);
    ring_commit(r, room);
    return room;
}

/* Read up to `want` bytes and check them. Returns how many were read. */
static size_t consume(struct ring *r, size_t want, uint64_t position)
{
    struct iovec iov[RING_IOV_MAX];
    int n = ring_peek(r, iov, RING_IOV_MAX);
    size_t done = 0;
    for (int i = 0; i < n; i++) {
        unit_assert(iov[i].iov_len > 0);
        for (size_t k = 0; k < iov[i].iov_len && done < want; k++, done++)
            if (((unsigned char *)iov[i].iov_base)[k] != byte_at(position + done))
                ck_abort_msg("wrong byte at %llu", (unsigned long long)(position + done));
    }
    ring_consume(r, done);
    return done;
}

/* --- one thread -------------------------------------------------------------------------- */

START_TEST(a_new_ring_is_empty)
{
    struct ring r;
    struct iovec iov[1];
    begin(&r, false);
    ck_assert_uint_eq(ring_length(&r), 0);
    ck_assert_int_eq(ring_peek(&r, iov, 1), 0);
    ring_consume(&r, 0);
    ring_reset(&r);
    end(&r);
}
END_TEST

START_TEST(a_small_reservation_is_one_piece)
{
    struct ring r;
    struct iovec iov[4];
    begin(&r, false);
    ck_assert_int_eq(ring_reserve(&r, 100, iov, 4), 1);
    ck_assert_uint_eq(iov[0].iov_len, 100);
    memcpy(iov[0].iov_base, "hello", 5);
    ring_commit(&r, 5);
    ck_assert_uint_eq(ring_length(&r), 5);
    ck_assert_int_eq(ring_peek(&r, iov, 4), 1);
    ck_assert_uint_eq(iov[0].iov_len, 5);
    ck_assert_mem_eq(iov[0].iov_base, "hello", 5);
    ring_consume(&r, 5);
    ck_assert_uint_eq(taken(), 0);
    end(&r);
}
END_TEST

START_TEST(what_was_not_filled_goes_back)
{
    struct ring r;
    struct iovec iov[RING_IOV_MAX];
    begin(&r, false);
    int n = ring_reserve(&r, SIZE_MAX, iov, RING_IOV_MAX);
    ck_assert_int_eq(n, RING_IOV_MAX);
    ck_assert_uint_eq(iov_bytes(iov, n), (size_t)RING_IOV_MAX * RING_NODE_PAYLOAD);
    ck_assert_uint_eq(taken(), RING_IOV_MAX);
    ring_commit(&r, RING_NODE_PAYLOAD + 1);
    ck_assert_uint_eq(taken(), 2);
    ring_consume(&r, RING_NODE_PAYLOAD);
    ck_assert_uint_eq(taken(), 1);
    ring_consume(&r, 1);
    ck_assert_uint_eq(taken(), 0);
    end(&r);
}
END_TEST

/* A chain's last node exactly full: what comes next must go to a new node, and be found there. */
START_TEST(a_full_node_is_followed_by_another)
{
    for (int drained = 0; drained < 2; drained++) {
        struct ring r;
        struct iovec iov[2];
        begin(&r, false);
        ck_assert_uint_eq(produce(&r, RING_NODE_PAYLOAD, 0), RING_NODE_PAYLOAD);
        if (drained)
            ck_assert_uint_eq(consume(&r, RING_NODE_PAYLOAD, 0), RING_NODE_PAYLOAD);
        ck_assert_uint_eq(taken(), drained ? 0 : 1);
        ck_assert_int_eq(ring_reserve(&r, 10, iov, 1), 1);
        ring_commit(&r, 0);
        ck_assert_uint_eq(taken(), drained ? 0 : 1);
        ck_assert_uint_eq(produce(&r, 10, RING_NODE_PAYLOAD), 10);
        ck_assert_int_eq(ring_peek(&r, iov, 2), drained ? 1 : 2);
        end(&r);
    }
}
END_TEST

START_TEST(room_left_in_the_last_node_is_used_first)
{
    struct ring r;
    struct iovec iov[4];
    begin(&r, false);
    produce(&r, 1000, 0);
    int n = ring_reserve(&r, RING_NODE_PAYLOAD, iov, 4);
    ck_assert_int_eq(n, 2);
    ck_assert_uint_eq(iov[0].iov_len, RING_NODE_PAYLOAD - 1000);
    ck_assert_uint_eq(iov[1].iov_len, 1000);
    ring_commit(&r, 0);
    ck_assert_uint_eq(taken(), 1);
    n = ring_reserve(&r, RING_NODE_PAYLOAD, iov, 1);
    ck_assert_int_eq(n, 1);
    ring_commit(&r, 0);
    end(&r);
}
END_TEST

/* Two fibers of one thread: the consumer drains while the producer waits for bytes to come. */
START_TEST(drained_during_a_reservation)
{
    struct iovec iov[2];
    for (int shared = 0; shared < 2; shared++) {
        for (size_t filled = 0; filled < 2; filled++) {
            struct ring r;
            begin(&r, shared);
            produce(&r, 10, 0);
            ck_assert_int_eq(ring_reserve(&r, 10, iov, 2), 1);
            *(unsigned char *)iov[0].iov_base = byte_at(10);
            ck_assert_uint_eq(consume(&r, 10, 0), 10);
            ck_assert_uint_eq(taken(), 1);
            ring_commit(&r, filled);
            ck_assert_uint_eq(taken(), filled);
            ck_assert_uint_eq(consume(&r, 10, 10), filled);
            ck_assert_uint_eq(taken(), 0);
            ck_assert_uint_eq(produce(&r, 20, 10 + filled), 20);
            ck_assert_uint_eq(consume(&r, 20, 10 + filled), 20);
            ck_assert_uint_eq(taken(), 0);
            end(&r);
        }
    }
}
END_TEST

START_TEST(reset_takes_back_whatever_there_is)
{
    struct ring r;
    struct iovec iov[RING_IOV_MAX];
    begin(&r, false);
    produce(&r, 3 * RING_NODE_PAYLOAD, 0);
    ck_assert_int_gt(ring_reserve(&r, 2 * RING_NODE_PAYLOAD, iov, RING_IOV_MAX), 0);
    ring_reset(&r);
    ck_assert_uint_eq(taken(), 0);
    ck_assert_uint_eq(produce(&r, 5, 0), 5);
    ck_assert_uint_eq(consume(&r, 5, 0), 5);
    end(&r);
}
END_TEST

/* Without memory a reservation is what there is room for, or an error; nothing is lost. */
START_TEST(no_memory_is_an_answer)
{
    struct ring r;
    struct iovec iov[4];
    begin(&r, false);
    pool_put(nodes, pool_get(nodes)); /* this thread's slot, and one node */
    alloc_limit(0);
    int first = ring_reserve(&r, 3 * RING_NODE_PAYLOAD, iov, 4);
    size_t room = first > 0 ? iov_bytes(iov, first) : 0;
    ring_commit(&r, room - 1);
    int second = ring_reserve(&r, 10, iov, 4);
    size_t rest = second > 0 ? iov_bytes(iov, second) : 0;
    ring_commit(&r, rest);
    int full = ring_reserve(&r, 10, iov, 4);
    size_t length = ring_length(&r);
    ring_consume(&r, length - 5);
    int still_full = ring_reserve(&r, 10, iov, 4);
    ring_consume(&r, 5);
    void *node = pool_get(nodes);
    int empty = ring_reserve(&r, 10, iov, 4);
    alloc_limit(-1);
    pool_put(nodes, node);

    ck_assert_int_eq(first, 1);
    ck_assert_uint_eq(room, RING_NODE_PAYLOAD);
    ck_assert_int_eq(second, 1);
    ck_assert_uint_eq(rest, 1);
    ck_assert_int_eq(full, -ENOMEM);
    ck_assert_uint_eq(length, RING_NODE_PAYLOAD);
    ck_assert_int_eq(still_full, -ENOMEM);
    ck_assert_int_eq(empty, -ENOMEM);
    ck_assert_uint_eq(taken(), 0);
    ck_assert_uint_eq(produce(&r, 10, 0), 10);
    end(&r);
}
END_TEST

/*
 * Random steps against the plainest model of a byte queue: two positions in a known stream.
 * `open` is a reservation that stays open while the consumer goes on.
 */
static void random_steps(bool shared, uint64_t seed, long steps)
{
    struct ring r;
    struct iovec iov[RING_IOV_MAX];
    uint64_t in = 0, out = 0;
    size_t open = 0;
    begin(&r, shared);
    for (long i = 0; i < steps; i++) {
        uint64_t dice = random_next(&seed) % 8;
        size_t size = random_size(&seed);
        if (open > 0 && dice < 4) {
            size_t n = dice == 0 ? 0 : size % (open + 1);
            ring_commit(&r, n);
            in += n;
            open = 0;
        } else if (dice < 3 && in - out < 4 << 20) {
            int n = ring_reserve(&r, size, iov, 1 + (int)(dice % RING_IOV_MAX));
            unit_assert(n > 0);
            open = iov_bytes(iov, n);
            uint64_t position = in;
            for (int k = 0; k < n; k++)
                for (size_t b = 0; b < iov[k].iov_len; b++)
                    ((unsigned char *)iov[k].iov_base)[b] = byte_at(position++);
        } else {
            size_t n = consume(&r, size, out);
            unit_assert((n > 0) == (in > out));
            out += n;
        }
        unit_assert(ring_length(&r) == in - out);
        if (in == out && open == 0)
            unit_assert(taken() == 0);
        if (open == 0) /* full nodes, and one more at either end */
            unit_assert(taken() <= (in - out) / RING_NODE_PAYLOAD + 2);
    }
    end(&r);
}

START_TEST(behaves_as_a_byte_queue)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        random_steps(false, seed, UNIT_WORK(20000));
        random_steps(true, seed, UNIT_WORK(20000));
    }
}
END_TEST

/* --- two threads ------------------------------------------------------------------------- */

#define TRANSFER ((uint64_t)UNIT_WORK(1 << 30)) /* [bytes] */

/* Sums of what went in and came out; weighted by position, so that order matters. */
struct checksum {
    uint64_t a, b;
};

static void add_bytes(struct checksum *sum, const unsigned char *bytes, size_t n)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        uint64_t word;
        memcpy(&word, bytes + i, 8);
        sum->a += word * (i + 1);
        sum->b += sum->a;
    }
    for (; i < n; i++)
        sum->a = sum->a * 31 + bytes[i];
}

/* Words that the position decides, cheap enough for a gigabyte. */
static void fill_bytes(unsigned char *bytes, size_t n, uint64_t *state)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        uint64_t word = *state += UINT64_C(0x9e3779b97f4a7c15);
        memcpy(bytes + i, &word, 8);
    }
    for (; i < n; i++)
        bytes[i] = (unsigned char)(*state += 77);
}

/*
 * The stream is cut in blocks of 64 bytes, so that both sides sum over equal pieces however the
 * nodes cut them: a node's payload is a multiple of it, and so is each commit.
 */
#define BLOCK 64
_Static_assert(RING_NODE_PAYLOAD % BLOCK == 0, "no block is cut by a node");

struct transfer {
    struct ring ring;
    struct checksum in, out;
};

static void *produce_all(void *arg)
{
    struct transfer *t = arg;
    struct iovec iov[RING_IOV_MAX];
    uint64_t state = 1, seed = 42;
    for (uint64_t sent = 0; sent < TRANSFER;) {
        if (ring_length(&t->ring) > 8 << 20) {
            sched_yield();
            continue;
        }
        size_t want = (random_size(&seed) + BLOCK - 1) / BLOCK * BLOCK;
        if (want > TRANSFER - sent)
            want = (size_t)(TRANSFER - sent);
        int n = ring_reserve(&t->ring, want, iov, RING_IOV_MAX);
        unit_assert(n > 0);
        size_t fill = random_next(&seed) % 8 == 0 ? 0 : iov_bytes(iov, n);
        size_t left = fill;
        for (int i = 0; i < n && left > 0; i++) {
            fill_bytes(iov[i].iov_base, iov[i].iov_len, &state);
            for (size_t b = 0; b < iov[i].iov_len; b += BLOCK)
                add_bytes(&t->in, (unsigned char *)iov[i].iov_base + b, BLOCK);
            left -= iov[i].iov_len;
        }
        ring_commit(&t->ring, fill);
        sent += fill;
    }
    pool_flush(nodes);
    return NULL;
}

static void consume_all(struct transfer *t)
{
    struct iovec iov[RING_IOV_MAX];
    uint64_t seed = 7;
    for (uint64_t got = 0; got < TRANSFER;) {
        int n = ring_peek(&t->ring, iov, 1 + (int)(random_next(&seed) % RING_IOV_MAX));
        size_t done = 0;
        if (n == 0)
            sched_yield();
        for (int i = 0; i < n; i++) {
            unit_assert(iov[i].iov_len % BLOCK == 0);
            for (size_t b = 0; b < iov[i].iov_len; b += BLOCK)
                add_bytes(&t->out, (unsigned char *)iov[i].iov_base + b, BLOCK);
            done += iov[i].iov_len;
        }
        ring_consume(&t->ring, done);
        got += done;
    }
}

START_TEST(two_threads_move_a_gigabyte)
{
    struct transfer t = {0};
    pthread_t producer;
    begin(&t.ring, true);
    ck_assert_int_eq(pthread_create(&producer, NULL, produce_all, &t), 0);
    consume_all(&t);
    ck_assert_int_eq(pthread_join(producer, NULL), 0);
    ck_assert_uint_eq(t.in.a, t.out.a);
    ck_assert_uint_eq(t.in.b, t.out.b);
    ck_assert_uint_eq(ring_length(&t.ring), 0);
    ck_assert_uint_eq(taken(), 0);
    end(&t.ring);
}
END_TEST

/*
 * The races around the last node: short bursts, empty commits among them, against a consumer that
 * reads all the while. After each burst both sides come to rest, and the ring must hold nothing.
 */
#define BURSTS ((uint64_t)UNIT_WORK(100000))

struct bursts {
    struct ring ring;
    _Atomic uint64_t sent;     /* [bytes] */
    _Atomic uint64_t finished; /* bursts whose last commit is done */
    _Atomic uint64_t checked;  /* bursts after which the consumer looked */
};

static void wait_for(_Atomic uint64_t *counter, uint64_t value)
{
    while (atomic_load(counter) < value)
        sched_yield();
}

static void *produce_bursts(void *arg)
{
    struct bursts *b = arg;
    struct iovec iov[1];
    uint64_t seed = 3, position = 0;
    for (uint64_t burst = 1; burst <= BURSTS; burst++) {
        uint64_t dice = random_next(&seed);
        for (int i = 0; i < 4; i++, dice >>= 16) {
            if (dice % 2 == 0) {
                unit_assert(ring_reserve(&b->ring, 1, iov, 1) == 1);
                ring_commit(&b->ring, 0);
            } else {
                size_t want = dice % 64 == 1 ? RING_NODE_PAYLOAD - 1 : 1 + dice / 64 % 3;
                position += produce(&b->ring, want, position);
            }
        }
        atomic_store(&b->sent, position);
        atomic_store(&b->finished, burst);
        wait_for(&b->checked, burst);
    }
    pool_flush(nodes);
    return NULL;
}

START_TEST(an_empty_ring_holds_no_node_whoever_came_last)
{
    struct bursts b = {0};
    pthread_t producer;
    begin(&b.ring, true);
    ck_assert_int_eq(pthread_create(&producer, NULL, produce_bursts, &b), 0);
    uint64_t position = 0;
    for (uint64_t burst = 1; burst <= BURSTS; burst++) {
        while (atomic_load(&b.finished) < burst) {
            size_t n = consume(&b.ring, SIZE_MAX, position);
            if (n == 0)
                sched_yield();
            position += n;
        }
        while (position < atomic_load(&b.sent)) {
            size_t n = consume(&b.ring, SIZE_MAX, position);
            unit_assert(n > 0);
            position += n;
        }
        unit_assert(ring_length(&b.ring) == 0);
        unit_assert(taken() == 0);
        atomic_store(&b.checked, burst);
    }
    ck_assert_int_eq(pthread_join(producer, NULL), 0);
    end(&b.ring);
}
END_TEST

UNIT_MAIN("ring", a_new_ring_is_empty, a_small_reservation_is_one_piece,
          what_was_not_filled_goes_back, a_full_node_is_followed_by_another,
          room_left_in_the_last_node_is_used_first, drained_during_a_reservation,
          reset_takes_back_whatever_there_is, no_memory_is_an_answer, behaves_as_a_byte_queue,
          two_threads_move_a_gigabyte, an_empty_ring_holds_no_node_whoever_came_last)
