/*
 * The scheduler: a thread's libev loop, the fibers that are ready, and the netpoller.
 *
 *      ┌─> run the ready fibers, at most those that were ready at the turn's start
 *      │   ev_run once (without waiting where fibers are still ready):
 *      │       inner epoll descriptor readable ──> netpoll ──> fiber_ready
 *      │       timers, mailbox ───────────────────────────────> fiber_ready
 *      └── clock_update
 *
 * A fiber that does not wait for long is found by another thread through sched_watch().
 */
#ifndef WEFT_FIBER_SCHED_H
#define WEFT_FIBER_SCHED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "fiber/fiber.h"
#include "fiber/stack.h"

struct ev_loop;

enum netpoll_kind { NETPOLL_DEFAULT, NETPOLL_EPOLL, NETPOLL_LIBEV };

struct sched_options {
    enum netpoll_kind netpoll;
    unsigned ev_backends; /* EVBACKEND_ flags for libev; 0: its choice */
    enum stack_guard guard;
    int64_t
        busy_poll; /* [ns] spin that long before sleeping, where it is likely to pay; 0: never */
};

struct sched_stats {
    uint64_t turns;    /* of the loop */
    uint64_t switches; /* into fibers */
    uint64_t fibers;   /* alive */
    uint64_t stalls;   /* turns found to last longer than the limit by sched_watch */
    uint64_t spins;    /* waits that began with spinning */
    int64_t busy;      /* [ns] spent outside the wait for events */
};

/** Make a scheduler and its loop. It becomes the calling thread's by sched_run(). Returns NULL and
 * sets errno on failure. */
struct sched *sched_new(const struct sched_options *o) WEFT_MUSTCHECK;

/** Free it, and the stacks of fibers that sched_stop() has left alive; they never run again. NULL
 * is fine. */
void sched_free(struct sched *s);

/**
 * Run `main_fn(arg)` as the first fiber, and every fiber that is started meanwhile, until none is
 * left or sched_stop() is called.
 *
 * Thread: the one that runs it owns the scheduler from here on; it needs its signals blocked.
 */
void sched_run(struct sched *s, const char *name, fiber_fn *main_fn, void *arg);

/** Leave sched_run() at the end of this turn, fibers alive or not. Thread: the scheduler's own. */
void sched_stop(struct sched *s);

/** The calling thread's scheduler; NULL where none runs. */
struct sched *sched_self(void);

struct ev_loop *sched_loop(struct sched *s);

/** A snapshot; exact on the scheduler's own thread, a moment old elsewhere. */
void sched_stats(const struct sched *s, struct sched_stats *ret);

/**
 * Look whether the scheduler's thread still turns its loop: called now and then by another thread.
 *
 * Returns how long the present turn has lasted when that is over `limit` [ns], with the running
 * fiber's name copied to `ret_name` (at least 32 bytes, "" when it is the loop itself); else 0.
 * Counts each such turn once as a stall.
 */
int64_t sched_watch(struct sched *s, int64_t limit, char *ret_name, size_t size);

/** Report a crash, a stack overflow above all, as what it is: install signal handlers (once a
 * process) and this thread's alternate stack. */
int sched_catch_crash(void) WEFT_MUSTCHECK;

/** Say what a crashed fiber was about, with a blank behind it, or nothing. In a signal handler. */
typedef void crash_describe_fn(const struct fiber *f, void (*say)(const char *text));

/** Have crash reports say more. To be called before there is a scheduler. */
void sched_describe_crash(crash_describe_fn *fn);

#endif
