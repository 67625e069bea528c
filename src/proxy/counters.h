/*
 * Counters of a listener: a block for each shard, which alone writes it; who wants to know adds
 * them up.
 */
#ifndef WEFT_PROXY_COUNTERS_H
#define WEFT_PROXY_COUNTERS_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/attr.h"

struct counters {
    _Atomic uint64_t connections; /* whose sessions have begun, ever */
    _Atomic uint64_t received;    /* [bytes] from clients, ever */
    _Atomic uint64_t sent;        /* [bytes] to clients, ever */
} __attribute__((aligned(WEFT_CACHE_LINE)));

/* Of all shards. */
struct counters_sum {
    uint64_t connections;
    uint64_t received; /* [bytes] */
    uint64_t sent;     /* [bytes] */
};

/** A block for each of `shards`, all zeroes; free() it. Returns NULL without memory. */
struct counters *counters_new(unsigned shards) WEFT_MUSTCHECK;

/** Thread: any; a moment old. */
void counters_sum(const struct counters *blocks, unsigned shards, struct counters_sum *ret);

/** Only one thread writes: no read-modify-write is needed. Thread: the counter's shard's. */
static inline void counters_add(_Atomic uint64_t *counter, uint64_t n)
{
    uint64_t before = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, before + n, memory_order_relaxed);
}

/** Thread: any; a moment old. */
static inline uint64_t counters_read(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

#endif
