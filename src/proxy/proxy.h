/*
 * A configuration at work: what all workers share of its listeners and pools. One is a generation:
 * it never changes, a reload makes the next one. A session keeps the generation it began with.
 *
 *      proxy ──> conf
 *        ├── listeners ──> state ┐
 *        ├── pools ──────> state ├─ shared with the generation before, see state.h
 *        │                 state ┘
 *        └── shares: what each shard has of it
 */
#ifndef WEFT_PROXY_PROXY_H
#define WEFT_PROXY_PROXY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/list.h"
#include "base/socket.h"
#include "conf/conf.h"
#include "proxy/counters.h"
#include "proxy/door.h"
#include "proxy/notice.h"
#include "proxy/route.h"
#include "proxy/shard.h"
#include "proxy/state.h"
#include "upstream/balancer.h"

struct proxy_pool {
    const struct conf_pool *conf;
    struct pool_state *state; /* a reference */
    struct balancer balancer;
};

/* A route, and where it leads. */
struct proxy_route {
    struct route route;
    struct proxy_pool *pool;
};

struct proxy_listener {
    const struct conf_listener *conf;
    struct listener_state *state; /* a reference */
    struct counters *counters;    /* the state's; one a shard */
    struct proxy *proxy;
    struct proxy_pool *pool;    /* NULL: there are routes */
    struct proxy_route *routes; /* owned */
    size_t route_count;
    struct door door;
    struct socket_options
        upstream; /* of connections to servers; without keepalive, see session.c */
};

/* What a shard has of a generation. Only the shard's thread touches it, between messages. */
struct proxy_share {
    uint64_t sessions; /* that began with the generation and live */
    bool retired;      /* no more will begin: to be said when there are none */
    struct proxy *proxy;
    struct shard_message retire; /* to the shard */
    struct notice unused;        /* from the shard */
} __attribute__((aligned(WEFT_CACHE_LINE)));

struct proxy {
    const struct conf *conf; /* a reference of its own */
    uint64_t generation;     /* of the configuration, from 1 */
    unsigned max_connections;
    struct process_state *state; /* a reference */
    struct proxy_listener *listeners;
    struct proxy_pool *pools;
    struct proxy_share *shares; /* by number of the shard */
    unsigned shard_count;
    unsigned unused;  /* shards that have said so */
    struct list link; /* in the control thread's generations */
};

/* What a generation is made of. */
struct proxy_options {
    const struct conf *conf; /* proxy_new() takes a reference */
    uint64_t generation;
    unsigned max_connections; /* of the process */
    unsigned shards;
    const struct proxy *previous; /* whose state of the same names is shared; NULL: none */
};

/**
 * Make a generation. Nothing of the previous one changes yet, and nobody uses the new one.
 *
 * Returns NULL without memory. Thread: any, as long as `previous` stays.
 */
struct proxy *proxy_new(const struct proxy_options *o) WEFT_MUSTCHECK;

/** Free it; no shard may use it any more. NULL is fine. */
void proxy_free(struct proxy *p);

/** Let gates and servers have its limits. Who waits for one that has become wider is let in. */
void proxy_apply_limits(const struct proxy *p);

/**
 * Free a generation as soon as no shard has a session of it; until then it is in its list.
 *
 * Every shard must have gone over to another one. Those that have ended do not answer: what is left
 * in the list when all have ended is the caller's to free. Thread: control.
 */
void proxy_retire(struct proxy *p, const struct shard_group *group);

/** Count a session of `l` in. Thread: the shard's. */
static inline void proxy_join(const struct proxy_listener *l, const struct shard *shard)
{
    l->proxy->shares[shard->number].sessions++;
}

/** Count it out; its generation may be gone thereafter. Thread: the shard's. */
void proxy_leave(const struct proxy_listener *l, const struct shard *shard);

/** Give back the places that a connection of a listener held at the gates. Thread: any. */
void proxy_listener_leave(struct proxy_listener *l);

/** What a listening socket of a listener is to be set to. */
void proxy_listen_options(const struct conf_listener *l, struct socket_listen_options *ret);

#endif
