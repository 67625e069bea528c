/*
 * Going over from one generation to the next: every shard does it by itself, between two of its
 * connections.
 *
 *      control                        each shard
 *      transition_begin ── message ─> acceptors go over to the listeners of the new generation,
 *                                     new ones start, those of dropped addresses stop
 *      done <──────────── the last ── entered
 *
 * From then on no session of the generation before begins, but for connections that one shard has
 * handed to another: see proxy_retire().
 */
#ifndef WEFT_PROXY_TRANSITION_H
#define WEFT_PROXY_TRANSITION_H

#include <limits.h>
#include <stddef.h>

#include "base/attr.h"
#include "proxy/acceptor.h"
#include "proxy/notice.h"
#include "proxy/proxy.h"
#include "proxy/shard.h"

#define TRANSITION_STOP                                                                            \
    UINT_MAX /* in place of a listener: the address is not listened on any more */

struct transition_share; /* what is one shard's */

struct transition {
    struct proxy *to; /* not owned */
    const struct shard_group *group;
    unsigned *listeners; /* by number of the address: its listener's number, or TRANSITION_STOP */
    size_t addresses;
    struct transition_share *shares;
    unsigned entered;                   /* shards that have gone over */
    void (*done)(struct transition *t); /* on the control thread, once all have */
};

/**
 * Prepare to go over to `to`, with every one of so many addresses stopped until `listeners` says
 * otherwise. Returns 0 or -ENOMEM. Thread: any.
 */
int transition_init(struct transition *t, struct proxy *to, const struct shard_group *group,
                    size_t addresses) WEFT_MUSTCHECK;

/** Have a shard start an acceptor. Owns: the acceptor, from here on. */
void transition_add(struct transition *t, unsigned shard, struct acceptor *a);

/** Let all shards go over. Nothing in it may change until it is done. Thread: control. */
void transition_begin(struct transition *t);

/** Free what it holds, before it has begun or after it is done; acceptors that were not started
 * too, and their sockets. */
void transition_destroy(struct transition *t);

#endif
