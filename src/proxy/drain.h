/*
 * Drains: sessions that are to end, ended over a time instead of all at once.
 *
 *      sessions
 *        all |\
 *            | \           those idle longest go first; one that has just moved bytes is spared
 *            |  \____      in the first three quarters
 *            |       \
 *          0 +--------\--- time
 *            begun     end
 *
 * Each shard does it for its own sessions. What is ended so says farewell first, see farewell.h;
 * at the end nothing is left.
 */
#ifndef WEFT_PROXY_DRAIN_H
#define WEFT_PROXY_DRAIN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "proxy/notice.h"
#include "proxy/session.h"
#include "proxy/shard.h"

struct drain_share; /* what is one shard's */

struct drain {
    const struct shard_group *group;
    int64_t begun; /* [monotonic ns] */
    int64_t end;   /* [monotonic ns] at most `begun`: all at once */

    /* Whether a session is to end; NULL: all, those too that begin meanwhile. Thread: its shard's.
     */
    bool (*concerns)(const struct drain *d, const struct session *s);

    /* No shard has anything left of it. Thread: control. */
    void (*done)(struct drain *d);

    struct drain_share *shares;
    atomic_uint ranks; /* shards that have begun with sessions */
    unsigned over;     /* shards that have said so */
};

/** Prepare one on all shards; the fields up to `done` are the caller's to fill in. Returns 0 or
 * -ENOMEM. */
int drain_init(struct drain *d, const struct shard_group *group) WEFT_MUSTCHECK;

/** Begin. It must stay until `done`. Thread: control. */
void drain_begin(struct drain *d);

/** Free what it holds, before it has begun or after it is done. */
void drain_destroy(struct drain *d);

/** Sessions that it had, and those that wait for their end. Thread: any; a moment old. */
void drain_progress(const struct drain *d, uint64_t *ret_all, uint64_t *ret_left);

/* --- for a shard and its sessions. Thread: the shard's. ----------------------------------- */

/** When drain_turn() is to be called next [monotonic ns]. */
int64_t drain_next(const struct shard *shard);

/** End what is due. Does not yield. */
void drain_turn(struct shard *shard);

/** The shard ends: so do its parts of all drains. */
void drain_leave(struct shard *shard);

/** A session has begun. */
void drain_admit(struct session *s);

/** A session that waits for its end has ended by itself. */
void drain_forget(struct session *s);

#endif
