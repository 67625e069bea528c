#include "fiber/sched.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "fiber/sched_internal.h"
#include "fibers.h"
#include "unit.h"

#if defined(FIBER_ASAN) || defined(FIBER_TSAN)
#define SANITIZED 1
#endif

static int64_t monotonic(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

static void spin(int64_t duration)
{
    int64_t end = monotonic() + duration;

    while (monotonic() < end)
        ;
}

static struct sched *new_sched(void)
{
    struct sched *s = sched_new(&(struct sched_options){0});

    ck_assert_ptr_nonnull(s);
    return s;
}

/* --- its life ---------------------------------------------------------------------------- */

static void self_main(void *arg)
{
    ck_assert_ptr_eq(sched_self(), arg);
    ck_assert_ptr_nonnull(sched_loop(sched_self()));
}

START_TEST(belongs_to_its_thread_while_it_runs)
{
    struct sched *s = new_sched();

    for (int i = 0; i < 2; i++) {
        ck_assert_ptr_null(sched_self());
        ck_assert_ptr_null(fiber_self());
        sched_run(s, "main", self_main, s);
    }
    ck_assert_ptr_null(sched_self());
    sched_free(s);
    sched_free(NULL);
}
END_TEST

static unsigned generation;

static void descendant(void *arg)
{
    (void)arg;
    if (generation++ < 1000)
        ck_assert_ptr_nonnull(fiber_spawn("descendant", descendant, NULL, false));
}

START_TEST(runs_until_no_fiber_is_left)
{
    struct sched *s = new_sched();
    struct sched_stats st;

    sched_run(s, "main", descendant, NULL);
    ck_assert_uint_eq(generation, 1001);
    sched_stats(s, &st);
    ck_assert_uint_eq(st.fibers, 0);
    ck_assert_uint_eq(st.switches, 1001);
    sched_free(s);
}
END_TEST

static bool was_woken;

static void forever(void *arg)
{
    (void)arg;
    (void)!fiber_park(CLOCK_NEVER);
    was_woken = true;
}

static void stop_main(void *arg)
{
    (void)arg;
    struct fiber *f = fiber_self();
    static struct fiber parked;
    fiber_create(&parked, "parked", forever, NULL, NULL);
    fiber_start(&parked);
    fiber_yield();
    sched_stop(sched_self());
    ck_assert_ptr_eq(fiber_self(), f); /* not before the turn's end */
}

START_TEST(stops_with_fibers_alive)
{
    struct sched *s = new_sched();
    struct sched_stats st;

    sched_run(s, "main", stop_main, NULL);
    sched_stats(s, &st);
    ck_assert_uint_eq(st.fibers, 1);
    ck_assert(!was_woken);
    sched_free(s);
}
END_TEST

static void *thread_of_its_own(void *arg)
{
    generation = 0;
    sched_run(arg, "main", descendant, NULL);
    return NULL;
}

START_TEST(is_made_here_and_runs_there)
{
    struct sched *s = new_sched();
    pthread_t thread;

    ck_assert_int_eq(pthread_create(&thread, NULL, thread_of_its_own, s), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_uint_eq(generation, 1001);
    sched_free(s);
}
END_TEST

/* --- fairness and time ------------------------------------------------------------------- */

static bool over;
static unsigned laps;

static void greedy(void *arg)
{
    (void)arg;
    while (!over) {
        laps++;
        fiber_yield();
    }
}

static void fair_main(void *arg)
{
    (void)arg;
    for (int i = 0; i < 3; i++)
        ck_assert_ptr_nonnull(fiber_spawn("greedy", greedy, NULL, false));
    int64_t deadline = clock_now() + 5 * NSEC_PER_MSEC;
    ck_assert_int_eq(fiber_sleep(deadline), 0);
    ck_assert_int_ge(clock_now(), deadline);
    over = true;
}

START_TEST(timers_fire_among_greedy_fibers)
{
    in_fiber(fair_main, NULL);
    ck_assert_uint_ge(laps, 3);
}
END_TEST

static uint64_t turns(void)
{
    struct sched_stats st;

    sched_stats(sched_self(), &st);
    return st.turns;
}

static unsigned crowd_done;

static void one_of_a_crowd(void *arg)
{
    (void)arg;
    crowd_done++;
}

static void bounded_main(void *arg)
{
    uint64_t before = turns();

    (void)arg;
    for (int i = 0; i < 5000; i++)
        ck_assert_ptr_nonnull(fiber_spawn("crowd", one_of_a_crowd, NULL, false));
    fiber_yield();
    ck_assert_uint_eq(crowd_done, 5000); /* first come, first served */
    ck_assert_uint_gt(turns(), before + 5);
}

START_TEST(a_turn_is_bounded)
{
    in_fiber(bounded_main, NULL);
}
END_TEST

static void clock_main(void *arg)
{
    int64_t before = clock_now();

    (void)arg;
    spin(2 * NSEC_PER_MSEC);
    ck_assert_int_eq(clock_now(), before);
    fiber_yield();
    ck_assert_int_ge(clock_now(), before + 2 * NSEC_PER_MSEC);
}

START_TEST(time_stands_still_within_a_turn)
{
    in_fiber(clock_main, NULL);
}
END_TEST

static void busy_main(void *arg)
{
    int64_t start = monotonic();
    struct sched_stats before;
    struct sched_stats after;

    (void)arg;
    fiber_yield();
    sched_stats(sched_self(), &before);
    spin(20 * NSEC_PER_MSEC);
    ck_assert_int_eq(fiber_sleep(clock_now() + 300 * NSEC_PER_MSEC), 0);
    sched_stats(sched_self(), &after);
    ck_assert_int_ge(after.busy - before.busy, 20 * NSEC_PER_MSEC);
    ck_assert_int_lt(after.busy - before.busy, monotonic() - start - 100 * NSEC_PER_MSEC);
}

START_TEST(accounts_for_busy_time)
{
    in_fiber(busy_main, NULL);
}
END_TEST

/* --- stalls ------------------------------------------------------------------------------ */

#define LIMIT (20 * NSEC_PER_MSEC)

static _Atomic bool idle_seen;
static _Atomic bool stall_seen;

static void staller(void *arg)
{
    (void)arg;
    while (!atomic_load(&stall_seen))
        ;
}

static void stall_main(void *arg)
{
    (void)arg;
    while (!atomic_load(&idle_seen))
        ck_assert_int_eq(fiber_sleep(clock_now() + 5 * LIMIT), 0);
    struct fiber *f = fiber_spawn("the staller", staller, NULL, true);
    ck_assert_int_eq(fiber_join(f), 0);
}

static void *watched_thread(void *arg)
{
    sched_run(arg, "main", stall_main, NULL);
    return NULL;
}

static struct sched_stats stats_of(const struct sched *s)
{
    struct sched_stats st;

    sched_stats(s, &st);
    return st;
}

/* Whether it slept for longer than the limit, and that was not called a stall. On a loaded machine
 * a turn may last too long at any time. */
static bool sleeps_unsuspected(struct sched *s)
{
    char name[32];
    uint64_t turn = stats_of(s).turns;
    int64_t start = monotonic();

    while (monotonic() < start + 2 * LIMIT) {
        if (sched_watch(s, LIMIT, name, sizeof(name)) != 0)
            return false;
    }
    return turn > 0 && stats_of(s).turns == turn;
}

START_TEST(names_a_fiber_that_stalls)
{
    struct sched *s = new_sched();
    pthread_t thread;
    char name[32] = "untouched";
    char brief[5];

    ck_assert_int_eq(sched_watch(s, LIMIT, name, sizeof(name)), 0); /* does not run */
    ck_assert_str_eq(name, "untouched");
    ck_assert_int_eq(pthread_create(&thread, NULL, watched_thread, s), 0);
    while (!sleeps_unsuspected(s))
        ;
    atomic_store(&idle_seen, true);
    while (sched_watch(s, LIMIT, name, sizeof(name)) == 0 || strcmp(name, "the staller") != 0)
        ;
    uint64_t stalls = stats_of(s).stalls;
    ck_assert_uint_ge(stalls, 1);
    ck_assert_int_gt(sched_watch(s, LIMIT, brief, sizeof(brief)), LIMIT);
    ck_assert_str_eq(brief, "the ");
    ck_assert_uint_eq(stats_of(s).stalls, stalls); /* one turn, however often it was seen */
    atomic_store(&stall_seen, true);
    pthread_join(thread, NULL);
    sched_free(s);
}
END_TEST

/* --- out of memory ------------------------------------------------------------------------ */

#ifndef SANITIZED /* their shadow alone is more than any limit */

#define HUNGRY 2000

static unsigned fed;

static void hungry(void *arg)
{
    (void)arg;
    ck_assert_int_eq(fiber_sleep(clock_now() + 5 * NSEC_PER_MSEC), 0);
    fed++;
}

/* What the process has mapped [bytes]. */
static rlim_t mapped(void)
{
    unsigned long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");

    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(fscanf(f, "%lu", &pages), 1);
    fclose(f);
    return pages * (rlim_t)sysconf(_SC_PAGESIZE);
}

static void starve_main(void *arg)
{
    struct rlimit limit;

    (void)arg;
    ck_assert_int_eq(getrlimit(RLIMIT_AS, &limit), 0);
    limit.rlim_cur = mapped() + ((rlim_t)50 << 20); /* for three slabs; eight are wanted */
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
    for (int i = 0; i < HUNGRY; i++)
        ck_assert_ptr_nonnull(fiber_spawn("hungry", hungry, NULL, false));
    while (fed < HUNGRY)
        ck_assert_int_eq(fiber_sleep(clock_now() + NSEC_PER_MSEC), 0);
}

START_TEST(goes_on_when_stacks_run_out)
{
    in_fiber(starve_main, NULL);
    ck_assert_uint_eq(fed, HUNGRY);
}
END_TEST

#endif

/* --- stacks ------------------------------------------------------------------------------- */

static size_t warm(void)
{
    struct stack_stats st;

    stack_stats(sched_self()->stacks, &st);
    return st.warm;
}

static void briefly(void *arg)
{
    fiber_yield();
    (void)arg;
}

static void trim_main(void *arg)
{
    (void)arg;
    for (int i = 0; i < 1000; i++)
        ck_assert_ptr_nonnull(fiber_spawn("brief", briefly, NULL, false));
    while (warm() < 1000)
        fiber_yield();
    int64_t give_up = clock_now() + 60 * NSEC_PER_SEC;
    while (warm() > 20 && clock_now() < give_up)
        ck_assert_int_eq(fiber_sleep(clock_now() + 100 * NSEC_PER_MSEC), 0);
    ck_assert_uint_le(warm(), 20);
}

START_TEST(idle_stacks_are_given_back)
{
    in_fiber(trim_main, NULL);
}
END_TEST

#ifdef SANITIZED
#define MEMORY_TESTS idle_stacks_are_given_back
#else
#define MEMORY_TESTS idle_stacks_are_given_back, goes_on_when_stacks_run_out
#endif

UNIT_MAIN("sched", belongs_to_its_thread_while_it_runs, runs_until_no_fiber_is_left,
          stops_with_fibers_alive, is_made_here_and_runs_there, timers_fire_among_greedy_fibers,
          a_turn_is_bounded, time_stands_still_within_a_turn, accounts_for_busy_time,
          names_a_fiber_that_stalls, MEMORY_TESTS)
