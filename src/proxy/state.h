/*
 * What outlives a generation: the places, counts and positions of whatever a reload keeps, by name.
 *
 *      generation 1                       generation 2
 *      listener web ──> listener_state <── listener web     the same connections count
 *      pool back    ──> pool_state     <── pool back        the turns go on where they were
 *                       process_state                       one for all
 *
 * Each is shared by the generations that hold a reference, and goes with the last of them.
 */
#ifndef WEFT_PROXY_STATE_H
#define WEFT_PROXY_STATE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/attr.h"
#include "proxy/counters.h"
#include "proxy/gate.h"
#include "proxy/queue.h"
#include "proxy/sources.h"
#include "upstream/balancer.h"

struct process_state {
    atomic_uint references;
    struct gate gate;               /* max_connections of the process */
    atomic_bool out_of_descriptors; /* said so, and not accepted again since */
};

struct listener_state {
    atomic_uint references;
    struct gate gate;          /* max_connections of the listener */
    struct counters *counters; /* owned; one a shard */
    struct sources *sources;   /* owned; NULL until a generation has limits for them */
};

struct pool_state {
    atomic_uint references;
    struct queue queue;
    struct balancer_position position;
};

/* Each is made with one reference; its gate lets all in. NULL without memory. Thread: any. */
struct process_state *process_state_new(void) WEFT_MUSTCHECK;
struct listener_state *listener_state_new(unsigned shards) WEFT_MUSTCHECK;
struct pool_state *pool_state_new(void) WEFT_MUSTCHECK;

/* Another reference to what has one. Thread: any. */
struct process_state *process_state_ref(struct process_state *s);
struct listener_state *listener_state_ref(struct listener_state *s);
struct pool_state *pool_state_ref(struct pool_state *s);

/* Drop a reference; the last one frees it. NULL is fine. Thread: any. */
void process_state_unref(struct process_state *s);
void listener_state_unref(struct listener_state *s);
void pool_state_unref(struct pool_state *s);

#endif
