/*
 * Every interleaving of a producer and a consumer on one ring, up to a number of preemptions
 * (Musuvathi and Qadeer, "Iterative Context Bounding", PLDI 2007).
 *
 * ring.c is compiled in here with a possible switch before each of its atomic operations. A run is
 * given by the operations at which it switches; all of them are tried:
 *
 *      producer  1 2 3 . . . 7 8 . .            preempted before operations 4 and 9
 *      consumer        4 5 6 . .   9 10
 *
 * That shows the order of steps to be right, if the memory is sequentially consistent; that the
 * memory orders make it so is for ThreadSanitizer and test_ring.
 */
#define RING_NODE_SIZE 72 /* 8 bytes in a node: chains are long and nodes get full */

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

struct ring_node;

static void step(void);

static struct ring_node *exchange_node(struct ring_node *_Atomic *p, struct ring_node *value)
{
    struct ring_node *old = *p;
    *p = value;
    return old;
}

#undef atomic_load_explicit
#undef atomic_store_explicit
#undef atomic_exchange_explicit
#define atomic_load_explicit(p, order)            (step(), (void)(order), *(p))
#define atomic_store_explicit(p, value, order)    (step(), (void)(order), *(p) = (value))
#define atomic_exchange_explicit(p, value, order) (step(), (void)(order), exchange_node(p, value))

#include "base/ring.c"

#include "unit.h"

#define PREEMPTIONS_MAX 6
#define OPS             5
#define STACK           65536 /* [bytes] */

/*
 * --- nodes -----------------------------------------------------------------------------------
 *
 * Given again at once, so that a stale pointer meets a node that lives again; or as late as can
 * be, so that it meets a dead one.
 */

enum { NODES = 16 };

static struct ring_node node_memory[NODES];
static struct ring_node *free_nodes[NODES]; /* oldest first */
static bool node_taken[NODES];
static int free_count;
static bool reuse_at_once;

static void reset_nodes(void)
{
    free_count = NODES;
    for (int i = 0; i < NODES; i++) {
        free_nodes[i] = &node_memory[i];
        node_taken[i] = false;
    }
}

struct pool *pool_new(const char *name, size_t size, unsigned local_max)
{
    (void)name, (void)size, (void)local_max;
    return NULL;
}

void *pool_get(struct pool *p)
{
    (void)p;
    unit_assert(free_count > 0);
    struct ring_node *node = free_nodes[reuse_at_once ? free_count - 1 : 0];
    free_count--;
    if (!reuse_at_once)
        memmove(free_nodes, free_nodes + 1, (size_t)free_count * sizeof(free_nodes[0]));
    node_taken[node - node_memory] = true;
    return node;
}

void pool_put(struct pool *p, void *object)
{
    (void)p;
    struct ring_node *node = object;
    unit_assert(node >= node_memory && node < node_memory + NODES);
    unit_assert(node_taken[node - node_memory]);
    node_taken[node - node_memory] = false;
    memset(node, 0xdb, sizeof(*node)); /* whoever still follows it will crash or read nonsense */
    free_nodes[free_count++] = node;
}

/* --- what both sides do ------------------------------------------------------------------- */

struct script {
    struct {
        size_t want, commit; /* [bytes] */
    } produce[OPS];
    size_t consume[OPS]; /* [bytes] at most */
};

static const struct script *script;
static struct ring ring;
static unsigned char sent, received; /* the bytes of the stream are 0, 1, 2 ... */

static void produce(void)
{
    struct iovec iov[4];
    for (int i = 0; i < OPS; i++) {
        int n = ring_reserve(&ring, script->produce[i].want, iov, 4);
        unit_assert(n > 0);
        size_t left = script->produce[i].commit;
        for (int k = 0; k < n && left > 0; k++)
            for (size_t b = 0; b < iov[k].iov_len && left > 0; b++, left--)
                ((unsigned char *)iov[k].iov_base)[b] = sent++;
        unit_assert(left == 0);
        ring_commit(&ring, script->produce[i].commit);
    }
}

static void consume_some(size_t most)
{
    struct iovec iov[4];
    int n = ring_peek(&ring, iov, 4);
    size_t done = 0;
    for (int k = 0; k < n; k++) {
        unit_assert(iov[k].iov_len > 0);
        for (size_t b = 0; b < iov[k].iov_len && done < most; b++, done++)
            unit_assert(((unsigned char *)iov[k].iov_base)[b] == received++);
    }
    ring_consume(&ring, done);
}

static void consume(void)
{
    for (int i = 0; i < OPS; i++)
        consume_some(script->consume[i]);
}

/* --- one run ------------------------------------------------------------------------------ */

static ucontext_t scheduler, sides[2];
static char stacks[2][STACK];
static bool done[2];
static int current;

