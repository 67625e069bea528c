/*
 * Queues: connections of a pool that wait for a server, first come, first served, over all workers.
 *
 *      no room at any server ──> join ──> serve: a server is picked for the first who waits
 *                                           ^
 *      a connection is over, a server is up, limits are wider
 *
 * Who is served has his place at the server already: nobody who comes later can take it. Whoever
 * has joined serves once himself, since a place may have become free just before.
 */
#ifndef WEFT_PROXY_QUEUE_H
#define WEFT_PROXY_QUEUE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/list.h"
#include "upstream/balancer.h"

/* Somebody who waits; his own until queue_leave() or wake(). */
struct queue_waiter {
    struct list link;
    struct balancer *balancer; /* of his generation of the pool */
    struct pick *pick;         /* the queue's while he waits */
    bool patient;              /* waits for room, and not only for new servers' first checks */
    int result;                /* as of balancer_pick(), once he is served */
    void (*wake)(struct queue_waiter *w); /* called on the thread of whoever serves, once */
};

struct queue {
    pthread_mutex_t lock;
    struct list waiters; /* under `lock` */
    uint32_t random;     /* of the picks, under `lock` */
    atomic_uint waiting; /* members of `waiters` */
};

void queue_init(struct queue *q);
void queue_destroy(struct queue *q);

/** Join its end, unless `size` wait already. Returns whether there was room. Thread: any. */
bool queue_join(struct queue *q, struct queue_waiter *w, unsigned size) WEFT_MUSTCHECK;

/**
 * Pick servers for those who wait, as far as there are any: others are told that there is none.
 *
 * `now`: [monotonic ns]. Thread: any.
 */
void queue_serve(struct queue *q, int64_t now);

/** Leave it. Returns false when it is too late: he is served, and woken. Thread: any. */
bool queue_leave(struct queue *q, struct queue_waiter *w) WEFT_MUSTCHECK;

/** Whether anybody waits: who comes now has to join. Thread: any. */
static inline bool queue_busy(const struct queue *q)
{
    return unlikely(atomic_load(&q->waiting) > 0);
}

#endif
