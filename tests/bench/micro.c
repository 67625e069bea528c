/*
 * What the runtime's own parts cost, each beside what the C library has for it. One thread; the
 * best of several rounds, so that a neighbour on the machine does not count.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/pool.h"
#include "base/prefix.h"
#include "base/ring.h"
#include "fiber/context.h"
#include "fiber/mailbox.h"
#include "fiber/netpoll.h"
#include "fiber/sched.h"
#include "fiber/stack.h"

#define ROUNDS 15
#define CROWD  200 /* fibers in one turn of the loop, which costs a system call or two */

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "micro: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int64_t now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

/* What is measured does `n` operations; the cost of one, at best [ns]. */
static double best_of(void (*run)(long n), long n)
{
    double best = 1e18;

    for (int i = 0; i < ROUNDS; i++) {
        int64_t start = now();
        run(n);
        double each = (double)(now() - start) / (double)n;
        if (each < best)
            best = each;
    }
    return best;
}

static void row(const char *what, double cost, const char *unit, const char *remark)
{
    printf("%-46s %10.1f %-8s %s\n", what, cost, unit, remark);
}

/* --- the switch ----------------------------------------------------------------------------- */

static struct context loop_context;
static struct context fiber_context;
static ucontext_t loop_ucontext;
static ucontext_t fiber_ucontext;

static void leave_for_ever(void *arg)
{
    (void)arg;
    for (;;)
        context_leave(&fiber_context, &loop_context);
}

static void swap_for_ever(void)
{
    for (;;)
        swapcontext(&fiber_ucontext, &loop_ucontext);
}

static void switches(long n)
{
    for (long i = 0; i < n; i += 2)
        context_enter(&loop_context, &fiber_context);
}

static void swaps(long n)
{
    for (long i = 0; i < n; i += 2)
        swapcontext(&loop_ucontext, &fiber_ucontext);
}

static void measure_switch(void)
{
    void *stack = malloc(STACK_SIZE);
    void *other = malloc(STACK_SIZE);

    if (stack == NULL || other == NULL)
        die("malloc");
    context_make(&fiber_context, stack, STACK_SIZE, leave_for_ever, NULL);
    row("context switch", best_of(switches, 1000000), "ns", "aim: under 5 on x86-64");

    getcontext(&fiber_ucontext);
    fiber_ucontext.uc_stack.ss_sp = other;
    fiber_ucontext.uc_stack.ss_size = STACK_SIZE;
    makecontext(&fiber_ucontext, swap_for_ever, 0);
    row("  libc swapcontext", best_of(swaps, 100000), "ns", "");
    free(stack);
    free(other);
}

/* --- fibers ---------------------------------------------------------------------------------- */

static struct fiber crowd[CROWD];

static void nothing(void *arg)
{
    (void)arg;
}

static void starts(long n)
{
    for (long i = 0; i < n; i += CROWD) {
        for (int k = 0; k < CROWD; k++) {
            fiber_create(&crowd[k], "short", nothing, NULL, NULL);
            fiber_start(&crowd[k]);
        }
        fiber_yield();
    }
}

static void spawns(long n)
{
    for (long i = 0; i < n; i += CROWD) {
        for (int k = 0; k < CROWD; k++) {
            if (fiber_spawn("short", nothing, NULL, false) == NULL)
                die("fiber_spawn");
        }
        fiber_yield();
    }
}

static void park_for_ever(void *arg)
{
    (void)arg;
    while (fiber_park(CLOCK_NEVER) == 0)
        ;
}

static void park_long(void *arg)
{
    (void)arg;
    while (fiber_park(clock_now() + 600 * NSEC_PER_SEC) == 0)
        ;
}

static void hibernate_for_ever(void *arg)
{
    if (fiber_wait_result() == 0)
        fiber_hibernate(hibernate_for_ever, arg, CLOCK_NEVER);
}

static void wakes(long n)
{
    for (long i = 0; i < n; i += CROWD) {
        for (int k = 0; k < CROWD; k++)
            fiber_ready(&crowd[k]);
        fiber_yield();
    }
}

