/*
 * A configuration at work: what all workers share of its listeners and pools. Made once for a
 * generation of the configuration; afterwards only counters in it change.
 */
#ifndef WEFT_PROXY_PROXY_H
#define WEFT_PROXY_PROXY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "base/socket.h"
#include "conf/conf.h"
#include "proxy/counters.h"
#include "proxy/gate.h"
#include "upstream/balancer.h"

struct proxy_pool {
    const struct conf_pool *conf;
    struct balancer balancer;
};

struct proxy_listener {
    const struct conf_listener *conf;
    struct proxy *proxy;
    struct proxy_pool *pool;
    struct gate gate;          /* max_connections of the listener */
    struct counters *counters; /* owned; one a shard */
    struct socket_options
        upstream; /* of connections to servers; without keepalive, see session.c */
};

struct proxy {
    const struct conf *conf; /* a reference of its own */
    uint64_t generation;     /* of the configuration, from 1 */
    struct proxy_listener *listeners;
    struct proxy_pool *pools;
    struct gate gate;               /* max_connections of the process */
    atomic_bool out_of_descriptors; /* said so, and not accepted again since */
};

/**
 * Set the configuration of a generation to work, with at most `max_connections` at once.
 *
 * Returns NULL without memory. Owns: takes a reference to `conf`.
 */
struct proxy *proxy_new(const struct conf *conf, uint64_t generation,
                        unsigned max_connections) WEFT_MUSTCHECK;

/** Free it; no connection may use it any more. NULL is fine. */
void proxy_free(struct proxy *p);

/** Give back the places that a connection of a listener held at the gates. Thread: any. */
void proxy_listener_leave(struct proxy_listener *l);

/** What a listening socket of a listener is to be set to. */
void proxy_listen_options(const struct conf_listener *l, struct socket_listen_options *ret);

#endif
