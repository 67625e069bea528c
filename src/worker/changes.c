#include "worker/changes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

/* What holds for the connections of a listener, of whatever generation before the new one. */
struct rule {
    const struct listener_state *state;
    enum conf_on_change on_change;
    bool changed; /* or removed; else only those of removed servers are concerned */
};

/* Made once, then only read, by all shards. */
struct rules {
    struct drains_entry entry;
    enum conf_on_change on_change;      /* of those that are ended by it */
    uint64_t generation;                /* the new one */
    const struct conf_server **removed; /* owned; sorted */
    size_t removed_count;
    size_t count;
    struct rule all[]; /* sorted by state */
};

/* --- looking up --------------------------------------------------------------------------- */

static int by_address(const void *a, const void *b)
{
    return a < b ? -1 : a > b;
}

static int by_state(const void *a, const void *b)
{
    const struct rule *x = a, *y = b;
    return by_address(x->state, y->state);
}

static int by_server(const void *a, const void *b)
{
    const struct conf_server *const *x = a, *const *y = b;
    return by_address(*x, *y);
}

static bool is_removed(const struct rules *r, const struct conf_server *server)
{
    return server != NULL && r->removed_count > 0 &&
           bsearch(&server, r->removed, r->removed_count, sizeof(*r->removed), by_server) != NULL;
}

static bool concerns(const struct drain *d, const struct session *s)
{
    const struct rules *r = container_of(d, struct rules, entry.drain);
    if (s->listener->proxy->generation >= r->generation)
        return false;
    const struct rule wanted = {.state = s->listener->state};
    const struct rule *found = bsearch(&wanted, r->all, r->count, sizeof(wanted), by_state);
    return found != NULL && found->on_change == r->on_change &&
           (found->changed || is_removed(r, s->server));
}

/* --- removed servers ---------------------------------------------------------------------- */

static const struct conf_pool *find_pool(const struct conf *conf, const char *name)
{
    for (size_t i = 0; i < conf->pool_count; i++) {
        if (strcmp(conf->pools[i].name, name) == 0)
            return &conf->pools[i];
    }
    return NULL;
}

/* The server of an earlier generation that is the same as one of the last. */
static const struct conf_server *find_server(const struct conf_pool *pool,
                                             const struct conf_server *same)
{
    for (size_t i = 0; i < pool->server_count; i++) {
        const struct conf_server *s = &pool->servers[i];
        if (strcmp(s->name, same->name) == 0 && addr_equal(&s->address.addr, &same->address.addr))
            return s;
    }
    return NULL;
}

/* Whether connections to where it was are connections to a server that is no more. */
static bool is_gone(const struct diff_entry *server, const struct conf_pool *before,
                    const struct conf_pool *after)
{
    if (server->change == DIFF_DROP)
        return true;
    return server->change == DIFF_CHANGE &&
           !addr_equal(&before->servers[server->before].address.addr,
                       &after->servers[server->after].address.addr);
}

static bool note_removed(struct rules *r, const struct conf_server *s)
{
    const struct conf_server **more =
        realloc(r->removed, (r->removed_count + 1) * sizeof(*r->removed));
    if (more == NULL)
        return false;
    r->removed = more;
    r->removed[r->removed_count++] = s;
    return true;
}

/* Note a server as it is in every generation that has connections. */
static bool note_everywhere(struct rules *r, const struct changes *c, const char *pool,
                            const struct conf_server *server)
{
    list_for_each (l, c->generations) {
        const struct proxy *p = container_of(l, struct proxy, link);
        const struct conf_pool *same = p != c->after ? find_pool(p->conf, pool) : NULL;
        const struct conf_server *s = same != NULL ? find_server(same, server) : NULL;
        if (s != NULL && !note_removed(r, s))
            return false;
    }
    return true;
}

static bool note_pool(struct rules *r, const struct changes *c, const struct diff_entry *pool)
{
    if (pool->change != DIFF_CHANGE)
        return true;
    const struct conf_pool *before = &c->before->conf->pools[pool->before];
    const struct conf_pool *after = &c->after->conf->pools[pool->after];
    for (size_t i = 0; i < pool->servers.count; i++) {
        const struct diff_entry *server = &pool->servers.entries[i];
        if (is_gone(server, before, after) &&
            !note_everywhere(r, c, pool->name, &before->servers[server->before]))
            return false;
    }
    return true;
}

static bool find_removed(struct rules *r, const struct changes *c)
{
    for (size_t i = 0; i < c->diff->pools.count; i++) {
        if (!note_pool(r, c, &c->diff->pools.entries[i]))
            return false;
    }
    if (r->removed_count > 0)
        qsort(r->removed, r->removed_count, sizeof(*r->removed), by_server);
    return true;
}

/* --- rules -------------------------------------------------------------------------------- */

static struct rule rule_of(const struct changes *c, const struct diff_entry *e)
{
    const struct proxy_listener *l = e->after != DIFF_NOWHERE ? &c->after->listeners[e->after]
                                                              : &c->before->listeners[e->before];
    return (struct rule){
        .state = l->state,
        .on_change = l->conf->on_change,
        .changed = e->change == DIFF_CHANGE || e->change == DIFF_DROP,
    };
}

static void free_rules(struct drains_entry *e)
{
    struct rules *r = container_of(e, struct rules, entry);
    free(r->removed);
    free(r);
}

static struct rules *rules_new(const struct changes *c, enum conf_on_change on_change)
{
    size_t count = c->diff->listeners.count;
    struct rules *r = calloc(1, sizeof(*r) + count * sizeof(r->all[0]));
    if (r == NULL)
        return NULL;
    list_init(&r->entry.link);
    r->entry.free = free_rules;
    r->entry.what = "reload";
    r->on_change = on_change;
    r->generation = c->after->generation;
    r->count = count;
    for (size_t i = 0; i < count; i++)
        r->all[i] = rule_of(c, &c->diff->listeners.entries[i]);
    qsort(r->all, count, sizeof(r->all[0]), by_state);
    if (find_removed(r, c))
        return r;
    free_rules(&r->entry);
    return NULL;
}

/* Whether there may be connections that are to end this way: else nobody needs to look. */
static bool may_concern(const struct rules *r)
{
    for (size_t i = 0; i < r->count; i++) {
        if (r->all[i].on_change == r->on_change && (r->all[i].changed || r->removed_count > 0))
            return true;
    }
    return false;
}

static int apply(const struct changes *c, struct drains *drains, enum conf_on_change on_change)
{
    struct rules *r = rules_new(c, on_change);
    if (r == NULL)
        return -ENOMEM;
    bool needed = may_concern(r);
    int err = needed ? drain_init(&r->entry.drain, c->group) : 0;
    if (!needed || err < 0) {
        free_rules(&r->entry);
        return err;
    }
    int64_t now = clock_now();
    r->entry.drain.begun = now;
    r->entry.drain.end = on_change == CONF_ON_CHANGE_DRAIN ? now + c->drain_timeout : now;
    r->entry.drain.concerns = concerns;
    drains_begin(drains, &r->entry);
    return 0;
}

int changes_apply(const struct changes *c, struct drains *drains)
{
    int close = apply(c, drains, CONF_ON_CHANGE_CLOSE);
    int drain = apply(c, drains, CONF_ON_CHANGE_DRAIN);
    return close < 0 ? close : drain;
}
