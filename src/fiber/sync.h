/*
 * Locks between fibers of one scheduler: they park the fiber, never the thread. First come, first
 * served. Every wait takes a deadline [monotonic ns] and returns 0, -ETIMEDOUT or -ECANCELED.
 */
#ifndef WEFT_FIBER_SYNC_H
#define WEFT_FIBER_SYNC_H

#include <stdint.h>

#include "base/attr.h"
#include "base/list.h"
#include "fiber/fiber.h"

struct fiber_mutex {
    struct fiber *owner;
    struct list waiters;
};

struct fiber_cond {
    struct list waiters;
};

struct fiber_sem {
    unsigned count;
    struct list waiters;
};

struct fiber_group {
    unsigned count; /* what is still to be done */
    struct list waiters;
};

void fiber_mutex_init(struct fiber_mutex *m);
int fiber_mutex_lock(struct fiber_mutex *m, int64_t deadline) WEFT_MUSTCHECK;
void fiber_mutex_unlock(struct fiber_mutex *m);

void fiber_cond_init(struct fiber_cond *c);
int fiber_cond_wait(struct fiber_cond *c, int64_t deadline) WEFT_MUSTCHECK;
void fiber_cond_signal(struct fiber_cond *c);
void fiber_cond_broadcast(struct fiber_cond *c);

void fiber_sem_init(struct fiber_sem *s, unsigned count);
int fiber_sem_acquire(struct fiber_sem *s, int64_t deadline) WEFT_MUSTCHECK;
void fiber_sem_release(struct fiber_sem *s);

void fiber_group_init(struct fiber_group *g);
void fiber_group_add(struct fiber_group *g, unsigned n);
void fiber_group_done(struct fiber_group *g);
int fiber_group_wait(struct fiber_group *g, int64_t deadline) WEFT_MUSTCHECK;

#endif
