/*
 * What a reload would do: a configuration is read as a reload would read it, compared with the one
 * in use, and forgotten.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "conf/diff.h"
#include "ctl/bundle.h"
#include "proxy/census.h"
#include "proxy/proxy.h"
#include "worker/commands.h"
#include "worker/control.h"
#include "worker/errand.h"

/* --- reading and comparing: an errand ---------------------------------------------------- */

struct preview {
    int passed;                /* owned; the bundle's */
    const struct conf *before; /* a reference */
    struct bundle bundle;
    const struct conf *after; /* a reference */
    struct diff diff;
    struct text faults; /* a line each */
    int err;
};

static int load(struct preview *p)
{
    struct conf_faults *faults = NULL;
    const struct conf_source source = {
        .path = bundle_path(&p->bundle),
        .fd = bundle_open(&p->bundle),
        .expand = bundle_replay,
        .arg = &p->bundle,
    };
    if (source.fd < 0)
        return source.fd;
    int err = conf_load_from(&source, &p->after, &faults);
    close(source.fd);
    if (err == -WEFT_ECONF)
        conf_faults_write(faults, &p->faults);
    conf_faults_free(faults);
    return err;
}

static void preview_run(void *arg)
{
    struct preview *p = arg;
    p->err = bundle_unpack(&p->bundle, p->passed);
    if (p->err == 0)
        p->err = load(p);
    if (p->err == 0)
        p->err = diff_init(&p->diff, p->before, p->after);
}

static void preview_free(void *arg)
{
    struct preview *p = arg;
    if (p->diff.before != NULL)
        diff_free(&p->diff);
    conf_unref(p->after);
    conf_unref(p->before);
    bundle_free(&p->bundle);
    text_free(&p->faults);
    close(p->passed);
    free(p);
}

/* Owns: takes the descriptor that was passed. */
static struct preview *preview_new(struct call *c)
{
    struct preview *p = calloc(1, sizeof(*p));
    if (p == NULL)
        return NULL;
    p->passed = *c->passed;
    *c->passed = -1;
    p->before = conf_ref((*c->about->proxy)->conf);
    text_init(&p->faults);
    return p;
}

/* --- counting connections ---------------------------------------------------------------- */

/* A census that somebody waits for; at the end of the process some may still be under way. */
struct count {
    struct census census;
    struct list link;     /* in the control's */
    struct fiber *waiter; /* NULL: nobody waits any more */
    bool over;
};

static void count_free(struct count *n)
{
    list_remove(&n->link);
    census_destroy(&n->census);
    free(n);
}

static void count_over(struct census *c)
{
    struct count *n = container_of(c, struct count, census);
    n->over = true;
    if (n->waiter != NULL)
        fiber_ready(n->waiter);
    else
        count_free(n);
}

/* Yields. Returns 0 with a count that the caller frees, or -errno. */
static int count_connections(struct call *c, const struct conf *conf, struct count **ret)
{
    struct count *n = calloc(1, sizeof(*n));
    if (n == NULL)
        return -ENOMEM;
    int err = census_init(&n->census, conf, &c->about->control->group);
    if (err < 0) {
        free(n);
        return err;
    }
    n->census.done = count_over;
    n->waiter = fiber_self();
    list_push_back(&c->about->control->censuses, &n->link);
    census_begin(&n->census);
    while (err == 0 && !n->over)
        err = fiber_park(CLOCK_NEVER);
    n->waiter = NULL;
    if (n->over) {
        *ret = n;
        return 0;
    }
    return err;
}

void command_forget_counts(struct control *control)
{
    list_for_each_safe (l, &control->censuses)
        count_free(container_of(l, struct count, link));
}

/* --- the answer -------------------------------------------------------------------------- */

static const char *const changes[] = {
    [DIFF_CHANGE] = "changed", [DIFF_NEW] = "added", [DIFF_DROP] = "removed"};

/* What names a row: a server's has its pool's in it. */
static void put_names(struct reply *r, const struct diff_entry *e, const struct diff_entry *pool)
{
    reply_row(r);
    reply_text(r, "change", changes[e->change]);
    reply_text(r, "what", e->subject);
    if (pool != NULL) {
        struct text name;
        text_init(&name);
        text_add_string(&name, pool->name);
        text_add_string(&name, "/");
        text_add_string(&name, e->name);
        reply_text(r, "name", name.data != NULL ? name.data : "");
        text_free(&name);
    } else if (e->name != NULL) {
        reply_text(r, "name", e->name);
    } else {
        reply_none(r, "name");
    }
    if (e->keys != NULL)
        reply_text(r, "keys", e->keys);
    else
        reply_none(r, "keys");
}

