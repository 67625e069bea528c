/*
 * Bindings: which listener of a configuration has which address, with sockets for those that are
 * not listened on yet. Made while a configuration is loaded, by a thread that may wait; nothing of
 * it shows before it is committed, and nothing is left of it when it is abandoned.
 */
#ifndef WEFT_WORKER_BINDINGS_H
#define WEFT_WORKER_BINDINGS_H

#include <stddef.h>

#include "base/attr.h"
#include "base/text.h"
#include "conf/conf.h"
#include "conf/diff.h"
#include "proxy/proxy.h"
#include "proxy/transition.h"
#include "worker/opener.h"
#include "worker/sockets.h"

struct binding; /* opaque */

struct bindings {
    const struct conf *conf; /* not owned */
    struct sockets *sockets; /* not owned; nor is the next */
    struct opener *opener;
    struct binding *all;
    size_t count;
};

/** How many sockets a configuration needs. */
unsigned bindings_needed(const struct conf *conf);

/**
 * Get all sockets that there are not yet, or none.
 *
 * `diff`: how the configuration differs from the one in effect; NULL: none is.
 * Returns 0, or -errno with what failed, and where it was configured, added to `why`.
 */
int bindings_open(struct bindings *ret, const struct conf *conf, const struct diff *diff,
                  struct sockets *sockets, struct opener *opener, struct text *why) WEFT_MUSTCHECK;

/**
 * Prepare a transition to `to`: every address to its listener, an acceptor for every new socket.
 *
 * Returns 0 or -errno. Owns: as transition_init(). `closed` as of acceptor_new().
 */
int bindings_prepare(struct bindings *b, struct transition *t, struct proxy *to,
                     const struct shard_group *group,
                     void (*closed)(struct notice *n)) WEFT_MUSTCHECK;

/** Set sockets that were there before, here or with the master, as their listeners now say. What
 * the kernel refuses is logged. */
void bindings_apply_options(struct bindings *b);

/** From now on these are what is listened on; `t` as it was prepared. Thread: control. */
void bindings_commit(struct bindings *b, const struct transition *t);

/** Leave everything as it was before bindings_open(). */
void bindings_abandon(struct bindings *b);

/** Free what it holds, after either. Fine on a zeroed one. */
void bindings_free(struct bindings *b);

#endif
