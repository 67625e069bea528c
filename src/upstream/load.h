/*
 * Loads: how much a server has for its weight, as a number to be compared with another's: the bits
 * of a float that is not negative, which are in the same order as the float.
 */
#ifndef WEFT_UPSTREAM_LOAD_H
#define WEFT_UPSTREAM_LOAD_H

#include <stdint.h>
#include <string.h>

#include "upstream/server.h"

#define LOAD_NONE UINT32_C(0x7f800000) /* infinite: of a server that takes no more */

static inline uint32_t load_make(float connections, float due)
{
    float quotient = connections / due;
    uint32_t bits;
    _Static_assert(sizeof(bits) == sizeof(quotient), "as wide");
    memcpy(&bits, &quotient, sizeof(bits));
    return bits;
}

/** load_of() for one whose flags are not 0. */
uint32_t load_of_flagged(const struct server *s, unsigned flags, unsigned active, int64_t now,
                         uint8_t dice);

/**
 * Connections for each weight, at present. `now`: [monotonic ns]. Thread: any.
 *
 * One that begins slowly, and whose share is not above `dice`, counts as if it had one connection
 * more: with none at all it would be the least loaded of all, however little is due to it.
 */
static inline uint32_t load_of(const struct server *s, int64_t now, uint8_t dice)
{
    unsigned flags = atomic_load_explicit(&s->flags, memory_order_relaxed);
    unsigned active = atomic_load_explicit(&s->active, memory_order_relaxed);
    if (unlikely(flags != 0))
        return load_of_flagged(s, flags, active, now, dice);
    return load_make((float)active, (float)atomic_load_explicit(&s->weight, memory_order_relaxed));
}

#endif
