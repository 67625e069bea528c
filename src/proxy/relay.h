/*
 * The relay: bytes between two connections, each direction a small state machine of its own.
 *
 *      client ──read──> [ in:  ring or pipe ] ──write──> server
 *      client <─write── [ out: ring or pipe ] <──read─── server
 *
 *      FLOWING ── source's FIN read ──> DRAINING ── all sent, FIN forwarded ──> CLOSED
 *
 * Bulk goes through a pipe, inside the kernel, all else through the ring. A direction that splices
 * holds a pipe only while there is something in it, as the ring holds nodes; where there is none to
 * be had, the ring does it. Never do both hold bytes.
 *
 *               some large reads in a row
 *      copying ───────────────────────────> splicing
 *              <───────────────────────────
 *               some small reads in a row
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
#include "conf/conf.h"
#include "io/conn.h"
#include "io/pipes.h"
#include "proxy/end.h"

enum half_phase { HALF_FLOWING, HALF_DRAINING, HALF_CLOSED };

/* One direction. */
struct relay_half {
    struct ring ring;  /* read and not yet written */
    struct pipe *pipe; /* likewise; NULL when empty */
    uint64_t received; /* [bytes] from the source, ever */
    uint64_t sent;     /* [bytes] to the sink, ever */
    uint8_t phase;     /* enum half_phase */
    uint8_t nodes;     /* ring nodes that the next read is offered */
    uint8_t calm;      /* reads in a row that needed less than half of them */
    uint8_t mode;      /* enum conf_splice: may it change between ring and pipe? */
    uint8_t streak;    /* reads in a row that speak for such a change */
    bool splicing;     /* the next read goes to a pipe */
    bool spliced;      /* some read did */
    bool over;         /* the source has closed, or failed when read to be thrown away */
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

void relay_init(struct relay *r, enum conf_splice mode);

/** Drop what is still buffered. */
void relay_reset(struct relay *r);

/**
 * Read ahead what the client has sent already, before there is a server to send it to.
 *
 * Does not yield. Returns whether the client is still there; `end` says why not.
 */
bool relay_prefetch(struct relay *r, struct conn *client);

/** Drop the first `n` bytes of what was read ahead: they are none of the client's. */
void relay_skip(struct relay *r, size_t n);

/**
 * Send what was read ahead, as the first thing on a connection that may not be through yet.
 * `front`: bytes that go in front of it, and move on by what was taken; NULL: none.
 *
 * Does not yield. Returns 0 when there was nothing to send or some was taken, -EAGAIN when the
 * connect is not through, or its -errno.
 */
int relay_first_write(struct relay *r, struct conn *server, struct iovec *front) WEFT_MUSTCHECK;

/** Move what can be moved in both directions. Does not yield. */
enum relay_state relay_turn(struct relay *r, struct conn *client, struct conn *server);

/** Read no more, as if both sides had closed: once all that is buffered has gone out, and a FIN
 * behind it, a turn says RELAY_DONE. */
void relay_stop(struct relay *r);

/** Whether bytes were read that are not written yet, for the server and for the client. */
void relay_pending(const struct relay *r, bool *ret_in, bool *ret_out);

/**
 * Read and throw away what the peers of a stopped relay still send.
 *
 * Does not yield. Returns RELAY_DONE when both have closed or failed; with RELAY_WAITING those that
 * are not `over` are to be waited for.
 */
enum relay_state relay_discard(struct relay *r, struct conn *client, struct conn *server);

/** Whether one side has closed and the other has not. */
bool relay_half_closed(const struct relay *r);

#endif
