#include "worker/load.h"

#include "base/clock.h"
#include "unit.h"

static struct load load;

/* Work for so many milliseconds of each second, from one second to another. */
static void work(int from, int to, int64_t *busy, int ms)
{
    for (int second = from; second < to; second++) {
        load_add(&load, second * NSEC_PER_SEC, *busy);
        *busy += ms * NSEC_PER_MSEC;
    }
}

START_TEST(nothing_is_known_at_first)
{
    ck_assert_double_eq(load_share(&load, NSEC_PER_SEC, 0), 0);
    load_add(&load, NSEC_PER_SEC, 0);
    ck_assert_double_eq(load_share(&load, NSEC_PER_SEC, 0), 0);
}
END_TEST

START_TEST(one_sample_will_do)
{
    load_add(&load, 0, 0);
    ck_assert_double_eq_tol(load_share(&load, NSEC_PER_SEC, NSEC_PER_SEC / 4), 0.25, 1e-9);
}
END_TEST

START_TEST(only_the_last_ten_seconds_count)
{
    int64_t busy = 0;
    work(0, 100, &busy, 900);
    ck_assert_double_eq_tol(load_share(&load, 100 * NSEC_PER_SEC, busy), 0.9, 1e-9);
    work(100, 105, &busy, 100);
    ck_assert_double_eq_tol(load_share(&load, 105 * NSEC_PER_SEC, busy), (0.9 * 6 + 0.1 * 5) / 11,
                            1e-9);
    work(105, 200, &busy, 100);
    ck_assert_double_eq_tol(load_share(&load, 200 * NSEC_PER_SEC, busy), 0.1, 1e-9);
}
END_TEST

/* The two clocks are read a moment apart. */
START_TEST(a_share_is_never_over_one)
{
    load_add(&load, 0, 0);
    ck_assert_double_eq(load_share(&load, NSEC_PER_SEC, NSEC_PER_SEC + 5), 1);
    ck_assert_double_eq(load_share(&load, NSEC_PER_SEC, -5), 0);
}
END_TEST

UNIT_MAIN("load", nothing_is_known_at_first, one_sample_will_do, only_the_last_ten_seconds_count,
          a_share_is_never_over_one)