static struct {
    unsigned at[PREEMPTIONS_MAX]; /* the operations before which to switch, ascending */
    unsigned count, next;
    bool idle; /* a switch had nowhere to go: the run is one that was had already */
} preempt;

static unsigned steps; /* operations so far */
static bool in_run;

static void step(void)
{
    if (!in_run)
        return;
    unsigned now = steps++;
    if (preempt.next == preempt.count || preempt.at[preempt.next] != now)
        return;
    preempt.next++;
    if (done[!current]) {
        preempt.idle = true;
        return;
    }
    current = !current;
    swapcontext(&sides[!current], &sides[current]);
}

static void run_side(int side)
{
    side == 0 ? produce() : consume();
    done[side] = true;
    current = !side;
    setcontext(done[!side] ? &scheduler : &sides[!side]);
}

static void make_side(int side)
{
    getcontext(&sides[side]);
    sides[side].uc_stack.ss_sp = stacks[side];
    sides[side].uc_stack.ss_size = STACK;
    sides[side].uc_link = NULL;
    makecontext(&sides[side], (void (*)(void))run_side, 1, side);
    done[side] = false;
}

static int live_nodes(void)
{
    return NODES - free_count;
}

static void check_rest(void)
{
    unit_assert(ring_length(&ring) == (unsigned char)(sent - received));
    if (ring_length(&ring) == 0)
        unit_assert(live_nodes() == 0);
    while (ring_length(&ring) > 0)
        consume_some(SIZE_MAX);
    unit_assert(sent == received);
    unit_assert(live_nodes() == 0);
}

static void run_once(int first)
{
    reset_nodes();
    ring_init(&ring, NULL, true);
    sent = received = 0;
    make_side(0);
    make_side(1);
    preempt.next = 0;
    preempt.idle = false;
    steps = 0;
    current = first;
    in_run = true;
    swapcontext(&scheduler, &sides[first]);
    in_run = false;
    check_rest();
}

/* --- all runs ----------------------------------------------------------------------------- */

static unsigned long runs;

/* This run, and all that switch at the same operations and up to `more` times after them. */
static void explore(int first, unsigned more)
{
    run_once(first);
    runs++;
    if (more == 0 || preempt.idle)
        return;
    unsigned end = steps;
    unsigned from = preempt.count > 0 ? preempt.at[preempt.count - 1] + 1 : 0;
    preempt.count++;
    for (unsigned at = from; at < end; at++) {
        preempt.at[preempt.count - 1] = at;
        explore(first, more - 1);
    }
    preempt.count--;
}

static void explore_script(const struct script *s, unsigned preemptions)
{
#ifdef __SANITIZE_THREAD__
    preemptions = 0; /* it does not follow ucontext for long */
#endif
    script = s;
    for (int way = 0; way < 4; way++) {
        reuse_at_once = way / 2 == 0;
        preempt.count = 0;
        explore(way % 2, preemptions);
    }
}

/* WEFT_RACE_DEPTH goes deeper, for as long as one likes to wait. */
static unsigned depth(void)
{
    const char *value = getenv("WEFT_RACE_DEPTH");
    int n = value != NULL ? atoi(value) : 3;
    return n > PREEMPTIONS_MAX ? PREEMPTIONS_MAX : (unsigned)n;
}

/* Empty commits around small ones: who frees the last node. */
START_TEST(the_last_node)
{
    static const struct script s = {
        .produce = {{1, 1}, {1, 0}, {1, 1}, {2, 0}, {1, 1}},
        .consume = {9, 9, 9, 9, 9},
    };
    explore_script(&s, depth() + 1);
    ck_assert_uint_ge(runs, 4);
}
END_TEST

/* Nodes get full, reservations reach over two. */
START_TEST(full_nodes)
{
    static const struct script s = {
        .produce = {{8, 8}, {3, 0}, {12, 12}, {4, 4}, {9, 0}},
        .consume = {8, 100, 3, 100, 100},
    };
    explore_script(&s, depth() + 1);
}
END_TEST

START_TEST(whatever_comes)
{
    uint64_t x = 1;
    for (int i = 0; i < UNIT_WORK(160) + 1; i++) {
        struct script s;
        for (int k = 0; k < OPS; k++) {
            x = x * UINT64_C(6364136223846793005) + 1442695040888963407u;
            s.produce[k].want = 1 + (x >> 40) % 17;
            s.produce[k].commit = (x >> 50) % 2 ? (x >> 51) % (s.produce[k].want + 1) : 0;
            s.consume[k] = (x >> 60) % 3 ? 100 : 1 + (x >> 57) % 8;
        }
        explore_script(&s, depth() - 1);
    }
}
END_TEST

UNIT_MAIN("ring_race", the_last_node, full_nodes, whatever_comes)
