#include "upstream/rendezvous.h"

#include <errno.h>

#include "alloc.h"
#include "base/attr.h"
#include "unit.h"

#include "spreading.h"

static uint16_t table[RENDEZVOUS_SIZE];
static uint16_t other[RENDEZVOUS_SIZE];

static void fill(uint16_t *t, size_t count)
{
    ck_assert_int_eq(rendezvous_fill(t, spreading_ids, spreading_weights, count), 0);
}

static const struct set {
    size_t count;
    unsigned heaviest;
    double error; /* four standard deviations of a draw for each slot, for the lightest server */
} sets[] = {
    {1, 1, 0.001}, {2, 1, 0.011}, {3, 1, 0.016},  {10, 1, 0.033},  {100, 1, 0.11}, {1000, 1, 0.35},
    {2, 2, 0.016}, {3, 3, 0.025}, {10, 10, 0.08}, {10, 256, 0.08}, {100, 8, 0.24},
};

START_TEST(even_by_weight)
{
    for (size_t i = 0; i < array_size(sets); i++) {
        spreading_servers(sets[i].count, sets[i].heaviest);
        fill(table, sets[i].count);
        ck_assert_double_lt(spreading_error(table, RENDEZVOUS_SIZE, sets[i].count), sets[i].error);
    }
}
END_TEST

START_TEST(nothing_moves_that_need_not)
{
    for (size_t i = 1; i < array_size(sets); i++) {
        size_t count = sets[i].count, gone = count < 10 ? 1 : count / 10;
        spreading_servers(count, sets[i].heaviest);
        fill(table, count);
        double due = spreading_take_out(count, gone);
        fill(other, count);
        ck_assert_double_lt(spreading_moved(table, other, RENDEZVOUS_SIZE), due * 1.1);
        ck_assert_double_eq(spreading_moved_needlessly(table, other, RENDEZVOUS_SIZE), 0);
    }
}
END_TEST

/* Slots that change hands go to the one that has become heavier, and to no other. */
START_TEST(another_weight_moves_no_others)
{
    spreading_servers(20, 4);
    fill(table, 20);
    spreading_weights[7] *= 2;
    fill(other, 20);
    for (size_t i = 0; i < RENDEZVOUS_SIZE; i++)
        unit_assert(table[i] == other[i] || other[i] == 7);
    ck_assert_double_gt(spreading_moved(table, other, RENDEZVOUS_SIZE), 0.05);
}
END_TEST

START_TEST(none_without_weight)
{
    spreading_servers(10, 1);
    spreading_take_out(10, 9);
    fill(table, 10);
    for (size_t i = 0; i < RENDEZVOUS_SIZE; i++)
        unit_assert(table[i] == table[0]);
    ck_assert_uint_gt(spreading_weights[table[0]], 0);
}
END_TEST

START_TEST(the_order_does_not_count)
{
    spreading_servers(20, 4);
    fill(table, 20);
    spreading_shuffled(rendezvous_fill, other, RENDEZVOUS_SIZE, 20);
    ck_assert_mem_eq(table, other, sizeof(table));
}
END_TEST

/* Two servers of one name arrive at the same time everywhere: it is one of them, and it ends. */
START_TEST(namesakes)
{
    static const uint64_t ids[] = {9, 9, 4};
    ck_assert_int_eq(rendezvous_fill(table, ids, (unsigned[]){1, 1, 1}, 3), 0);
    ck_assert_int_eq(rendezvous_fill(other, ids, (unsigned[]){1, 0, 1}, 3), 0);
    for (size_t i = 0; i < RENDEZVOUS_SIZE; i++)
        unit_assert((table[i] == 2) == (other[i] == 2));
}
END_TEST

START_TEST(without_memory_nothing_is_touched)
{
    spreading_servers(3, 1);
    memset(table, 0x55, sizeof(table));
    long before = alloc_live;
    for (long budget = 0; budget < 2; budget++) {
        alloc_limit(budget);
        int err = rendezvous_fill(table, spreading_ids, spreading_weights, 3);
        alloc_limit(-1);
        unit_assert(err == -ENOMEM);
    }
    unit_assert(rendezvous_fill(other, spreading_ids, spreading_weights, 3) == 0);
    unit_assert(alloc_live == before);
    for (size_t i = 0; i < RENDEZVOUS_SIZE; i++)
        unit_assert(table[i] == 0x5555);
}
END_TEST

UNIT_MAIN("rendezvous", even_by_weight, nothing_moves_that_need_not, another_weight_moves_no_others,
          none_without_weight, the_order_does_not_count, namesakes,
          without_memory_nothing_is_touched)
