/*
 * A shard: what the fibers of one worker thread share, and no other thread touches. Others talk to
 * it by messages.
 */
#ifndef WEFT_PROXY_SHARD_H
#define WEFT_PROXY_SHARD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/list.h"
#include "base/pool.h"
#include "fiber/mailbox.h"
#include "fiber/sched.h"
#include "proxy/end.h"

struct shard;

/* Something to be done on a shard's own thread, by its main fiber. */
struct shard_message {
    struct mail mail;
    void (*deliver)(struct shard_message *m, struct shard *shard);
};

/* All shards of a process, each at its number. */
struct shard_group {
    struct shard **shards;
    unsigned count;
    uint64_t first_id;       /* of a connection; processes of one daemon have no id in common */
    struct mailbox *control; /* of the control thread, not owned: takes struct notice */
};

struct shard {
    unsigned number;                 /* of the worker, from 0 */
    uint32_t random;                 /* state of a small generator; never 0 */
    const struct shard_group *group; /* not owned; connection ids are unique over all of it */
    struct mailbox *mailbox;
    struct pool *sessions;   /* records of sessions; shared by all shards */
    struct list live;        /* struct session */
    struct list acceptors;   /* struct acceptor */
    struct list drains;      /* struct drain_share */
    enum session_end ending; /* why every session is to end; END_NONE: they are not */
    bool finished_posted;
    struct shard_message finished; /* to itself, when the last one has gone */

    /* What other threads look at. Only the shard itself writes all but the last. */
    _Atomic uint64_t active;      /* sessions whose fibers have not ended */
    _Atomic uint64_t started;     /* sessions, ever */
    _Atomic uint64_t handed_over; /* connections given to another shard, ever */
    atomic_bool draining;         /* no new connection: the shard ends with its last session */
    atomic_uint incoming;         /* connections on their way from other shards */
};

/**
 * Make the shard of a worker thread's scheduler. Returns 0 or -ENOMEM.
 */
int shard_init(struct shard *shard, unsigned number, const struct shard_group *group,
               struct sched *sched, struct pool *sessions) WEFT_MUSTCHECK;

/** Free what it holds, once no thread posts to it any more. */
void shard_destroy(struct shard *shard);

/** Have `m` delivered on the shard's thread. Owns: the receiver, from here on. Thread: any. */
void shard_post(struct shard *shard, struct shard_message *m);

/**
 * Deliver messages until the shard is draining and no session or acceptor is left.
 *
 * Yields. Thread: the shard's, its main fiber.
 */
void shard_run(struct shard *shard);

/** Stop accepting: what waits in the backlogs is still taken, then the listening sockets are
 * closed. Thread: the shard's. */
void shard_drain(struct shard *shard);

/** End every live session, for the reason `end`. Thread: the shard's. */
void shard_end_sessions(struct shard *shard, enum session_end end);

/** Sessions that live. Thread: any; a moment old on another one than the shard's. */
static inline uint64_t shard_active(const struct shard *shard)
{
    return atomic_load_explicit(&shard->active, memory_order_relaxed);
}

/** Count a session in (+1) or out (-1). Thread: the shard's. */
static inline void shard_count(struct shard *shard, int change)
{
    uint64_t now = shard_active(shard) + (uint64_t)(int64_t)change;
    atomic_store_explicit(&shard->active, now, memory_order_relaxed);
}

/** Tell the main fiber that a session or an acceptor is gone. Thread: the shard's. */
void shard_left(struct shard *shard);

#endif
