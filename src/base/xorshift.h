/*
 * A small generator of numbers that look random: for spreading load, not for secrets.
 *
 * Source: Marsaglia, Xorshift RNGs, 2003.
 */
#ifndef WEFT_BASE_XORSHIFT_H
#define WEFT_BASE_XORSHIFT_H

#include <stdint.h>

/** The next number; never 0. `state` is the caller's, and never 0 either. */
static inline uint32_t xorshift(uint32_t *state)
{
    uint32_t x = *state;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    *state = x;
    return x;
}

#endif
