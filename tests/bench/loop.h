/*
 * The load's and the backend's own event loop: bare epoll, level-triggered. It shares no code with
 * what is measured.
 */
#ifndef BENCH_LOOP_H
#define BENCH_LOOP_H

#include <stdint.h>

struct source {
    int fd;                                           /* owned by whoever embeds the source */
    uint32_t events;                                  /* what epoll is asked for; 0: not joined */
    void (*ready)(struct source *s, uint32_t events); /* may close and free it */
};

struct loop {
    int fd;
};

/** Monotonic time now [ns]. */
int64_t clock_now(void);

/** Returns 0 or a negative errno. */
int loop_open(struct loop *l);
void loop_close(struct loop *l);

/**
 * Ask for these events of a source from now on; it joins the loop with the first call.
 *
 * Returns 0 or a negative errno.
 */
int loop_want(struct loop *l, struct source *s, uint32_t events);

/** Close the source's descriptor, with which it leaves the loop. Harmless when it is closed. */
void loop_drop(struct source *s);

/** Wait until something is ready, or `deadline` [monotonic ns] has come, and serve it. */
void loop_turn(struct loop *l, int64_t deadline);

#endif
