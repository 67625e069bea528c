#include "proxy/census.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/notice.h"
#include "proxy/session.h"

#define REMEMBERED 64 /* places that a shard has looked up last */

struct census_name {
    const char *pool; /* of a server; of a listener "", which no pool is called */
    const char *name;
    size_t place; /* of its count */
};

struct census_share {
    struct census *census;
    struct shard_message message; /* to the shard */
    struct notice counted;        /* from the shard */
    uint64_t *counts;             /* owned; by place */
};

/* Whose place it was: many sessions are of one listener and one server. */
struct memory {
    const void *whose; /* NULL: nobody's */
    size_t place;
};

static int by_name(const void *a, const void *b)
{
    const struct census_name *x = a, *y = b;
    int pools = strcmp(x->pool, y->pool);
    return pools != 0 ? pools : strcmp(x->name, y->name);
}

/* --- counting: on the shard's thread ------------------------------------------------------ */

/* One that is not in the configuration counts where nobody looks. */
static size_t look_up(const struct census *c, const char *pool, const char *name)
{
    const struct census_name wanted = {.pool = pool, .name = name};
    const struct census_name *found =
        bsearch(&wanted, c->names, c->place_count, sizeof(wanted), by_name);
    return found != NULL ? found->place : c->place_count;
}

static struct memory *remember(struct memory *memories, const void *whose)
{
    return &memories[((uintptr_t)whose / sizeof(void *)) % REMEMBERED];
}

static size_t place_of_listener(const struct census *c, struct memory *memories,
                                const struct conf_listener *l)
{
    struct memory *m = remember(memories, l);
    if (m->whose != l)
        *m = (struct memory){.whose = l, .place = look_up(c, "", l->name)};
    return m->place;
}

static size_t place_of_server(const struct census *c, struct memory *memories,
                              const struct session *s)
{
    struct memory *m = remember(memories, s->server);
    if (m->whose != s->server)
        *m = (struct memory){.whose = s->server,
                             .place = look_up(c, s->pool->conf->name, s->server->name)};
    return m->place;
}

static void count(void *arg)
{
    struct census_share *share = arg;
    const struct census *c = share->census;
    struct shard *shard = c->group->shards[share - c->shares];
    struct memory memories[REMEMBERED] = {{.whose = NULL}};
    list_for_each (l, &shard->live) {
        const struct session *s = container_of(l, struct session, link);
        share->counts[place_of_listener(c, memories, s->listener->conf)]++;
        if (s->server != NULL)
            share->counts[place_of_server(c, memories, s)]++;
    }
}

static void deliver(struct shard_message *m, struct shard *shard)
{
    struct census_share *share = container_of(m, struct census_share, message);
    fiber_call(count, share);
    mailbox_post(shard->group->control, &share->counted.mail);
}

/* --- the control thread ------------------------------------------------------------------- */

static void deliver_counted(struct notice *n)
{
    struct census_share *share = container_of(n, struct census_share, counted);
    struct census *c = share->census;
    for (size_t i = 0; i < c->place_count; i++)
        c->counts[i] += share->counts[i];
    if (--c->waiting == 0)
        c->done(c);
}

static size_t count_places(const struct conf *conf)
{
    size_t count = conf->listener_count;
    for (size_t i = 0; i < conf->pool_count; i++)
        count += conf->pools[i].server_count;
    return count;
}

static void add_name(struct census *c, size_t *place, const char *pool, const char *name)
{
    c->names[*place] = (struct census_name){.pool = pool, .name = name, .place = *place};
    ++*place;
}

static void list_names(struct census *c)
{
    size_t place = 0;
    for (size_t i = 0; i < c->conf->listener_count; i++)
        add_name(c, &place, "", c->conf->listeners[i].name);
    for (size_t i = 0; i < c->conf->pool_count; i++) {
        const struct conf_pool *pool = &c->conf->pools[i];
        for (size_t k = 0; k < pool->server_count; k++)
            add_name(c, &place, pool->name, pool->servers[k].name);
    }
    qsort(c->names, place, sizeof(*c->names), by_name);
}

/* One count more than places: of what has none. */
static bool init_shares(struct census *c)
{
    for (unsigned i = 0; i < c->group->count; i++) {
        struct census_share *share = &c->shares[i];
        share->census = c;
        share->message.deliver = deliver;
        share->counted.deliver = deliver_counted;
        share->counts = calloc(c->place_count + 1, sizeof(*share->counts));
        if (share->counts == NULL)
            return false;
    }
    return true;
}

int census_init(struct census *c, const struct conf *conf, const struct shard_group *group)
{
    size_t places = count_places(conf);
    *c = (struct census){
        .conf = conf_ref(conf),
        .counts = calloc(places + 1, sizeof(*c->counts)),
        .place_count = places,
        .names = calloc(places + 1, sizeof(*c->names)),
        .shares = calloc(group->count, sizeof(*c->shares)),
        .group = group,
        .waiting = group->count,
    };
    if (c->counts == NULL || c->names == NULL || c->shares == NULL || !init_shares(c)) {
        census_destroy(c);
        return -ENOMEM;
    }
    list_names(c);
    return 0;
}

void census_begin(struct census *c)
{
    for (unsigned i = 0; i < c->group->count; i++)
        shard_post(c->group->shards[i], &c->shares[i].message);
}

uint64_t census_of_listener(const struct census *c, size_t listener)
{
    return c->counts[listener];
}

static size_t first_place(const struct census *c, size_t pool)
{
    size_t place = c->conf->listener_count;
    for (size_t i = 0; i < pool; i++)
        place += c->conf->pools[i].server_count;
    return place;
}

uint64_t census_of_server(const struct census *c, size_t pool, size_t server)
{
    return c->counts[first_place(c, pool) + server];
}

uint64_t census_of_pool(const struct census *c, size_t pool)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < c->conf->pools[pool].server_count; i++)
        sum += census_of_server(c, pool, i);
    return sum;
}

void census_destroy(struct census *c)
{
    for (unsigned i = 0; c->shares != NULL && i < c->group->count; i++)
        free(c->shares[i].counts);
    free(c->shares);
    free(c->names);
    free(c->counts);
    conf_unref(c->conf);
    *c = (struct census){.conf = NULL};
}
