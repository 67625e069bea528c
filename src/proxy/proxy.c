#include "proxy/proxy.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "conf/names.h"
#include "proxy/lineup.h"

static struct socket_options common_options(const struct conf_listener *l)
{
    return (struct socket_options){
        .nodelay = l->nodelay,
        .receive_buffer = (int)l->receive_buffer,
        .send_buffer = (int)l->send_buffer,
    };
}

void proxy_listen_options(const struct conf_listener *l, struct socket_listen_options *ret)
{
    *ret = (struct socket_listen_options){
        .common = common_options(l),
        .backlog = (int)l->backlog,
        .defer_accept = l->defer_accept,
        .fastopen = (int)l->fastopen,
    };
    ret->common.keepalive = (struct socket_keepalive){
        .idle = l->keepalive.idle,
        .interval = l->keepalive.interval,
        .count = (int)l->keepalive.count,
    };
}

void proxy_listener_leave(struct proxy_listener *l)
{
    gate_leave(&l->state->gate);
    gate_leave(&l->proxy->state->gate);
}

/* --- making ------------------------------------------------------------------------------ */

/* The names of the previous generation, to find state by. */
struct inheritance {
    struct names listeners; /* name -> struct listener_state */
    struct names pools;     /* name -> struct proxy_pool */
    struct name *entries;
};

static bool index_name(struct names *in, struct name *entry, const char *text, void *value)
{
    *entry = (struct name){.text = text, .value = value};
    return names_add(in, entry) != NULL;
}

static bool inherit_from(struct inheritance *h, const struct proxy *previous)
{
    size_t listeners = previous->conf->listener_count, pools = previous->conf->pool_count;
    h->entries = calloc(listeners + pools, sizeof(*h->entries));
    bool fine = h->entries != NULL;
    for (size_t i = 0; fine && i < listeners; i++) {
        const struct proxy_listener *l = &previous->listeners[i];
        fine = index_name(&h->listeners, &h->entries[i], l->conf->name, l->state);
    }
    for (size_t i = 0; fine && i < pools; i++) {
        struct proxy_pool *p = &previous->pools[i];
        fine = index_name(&h->pools, &h->entries[listeners + i], p->conf->name, p);
    }
    return fine;
}

static struct listener_state *inherit_listener(const struct inheritance *h, const char *name,
                                               unsigned shards)
{
    const struct name *found = names_find(&h->listeners, name);
    return found != NULL ? listener_state_ref(found->value) : listener_state_new(shards);
}

static bool make_pool(struct proxy_pool *pool, const struct inheritance *h)
{
    const struct name *found = names_find(&h->pools, pool->conf->name);
    const struct proxy_pool *before = found != NULL ? found->value : NULL;
    pool->state = before != NULL ? pool_state_ref(before->state) : pool_state_new();
    return pool->state != NULL && lineup_make(&pool->balancer, pool->conf, &pool->state->position,
                                              before != NULL ? &before->balancer : NULL,
                                              before != NULL ? before->conf : NULL) == 0;
}

static bool make_pools(struct proxy *p, const struct inheritance *h)
{
    for (size_t i = 0; i < p->conf->pool_count; i++) {
        p->pools[i].conf = &p->conf->pools[i];
        if (!make_pool(&p->pools[i], h))
            return false;
    }
    return true;
}

/* No shard looks for the sources before it is in a generation that has limits for them. */
static bool make_door(struct proxy_listener *l)
{
    if (door_init(&l->door, l->conf) < 0)
        return false;
    if (l->door.counts && l->state->sources == NULL)
        l->state->sources = sources_new(SOURCES_IDLE_MAX);
    return !l->door.counts || l->state->sources != NULL;
}

static struct proxy_pool *pool_of(struct proxy *p, const struct conf_pool *conf)
{
    return &p->pools[conf - p->conf->pools];
}

static bool make_routes(struct proxy *p, struct proxy_listener *l)
{
    size_t count = l->conf->route_count;
    l->routes = count > 0 ? calloc(count, sizeof(*l->routes)) : NULL;
    if (count > 0 && l->routes == NULL)
        return false;
    for (; l->route_count < count; l->route_count++) {
        const struct conf_route *conf = &l->conf->routes[l->route_count];
        struct proxy_route *r = &l->routes[l->route_count];
        r->pool = pool_of(p, conf->pool);
        if (route_init(&r->route, conf) < 0)
            return false;
    }
    return true;
}

static bool make_listeners(struct proxy *p, const struct inheritance *h)
{
    for (size_t i = 0; i < p->conf->listener_count; i++) {
        const struct conf_listener *conf = &p->conf->listeners[i];
        struct listener_state *state = inherit_listener(h, conf->name, p->shard_count);
        if (state == NULL)
            return false;
        p->listeners[i] = (struct proxy_listener){
            .conf = conf,
            .state = state,
            .counters = state->counters,
            .proxy = p,
            .pool = conf->pool != NULL ? pool_of(p, conf->pool) : NULL,
            .upstream = common_options(conf),
        };
        if (!make_door(&p->listeners[i]) || !make_routes(p, &p->listeners[i]))
            return false;
    }
    return true;
}

