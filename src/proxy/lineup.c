#include "proxy/lineup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "conf/names.h"
#include "upstream/hash.h"

static struct server_options options_of(const struct conf_pool *pool,
                                        const struct conf_server *conf)
{
    return (struct server_options){
        .weight = conf->weight,
        .max_connections = conf->max_connections,
        .slow_start = pool->slow_start,
    };
}

static struct outlier_limits outlier_of(const struct conf_pool *pool)
{
    return (struct outlier_limits){
        .failures = pool->outlier.failures,
        .window = pool->outlier.window,
        .eject = pool->outlier.eject,
        .max_ejected = pool->outlier.max_ejected,
    };
}

/* --- making ----------------------------------------------------------------------------------- */

/* The servers of the generation before, by their names. */
struct former {
    struct names names; /* name -> struct conf_server */
    struct name *entries;
    const struct balancer *balancer;
    const struct conf_pool *conf;
};

static int index_former(struct former *f)
{
    names_init(&f->names);
    f->entries = NULL;
    if (f->conf == NULL)
        return 0;
    f->entries = calloc(f->conf->server_count, sizeof(*f->entries));
    if (f->entries == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < f->conf->server_count; i++) {
        struct conf_server *conf = &f->conf->servers[i];
        f->entries[i] = (struct name){.text = conf->name, .value = conf};
        if (names_add(&f->names, &f->entries[i]) == NULL)
            return -ENOMEM;
    }
    return 0;
}

static void forget_former(struct former *f)
{
    names_clear(&f->names);
    free(f->entries);
}

/* Returns NULL where it was not there. */
static struct server *find_former(const struct former *f, const struct conf_server *conf)
{
    const struct name *name = names_find(&f->names, conf->name);
    if (name == NULL)
        return NULL;
    const struct conf_server *was = name->value;
    if (!addr_equal(&was->address.addr, &conf->address.addr))
        return NULL;
    return f->balancer->servers[was - f->conf->servers];
}

static struct server *server_anew(const struct conf_pool *pool, const struct conf_server *conf)
{
    struct server *s = server_new(hash_bytes(conf->name, strlen(conf->name), 0));
    if (s == NULL)
        return NULL;
    const struct server_options o = options_of(pool, conf);
    server_configure(s, &o);
    server_rise(s, false, 0);
    return s;
}

/* What a server's weight will be once it is as configured: see server_configure(). */
static unsigned weight_of(const struct server *s, const struct conf_server *conf)
{
    return conf->weight != s->configured_weight ? conf->weight : s->weight;
}

static bool fill(struct balancer_member *members, const struct conf_pool *conf,
                 const struct former *f)
{
    for (size_t i = 0; i < conf->server_count; i++) {
        const struct conf_server *c = &conf->servers[i];
        struct server *s = find_former(f, c);
        s = s != NULL ? server_ref(s) : server_anew(conf, c);
        if (s == NULL)
            return false;
        members[i] =
            (struct balancer_member){.server = s, .weight = weight_of(s, c), .backup = c->backup};
    }
    return true;
}

static bool is_limited(const struct conf_pool *conf)
{
    for (size_t i = 0; i < conf->server_count; i++) {
        if (conf->servers[i].max_connections != 0)
            return true;
    }
    return false;
}

int lineup_make(struct balancer *ret, const struct conf_pool *conf,
                struct balancer_position *position, const struct balancer *before,
                const struct conf_pool *before_conf)
{
    struct former f = {.balancer = before, .conf = before_conf};
    struct balancer_member *members = calloc(conf->server_count, sizeof(*members));
    int err = members != NULL ? index_former(&f) : -ENOMEM;
    if (err == 0 && !fill(members, conf, &f))
        err = -ENOMEM;
    if (err == 0) {
        const struct balancer_options o = {
            .method = conf->balance,
            .limited = is_limited(conf),
            .outlier = outlier_of(conf),
            .members = members,
            .count = conf->server_count,
            .position = position,
        };
        err = balancer_init(ret, &o);
    }
    for (size_t i = 0; members != NULL && i < conf->server_count; i++)
        server_unref(members[i].server);
    free(members);
    forget_former(&f);
    return err;
}

void lineup_apply(const struct balancer *b, const struct conf_pool *conf)
{
    for (size_t i = 0; i < b->count; i++) {
        const struct server_options o = options_of(conf, &conf->servers[i]);
        server_configure(b->servers[i], &o);
    }
}
