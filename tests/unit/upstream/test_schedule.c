#include "upstream/schedule.h"

#include "base/attr.h"
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

UNIT_MAIN("schedule", equal_weights_take_turns, weights_are_spread_smoothly, no_weight_no_turn,
          every_server_gets_its_share_of_a_cycle)
