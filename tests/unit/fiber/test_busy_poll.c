/* Spinning before a wait: it happens where it may pay, and nowhere else. */
#include "fiber/sched.h"

#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fiber/netpoll.h"
#include "fibers.h"
#include "unit.h"

static int rounds = 2000;
static useconds_t answers_after; /* [us] */
static int pair[2];
static int64_t busy_poll;
static struct sched_stats stats;

/* The far end: answers every byte from a thread of its own. */
static void *echo_thread(void *arg)
{
    char byte;
    (void)arg;
    while (read(pair[1], &byte, 1) == 1) {
        if (answers_after > 0)
            usleep(answers_after);
        if (write(pair[1], &byte, 1) != 1)
            break;
    }
    return NULL;
}

static void ping_pong(void *arg)
{
    struct netpoll_desc d;
    char byte = 'x';
    (void)arg;
    ck_assert_int_eq(netpoll_open(&d, pair[0]), 0);
    for (int i = 0; i < rounds; i++) {
        ck_assert_int_eq(send(pair[0], &byte, 1, MSG_DONTWAIT), 1);
        do
            ck_assert_int_eq(netpoll_wait(&d, NETPOLL_READ, CLOCK_NEVER), 0);
        while (d.ready &= (uint8_t)~NETPOLL_READ, recv(pair[0], &byte, 1, MSG_DONTWAIT) != 1);
    }
    netpoll_close(&d);
}

static void sleep_often(void *arg)
{
    (void)arg;
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(fiber_sleep(clock_now() + 20 * NSEC_PER_MSEC), 0);
}

static void run(fiber_fn *fn)
{
    struct sched *s = sched_new(&(struct sched_options){.busy_poll = busy_poll});
    ck_assert_ptr_nonnull(s);
    sched_run(s, "test", fn, NULL);
    sched_stats(s, &stats);
    sched_free(s);
}

static void run_ping_pong(void)
{
    pthread_t thread;
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, echo_thread, NULL), 0);
    run(ping_pong);
    close(pair[0]);
    pthread_join(thread, NULL);
    close(pair[1]);
}

START_TEST(off_never_spins)
{
    busy_poll = 0;
    run_ping_pong();
    ck_assert_uint_eq(stats.spins, 0);
}
END_TEST

START_TEST(activity_makes_it_spin)
{
    busy_poll = NSEC_PER_MSEC;
    run_ping_pong();
    ck_assert_uint_gt(stats.spins, 0);
}
END_TEST

START_TEST(long_waits_do_not)
{
    busy_poll = NSEC_PER_MSEC;
    run(sleep_often);
    ck_assert_uint_le(stats.spins, 1);
}
END_TEST

/* A peer that always answers later than that. */
START_TEST(spinning_in_vain_becomes_rare)
{
    busy_poll = NSEC_PER_USEC;
    answers_after = 200;
    rounds = 300;
    run_ping_pong();
    ck_assert_uint_lt(stats.spins, 300 / 4);
}
END_TEST

UNIT_MAIN("busy_poll", off_never_spins, activity_makes_it_spin, long_waits_do_not,
          spinning_in_vain_becomes_rare)