static double cost_of_waking(fiber_fn *fn)
{
    for (int k = 0; k < CROWD; k++) {
        fiber_create(&crowd[k], "parked", fn, NULL, NULL);
        fiber_start(&crowd[k]);
    }
    fiber_yield();
    double cost = best_of(wakes, 1000L * CROWD);
    for (int k = 0; k < CROWD; k++)
        fiber_cancel(&crowd[k]);
    fiber_yield();
    return cost;
}

static void turns(long n)
{
    for (long i = 0; i < n; i++)
        fiber_yield();
}

static void measure_fibers(void *arg)
{
    (void)arg;
    row("start + exit, warm stack", best_of(starts, 1000L * CROWD), "ns", "aim: under 50");
    row("  the same, with its record on the heap", best_of(spawns, 1000L * CROWD), "ns", "");
    row("park + ready", cost_of_waking(park_for_ever), "ns", "");
    row("  with a deadline", cost_of_waking(park_long), "ns", "");
    row("  with the stack given back meanwhile", cost_of_waking(hibernate_for_ever), "ns", "");
    row("a turn of the loop, nothing to wait for", best_of(turns, 20000), "ns", "");
}

/* --- ring, pool --------------------------------------------------------------------------------
 */

static struct ring ring;
static char chunk[RING_NODE_SIZE];

/* A chunk in, a chunk out, with the bytes copied, as a relay does it in two system calls. */
static void ring_megabytes(long n)
{
    struct iovec iov[RING_IOV_MAX];

    for (long i = 0; i < n * (1 << 20) / (long)sizeof(chunk); i++) {
        int parts = ring_reserve(&ring, sizeof(chunk), iov, RING_IOV_MAX);
        if (parts < 0)
            die("ring_reserve");
        for (int k = 0; k < parts; k++)
            memcpy(iov[k].iov_base, chunk, iov[k].iov_len);
        ring_commit(&ring, sizeof(chunk));
        while ((parts = ring_peek(&ring, iov, RING_IOV_MAX)) > 0) {
            size_t length = 0;
            for (int k = 0; k < parts; k++) {
                memcpy(chunk, iov[k].iov_base, iov[k].iov_len);
                length += iov[k].iov_len;
            }
            ring_consume(&ring, length);
        }
    }
}

/* The same without the copies: what the ring itself costs. */
static void ring_megabytes_empty(long n)
{
    struct iovec iov[RING_IOV_MAX];

    for (long i = 0; i < n * (1 << 20) / (long)sizeof(chunk); i++) {
        if (ring_reserve(&ring, sizeof(chunk), iov, RING_IOV_MAX) < 0)
            die("ring_reserve");
        ring_commit(&ring, sizeof(chunk));
        while (ring_peek(&ring, iov, RING_IOV_MAX) > 0)
            ring_consume(&ring, ring_length(&ring));
    }
}

static struct pool *pool;

#define OBJECT 16384 /* [bytes] a ring node's size */
#define HELD   16    /* objects at a time */

static void pool_cycles(long n)
{
    void *held[HELD];

    for (long i = 0; i < n; i += HELD) {
        for (int k = 0; k < HELD; k++)
            held[k] = pool_get(pool);
        for (int k = 0; k < HELD; k++)
            pool_put(pool, held[k]);
    }
}

static void malloc_cycles(long n)
{
    void *volatile held[HELD];

    for (long i = 0; i < n; i += HELD) {
        for (int k = 0; k < HELD; k++)
            held[k] = malloc(OBJECT);
        for (int k = 0; k < HELD; k++)
            free(held[k]);
    }
}

static void measure_memory(void)
{
    struct pool *nodes = ring_pool_new();

    pool = pool_new("micro", OBJECT, 64);
    if (nodes == NULL || pool == NULL)
        die("pool_new");
    ring_init(&ring, nodes, false);
    row("ring put + get of a MiB, copies included", best_of(ring_megabytes, 50) / 1e3, "us", "");
    row("  without the copies", best_of(ring_megabytes_empty, 50) / 1e3, "us", "");
    ring_init(&ring, nodes, true);
    row("  for two threads, without the copies", best_of(ring_megabytes_empty, 50) / 1e3, "us", "");
    row("pool get + put, 16 KiB", best_of(pool_cycles, 1000000), "ns", "");
    row("  malloc + free", best_of(malloc_cycles, 1000000), "ns", "");
    pool_free(pool);
    pool_free(nodes);
}

