#include "upstream/schedule.h"

#include <errno.h>

#include "alloc.h"
#include "base/attr.h"
#include "base/xorshift.h"
#include "unit.h"

static void expect(const unsigned *weights, size_t count, const char *order)
{
    struct schedule s;
    ck_assert_int_eq(schedule_init(&s, weights, count), 0);
    char got[64] = "";
    ck_assert_uint_lt(s.length, sizeof(got));
    for (size_t i = 0; i < s.length; i++)
        got[i] = (char)('a' + s.turns[i]);
    ck_assert_str_eq(got, order);
    schedule_free(&s);
}

START_TEST(equal_weights_take_turns)
{
    expect((unsigned[]){1, 1, 1}, 3, "abc");
    expect((unsigned[]){7, 7}, 2, "ab");
}
END_TEST

/* The example of nginx's commit message, and others worked out by hand. */
START_TEST(weights_are_spread_smoothly)
{
    expect((unsigned[]){5, 1, 1}, 3, "aabacaa");
    expect((unsigned[]){2, 1}, 2, "aba");
    expect((unsigned[]){3, 1}, 2, "aaba");
    expect((unsigned[]){6, 2}, 2, "aaba");
}
END_TEST

START_TEST(no_weight_no_turn)
{
    expect((unsigned[]){0, 1, 0}, 3, "b");
    expect((unsigned[]){0, 0}, 2, "");
    expect(NULL, 0, "");
}
END_TEST

START_TEST(every_server_gets_its_share_of_a_cycle)
{
    unsigned weights[] = {256, 3, 100, 1, 17, 255};
    struct schedule s;
    ck_assert_int_eq(schedule_init(&s, weights, array_size(weights)), 0);
    unsigned turns[array_size(weights)] = {0};
    for (size_t i = 0; i < s.length; i++)
        turns[s.turns[i]]++;
    for (size_t i = 0; i < array_size(weights); i++)
        ck_assert_uint_eq(turns[i], weights[i]);
    schedule_free(&s);
}
END_TEST

/* The definition itself, as slow as it is. */
static void work_out(const unsigned *weights, size_t count, uint16_t *turns, size_t length)
{
    int64_t lead[64] = {0}, sum = 0;
    ck_assert_uint_le(count, array_size(lead));
    for (size_t i = 0; i < count; i++)
        sum += weights[i];
    for (size_t t = 0; t < length; t++) {
        size_t best = 0;
        for (size_t i = 0; i < count; i++) {
            lead[i] += weights[i];
            if (lead[i] > lead[best])
                best = i;
        }
        lead[best] -= sum;
        turns[t] = (uint16_t)best;
    }
}

START_TEST(the_order_is_the_definitions)
{
    static uint16_t turns[64 * 256];
    uint32_t random = 1;
    for (int round = 0; round < 200; round++) {
        unsigned weights[64];
        size_t count = 1 + xorshift(&random) % array_size(weights);
        unsigned most = 1u << xorshift(&random) % 9;
        for (size_t i = 0; i < count; i++)
            weights[i] = xorshift(&random) % (most + 1);
        struct schedule s;
        ck_assert_int_eq(schedule_init(&s, weights, count), 0);
        work_out(weights, count, turns, s.length);
        ck_assert_mem_eq(turns, s.turns, s.length * sizeof(*turns));
        schedule_free(&s);
    }
}
END_TEST

/* Server by server, this would take a quarter of an hour. */
START_TEST(ten_thousand_servers_of_all_weights)
{
    static unsigned weights[10000], turns[array_size(weights)];
    for (size_t i = 0; i < array_size(weights); i++)
        weights[i] = 1 + (unsigned)(i * 7 % 256);
    struct schedule s;
    ck_assert_int_eq(schedule_init(&s, weights, array_size(weights)), 0);
    for (size_t i = 0; i < s.length; i++)
        turns[s.turns[i]]++;
    for (size_t i = 0; i < array_size(weights); i++)
        unit_assert(turns[i] == weights[i]);
    schedule_free(&s);
}
END_TEST

START_TEST(no_memory_no_schedule)
{
    unsigned weights[] = {2, 1};
    long needed = 0, before = alloc_live;
    struct schedule s = {.length = 77};
    for (int err = -ENOMEM; err < 0; needed++) {
        alloc_limit(needed);
        err = schedule_init(&s, weights, array_size(weights));
        alloc_limit(-1);
        unit_assert(err == 0 || err == -ENOMEM);
        unit_assert(s.length == (err == 0 ? 3 : 77));
    }
    schedule_free(&s);
    unit_assert(alloc_live == before);
    ck_assert_int_ge(needed, 2);
}
END_TEST

UNIT_MAIN("schedule", equal_weights_take_turns, weights_are_spread_smoothly, no_weight_no_turn,
          every_server_gets_its_share_of_a_cycle, the_order_is_the_definitions,
          ten_thousand_servers_of_all_weights, no_memory_no_schedule)
