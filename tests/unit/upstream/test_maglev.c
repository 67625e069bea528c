#include "upstream/maglev.h"

#include <errno.h>

#include "alloc.h"
#include "base/attr.h"
#include "unit.h"

#include "spreading.h"

static uint16_t table[MAGLEV_SIZE];
static uint16_t other[MAGLEV_SIZE];

static void fill(uint16_t *t, size_t count)
{
    ck_assert_int_eq(maglev_fill(t, spreading_ids, spreading_weights, count), 0);
}

START_TEST(even_within_a_per_cent)
{
    static const size_t counts[] = {1, 2, 3, 7, 10, 50, 100, 650, 1000};
    for (size_t i = 0; i < array_size(counts); i++) {
        spreading_servers(counts[i], 1);
        fill(table, counts[i]);
        ck_assert_double_lt(spreading_error(table, MAGLEV_SIZE, counts[i]), 0.01);
    }
}
END_TEST

START_TEST(weights_within_a_per_cent)
{
    static const struct {
        size_t count;
        unsigned heaviest;
    } sets[] = {{2, 2}, {3, 3}, {10, 10}, {10, 4}, {50, 5}, {100, 8}};
    for (size_t i = 0; i < array_size(sets); i++) {
        spreading_servers(sets[i].count, sets[i].heaviest);
        fill(table, sets[i].count);
        ck_assert_double_lt(spreading_error(table, MAGLEV_SIZE, sets[i].count), 0.01);
    }
}
END_TEST

/* The method does not promise that nothing else moves, only that it is little. */
START_TEST(little_more_moves_than_must)
{
    static const struct {
        size_t count, gone;
        double needlessly;
    } sets[] = {{3, 1, 0.005}, {10, 1, 0.005}, {100, 1, 0.01}, {100, 10, 0.015}, {1000, 10, 0.03}};
    for (size_t i = 0; i < array_size(sets); i++) {
        spreading_servers(sets[i].count, 1);
        fill(table, sets[i].count);
        double gone = spreading_take_out(sets[i].count, sets[i].gone);
        fill(other, sets[i].count);
        ck_assert_double_ge(spreading_moved(table, other, MAGLEV_SIZE), gone * 0.99);
        ck_assert_double_lt(spreading_moved_needlessly(table, other, MAGLEV_SIZE),
                            sets[i].needlessly);
    }
}
END_TEST

START_TEST(none_without_weight)
{
    spreading_servers(10, 1);
    spreading_take_out(10, 9);
    fill(table, 10);
    for (size_t i = 0; i < MAGLEV_SIZE; i++)
        unit_assert(table[i] == table[0]);
    ck_assert_uint_gt(spreading_weights[table[0]], 0);
}
END_TEST

START_TEST(light_ones_are_not_left_out)
{
    spreading_servers(2000, 1);
    for (size_t i = 0; i < 1000; i++)
        spreading_weights[i] = 256;
    fill(table, 2000);
    size_t light = 0;
    for (size_t i = 0; i < MAGLEV_SIZE; i++)
        light += table[i] >= 1000;
    /* 255 are due, a quarter of an entry to each; by rounding down they would have none. */
    ck_assert_uint_gt(light, 200);
    ck_assert_uint_lt(light, 310);
}
END_TEST

START_TEST(the_order_does_not_count)
{
    spreading_servers(20, 4);
    fill(table, 20);
    spreading_shuffled(maglev_fill, other, MAGLEV_SIZE, 20);
    ck_assert_mem_eq(table, other, sizeof(table));
}
END_TEST

START_TEST(as_worked_out_by_hand)
{
    /*
     * Two servers of one weight whose turns are in the order of their ids; offset and skip are the
     * two hashes of the id as section 3.4 has them.
     */
    static const uint64_t ids[] = {5, 3};
    size_t next[2], skip[2];
    for (int i = 0; i < 2; i++) {
        next[i] = hash_again(ids[i], 1) % MAGLEV_SIZE;
        skip[i] = hash_again(ids[i], 2) % (MAGLEV_SIZE - 1) + 1;
    }
    ck_assert_int_eq(maglev_fill(table, ids, (unsigned[]){1, 1}, 2), 0);
    memset(other, 0xff, sizeof(other));
    for (size_t n = 0; n < MAGLEV_SIZE; n++) {
        int who = n % 2 == 0; /* id 3 begins */
        while (other[next[who]] != UINT16_MAX)
            next[who] = (next[who] + skip[who]) % MAGLEV_SIZE;
        other[next[who]] = (uint16_t)who;
    }
    ck_assert_mem_eq(table, other, sizeof(table));
}
END_TEST

START_TEST(without_memory_nothing_is_touched)
{
    spreading_servers(3, 1);
    memset(table, 0x55, sizeof(table));
    long before = alloc_live;
    alloc_limit(0);
    int err = maglev_fill(table, spreading_ids, spreading_weights, 3);
    alloc_limit(-1);
    unit_assert(maglev_fill(other, spreading_ids, spreading_weights, 3) == 0);
    unit_assert(alloc_live == before);
    ck_assert_int_eq(err, -ENOMEM);
    for (size_t i = 0; i < MAGLEV_SIZE; i++)
        unit_assert(table[i] == 0x5555);
}
END_TEST

UNIT_MAIN("maglev", even_within_a_per_cent, weights_within_a_per_cent, little_more_moves_than_must,
          none_without_weight, light_ones_are_not_left_out, the_order_does_not_count,
          as_worked_out_by_hand, without_memory_nothing_is_touched)
