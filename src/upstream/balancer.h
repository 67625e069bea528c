/*
 * Balancers: which server of a pool takes the next connection. Pure: no socket, no fiber, and the
 * time is the caller's.
 *
 *      primaries  a b c     one of them, as long as one can be used and has room
 *      backups    d e       else one of these
 *
 * Whatever changes in a server is in struct server, which generations of a pool share.
 */
#ifndef WEFT_UPSTREAM_BALANCER_H
#define WEFT_UPSTREAM_BALANCER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "conf/conf.h"
#include "upstream/pick.h"
#include "upstream/rank.h"
#include "upstream/server.h"

enum { BALANCER_PRIMARY, BALANCER_BACKUP, BALANCER_RANKS };

/* Where the turns are. It may outlive the balancer, to be another one's. */
struct balancer_position {
    atomic_uint_least64_t cursors[BALANCER_RANKS];
};

/* One server of a pool. */
struct balancer_member {
    struct server *server; /* the balancer takes a reference */
    unsigned weight;
    bool backup;
};

struct balancer_options {
    enum conf_balance method;
    bool limited; /* a server has max_connections */
    struct outlier_limits outlier;
    const struct balancer_member *members;
    size_t count;
    struct balancer_position *position; /* must outlive the balancer */
};

struct balancer {
    size_t count;
    struct server **servers; /* by their numbers in the pool; a reference to each */
    uint16_t *places;        /* in its rank, likewise */
    uint8_t *rank_of;        /* likewise */
    struct rank ranks[BALANCER_RANKS];
    bool counted; /* connections are counted: each pick is to be followed by a leave */
    struct outlier_limits outlier;
};

/** Make the balancer of a pool. Returns 0 or -ENOMEM. */
int balancer_init(struct balancer *b, const struct balancer_options *o) WEFT_MUSTCHECK;

/** Fine on one that is all zero. */
void balancer_free(struct balancer *b);

/**
 * Choose a server that was not tried, note that it is, and count the connection in.
 *
 * Returns its number in the pool; -EBUSY when those that can be used are full, -EAGAIN when there
 * are new ones that are yet to be checked, -ENOENT when there is none to be had. Thread: any.
 */
int balancer_pick(struct balancer *b, struct pick *p) WEFT_MUSTCHECK;

/** Count out a connection that was counted in: where `counted` says so. Thread: any. */
void balancer_leave(struct balancer *b, size_t server, int64_t now);

/**
 * Take a failure of a server in.
 *
 * Returns for how long it is left alone, from `now` on [ns]; 0: it is not, or was already. Thread:
 * any.
 */
int64_t balancer_fail(struct balancer *b, size_t server, int64_t now);

/**
 * Clear what has lapsed of a server. Returns whether it was left alone, and is not any more.
 * Thread: any.
 */
bool balancer_tend(struct balancer *b, size_t server, int64_t now);

/** Follow the servers' own weights, which have changed. Returns 0 or -ENOMEM. Thread: one at a
 * time. */
int balancer_reweigh(struct balancer *b) WEFT_MUSTCHECK;

#endif
