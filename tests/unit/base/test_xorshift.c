#include "base/xorshift.h"

#include "unit.h"

/* Worked out by hand from the paper's shifts. */
START_TEST(first_numbers)
{
    uint32_t state = 1;
    ck_assert_uint_eq(xorshift(&state), 270369);
    ck_assert_uint_eq(xorshift(&state), 67634689);
}
END_TEST

START_TEST(every_bit_is_set_half_of_the_time)
{
    enum { NUMBERS = 100000 };
    unsigned set[32] = {0};
    uint32_t state = 12345;
    for (int i = 0; i < NUMBERS; i++) {
        uint32_t x = xorshift(&state);
        unit_assert(x != 0);
        for (int bit = 0; bit < 32; bit++)
            set[bit] += x >> bit & 1;
    }
    for (int bit = 0; bit < 32; bit++) {
        ck_assert_uint_gt(set[bit], NUMBERS / 2 - 1000); /* six standard deviations */
        ck_assert_uint_lt(set[bit], NUMBERS / 2 + 1000);
    }
}
END_TEST

UNIT_MAIN("xorshift", first_numbers, every_bit_is_set_half_of_the_time)
