/* Worker threads: a scheduler and a shard each, proxying until they are told to end. */
#ifndef WEFT_WORKER_THREAD_H
#define WEFT_WORKER_THREAD_H

#include <pthread.h>

#include "base/attr.h"
#include "proxy/shard.h"

/* An order of the control thread's to a worker; each is given once at the most. */
struct order {
    struct shard_message message;
    enum session_end end; /* of the order to end the sessions: why */
};

struct worker {
    unsigned number;
    pthread_t thread;
    struct sched *sched;
    struct shard shard;
    int64_t busy_poll; /* [ns] 0: off */
    int cpu;           /* to be pinned to; -1: none */
    struct order drain;
    struct order end;
    void (*ended)(struct worker *w); /* called on the worker's thread as its last act */
};

/**
 * Make the scheduler and the shard of a worker whose other fields are filled in. All are made
 * before the first is started: they hand connections to each other. Returns 0 or -errno.
 */
int worker_prepare(struct worker *w, const struct shard_group *group,
                   struct pool *sessions) WEFT_MUSTCHECK;

/** Start the thread. Returns 0 or -errno. */
int worker_start(struct worker *w) WEFT_MUSTCHECK;

/** Wait for the thread to end. */
void worker_join(struct worker *w);

/** Free what it holds, once all workers have been joined. Fine on one that was not prepared. */
void worker_destroy(struct worker *w);

/** Have the worker stop accepting and end with its last session. To be called once. Thread: any. */
void worker_drain(struct worker *w);

/** Have the worker end its live sessions. To be called once. Thread: any. */
void worker_end_sessions(struct worker *w, enum session_end end);

#endif
