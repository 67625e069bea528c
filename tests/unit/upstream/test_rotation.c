#include "upstream/rotation.h"

#include <errno.h>
#include <pthread.h>

#include "alloc.h"
#include "unit.h"

static struct rotation rotation;
static atomic_uint_least64_t cursor;

static void begin(const unsigned *weights, size_t count)
{
    ck_assert_int_eq(rotation_init(&rotation, weights, count, &cursor), 0);
}

static uint16_t next(void)
{
    return rotation_at(&rotation, rotation_take(&rotation));
}

START_TEST(the_schedule_over_and_over)
{
    begin((unsigned[]){3, 1}, 2);
    for (int i = 0; i < 100; i++) {
        ck_assert_uint_eq(next(), 0);
        ck_assert_uint_eq(next(), 0);
        ck_assert_uint_eq(next(), 1);
        ck_assert_uint_eq(next(), 0);
    }
    rotation_free(&rotation);
}
END_TEST

START_TEST(other_weights_from_the_next_turn_on)
{
    begin((unsigned[]){1, 1, 1}, 3);
    next();
    ck_assert_int_eq(rotation_reweigh(&rotation, (unsigned[]){0, 5, 0}, 3), 0);
    for (int i = 0; i < 10; i++)
        ck_assert_uint_eq(next(), 1);
    ck_assert_int_eq(rotation_reweigh(&rotation, (unsigned[]){2, 1, 2}, 3), 0);
    unsigned counts[3] = {0};
    for (int i = 0; i < 50; i++)
        counts[next()]++;
    ck_assert_uint_eq(counts[0], 20);
    ck_assert_uint_eq(counts[1], 10);
    ck_assert_uint_eq(counts[2], 20);
    rotation_free(&rotation);
}
END_TEST

START_TEST(another_one_goes_on_where_the_last_was)
{
    begin((unsigned[]){1, 1, 1}, 3);
    next();
    next();
    rotation_free(&rotation);
    begin((unsigned[]){1, 1, 1}, 3);
    ck_assert_uint_eq(next(), 2);
    rotation_free(&rotation);
}
END_TEST

START_TEST(turns_are_passed_once)
{
    begin((unsigned[]){1}, 1);
    ck_assert_uint_eq(rotation_take(&rotation), 0);
    rotation_pass(&rotation, 9);
    ck_assert_uint_eq(rotation_take(&rotation), 10);
    rotation_pass(&rotation, 10); /* his own turn, and one long gone: nothing to pass */
    rotation_pass(&rotation, 3);
    ck_assert_uint_eq(rotation_take(&rotation), 11);
    rotation_free(&rotation);
}
END_TEST

START_TEST(without_memory_weights_stay)
{
    long before = alloc_live;
    alloc_limit(0);
    unit_assert(rotation_init(&rotation, (unsigned[]){1}, 1, &cursor) == -ENOMEM);
    alloc_limit(-1);
    rotation_free(&rotation);
    unit_assert(rotation_init(&rotation, (unsigned[]){1, 0}, 2, &cursor) == 0);
    for (long budget = 0; budget < 3; budget++) {
        alloc_limit(budget);
        unit_assert(rotation_reweigh(&rotation, (unsigned[]){0, 1}, 2) == -ENOMEM);
        alloc_limit(-1);
        unit_assert(next() == 0);
    }
    rotation_free(&rotation);
    unit_assert(alloc_live == before);
}
END_TEST

#define TURNS UNIT_WORK(400000)

static void *take_many(void *arg)
{
    unsigned *counts = arg;
    for (unsigned i = 0; i < TURNS; i++)
        counts[next()]++;
    return NULL;
}

START_TEST(two_threads_share_one_turn)
{
    begin((unsigned[]){2, 1, 1}, 3);
    unsigned counts[2][3] = {{0}};
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, take_many, counts[1]), 0);
    take_many(counts[0]);
    pthread_join(thread, NULL);
    ck_assert_uint_eq(counts[0][0] + counts[1][0], TURNS);
    ck_assert_uint_eq(counts[0][1] + counts[1][1], TURNS / 2);
    ck_assert_uint_eq(counts[0][2] + counts[1][2], TURNS / 2);
    rotation_free(&rotation);
}
END_TEST

UNIT_MAIN("rotation", the_schedule_over_and_over, other_weights_from_the_next_turn_on,
          another_one_goes_on_where_the_last_was, turns_are_passed_once,
          without_memory_weights_stay, two_threads_share_one_turn)
