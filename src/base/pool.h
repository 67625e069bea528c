/*
 * Pools of equal-sized objects, the counterpart of Go's sync.Pool.
 *
 *      thread 0: free list ─┐ overflow, in batches   ┌──────────┐ trim  ┌────────┐ trim
 *      thread 1: free list ─┼───────────────────────>│  depot   │──────>│ victim │──────> malloc
 *      thread n: free list ─┘ <──────────────────────└──────────┘       └────────┘
 *                             refill, depot first, then victim, then malloc
 *
 * get and put touch only the calling thread's list: no lock, no atomic read-modify-write. What
 * nobody asked for during two trims goes back to the allocator, so a burst's memory does not stay.
 * In debug builds (WEFT_DEBUG) an object is poisoned on put and checked on get: a write after put
 * aborts with the pool's name. Under AddressSanitizer a pooled object is poisoned for good.
 */
#ifndef WEFT_BASE_POOL_H
#define WEFT_BASE_POOL_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

struct pool; /* opaque */

/* One snapshot, summed over the threads; it may be a moment old. */
struct pool_stats {
    const char *name;
    size_t object_size; /* [bytes] */
    uint64_t taken;     /* gets minus puts: objects in use */
    uint64_t kept;      /* objects that wait in free lists, depot and victim */
    uint64_t misses;    /* gets that had to ask the allocator, ever */
    uint64_t bytes;     /* [bytes] (taken + kept) * object_size */
};

/**
 * Make a pool of objects of `size` bytes. `name` must outlive it.
 *
 * A thread keeps up to `local_max` free objects to itself.
 * Returns NULL when there is no memory.
 */
struct pool *pool_new(const char *name, size_t size, unsigned local_max) WEFT_MUSTCHECK;

/** Free a pool and what it keeps; every object must have been put back. NULL is fine. */
void pool_free(struct pool *p);

/**
 * Take an object; its content is undefined.
 *
 * Returns NULL when there is no memory. Thread: any.
 */
void *pool_get(struct pool *p) WEFT_MUSTCHECK;

/** Give an object back, to the calling thread's list. Thread: any. */
void pool_put(struct pool *p, void *object);

/** Give the calling thread's whole list to the depot, as a thread does before it ends. */
void pool_flush(struct pool *p);

/**
 * Age every pool by a generation: free what is in the victims, make the depots the victims.
 * Also moves to the depot half of those free objects of the calling thread that it had no need of
 * since its last trim.
 *
 * Thread: any; each thread calls it now and then (only one in a period ages the depot).
 */
void pool_trim_all(void);

void pool_stats(struct pool *p, struct pool_stats *ret);

/** Call `fn` with the statistics of every pool, oldest first. It must not make or free a pool. */
void pool_for_each(void (*fn)(const struct pool_stats *st, void *arg), void *arg);

#endif
