/*
 * Rotations: servers in turn by weight, over all workers: a schedule, and one cursor through it.
 *
 *      servers    a (weight 3)   b (weight 1)
 *      turns      a a b a  a a b a  ...     one atomic increment a turn: no lock, and the
 *                     ^ cursor              weights hold exactly whichever worker picks
 *
 * Whoever can't use a server takes the next turn instead: the others keep their shares to each
 * other. (One who looked further on from a turn he had would give all of a missing server's turns
 * to the one behind it.)
 */
#ifndef WEFT_UPSTREAM_ROTATION_H
#define WEFT_UPSTREAM_ROTATION_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "upstream/table.h"

struct rotation {
    struct table turns;            /* servers' numbers; never empty */
    atomic_uint_least64_t *cursor; /* not owned */
};

/**
 * Begin with `count` servers; one with weight 0 has no turn, but there must be one that has.
 *
 * `cursor`: where the turns are; it may be another rotation's too, which is to be followed.
 * Returns 0 or -ENOMEM.
 */
int rotation_init(struct rotation *r, const unsigned *weights, size_t count,
                  atomic_uint_least64_t *cursor) WEFT_MUSTCHECK;

/**
 * Give the same servers other weights, and again one must have a turn; the cursor goes on.
 *
 * Returns 0, or -ENOMEM with the weights that were. Thread: one at a time, while others take turns.
 */
int rotation_reweigh(struct rotation *r, const unsigned *weights, size_t count) WEFT_MUSTCHECK;

void rotation_free(struct rotation *r);

/** Take a turn; its number, which no other taker gets. Thread: any. */
static inline uint64_t rotation_take(struct rotation *r)
{
    return atomic_fetch_add_explicit(r->cursor, 1, memory_order_relaxed);
}

/** Whose turn it is. Thread: any. */
static inline uint16_t rotation_at(const struct rotation *r, uint64_t turn)
{
    const struct table_page *p = table_current(&r->turns);
    return table_at(p, turn % table_length(p));
}

/** Let the cursor be past `turn`, for one who has looked at all turns up to it. Thread: any. */
void rotation_pass(struct rotation *r, uint64_t turn);

#endif
