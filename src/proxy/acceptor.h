/*
 * Acceptors: a fiber for each listening socket of a shard, which takes connections from it and
 * starts their sessions.
 *
 *      limits ── full ──> wait at the gate; connections stay in the backlog
 *         │
 *      accept ── out of descriptors or memory ──> say so once, pause, try again
 *         │
 *      session
 */
#ifndef WEFT_PROXY_ACCEPTOR_H
#define WEFT_PROXY_ACCEPTOR_H

#include "base/attr.h"
#include "proxy/proxy.h"
#include "proxy/shard.h"

struct acceptor;

/**
 * Make the acceptor of a listening socket and start its fiber.
 *
 * Returns NULL without memory. Owns: the socket, from success on. The acceptor stays until
 * acceptor_free(), which other shards' messages may need. Thread: the shard's.
 */
struct acceptor *acceptor_start(struct shard *shard, struct proxy_listener *listener,
                                int fd) WEFT_MUSTCHECK;

/** Take what waits in the backlog, then close the listening socket and end. Thread: the shard's. */
void acceptor_stop(struct acceptor *a);

/** Stop every acceptor of a shard. Thread: the shard's. */
void acceptor_stop_all(struct shard *shard);

/** Whether all have ended. Thread: the shard's. */
bool acceptor_all_ended(const struct shard *shard);

/** Free the acceptors of a shard, once no thread sends messages any more. */
void acceptor_free_all(struct shard *shard);

#endif
