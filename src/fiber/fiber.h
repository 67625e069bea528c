/*
 * Fibers: functions that read as if they blocked, many to a thread.
 *
 *                 fiber_start           picked by the scheduler
 *      created ───────────────> ready ─────────────────────────> running
 *                                 ^                               │  │  │
 *                                 │ fiber_ready, deadline, cancel │  │  └── returns ──> done
 *                                 └──────────── parked <──────────┘  │
 *                                 └──────────── hibernated <─────────┘   (no stack held)
 *
 * A fiber belongs to the scheduler (and so to the thread) it was started on, for good. Every wait
 * ends in one of three ways: made ready (0), its deadline has passed (-ETIMEDOUT), it was
 * cancelled (-ECANCELED; every later wait fails so at once).
 */
#ifndef WEFT_FIBER_FIBER_H
#define WEFT_FIBER_FIBER_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/list.h"
#include "fiber/annotate.h"
#include "fiber/context.h"

struct sched;

typedef void fiber_fn(void *arg);

enum fiber_state { FIBER_CREATED, FIBER_READY, FIBER_RUNNING, FIBER_PARKED, FIBER_DONE };

/* Callers allocate it (a session embeds its fiber) and touch none of its fields. */
struct fiber {
    struct list link;       /* run queue, or the wait list of a mutex, condition ... */
    struct sched *sched;    /* set by fiber_start */
    struct context context; /* where it left its stack */
    void *stack;            /* lowest usable byte; NULL while it holds none */
    fiber_fn *fn;           /* what its next stack begins with */
    void *arg;              /* of fn */
    const char *name;       /* the caller's */
    void (*done)(struct fiber *f);
    struct fiber *joiner;  /* waits in fiber_join(); NULL: nobody */
    int64_t deadline;      /* [monotonic ns] of the present wait */
    int64_t timer_at;      /* [monotonic ns] when `timer` fires; CLOCK_NEVER: it does not run */
    struct ev_timer timer; /* fires at the deadline or, left from an earlier one, before it */
    int result;            /* of the last wait */
    uint8_t state;         /* enum fiber_state */
    bool cancelled;
    bool joinable;
    bool owned; /* by the scheduler: fiber_spawn() allocated it */
#ifdef FIBER_TSAN
    void *thread; /* ThreadSanitizer's record of the present stack's calls */
#endif
};

/**
 * Prepare a fiber that will run `fn(arg)`. `name` must outlive it, and every sched_watch() that
 * may have seen it run: it is not copied.
 *
 * It holds no stack until it runs. Owns: `f` stays the caller's; when the fiber has ended and
 * nothing touches it any more, `done(f)` (may be NULL) is called on the loop's stack and may free
 * it.
 */
void fiber_create(struct fiber *f, const char *name, fiber_fn *fn, void *arg,
                  void (*done)(struct fiber *f));

/** Make a created fiber ready on the calling thread's scheduler. */
void fiber_start(struct fiber *f);

/**
 * Make and start a fiber on the heap; it frees itself when it is done, or when it was joined
 * if `joinable`.
 *
 * Returns NULL without memory.
 */
struct fiber *fiber_spawn(const char *name, fiber_fn *fn, void *arg, bool joinable);

/** The running fiber; NULL on the loop's own stack. */
struct fiber *fiber_self(void);

/**
 * Wait until somebody calls fiber_ready(), at most until `deadline` [monotonic ns, CLOCK_NEVER].
 *
 * Yields, unless the deadline has passed already. Only a parked fiber can be made ready: there is
 * no memory of a fiber_ready() that came earlier; whoever waits for a condition looks at it first,
 * and again afterwards, since an event it has no use for any more may have ended the wait.
 * Returns 0, -ETIMEDOUT or -ECANCELED.
 */
int fiber_park(int64_t deadline) WEFT_MUSTCHECK;

/** Let a parked fiber run again; no effect on one that is not parked, or waits for a lock. Thread:
 * the fiber's own. */
void fiber_ready(struct fiber *f);

/** Let every other ready fiber run first. Yields. */
void fiber_yield(void);

/**
 * As fiber_park, but give the stack back: when the wait ends, `resume(arg)` runs on another one
 * in place of the caller, who never goes on. How the wait ended: fiber_wait_result().
 *
 * An idle connection waits here and costs its record alone.
 */
void fiber_hibernate(fiber_fn *resume, void *arg, int64_t deadline) WEFT_NORETURN;

/** How the running fiber's last wait ended: 0, -ETIMEDOUT or -ECANCELED. */
int fiber_wait_result(void);

/** Wait until a joinable fiber is done, and free it. Yields. Returns 0 or, with the fiber left
 * alone, -ECANCELED. */
int fiber_join(struct fiber *f) WEFT_MUSTCHECK;

/** Make every wait of `f` fail with -ECANCELED, the present one too. Thread: the fiber's own. */
void fiber_cancel(struct fiber *f);

/** Sleep until `deadline` [monotonic ns]. Yields, unless it has passed. Returns 0 or -ECANCELED. */
int fiber_sleep(int64_t deadline) WEFT_MUSTCHECK;

/**
 * Run `fn(arg)` on the loop's large stack and come back: for library calls that want more stack
 * than a fiber has. `fn` must not wait. On the loop's stack already: a plain call.
 */
void fiber_call(fiber_fn *fn, void *arg);

#endif
