/*
 * One connection of the load, and one exchange at a time on it.
 */
#ifndef BENCH_CLIENT_H
#define BENCH_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "frame.h"
#include "load.h"

struct client {
    struct source source;
    struct load *load;
    void *owner;     /* the shape's */
    int64_t began;   /* the current exchange, or the connection [monotonic ns] */
    bool connecting; /* asked for nothing yet but to be connected */
    bool asking;     /* an answer has to come */
    int error;       /* met while asking, for the loop to report; 0 or a negative errno */
    struct frame_writer out;
    struct frame_reader in;

    /*
     * Called once an exchange is over, with 0, or when the connection has failed, with a negative
     * errno and the connection dropped. It may ask for the next exchange or drop the connection.
     */
    void (*done)(struct client *c, int err);
};

/** Begin to connect; done() is called for the first exchange only. Returns 0 or a negative errno.
 */
int client_connect(struct client *c, struct load *l);

/** Have done() called when the connection is there, with nothing sent on it. */
void client_await_connected(struct client *c);

/**
 * Send a message and await its answer of the same size; done() is called in a later turn.
 *
 * With FRAME_CLOSE among the flags the exchange ends with the server's end of stream.
 */
void client_ask(struct client *c, uint32_t size, uint32_t flags, uint64_t number);

/** Close, as the second end to do so or with nothing to lose. */
void client_close(struct client *c);

/** Close by a reset. */
void client_reset(struct client *c);

#endif
