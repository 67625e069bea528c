#include "proxy/proxy.h"

#include <errno.h>
#include <stdlib.h>

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
    gate_leave(&l->gate);
    gate_leave(&l->proxy->gate);
}

static struct proxy_pool *find_pool(struct proxy *p, const struct conf_pool *conf)
{
    return &p->pools[conf - p->conf->pools];
}

static int init_pools(struct proxy *p)
{
    for (size_t i = 0; i < p->conf->pool_count; i++) {
        p->pools[i].conf = &p->conf->pools[i];
        int err = balancer_init(&p->pools[i].balancer, p->pools[i].conf);
        if (err < 0)
            return err;
    }
    return 0;
}

static int init_listeners(struct proxy *p)
{
    for (size_t i = 0; i < p->conf->listener_count; i++) {
        const struct conf_listener *conf = &p->conf->listeners[i];
        p->listeners[i] = (struct proxy_listener){
            .conf = conf,
            .proxy = p,
            .pool = find_pool(p, conf->pool),
            .upstream = common_options(conf),
        };
        gate_init(&p->listeners[i].gate, conf->max_connections);
        p->listeners[i].counters = counters_new(p->conf->process.workers);
        if (p->listeners[i].counters == NULL)
            return -ENOMEM;
    }
    return 0;
}

struct proxy *proxy_new(const struct conf *conf, uint64_t generation, unsigned max_connections)
{
    struct proxy *p = calloc(1, sizeof(*p));
    if (p == NULL)
        return NULL;
    p->conf = conf_ref(conf);
    p->generation = generation;
    gate_init(&p->gate, max_connections);
    p->listeners = calloc(conf->listener_count, sizeof(*p->listeners));
    p->pools = calloc(conf->pool_count, sizeof(*p->pools));
    if (p->listeners == NULL || p->pools == NULL || init_pools(p) < 0 || init_listeners(p) < 0) {
        proxy_free(p);
        return NULL;
    }
    return p;
}

void proxy_free(struct proxy *p)
{
    if (p == NULL)
        return;
    for (size_t i = 0; p->pools != NULL && i < p->conf->pool_count; i++)
        balancer_free(&p->pools[i].balancer);
    for (size_t i = 0; p->listeners != NULL && i < p->conf->listener_count; i++) {
        if (p->listeners[i].conf != NULL)
            gate_destroy(&p->listeners[i].gate);
        free(p->listeners[i].counters);
    }
    gate_destroy(&p->gate);
    free(p->listeners);
    free(p->pools);
    conf_unref(p->conf);
    free(p);
}
