/*
 * Balancers: which server of a pool takes the next connection. Pure: no socket, no fiber, no clock.
 *
 * Weighted round robin is a schedule computed once, and a cursor that all workers share:
 *
 *      servers    a (weight 3)   b (weight 1)   c (backup)
 *      primary    a a b a  a a b a  ...     one atomic increment a pick: no lock, and the
 *      backup     c  c  c  ...              weights hold exactly whichever worker picks
 */
#ifndef WEFT_UPSTREAM_BALANCER_H
#define WEFT_UPSTREAM_BALANCER_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "conf/conf.h"
#include "upstream/schedule.h"

#define BALANCER_TRIES_MAX 32 /* servers that one connection can have tried */

/* The servers that a connection has tried without success. */
struct balancer_tried {
    unsigned count;
    uint16_t servers[BALANCER_TRIES_MAX]; /* indices into the pool's */
};

/* Where the turns are. It may outlive the balancer, to be another one's. */
struct balancer_position {
    atomic_uint_least64_t primary;
    atomic_uint_least64_t backup;
};

/* The servers of one rank, primary or backup, in turn. */
struct balancer_rank {
    struct schedule schedule;
    atomic_uint_least64_t *cursor; /* not owned */
};

struct balancer {
    const struct conf_pool *pool; /* not owned */
    struct balancer_rank primary;
    struct balancer_rank backup;
};

/** Make the balancer of a pool, which must outlive it, as must `position`: zeroes, or where another
 * balancer of the pool's name is. Returns 0 or -ENOMEM. */
int balancer_init(struct balancer *b, const struct conf_pool *pool,
                  struct balancer_position *position) WEFT_MUSTCHECK;

void balancer_free(struct balancer *b);

/**
 * Choose a server that is not in `tried` and put it there: primaries first, then backups.
 *
 * Returns its index in the pool, or -ENOENT when all have been tried. Thread: any.
 */
int balancer_pick(struct balancer *b, struct balancer_tried *tried) WEFT_MUSTCHECK;

#endif