static void put_group(struct reply *r, const struct diff_entry *e)
{
    if (e->change == DIFF_KEEP)
        return;
    put_names(r, e, NULL);
    reply_none(r, "connections");
    reply_none(r, "on_change");
}

/* As the new configuration has it, and the old one for a listener that the new one has not. */
static void put_on_change(struct reply *r, const struct diff *d, const struct diff_entry *e)
{
    static const char *const words[] = {
        [CONF_ON_CHANGE_KEEP] = "keep",
        [CONF_ON_CHANGE_DRAIN] = "drain",
        [CONF_ON_CHANGE_CLOSE] = "close",
    };
    const struct conf_listener *l =
        e->change == DIFF_DROP ? &d->before->listeners[e->before] : &d->after->listeners[e->after];
    reply_text(r, "on_change", words[l->on_change]);
}

static void put_listener(struct reply *r, const struct diff *d, const struct diff_entry *e,
                         const struct census *c)
{
    if (e->change == DIFF_KEEP)
        return;
    put_names(r, e, NULL);
    reply_count(r, "connections", e->before != DIFF_NOWHERE ? census_of_listener(c, e->before) : 0);
    put_on_change(r, d, e);
}

static void put_server(struct reply *r, const struct diff_entry *e, const struct diff_entry *pool,
                       const struct census *c)
{
    bool live = pool->before != DIFF_NOWHERE && e->before != DIFF_NOWHERE;
    if (e->change == DIFF_KEEP)
        return;
    put_names(r, e, pool);
    reply_count(r, "connections", live ? census_of_server(c, pool->before, e->before) : 0);
    reply_none(r, "on_change");
}

/* A pool of which nothing but servers has changed is told of by them. */
static void put_pool(struct reply *r, const struct diff_entry *e, const struct census *c)
{
    if (e->change == DIFF_NEW || e->change == DIFF_DROP || e->keys != NULL) {
        put_names(r, e, NULL);
        reply_count(r, "connections", e->before != DIFF_NOWHERE ? census_of_pool(c, e->before) : 0);
        reply_none(r, "on_change");
    }
    for (size_t i = 0; i < e->servers.count; i++)
        put_server(r, &e->servers.entries[i], e, c);
}

/* What the running process can't change in itself is done by another one, which takes over. */
static void put_replacement(struct call *c, const struct diff *d)
{
    if (d->restart == NULL)
        return;
    reply_row(c->reply);
    reply_text(c->reply, "change", "replaced");
    reply_text(c->reply, "what", "worker process");
    reply_none(c->reply, "name");
    reply_text(c->reply, "keys", d->restart);
    reply_count(c->reply, "connections", control_active(c->about->control));
    reply_none(c->reply, "on_change");
}

static void put_diff(struct call *c, const struct diff *d, const struct census *census)
{
    put_replacement(c, d);
    for (size_t i = 0; i < d->groups.count; i++)
        put_group(c->reply, &d->groups.entries[i]);
    for (size_t i = 0; i < d->listeners.count; i++)
        put_listener(c->reply, d, &d->listeners.entries[i], census);
    for (size_t i = 0; i < d->pools.count; i++)
        put_pool(c->reply, &d->pools.entries[i], census);
}

static int rejected(struct call *c, struct preview *p)
{
    command_put_faults(c->reply, p->faults.data);
    text_add_string(c->why, p->err == -WEFT_ECONF ? "the running weft would reject it"
                            : p->err == -EPROTO   ? "what was passed is no bundle of files"
                                                  : error_text(p->err));
    return p->err;
}

static int answer(struct call *c, struct preview *p)
{
    if (p->err < 0)
        return rejected(c, p);
    struct count *n = NULL;
    int err = count_connections(c, p->before, &n);
    if (err < 0)
        return err;
    put_diff(c, &p->diff, &n->census);
    count_free(n);
    return 0;
}

int command_diff(struct call *c)
{
    if (*c->passed < 0) {
        text_add_string(c->why, "no files were passed");
        return -EBADF;
    }
    if (c->about->control->draining) {
        text_add_string(c->why, "this weft is about to end");
        return -ESHUTDOWN;
    }
    struct preview *p = preview_new(c);
    if (p == NULL)
        return -ENOMEM;
    int err = errand_run(preview_run, p, preview_free);
    if (err == -ECANCELED)
        return err;
    if (err == 0)
        err = answer(c, p);
    preview_free(p);
    return err;
}
