/*
 * Acceptors: a fiber for each listening socket of a shard, which takes connections from it and
 * starts their sessions.
 *
 *      limits ── full ──> wait at the gate; connections stay in the backlog
 *         │
 *      accept ── out of descriptors or memory ──> say so once, pause, try again
 *         │
 *      session
 *
 * An acceptor goes over from generation to generation as long as its address is listened on.
 */
#ifndef WEFT_PROXY_ACCEPTOR_H
#define WEFT_PROXY_ACCEPTOR_H

#include <stdatomic.h>

#include "base/attr.h"
#include "base/list.h"
#include "fiber/fiber.h"
#include "io/conn.h"
#include "proxy/gate.h"
#include "proxy/notice.h"
#include "proxy/proxy.h"
#include "proxy/shard.h"

struct acceptor {
    struct fiber fiber;
    struct list link; /* in the shard's acceptors */
    struct shard *shard;
    struct proxy_listener *listener;
    unsigned address; /* its number: that of the socket's address, see transition.h */
    struct conn listening;
    bool handed; /* by systemd, whose unit says how it was opened */
    bool stopping;
    bool ended;
    bool placed;           /* holds a place at the listener's gate, and waits for the process's */
    unsigned moves;        /* times it went over to a listener with another gate */
    struct gate *waits_at; /* NULL: it does not wait */
    struct gate_waiter waiter;
    struct shard_message wake; /* posted by the gate */
    atomic_bool wake_posted;   /* and not yet delivered: it is in the mailbox at most once */
    struct notice closed;      /* to the control thread, which is to free it then */
};

/**
 * Make the acceptor of a listening socket.
 *
 * `closed` is called on the control thread once it has ended, and frees it.
 * Returns NULL without memory. Owns: the socket, from success on. Thread: any.
 */
struct acceptor *acceptor_new(struct proxy_listener *listener, unsigned address, int fd,
                              void (*closed)(struct notice *n)) WEFT_MUSTCHECK;

/** Start its fiber. Thread: the shard's. */
void acceptor_start(struct acceptor *a, struct shard *shard);

/** Let it start the sessions of another listener, of the next generation; its socket gets that
 * one's options. Does not yield. Thread: the shard's. */
void acceptor_retarget(struct acceptor *a, struct proxy_listener *listener);

/** Take what waits in the backlog, then close the listening socket and end. Thread: the shard's. */
void acceptor_stop(struct acceptor *a);

/** Stop every acceptor of a shard. Thread: the shard's. */
void acceptor_stop_all(struct shard *shard);

/** Free one that was never started, or has said that it is closed. */
void acceptor_free(struct acceptor *a);

#endif
