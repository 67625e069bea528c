#include "upstream/health.h"

#include <string.h>

#include "base/attr.h"
#include "unit.h"

/*
 * Results as letters: + good, - bad. What each is to change: U up, D down, . nothing.
 */
static void expect(unsigned rise, unsigned fall, const char *results, const char *changes)
{
    static const char letters[] = {
        [HEALTH_SAME] = '.', [HEALTH_COMES_UP] = 'U', [HEALTH_GOES_DOWN] = 'D'};
    const struct health_limits limits = {.rise = rise, .fall = fall};
    struct health h = {.state = HEALTH_NEW};
    char got[64] = "";
    ck_assert_uint_eq(strlen(results), strlen(changes));
    for (size_t i = 0; results[i] != '\0'; i++) {
        enum health_result r = results[i] == '+' ? HEALTH_OK : HEALTH_REFUSED;
        enum health_state before = h.state;
        enum health_change change = health_note(&h, r, &limits, (int64_t)i + 1);
        got[i] = letters[change];
        ck_assert_int_eq(h.last, r);
        ck_assert_int_eq(h.state, change == HEALTH_COMES_UP    ? HEALTH_UP
                                  : change == HEALTH_GOES_DOWN ? HEALTH_DOWN
                                                               : before);
        if (change != HEALTH_SAME)
            ck_assert_int_eq(h.since, (int64_t)i + 1);
    }
    ck_assert_msg(strcmp(got, changes) == 0, "%s with rise %u, fall %u: %s, not %s", results, rise,
                  fall, got, changes);
}

static const struct sequence {
    unsigned rise, fall;
    const char *results;
    const char *changes;
} sequences[] = {
    /* new: the first result decides */
    {2, 3, "+", "U"},
    {2, 3, "-", "D"},
    {2, 3, "+++", "U.."},
    {2, 3, "----", "D..."},
    /* never up so far: one good one is enough */
    {5, 3, "---+", "D..U"},
    /* down takes `fall` in a row */
    {2, 3, "+--+--+", "U......"},
    {2, 3, "+---", "U..D"},
    {2, 3, "+-----", "U..D.."},
    {2, 1, "+-", "UD"},
    /* up again takes `rise` in a row */
    {2, 3, "+---+-+-++", "U..D.....U"},
    {3, 1, "+-+++", "UD..U"},
    {1, 1, "+-+-+-", "UDUDUD"},
    /* what came before a change does not count after it */
    {2, 2, "+--++-+--", "U.D.U...D"},
};

START_TEST(rise_and_fall)
{
    for (size_t i = 0; i < array_size(sequences); i++) {
        const struct sequence *s = &sequences[i];
        expect(s->rise, s->fall, s->results, s->changes);
    }
}
END_TEST

START_TEST(every_bad_result_counts_alike)
{
    const struct health_limits limits = {.rise = 1, .fall = HEALTH_LAST - 1};
    struct health h = {.state = HEALTH_NEW};
    health_note(&h, HEALTH_OK, &limits, 1);
    for (int r = HEALTH_OK + 1; r < HEALTH_LAST - 1; r++)
        ck_assert_int_eq(health_note(&h, r, &limits, 2), HEALTH_SAME);
    ck_assert_int_eq(health_note(&h, HEALTH_LAST - 1, &limits, 3), HEALTH_GOES_DOWN);
}
END_TEST

START_TEST(what_is_not_checked_is_trusted)
{
    const struct health_limits limits = {.rise = 2, .fall = 2};
    struct health h = {.state = HEALTH_NEW};
    health_trust(&h, 5);
    ck_assert_int_eq(h.state, HEALTH_UP);
    ck_assert_int_eq(h.since, 5);
    health_trust(&h, 6);
    ck_assert_int_eq(h.since, 5);
    /* checked from now on, it is one that was up */
    ck_assert_int_eq(health_note(&h, HEALTH_REFUSED, &limits, 7), HEALTH_SAME);
    ck_assert_int_eq(health_note(&h, HEALTH_REFUSED, &limits, 8), HEALTH_GOES_DOWN);
    ck_assert_int_eq(health_note(&h, HEALTH_OK, &limits, 9), HEALTH_SAME);
    health_trust(&h, 10);
    ck_assert_int_eq(h.state, HEALTH_UP);
    ck_assert_int_eq(h.since, 10);
}
END_TEST

START_TEST(results_have_names_of_their_own)
{
    for (int r = 0; r < HEALTH_LAST; r++) {
        ck_assert_uint_gt(strlen(health_result_name(r)), 4);
        for (int other = 0; other < r; other++)
            ck_assert_str_ne(health_result_name(r), health_result_name(other));
    }
}
END_TEST

UNIT_MAIN("health", rise_and_fall, every_bad_result_counts_alike, what_is_not_checked_is_trusted,
          results_have_names_of_their_own)
