#include "proxy/state.h"

#include <stdlib.h>

static void take(atomic_uint *references)
{
    /* Whoever takes a reference has one already: nothing needs to be ordered. */
    atomic_fetch_add_explicit(references, 1, memory_order_relaxed);
}

/* Returns whether it was the last one. */
static bool drop(atomic_uint *references)
{
    /* Every holder's last look at it comes before the free. */
    return atomic_fetch_sub_explicit(references, 1, memory_order_acq_rel) == 1;
}

struct process_state *process_state_new(void)
{
    struct process_state *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return NULL;
    atomic_init(&s->references, 1);
    gate_init(&s->gate, 0);
    return s;
}

struct process_state *process_state_ref(struct process_state *s)
{
    take(&s->references);
    return s;
}

void process_state_unref(struct process_state *s)
{
    if (s == NULL || !drop(&s->references))
        return;
    gate_destroy(&s->gate);
    free(s);
}

struct listener_state *listener_state_new(unsigned shards)
{
    struct listener_state *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return NULL;
    s->counters = counters_new(shards);
    if (s->counters == NULL) {
        free(s);
        return NULL;
    }
    atomic_init(&s->references, 1);
    gate_init(&s->gate, 0);
    return s;
}

struct listener_state *listener_state_ref(struct listener_state *s)
{
    take(&s->references);
    return s;
}

void listener_state_unref(struct listener_state *s)
{
    if (s == NULL || !drop(&s->references))
        return;
    gate_destroy(&s->gate);
    free(s->counters);
    sources_free(s->sources);
    free(s);
}

struct pool_state *pool_state_new(void)
{
    struct pool_state *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return NULL;
    atomic_init(&s->references, 1);
    queue_init(&s->queue);
    return s;
}

struct pool_state *pool_state_ref(struct pool_state *s)
{
    take(&s->references);
    return s;
}

void pool_state_unref(struct pool_state *s)
{
    if (s == NULL || !drop(&s->references))
        return;
    queue_destroy(&s->queue);
    free(s);
}
