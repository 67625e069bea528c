/*
 * Ranks: the servers of a pool that are equals, primaries or backups, and the choice among them.
 *
 *      round_robin      a rotation
 *      least_conn       the least loaded; of equals the one whose turn is next in the rotation
 *      random           two draws from the rotation, and the less loaded of them
 *      source_hash      a table of slots, by rendezvous
 *      maglev           a table of slots, by Maglev
 *
 * A method that hashes goes on to another slot, by a further hash of the client, as long as a
 * slot's server can't be used: the clients of a server that is down are spread over all others, and
 * no other client moves.
 */
#ifndef WEFT_UPSTREAM_RANK_H
#define WEFT_UPSTREAM_RANK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "conf/conf.h"
#include "upstream/least.h"
#include "upstream/pick.h"
#include "upstream/rotation.h"
#include "upstream/server.h"
#include "upstream/table.h"

struct rank {
    enum conf_balance method;
    bool counted;
    size_t count;
    struct server **servers; /* by their place in the rank; not owned */
    uint16_t *numbers;       /* in the pool, likewise */
    struct rotation rotation;
    struct table slots;
    struct least least;
};

/* What a rank is made of. */
struct rank_options {
    enum conf_balance method;
    bool counted; /* connections are to be: there are limits, or the method needs it */
    struct server *const *servers; /* the pool's */
    const unsigned *weights;       /* of each; 0: it is not in this rank */
    size_t count;
    atomic_uint_least64_t *cursor; /* of the turns */
};

/**
 * Make a rank. Returns 0 or -ENOMEM. The servers and the cursor must outlive it.
 */
int rank_init(struct rank *r, const struct rank_options *o) WEFT_MUSTCHECK;

/** Fine on one that is all zero. */
void rank_free(struct rank *r);

/** Follow the servers' own weights, which have changed. Returns 0, or -ENOMEM with the old ones. */
int rank_reweigh(struct rank *r) WEFT_MUSTCHECK;

/**
 * Choose a server that can be used, has room and was not tried, and count the connection in where
 * they are counted.
 *
 * Returns its place in the rank, or -1. Thread: any.
 */
int rank_pick(struct rank *r, struct pick *p) WEFT_MUSTCHECK;

/** Count a connection out that was counted in. Thread: any. */
void rank_leave(struct rank *r, size_t place, int64_t now);

#endif
