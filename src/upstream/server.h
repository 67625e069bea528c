/*
 * Servers: what all threads share of one, in every pool and every generation of the configuration
 * that it is a part of: whether it may be used, how much it is to get, how much it has.
 *
 *      flags   0                                   usable: one load says so, and mostly does
 *              UNCHECKED DOWN DRAINED DISABLED     not usable
 *              EJECTED                             not usable before `ejected_until`
 *              SLOW                                usable, for a share that grows from `up_since`
 * on LIMITED                             usable while there is room
 *
 * Whoever picks only reads, but for the number of connections. A lapsed EJECTED or SLOW means
 * nothing any more; server_tend() takes it away, so that the quick look is enough again.
 */
#ifndef WEFT_UPSTREAM_SERVER_H
#define WEFT_UPSTREAM_SERVER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "upstream/health.h"
#include "upstream/outlier.h"

enum server_flag {
    SERVER_UNCHECKED = 1 << 0, /* new, and its first check is not over */
    SERVER_DOWN = 1 << 1,      /* by its checks */
    SERVER_DRAINED = 1 << 2,   /* by order: no new connections */
    SERVER_DISABLED = 1 << 3,  /* by order: as if it were down */
    SERVER_EJECTED = 1 << 4,
    SERVER_SLOW = 1 << 5,
    SERVER_LIMITED = 1 << 6,
};

#define SERVER_UNUSABLE (SERVER_UNCHECKED | SERVER_DOWN | SERVER_DRAINED | SERVER_DISABLED)

#define SERVER_WHOLE 256 /* a share of all that is due to a server */

struct server {
    atomic_uint flags; /* enum server_flag */
    atomic_uint weight;
    atomic_uint active; /* connections, where they are counted */
    atomic_uint max_connections;
    _Atomic int64_t ejected_until; /* [monotonic ns] */
    _Atomic int64_t up_since;      /* [monotonic ns] */
    _Atomic int64_t slow_start;    /* [ns] 0: none */
    atomic_uint references;
    uint64_t id;                /* a hash of its name */
    unsigned configured_weight; /* `weight` may have been changed by order since */

    struct health health;   /* the thread's that checks it */
    struct outlier outlier; /* under a lock of the balancer's */
} __attribute__((aligned(WEFT_CACHE_LINE)));

/**
 * Make a server that nobody knows anything of yet: UNCHECKED.
 *
 * `id`: the hash of its name. Returns one reference, or NULL without memory.
 */
struct server *server_new(uint64_t id) WEFT_MUSTCHECK;

/** Take another reference. Thread: any. */
struct server *server_ref(struct server *s);

/** Drop a reference; the last one frees it. NULL is fine. Thread: any. */
void server_unref(struct server *s);

/* What the configuration says of one. */
struct server_options {
    unsigned weight;
    unsigned max_connections; /* 0: unlimited */
    int64_t slow_start;       /* [ns] 0: none */
};

/**
 * Set it up as configured, at first and after a reload. A weight that was changed by order stays
 * until the configured one changes. Thread: one at a time.
 */
void server_configure(struct server *s, const struct server_options *o);

/** Set or clear flags. Returns those that were set before. Thread: any. */
unsigned server_set(struct server *s, unsigned flags, bool on);

/** Let it take traffic: not UNCHECKED and not DOWN any more; slowly at first where that is
 * configured and asked for. */
void server_rise(struct server *s, bool slowly, int64_t now);

/** Leave it alone until a time; then it begins slowly, where that is configured. */
void server_eject(struct server *s, int64_t until);

/**
 * Clear what has lapsed. Returns the flags that are gone. Thread: not at the same time as
 * server_eject().
 */
unsigned server_tend(struct server *s, int64_t now);

/** What is due to it at present, of SERVER_WHOLE; at least 1. */
unsigned server_share(const struct server *s, int64_t now);

/** server_usable() for one whose flags are not 0. */
bool server_usable_by(const struct server *s, unsigned flags, int64_t now);

/** Whether it may be picked, as far as it is itself concerned; it may be full. Thread: any. */
static inline bool server_usable(const struct server *s, int64_t now)
{
    unsigned flags = atomic_load_explicit(&s->flags, memory_order_relaxed);
    return likely(flags == 0) || server_usable_by(s, flags, now);
}

/** Whether it has as many connections as it may. Thread: any; a moment later it may be otherwise.
 */
static inline bool server_full(const struct server *s)
{
    unsigned max = atomic_load_explicit(&s->max_connections, memory_order_relaxed);
    return max != 0 && atomic_load_explicit(&s->active, memory_order_relaxed) >= max;
}

/*
 * Entering and leaving are sequentially consistent: one who finds it full, and then makes known
 * that he waits, tries once more; either he finds what has become free meanwhile, or whoever leaves
 * finds him waiting.
 */

/** Count a connection in. Returns whether there was room; it is never over the limit. Thread: any.
 */
bool server_enter(struct server *s) WEFT_MUSTCHECK;

/** Count a connection out. Thread: any. */
void server_leave(struct server *s);

#endif
