/* The commands that show and change nothing. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#ifdef HAVE_JEMALLOC
#include <jemalloc/jemalloc.h>
#endif

#include "base/clock.h"
#include "fiber/fiber.h"
#include "proxy/counters.h"
#include "proxy/proxy.h"
#include "worker/commands.h"
#include "worker/control.h"
#include "worker/limits.h"

/* --- info -------------------------------------------------------------------------------- */

struct memory {
    uint64_t resident;  /* [bytes] 0: not known */
    uint64_t allocated; /* [bytes] 0: not known */
};

static uint64_t read_resident(void)
{
    unsigned long long pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f == NULL)
        return 0;
    if (fscanf(f, "%*u %llu", &pages) != 1)
        pages = 0;
    fclose(f);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t read_allocated(void)
{
#ifdef HAVE_JEMALLOC
    uint64_t epoch = 1;
    size_t allocated = 0, size = sizeof(allocated);
    if (mallctl("epoch", NULL, NULL, &epoch, sizeof(epoch)) == 0 &&
        mallctl("stats.allocated", &allocated, &size, NULL, 0) == 0)
        return allocated;
#endif
    return 0;
}

static void read_memory(void *arg)
{
    struct memory *m = arg;
    *m = (struct memory){.resident = read_resident(), .allocated = read_allocated()};
}

static void put_memory(struct reply *r, const char *key, uint64_t bytes)
{
    if (bytes > 0)
        reply_bytes(r, key, bytes);
    else
        reply_none(r, key);
}

static const char *state_name(const struct control *c)
{
    return c->ending ? "ending" : c->draining ? "draining" : "serving";
}

static uint64_t count_total(struct control *c)
{
    uint64_t total = 0;
    for (unsigned i = 0; i < c->count; i++)
        total += counters_read(&control_worker(c, i)->shard.started);
    return total;
}

static void put_limits(struct reply *r, const struct limits *l, const struct conf *conf)
{
    unsigned at_most;
    const char *bound_by = limits_bound_by(l, conf, &at_most);
    reply_count(r, "max_connections", at_most);
    reply_text(r, "bound_by", bound_by);
    reply_count(r, "descriptors", l->descriptors);
}

static void put_last_reload(struct reply *r, const struct asking *a)
{
    if (a->reload_at == 0) {
        reply_none(r, "reload_at");
        reply_none(r, "reload_accepted");
    } else {
        reply_time(r, "reload_at", a->reload_at);
        reply_flag(r, "reload_accepted", a->reload_accepted);
    }
}

static void put_family(struct reply *r, const struct link_family *f)
{
    reply_count(r, "leaving", f->leaving);
    reply_count(r, "leaving_connections", f->left);
    reply_count(r, "restarts", f->restarts);
}

int command_info(struct call *c)
{
    struct control *control = c->about->control;
    const struct proxy *proxy = *c->about->proxy;
    struct memory memory;
    fiber_call(read_memory, &memory);
    struct reply *r = c->reply;
    reply_row(r);
    reply_text(r, "version", PACKAGE_VERSION);
    reply_count(r, "pid", (uint64_t)c->about->master);
    reply_count(r, "worker_pid", (uint64_t)getpid());
    reply_text(r, "state", state_name(control));
    reply_duration(r, "uptime", clock_now() - c->about->since);
    reply_count(r, "workers", control->count);
    reply_count(r, "generation", proxy->generation);
    put_last_reload(r, &control->asking);
    reply_count(r, "connections", control_active(control));
    reply_count(r, "connections_total", count_total(control));
    put_limits(r, c->about->limits, proxy->conf);
    command_put_drain_left(r, control);
    put_family(r, &control->link.family);
    put_memory(r, "memory_resident", memory.resident);
    put_memory(r, "memory_allocated", memory.allocated);
    return 0;
}

/* --- listeners --------------------------------------------------------------------------- */

/* The listeners of a generation, which may be gone before all of them are told of. */
struct listing {
    const struct conf *conf;        /* a reference */
    struct listener_state **states; /* owned, and a reference to each */
};

static int listing_init(struct listing *l, const struct proxy *proxy)
{
    size_t count = proxy->conf->listener_count;
    *l = (struct listing){.states = calloc(count, sizeof(*l->states))};
    if (l->states == NULL)
        return -ENOMEM;
    l->conf = conf_ref(proxy->conf);
    for (size_t i = 0; i < count; i++)
        l->states[i] = listener_state_ref(proxy->listeners[i].state);
    return 0;
}

static void listing_destroy(struct listing *l)
{
    for (size_t i = 0; i < l->conf->listener_count; i++)
        listener_state_unref(l->states[i]);
    free(l->states);
    conf_unref(l->conf);
}

static const char *listener_state_name(const struct control *c, const struct gate *g,
                                       unsigned limit)
{
    if (c->draining)
        return "draining";
    return limit != 0 && gate_active(g) >= limit ? "full" : "open";
}

static void put_addresses(struct reply *r, const struct conf_listener *l)
{
    reply_list(r, "addresses");
    for (size_t i = 0; i < l->bind_count; i++)
        reply_list_add(r, l->binds[i].text);
}

/* Whether a route before the n-th leads to the same pool. */
static bool told_before(const struct conf_listener *l, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (l->routes[i].pool == l->routes[n].pool)
            return true;
    }
    return false;
}

static void put_pools(struct reply *r, const struct conf_listener *l)
{
    reply_list(r, "pools");
    if (l->pool != NULL)
        reply_list_add(r, l->pool->name);
    for (size_t i = 0; i < l->route_count; i++) {
        if (!told_before(l, i))
            reply_list_add(r, l->routes[i].pool->name);
    }
}

static void put_listener(struct reply *r, const struct control *c, const struct conf_listener *l,
                         const struct listener_state *state)
{
    struct counters_sum sum;
    counters_sum(state->counters, c->count, &sum);
    reply_row(r);
    reply_text(r, "name", l->name);
    put_addresses(r, l);
    put_pools(r, l);
    reply_text(r, "state", listener_state_name(c, &state->gate, l->max_connections));
    reply_count(r, "active", gate_active(&state->gate));
    reply_count(r, "total", sum.connections);
    reply_bytes(r, "bytes_in", sum.received);
    reply_bytes(r, "bytes_out", sum.sent);
}

int command_listeners(struct call *c)
{
    struct listing l;
    int err = listing_init(&l, *c->about->proxy);
    if (err < 0)
        return err;
    for (size_t i = 0; i < l.conf->listener_count; i++)
        put_listener(c->reply, c->about->control, &l.conf->listeners[i], l.states[i]);
    listing_destroy(&l);
    return 0;
}

/* --- workers ----------------------------------------------------------------------------- */

static void put_worker(struct reply *r, const struct worker *w, const struct load *load)
{
    struct sched_stats st;
    sched_stats(w->sched, &st);
    reply_row(r);
    reply_count(r, "worker", w->number);
    if (w->cpu >= 0)
        reply_count(r, "cpu", (unsigned)w->cpu);
    else
        reply_none(r, "cpu");
    reply_count(r, "active", shard_active(&w->shard));
    reply_count(r, "total", counters_read(&w->shard.started));
    reply_count(r, "handed_over", counters_read(&w->shard.handed_over));
    reply_share(r, "busy", load_share(load, clock_now(), st.busy));
    reply_count(r, "turns", st.turns);
    reply_count(r, "stalls", st.stalls);
}

int command_workers(struct call *c)
{
    for (unsigned i = 0; i < c->about->control->count; i++)
        put_worker(c->reply, control_worker(c->about->control, i), &c->loads[i]);
    return 0;
}