static void deliver_retire(struct shard_message *m, struct shard *shard);
static void deliver_unused(struct notice *n);

static struct proxy_share *shares_new(struct proxy *p)
{
    size_t size = p->shard_count * sizeof(*p->shares);
    struct proxy_share *shares = aligned_alloc(WEFT_CACHE_LINE, size);
    for (unsigned i = 0; shares != NULL && i < p->shard_count; i++)
        shares[i] = (struct proxy_share){
            .proxy = p, .retire.deliver = deliver_retire, .unused.deliver = deliver_unused};
    return shares;
}

static bool make_parts(struct proxy *p, const struct inheritance *h, const struct proxy *previous)
{
    p->state = previous != NULL ? process_state_ref(previous->state) : process_state_new();
    p->listeners = calloc(p->conf->listener_count, sizeof(*p->listeners));
    p->pools = calloc(p->conf->pool_count, sizeof(*p->pools));
    p->shares = shares_new(p);
    return p->state != NULL && p->listeners != NULL && p->pools != NULL && p->shares != NULL &&
           make_pools(p, h) && make_listeners(p, h);
}

struct proxy *proxy_new(const struct proxy_options *o)
{
    struct proxy *p = calloc(1, sizeof(*p));
    if (p == NULL)
        return NULL;
    *p = (struct proxy){
        .conf = conf_ref(o->conf),
        .generation = o->generation,
        .max_connections = o->max_connections,
        .shard_count = o->shards,
    };
    list_init(&p->link);
    struct inheritance h = {.entries = NULL};
    names_init(&h.listeners);
    names_init(&h.pools);
    bool made =
        (o->previous == NULL || inherit_from(&h, o->previous)) && make_parts(p, &h, o->previous);
    names_clear(&h.listeners);
    names_clear(&h.pools);
    free(h.entries);
    if (made)
        return p;
    proxy_free(p);
    return NULL;
}

static void free_listener(struct proxy_listener *l)
{
    for (size_t i = 0; i < l->route_count; i++)
        route_free(&l->routes[i].route);
    free(l->routes);
    door_free(&l->door);
    listener_state_unref(l->state);
}

void proxy_free(struct proxy *p)
{
    if (p == NULL)
        return;
    for (size_t i = 0; p->listeners != NULL && i < p->conf->listener_count; i++)
        free_listener(&p->listeners[i]);
    for (size_t i = 0; p->pools != NULL && i < p->conf->pool_count; i++) {
        balancer_free(&p->pools[i].balancer);
        pool_state_unref(p->pools[i].state);
    }
    process_state_unref(p->state);
    list_remove(&p->link);
    free(p->listeners);
    free(p->pools);
    free(p->shares);
    conf_unref(p->conf);
    free(p);
}

void proxy_apply_limits(const struct proxy *p)
{
    gate_set_max(&p->state->gate, p->max_connections);
    for (size_t i = 0; i < p->conf->pool_count; i++) {
        lineup_apply(&p->pools[i].balancer, p->pools[i].conf);
        queue_serve(&p->pools[i].state->queue, clock_now());
    }
    for (size_t i = 0; i < p->conf->listener_count; i++)
        gate_set_max(&p->listeners[i].state->gate, p->listeners[i].conf->max_connections);
}

/* --- retiring ---------------------------------------------------------------------------- */

static void say_unused(struct proxy_share *share, const struct shard *shard)
{
    mailbox_post(shard->group->control, &share->unused.mail);
}

void proxy_leave(const struct proxy_listener *l, const struct shard *shard)
{
    struct proxy_share *share = &l->proxy->shares[shard->number];
    if (unlikely(--share->sessions == 0 && share->retired))
        say_unused(share, shard);
}

static void deliver_retire(struct shard_message *m, struct shard *shard)
{
    struct proxy_share *share = container_of(m, struct proxy_share, retire);
    share->retired = true;
    if (share->sessions == 0)
        say_unused(share, shard);
}

static void deliver_unused(struct notice *n)
{
    struct proxy *p = container_of(n, struct proxy_share, unused)->proxy;
    if (++p->unused == p->shard_count)
        proxy_free(p);
}

/*
 * A connection of the generation may still be on its way from shard to shard. It was posted before
 * its sender went over to another generation, and so before this message: it arrives first.
 */
void proxy_retire(struct proxy *p, const struct shard_group *group)
{
    for (unsigned i = 0; i < p->shard_count; i++)
        shard_post(group->shards[i], &p->shares[i].retire);
}
