/*
 * The relay: bytes between two connections, each direction a small state machine of its own.
 *
 *      client ──read──> [ in:  ring ] ──write──> server
 *      client <─write── [ out: ring ] <──read─── server
 *
 *      FLOWING ── source's FIN read ──> DRAINING ── ring empty, FIN forwarded ──> CLOSED
 *
 * A turn never waits: it moves what can be moved, up to a bound, and says what it stopped at. The
 * state is here and not on a stack, so that who waits for the next turn needs no stack.
 */
#ifndef WEFT_PROXY_RELAY_H
#define WEFT_PROXY_RELAY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/ring.h"
#include "io/conn.h"
#include "proxy/end.h"

enum half_phase { HALF_FLOWING, HALF_DRAINING, HALF_CLOSED };

/* One direction. */
struct relay_half {
    struct ring ring;  /* read and not yet written */
    uint64_t received; /* [bytes] from the source, ever */
    uint64_t sent;     /* [bytes] to the sink, ever */
    uint8_t phase;     /* enum half_phase */
    uint8_t nodes;     /* ring nodes that the next read is offered */
};

struct relay {
    struct relay_half in;  /* client to server */
    struct relay_half out; /* server to client */
    int64_t activity;      /* [monotonic ns] when a byte or a FIN last moved */
    uint8_t end;           /* enum session_end; END_NONE while it goes on */
    uint8_t first_fin;     /* enum session_end: which side closed first */
};

enum relay_state {
    RELAY_WAITING, /* nothing can move until one of the connections is ready */
    RELAY_BUSY,    /* the bound is reached, more can be done at once */
    RELAY_DONE,    /* `end` says how */
};

void relay_init(struct relay *r);

/** Give back what is still buffered. */
void relay_reset(struct relay *r);

/**
 * Read ahead what the client has sent already, before there is a server to send it to.
 *
 * Does not yield. Returns whether the client is still there; `end` says why not.
 */
bool relay_prefetch(struct relay *r, struct conn *client);

/**
 * Send what was read ahead, as the first thing on a connection that may not be through yet.
 *
 * Does not yield. Returns 0 when there was nothing to send or some was taken, -EAGAIN when the
 * connect is not through, or its -errno.
 */
int relay_first_write(struct relay *r, struct conn *server) WEFT_MUSTCHECK;

/** Move what can be moved in both directions. Does not yield. */
enum relay_state relay_turn(struct relay *r, struct conn *client, struct conn *server);

/** Whether one side has closed and the other has not. */
bool relay_half_closed(const struct relay *r);

#endif
