#include "base/clock.h"

#include <pthread.h>
#include <time.h>

#include "unit.h"

START_TEST(moves_only_when_updated)
{
    ck_assert_int_eq(clock_now(), 0);
    int64_t first = clock_update();
    ck_assert_int_gt(first, 0);
    struct timespec ms = {.tv_nsec = NSEC_PER_MSEC};
    nanosleep(&ms, NULL);
    ck_assert_int_eq(clock_now(), first);
    ck_assert_int_ge(clock_update(), first + NSEC_PER_MSEC);
}
END_TEST

static void *other_thread(void *arg)
{
    *(int64_t *)arg = clock_now();
    return NULL;
}

START_TEST(each_thread_has_its_own)
{
    pthread_t thread;
    int64_t seen = -1;
    clock_update();
    ck_assert_int_eq(pthread_create(&thread, NULL, other_thread, &seen), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_int_eq(seen, 0);
}
END_TEST

START_TEST(deadlines)
{
    int64_t now = clock_update();
    ck_assert_int_eq(clock_after(5 * NSEC_PER_SEC), now + 5 * NSEC_PER_SEC);
    ck_assert_int_eq(clock_after(1), now + 1);
    ck_assert_int_eq(clock_after(0), CLOCK_NEVER);
    ck_assert_int_eq(clock_after(-1), CLOCK_NEVER);
    ck_assert_int_eq(clock_after(INT64_MAX), CLOCK_NEVER);
    ck_assert_int_eq(clock_after(INT64_MAX - now), CLOCK_NEVER);
}
END_TEST

START_TEST(wall_clock_is_the_systems)
{
    time_t before = time(NULL);
    int64_t wall = clock_wall();
    ck_assert_int_ge(wall / NSEC_PER_SEC, before);
    ck_assert_int_le(wall / NSEC_PER_SEC, time(NULL));
}
END_TEST

UNIT_MAIN("clock", moves_only_when_updated, each_thread_has_its_own, deadlines,
          wall_clock_is_the_systems)
