/*
 * 100,000 fibers at once under the kernel's default limits (vm.max_map_count 65,530). Where a
 * sanitizer bounds them (ThreadSanitizer: 8,128 in all), fewer.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fiber/sched_internal.h"
#include "fibers.h"
#include "unit.h"

#if defined(FIBER_TSAN)
#define MANY 2000
#elif defined(FIBER_ASAN)
#define MANY 10000
#else
#define MANY 100000
#endif

static struct fiber *fibers;
static size_t woken;

/* Resident memory of the process [bytes]. */
static size_t resident(void)
{
    unsigned long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");

    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(fscanf(f, "%*u %lu", &pages), 1);
    fclose(f);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static unsigned mappings(void)
{
    unsigned n = 0;
    int c;
    FILE *f = fopen("/proc/self/maps", "r");

    ck_assert_ptr_nonnull(f);
    while ((c = fgetc(f)) != EOF)
        n += c == '\n';
    fclose(f);
    return n;
}

static void start_all(fiber_fn *fn)
{
    struct sched_stats st;

    fibers = calloc(MANY, sizeof(*fibers));
    ck_assert_ptr_nonnull(fibers);
    for (size_t i = 0; i < MANY; i++) {
        fiber_create(&fibers[i], "one of many", fn, &fibers[i], NULL);
        fiber_start(&fibers[i]);
    }
    ck_assert_int_eq(fiber_sleep(clock_now() + NSEC_PER_MSEC), 0);
    sched_stats(sched_self(), &st);
    ck_assert_uint_eq(st.fibers, MANY + 1);
    ck_assert_uint_gt(st.switches, MANY);
}

static void wake_all(void)
{
    struct sched_stats st;

    ck_assert_uint_eq(woken, 0);
    for (size_t i = 0; i < MANY; i++)
        fiber_ready(&fibers[i]);
    do {
        fiber_yield();
        sched_stats(sched_self(), &st);
    } while (st.fibers > 1);
    ck_assert_uint_eq(woken, MANY);
    free(fibers);
}

static void park(void *arg)
{
    ck_assert_ptr_eq(fiber_self(), arg);
    ck_assert_int_eq(fiber_park(clock_now() + 600 * NSEC_PER_SEC), 0);
    ck_assert_ptr_eq(fiber_self(), arg);
    woken++;
}

static void parked_main(void *arg)
{
    struct stack_stats st;

    (void)arg;
    start_all(park);
    stack_stats(sched_self()->stacks, &st);
    ck_assert_uint_eq(st.used, MANY + 1);
    ck_assert_uint_lt(mappings(), 65530);
    wake_all();
}

START_TEST(parked)
{
    in_fiber(parked_main, NULL);
}
END_TEST

static void resume(void *arg)
{
    ck_assert_ptr_eq(fiber_self(), arg);
    woken++;
}

static void hibernate(void *arg)
{
    fiber_hibernate(resume, arg, clock_now() + 600 * NSEC_PER_SEC);
}

static void hibernated_main(void *arg)
{
    size_t before = resident();
    struct stack_stats st;

    (void)arg;
    start_all(hibernate);
    stack_stats(sched_self()->stacks, &st);
    ck_assert_uint_eq(st.used, 1);
    ck_assert_uint_eq(st.mappings, 1);
#if !defined(FIBER_ASAN) &&                                                                        \
    !defined(FIBER_TSAN) /* the record, and its place among libev's timers */
    ck_assert_uint_lt(resident(), before + MANY * (sizeof(struct fiber) + 64));
#endif
    (void)before;
    wake_all();
}

START_TEST(hibernated)
{
    in_fiber(hibernated_main, NULL);
}
END_TEST

UNIT_MAIN("many", parked, hibernated)
