#include "upstream/outlier.h"

#include "alloc.h"
#include "unit.h"

#define SEC INT64_C(1000000000) /* [ns] */

static const struct outlier_limits limits = {
    .failures = 3, .window = 10 * SEC, .eject = 20 * SEC, .max_ejected = 50};
static struct outlier outlier;

static void begin(void)
{
    outlier_init(&outlier);
}

static void end(void)
{
    outlier_free(&outlier);
}

/* Failures at these seconds. Returns whether the last one was one too many, and no other. */
static bool last_is_too_many(const struct outlier_limits *l, const int64_t *seconds, size_t count)
{
    outlier_forget(&outlier);
    for (size_t i = 0; i + 1 < count; i++)
        ck_assert(!outlier_note(&outlier, l, seconds[i] * SEC));
    return outlier_note(&outlier, l, seconds[count - 1] * SEC);
}

static const struct failures {
    int64_t seconds[6];
    size_t count;
    bool too_many;
} failures[] = {
    {{100}, 1, false},
    {{100, 100}, 2, false},
    {{100, 100, 100}, 3, true},
    {{100, 105, 110}, 3, true},  /* the window's very end is in it */
    {{100, 105, 111}, 3, false}, /* and what is behind it is not */
    {{100, 105, 111, 114}, 4, true},
    {{100, 106, 112, 118, 124}, 5, false},
    {{100, 106, 112, 118, 124, 130}, 6, false},
    {{1, 100, 106, 109}, 4, true},
    {{0, 0, 0}, 3, true}, /* a machine that has just started */
};

START_TEST(so_many_in_a_window)
{
    for (size_t i = 0; i < array_size(failures); i++) {
        const struct failures *f = &failures[i];
        ck_assert_msg(last_is_too_many(&limits, f->seconds, f->count) == f->too_many, "row %zu", i);
    }
}
END_TEST

START_TEST(one_failure_may_be_too_many)
{
    struct outlier_limits one = limits;
    one.failures = 1;
    ck_assert(outlier_note(&outlier, &one, 5 * SEC));
    ck_assert(outlier_note(&outlier, &one, 500 * SEC));
}
END_TEST

START_TEST(nobody_is_ejected_when_it_is_off)
{
    struct outlier_limits none = limits;
    none.failures = 0;
    for (int i = 0; i < 100; i++)
        ck_assert(!outlier_note(&outlier, &none, SEC));
    ck_assert_ptr_null(outlier.failures);
}
END_TEST

START_TEST(another_limit_begins_anew)
{
    ck_assert(!outlier_note(&outlier, &limits, SEC));
    ck_assert(!outlier_note(&outlier, &limits, SEC));
    struct outlier_limits two = limits;
    two.failures = 2;
    ck_assert(!outlier_note(&outlier, &two, SEC));
    ck_assert(outlier_note(&outlier, &two, SEC));
}
END_TEST

START_TEST(an_ejection_forgets_what_led_to_it)
{
    for (int i = 0; i < 3; i++)
        (void)!outlier_note(&outlier, &limits, 100 * SEC);
    ck_assert_int_eq(outlier_eject(&outlier, &limits, 100 * SEC), 120 * SEC);
    ck_assert(!outlier_note(&outlier, &limits, 101 * SEC));
    ck_assert(!outlier_note(&outlier, &limits, 101 * SEC));
    ck_assert(outlier_note(&outlier, &limits, 101 * SEC));
}
END_TEST

START_TEST(longer_each_time_up_to_a_limit)
{
    int64_t now = 1000 * SEC;
    for (int i = 1; i <= 25; i++) {
        int64_t until = outlier_eject(&outlier, &limits, now);
        int times = i < OUTLIER_BACKOFF_MAX ? i : OUTLIER_BACKOFF_MAX;
        ck_assert_int_eq(until - now, times * limits.eject);
        now = until + limits.window;
    }
}
END_TEST

START_TEST(who_does_well_begins_anew)
{
    int64_t until = outlier_eject(&outlier, &limits, 1000 * SEC);
    until = outlier_eject(&outlier, &limits, until);
    ck_assert_int_eq(outlier.length, 2 * limits.eject);
    int64_t now = until + outlier.length + limits.window; /* not long enough yet */
    until = outlier_eject(&outlier, &limits, now);
    ck_assert_int_eq(until - now, 3 * limits.eject);
    now = until + outlier.length + limits.window + 1;
    ck_assert_int_eq(outlier_eject(&outlier, &limits, now) - now, limits.eject);
}
END_TEST

static const struct share {
    unsigned max_ejected;
    size_t servers, ejected, others;
    bool allowed;
} shares[] = {
    {50, 2, 0, 1, true},         {50, 2, 1, 1, false},
    {50, 3, 0, 2, true},         {50, 3, 1, 1, false},
    {50, 4, 1, 2, true},         {50, 4, 2, 1, false},
    {50, 1, 0, 0, false},        {0, 10, 0, 9, false},
    {10, 9, 0, 8, false},        {10, 10, 0, 9, true},
    {10, 10, 1, 8, false},       {33, 3, 0, 2, false},
    {34, 3, 0, 2, true},         {100, 3, 1, 1, true},
    {100, 3, 2, 0, false}, /* the last one stays */
    {100, 1, 0, 0, false},       {50, 4, 0, 0, false},
    {50, 65535, 32766, 9, true}, {50, 65535, 32767, 9, false},
};

START_TEST(never_more_than_a_share)
{
    for (size_t i = 0; i < array_size(shares); i++) {
        const struct share *s = &shares[i];
        struct outlier_limits l = limits;
        l.max_ejected = s->max_ejected;
        ck_assert_msg(outlier_allowed(&l, s->servers, s->ejected, s->others) == s->allowed,
                      "%u%% of %zu, %zu are out, %zu others", s->max_ejected, s->servers,
                      s->ejected, s->others);
    }
}
END_TEST

START_TEST(without_memory_failures_go_unnoticed)
{
    alloc_limit(0);
    for (int i = 0; i < 10; i++)
        unit_assert(!outlier_note(&outlier, &limits, SEC));
    alloc_limit(-1);
    unit_assert(!outlier_note(&outlier, &limits, SEC));
    unit_assert(!outlier_note(&outlier, &limits, SEC));
    unit_assert(outlier_note(&outlier, &limits, SEC));
}
END_TEST

UNIT_MAIN_AROUND("outlier", begin, end, so_many_in_a_window, one_failure_may_be_too_many,
                 nobody_is_ejected_when_it_is_off, another_limit_begins_anew,
                 an_ejection_forgets_what_led_to_it, longer_each_time_up_to_a_limit,
                 who_does_well_begins_anew, never_more_than_a_share,
                 without_memory_failures_go_unnoticed)
