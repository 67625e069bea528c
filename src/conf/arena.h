/*
 * Memory that is freed all at once: a configuration, a tree and a list of faults each live in one.
 *
 *      arena -> chunk -> chunk -> NULL         newest first; pieces are cut from the newest
 */
#ifndef WEFT_CONF_ARENA_H
#define WEFT_CONF_ARENA_H

#include <stddef.h>

#include "base/attr.h"

struct arena_chunk; /* opaque */

struct arena {
    struct arena_chunk *newest; /* owned */
};

void arena_init(struct arena *a);

/** Free all that was ever taken from it, and leave it empty. */
void arena_free(struct arena *a);

/**
 * Take `n` bytes of zeroes, aligned for anything.
 *
 * Returns NULL when there is no memory. Owns: the arena frees it.
 */
void *arena_alloc(struct arena *a, size_t n) WEFT_MUSTCHECK;

/** Take a copy of `n` bytes with a NUL behind them. Returns NULL when there is no memory. */
char *arena_copy(struct arena *a, const char *bytes, size_t n) WEFT_MUSTCHECK;

#endif
