/*
 * Gates: how many connections may be there at once, over all workers. A connection that finds the
 * gate shut stays in the kernel's backlog until another one has left.
 *
 *      enter: active + 1, undone when that is over max ──> wait in `waiters`, first come first
 * served leave: active - 1, and the first waiter is let try again
 *
 * Entering and leaving are one atomic addition each; the lock is for waiting alone.
 */
#ifndef WEFT_PROXY_GATE_H
#define WEFT_PROXY_GATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/list.h"

/* Somebody who waits at a gate; its owner's until it is not waiting any more. */
struct gate_waiter {
    struct list link;
    void (*wake)(struct gate_waiter *w); /* called on the thread of whoever leaves */
};

struct gate {
    atomic_uint max; /* 0: unlimited */
    atomic_uint active;
    atomic_uint waiting;       /* members of `waiters` */
    _Atomic int64_t told_full; /* [monotonic ns] when it was last said */
    pthread_mutex_t lock;
    struct list waiters; /* under `lock` */
};

void gate_init(struct gate *g, unsigned max);
void gate_destroy(struct gate *g);

/** Change the maximum; who waits tries again. Thread: any. */
void gate_set_max(struct gate *g, unsigned max);

/** Returns whether there is room, which is then taken. Thread: any. */
bool gate_enter(struct gate *g) WEFT_MUSTCHECK;

/** Give the place back and wake the first who waits. Thread: any. */
void gate_leave(struct gate *g);

/**
 * Queue up for a wake-up. Who has done so tries to enter once more before it sleeps: the place may
 * have become free just before. Thread: any.
 */
void gate_wait(struct gate *g, struct gate_waiter *w);

/** Leave the queue, woken or not. No wake-up begins after it has returned. Thread: any. */
void gate_forget(struct gate *g, struct gate_waiter *w);

/**
 * Leave the queue without having tried once more: a wake-up that has come meanwhile is passed on to
 * the next one. Thread: any.
 */
void gate_give_up(struct gate *g, struct gate_waiter *w);

/** Whether it is time to tell somebody that the gate is full: once a minute. `now`: [monotonic ns].
 */
bool gate_tell_full(struct gate *g, int64_t now);

unsigned gate_active(const struct gate *g);
unsigned gate_max(const struct gate *g);

#endif
