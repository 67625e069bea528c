/*
 * The load generator: one shape of load at a time, from one thread.
 */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "account.h"
#include "loop.h"
#include "meter.h"

struct options {
    uint16_t port;        /* of the proxy, on the loopback address */
    unsigned connections; /* held at a time; of bulk loads: flows */
    uint32_t size;        /* of a message and of its answer [bytes] */
    double seconds;
    double warmup; /* [s] */
    double rate;   /* of the open loop [exchanges per second] */
    bool check;    /* compare every byte */
    bool discard;  /* let the kernel drop bulk bytes, uncopied */
    bool fin;      /* short connections: the server closes first; else: the client resets */
    bool silent;   /* idle connections: nothing is exchanged */
    struct watch watch;
};

struct load {
    const struct options *options;
    struct loop loop;
    struct meter meter;
};

/** The flags of every frame that this run sends. */
uint32_t load_flags(const struct load *l);

/* The shapes: each runs to its end. Returns 0, or a negative errno when it could not begin. */

/** Exchange one message after the other on every connection. */
int shape_pingpong(struct load *l);

/** Connect, exchange one message, close; as many at a time as there are connections. */
int shape_short(struct load *l);

/** One stream a flow from the server to the client. */
int shape_down(struct load *l);

/** One stream a flow from the client to the server. */
int shape_up(struct load *l);

/**
 * Hold open connections that do nothing.
 *
 * Says `{"held": N}` on stdout at a quarter of them and at all, and goes on at a line on stdin.
 */
int shape_idle(struct load *l);

/**
 * Exchange messages at times fixed beforehand, whether the answers keep up or not.
 *
 * A latency counts from the time at which its message was due, so that a stall is felt by every
 * message that fell into it (no coordinated omission).
 */
int shape_rate(struct load *l);

#endif
