#include "upstream/load.h"

#include "unit.h"

#define SEC INT64_C(1000000000) /* [ns] */

static struct server *one, *other;

static void begin(void)
{
    one = server_new(1);
    other = server_new(2);
    ck_assert(one != NULL && other != NULL);
    server_rise(one, false, 0);
    server_rise(other, false, 0);
}

static void end(void)
{
    server_unref(one);
    server_unref(other);
}

static const struct comparison {
    unsigned active, weight;
    unsigned other_active, other_weight;
    int order; /* -1: the first has less to do, 0: as much */
} comparisons[] = {
    {0, 1, 0, 1, 0},
    {0, 1, 1, 1, -1},
    {1, 1, 1, 2, 1},
    {2, 4, 1, 2, 0},
    {3, 7, 6, 14, 0},
    {1, 3, 85, 256, 1},
    {1, 3, 86, 256, -1},
    {0, 1, 0, 256, 0},
    {100000, 1, 99999, 1, 1},
    {1, 256, 0, 1, 1},
    {255, 256, 1, 1, -1},
    {256, 256, 1, 1, 0},
    {10000000, 1, 9999999, 1, 1},
};

START_TEST(connections_for_each_weight)
{
    for (size_t i = 0; i < array_size(comparisons); i++) {
        const struct comparison *c = &comparisons[i];
        one->active = c->active;
        one->weight = c->weight;
        other->active = c->other_active;
        other->weight = c->other_weight;
        uint32_t a = load_of(one, 0, 0), b = load_of(other, 0, 0);
        ck_assert_msg((a > b) - (a < b) == c->order, "%u/%u and %u/%u", c->active, c->weight,
                      c->other_active, c->other_weight);
        ck_assert_uint_lt(a, LOAD_NONE);
    }
}
END_TEST

START_TEST(one_that_takes_none_has_more_than_any)
{
    server_set(one, SERVER_DOWN, true);
    ck_assert_uint_eq(load_of(one, 0, 0), LOAD_NONE);
    server_set(one, SERVER_DOWN, false);
    server_eject(one, 5 * SEC);
    ck_assert_uint_eq(load_of(one, 4 * SEC, 0), LOAD_NONE);
    ck_assert_uint_eq(load_of(one, 5 * SEC, 0), load_of(other, 5 * SEC, 0));
}
END_TEST

START_TEST(one_that_is_full_has_more_than_any)
{
    server_configure(one, &(struct server_options){.weight = 2, .max_connections = 3});
    one->active = 2;
    ck_assert_uint_lt(load_of(one, 0, 0), LOAD_NONE);
    one->active = 3;
    ck_assert_uint_eq(load_of(one, 0, 0), LOAD_NONE);
}
END_TEST

/* One of ten that begins: the others have ten each when it gets its first at a tenth of the time.
 */
START_TEST(one_that_begins_slowly_is_not_empty)
{
    server_configure(one, &(struct server_options){.weight = 1, .slow_start = 100 * SEC});
    server_rise(one, true, 0);
    other->active = 200;
    ck_assert_uint_gt(load_of(one, 0, 255), load_of(other, 0, 255));
    other->active = 11;
    ck_assert_uint_lt(load_of(one, 10 * SEC, 255), load_of(other, 10 * SEC, 255));
    other->active = 9;
    ck_assert_uint_gt(load_of(one, 10 * SEC, 255), load_of(other, 10 * SEC, 255));
    other->active = 1;
    ck_assert_uint_lt(load_of(one, 100 * SEC, 255), load_of(other, 100 * SEC, 255));
}
END_TEST

START_TEST(where_nobody_has_any_the_dice_decide)
{
    server_configure(one, &(struct server_options){.weight = 1, .slow_start = 100 * SEC});
    server_rise(one, true, 0);
    ck_assert_uint_eq(load_of(one, 50 * SEC, 127), load_of(other, 50 * SEC, 127));
    ck_assert_uint_gt(load_of(one, 50 * SEC, 130), load_of(other, 50 * SEC, 130));
}
END_TEST

UNIT_MAIN_AROUND("load", begin, end, connections_for_each_weight,
                 one_that_takes_none_has_more_than_any, one_that_is_full_has_more_than_any,
                 one_that_begins_slowly_is_not_empty, where_nobody_has_any_the_dice_decide)
