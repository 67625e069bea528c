/* What the files of this room share about the scheduler; nobody else includes it. */
#ifndef WEFT_FIBER_SCHED_INTERNAL_H
#define WEFT_FIBER_SCHED_INTERNAL_H

#include <assert.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "fiber/annotate.h"
#include "fiber/netpoll.h"
#include "fiber/sched.h"

/*
 * What other threads read, written by the scheduler's own thread alone: plain stores. The name is
 * a pointer to a constant.
 */
struct sched_watched {
    _Atomic uint64_t turns;
    _Atomic uint64_t switches;
    _Atomic uint64_t fibers;
    _Atomic uint64_t spins;
    _Atomic uint64_t busy;      /* [ns] the turns that are over */
    _Atomic int64_t busy_since; /* [monotonic ns] 0: waiting for events */
    const char *_Atomic running;
};

struct sched {
    struct list ready;
    struct fiber *current;  /* NULL: the loop runs */
    struct context context; /* the loop's */
    fiber_fn *call_fn;      /* what fiber_call() wants run on the loop's stack, or NULL */
    void *call_arg;
    struct ev_loop *loop;
    struct netpoll *netpoll;
    struct stack_arena *stacks;
    struct fiber first; /* what sched_run() begins with */
    struct annotate_stack loop_stack;
    struct ev_timer trim;
    struct ev_timer pause;
    bool stack_over; /* the fiber that left has no more use for its stack */
    bool starved;    /* no stack was to be had in this turn */
    bool stopped;
    bool polling;            /* this turn does not wait for events */
    bool recent;             /* the last wait was a short one */
    uint8_t spins_in_vain;   /* in a row, to a maximum */
    unsigned spins_left_out; /* waits that still go without spinning */
    unsigned spins_paid;     /* ever */
    int64_t busy_poll;       /* [ns] */
    int64_t slept;           /* [monotonic ns] when the present wait began */

    struct sched_watched watched __attribute__((aligned(WEFT_CACHE_LINE)));

    /* Of the thread that calls sched_watch(). */
    _Atomic uint64_t stalls __attribute__((aligned(WEFT_CACHE_LINE)));
    _Atomic uint64_t stalled_turn; /* the last one that was counted */
};

extern _Thread_local struct sched *sched_current;

static inline uint64_t sched_load(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* Only one thread writes: no read-modify-write is needed. */
static inline void sched_add(_Atomic uint64_t *counter, int64_t n)
{
    atomic_store_explicit(counter, sched_load(counter) + (uint64_t)n, memory_order_relaxed);
}

static inline void fiber_enqueue(struct fiber *f)
{
    f->state = FIBER_READY;
    list_push_back(&f->sched->ready, &f->link);
}

/** End a parked fiber's wait with `result`, whatever list it waits in. */
static inline void fiber_wake(struct fiber *f, int result)
{
    assert(f->state == FIBER_PARKED);
    list_remove(&f->link);
    f->result = result;
    f->deadline = CLOCK_NEVER;
    fiber_enqueue(f);
}

/** The running fiber, of a function that only fibers may call. */
static inline struct fiber *fiber_running(void)
{
    assert(sched_current != NULL && sched_current->current != NULL);
    return sched_current->current;
}

/** As fiber_park(), as a member of `waiters` that only fiber_wake() of the list's owner, the
 * deadline or a cancel takes out. */
int fiber_park_in(struct list *waiters, int64_t deadline) WEFT_MUSTCHECK;

/** End what a scheduler's fiber left behind: its timer, its stack's claims. Loop's stack. */
void fiber_finish(struct fiber *f);

/** Where every stack begins. */
void fiber_main(void *fiber);

/** Go on in the loop until the scheduler picks the running fiber again. */
void sched_leave(struct fiber *f);

/** Go on in the loop, with the stack free for others. */
void sched_leave_stack(struct fiber *f) WEFT_NORETURN;

#endif