/* --- sets of networks ------------------------------------------------------------------------ */

#define NETWORKS 1000000

static struct prefix *networks;
static struct prefix_set network_set;
static int network_family;
static volatile long network_hits;

/* Marsaglia's xorshift64: scattered over memory, as clients are. */
static uint64_t scattered(void)
{
    static uint64_t x = 88172645463325252u;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return x;
}

static struct sockaddr_in6 scattered_peer(void)
{
    struct sockaddr_in6 at = {.sin6_family = (sa_family_t)network_family};
    uint64_t bits = scattered();

    if (network_family == AF_INET)
        memcpy(&((struct sockaddr_in *)&at)->sin_addr, &bits, 4);
    else
        memcpy(&at.sin6_addr, &bits, sizeof(bits));
    return at;
}

static void build_set(long n)
{
    prefix_set_free(&network_set);
    if (prefix_set_init(&network_set, networks, (size_t)n) != 0)
        die("prefix_set_init");
}

static void look_ups(long n)
{
    long hits = 0;

    for (long i = 0; i < n; i++) {
        struct sockaddr_in6 at = scattered_peer();
        hits += prefix_set_has(&network_set, (struct sockaddr *)&at);
    }
    network_hits = hits;
}

static void measure_networks(int family, const char *build, const char *look_up)
{
    network_family = family;
    networks = calloc(NETWORKS, sizeof(*networks));
    if (networks == NULL)
        die("calloc");
    for (long i = 0; i < NETWORKS; i++) {
        struct sockaddr_in6 at = scattered_peer();
        networks[i] = prefix_of((struct sockaddr *)&at, 24 + i % 9, 32 + i % 33);
    }
    row(build, best_of(build_set, NETWORKS) * NETWORKS / 1e6, "ms", "");
    row(look_up, best_of(look_ups, 200000), "ns", "aim: under 1000");
    free(networks);
}

/* --- netpoll, mailbox ------------------------------------------------------------------------ */

/* Fiber to fiber and back, one byte: the four system calls that move it are part of the cost. */
#define PAIRS_MAX 500

struct end {
    struct netpoll_desc desc;
    struct fiber fiber;
};

static struct end ends[PAIRS_MAX][2];
static long pairs;
static long trips; /* left to each pair */

static void transfer(struct netpoll_desc *d, bool in)
{
    char byte = 'x';

    for (;;) {
        int bit = in ? NETPOLL_READ : NETPOLL_WRITE;
        d->ready &= (uint8_t)~bit;
        ssize_t n = in ? recv(d->fd, &byte, 1, 0) : send(d->fd, &byte, 1, 0);
        if (n == 1)
            return;
        if (n == 0 || errno != EAGAIN)
            die("transfer");
        if (netpoll_wait(d, bit, clock_now() + 600 * NSEC_PER_SEC) != 0)
            return;
    }
}

static void ask(void *arg)
{
    struct end *e = arg;

    for (long i = 0; i < trips; i++) {
        transfer(&e->desc, false);
        transfer(&e->desc, true);
    }
}

static void answer(void *arg)
{
    struct end *e = arg;

    for (long i = 0; i < trips; i++) {
        transfer(&e->desc, true);
        transfer(&e->desc, false);
    }
}

static long alive(void)
{
    struct sched_stats st;

    sched_stats(sched_self(), &st);
    return (long)st.fibers;
}

static void round_trips(long n)
{
    trips = n / pairs;
    for (long i = 0; i < pairs; i++) {
        for (int side = 0; side < 2; side++) {
            struct end *e = &ends[i][side];
            fiber_create(&e->fiber, "end", side ? answer : ask, e, NULL);
            fiber_start(&e->fiber);
        }
    }
    while (alive() > 1)
        (void)!fiber_sleep(clock_now() + NSEC_PER_MSEC);
}

static void tcp_pair(int fds[2])
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(at);
    int one = 1;
    int listening = socket(AF_INET, SOCK_STREAM, 0);

    if (bind(listening, (struct sockaddr *)&at, length) != 0 || listen(listening, 1) != 0 ||
        getsockname(listening, (struct sockaddr *)&at, &length) != 0)
        die("listen");
    fds[0] = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fds[0], (struct sockaddr *)&at, length) != 0)
        die("connect");
    fds[1] = accept(listening, NULL, NULL);
    for (int i = 0; i < 2; i++) {
        if (setsockopt(fds[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) != 0 ||
            fcntl(fds[i], F_SETFL, O_NONBLOCK) != 0)
            die("tcp");
    }
    close(listening);
}

static void open_pairs(bool tcp)
{
    for (long i = 0; i < pairs; i++) {
        int fds[2];
        if (tcp)
            tcp_pair(fds);
        else if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) != 0)
            die("socketpair");
        for (int side = 0; side < 2; side++) {
            if (netpoll_open(&ends[i][side].desc, fds[side]) != 0)
                die("netpoll_open");
        }
    }
}

static void close_pairs(void)
{
    for (long i = 0; i < pairs; i++) {
        for (int side = 0; side < 2; side++) {
            int fd = ends[i][side].desc.fd;
            netpoll_close(&ends[i][side].desc);
            close(fd);
        }
    }
}

struct netpoll_case {
    const char *name;
    enum netpoll_kind kind;
    bool tcp;
    long pairs;
};

static void measure_netpoll(void *arg)
{
    const struct netpoll_case *c = arg;

    pairs = c->pairs;
    open_pairs(c->tcp);
    row(c->name, best_of(round_trips, 20000), "ns", "");
    close_pairs();
}

/* The same calls, with nobody to wait for. */
static void bare_round_trips(long n)
{
    int fds[2];
    char byte = 'x';

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) != 0)
        die("socketpair");
    for (long i = 0; i < 2 * n; i++) {
        if (send(fds[i & 1], &byte, 1, 0) != 1 || recv(fds[!(i & 1)], &byte, 1, 0) != 1)
            die("socketpair");
    }
    close(fds[0]);
    close(fds[1]);
}

static struct mailbox *mailbox;

static void letters(long n)
{
    struct mail mail[HELD];
    struct mail *got;

    for (long i = 0; i < n; i += HELD) {
        for (int k = 0; k < HELD; k++)
            mailbox_post(mailbox, &mail[k]);
        for (int k = 0; k < HELD; k++)
            (void)!mailbox_receive(mailbox, &got, CLOCK_NEVER);
    }
}

static void measure_mailbox(void *arg)
{
    (void)arg;
    mailbox = mailbox_new(sched_self());
    if (mailbox == NULL)
        die("mailbox_new");
    row("mailbox post + receive, one thread", best_of(letters, 1000000), "ns", "");
    mailbox_free(mailbox);
}

static void on_fibers(enum netpoll_kind kind, fiber_fn *fn, void *arg)
{
    struct sched *s = sched_new(&(struct sched_options){.netpoll = kind});

    if (s == NULL)
        die("sched_new");
    sched_run(s, "micro", fn, arg);
    sched_free(s);
}

int main(void)
{
    static const struct netpoll_case cases[] = {
        {"netpoll round trip, 1 UNIX pair: epoll", NETPOLL_EPOLL, false, 1},
        {"  libev", NETPOLL_LIBEV, false, 1},
        {"netpoll round trip, 1 TCP connection: epoll", NETPOLL_EPOLL, true, 1},
        {"  libev", NETPOLL_LIBEV, true, 1},
        {"netpoll round trip, 50 TCP connections: epoll", NETPOLL_EPOLL, true, 50},
        {"  libev", NETPOLL_LIBEV, true, 50},
        {"netpoll round trip, 500 TCP connections: epoll", NETPOLL_EPOLL, true, 500},
        {"  libev", NETPOLL_LIBEV, true, 500},
    };

    measure_switch();
    on_fibers(NETPOLL_DEFAULT, measure_fibers, NULL);
    measure_memory();
    measure_networks(AF_INET, "set of a million v4 networks: making it", "  a look-up");
    measure_networks(AF_INET6, "set of a million v6 networks: making it", "  a look-up");
    for (size_t i = 0; i < array_size(cases); i++)
        on_fibers(cases[i].kind, measure_netpoll, (void *)&cases[i]);
    row("  the system calls alone, UNIX", best_of(bare_round_trips, 20000), "ns", "");
    on_fibers(NETPOLL_DEFAULT, measure_mailbox, NULL);
    return 0;
}
