#include "worker/reload.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "conf/diff.h"
#include "fiber/fiber.h"
#include "io/pipes.h"
#include "proxy/acceptor.h"
#include "proxy/transition.h"
#include "worker/bindings.h"
#include "worker/control.h"
#include "worker/loading.h"

struct reload {
    struct reloads *all;
    struct message order; /* MESSAGE_HELLO or MESSAGE_RELOAD */
    const struct conf *conf;
    struct diff diff; /* from the configuration in effect; nothing in it at the start */
    struct limits limits;
    struct bindings bindings;
    struct log_options log; /* with descriptors of what is to be opened */
    bool log_changed;
    struct proxy *proxy;
    struct transition transition;
    struct proxy *old; /* the generation before, once this one is in effect */
    bool restart;      /* only a new process can do it */
    int err;
    struct text why;
    int64_t begun; /* [monotonic ns] */
    pthread_t thread;
    struct notice finished; /* from the loading thread */
};

void reloads_init(struct reloads *r, struct control *c, struct opener *o)
{
    *r = (struct reloads){.control = c, .opener = o};
    r->log.error.fd = r->log.access.fd = -1;
    list_init(&r->generations);
    sockets_init(&r->sockets);
}

static struct reload *reload_new(struct reloads *all, struct message *order)
{
    struct reload *r = calloc(1, sizeof(*r));
    if (r == NULL)
        return NULL;
    r->all = all;
    r->order = *order;
    r->begun = clock_now();
    r->log.error.fd = r->log.access.fd = -1;
    *order = (struct message){.body = NULL};
    text_init(&r->why);
    return r;
}

static void close_target(struct log_target *t)
{
    if (t->fd >= 0)
        close(t->fd);
    t->fd = -1;
}

/* What was not committed goes as if it had never been. */
static void reload_free(struct reload *r)
{
    if (r->all->now == r)
        r->all->now = NULL;
    transition_destroy(&r->transition);
    bindings_free(&r->bindings);
    close_target(&r->log.error);
    close_target(&r->log.access);
    proxy_free(r->proxy);
    if (r->diff.before != NULL)
        diff_free(&r->diff);
    conf_unref(r->conf);
    message_free(&r->order);
    text_free(&r->why);
    free(r);
}

/* --- loading: may block, and changes nothing that is in use ------------------------------- */

static int find_limits(struct reload *r)
{
    int err = limits_find(r->conf, bindings_needed(r->conf), &r->limits);
    if (err < 0)
        text_format(&r->why,
                    "error: the descriptor limit of %u is too low: %u are needed before the "
                    "first connection",
                    r->limits.descriptors, r->limits.reserved);
    return err;
}

static int open_target(struct reload *r, struct log_target *t, bool errors)
{
    if (t->output != LOG_OUTPUT_FILE)
        return 0;
    t->fd = opener_log(r->all->opener, t->path, errors);
    if (t->fd >= 0)
        return 0;
    r->restart = t->fd == -EPERM && r->diff.before != NULL; /* no more for a process that serves */
    int err = t->fd;
    t->fd = -1;
    text_format(&r->why, "error: log: %s: %s", t->path, error_text(err));
    return err;
}

/* Whether it is among the groups of the daemon's own that differ. */
static bool is_changed(const struct diff *d, const char *group)
{
    for (size_t i = 0; i < d->groups.count; i++) {
        const struct diff_entry *e = &d->groups.entries[i];
        if (e->change != DIFF_KEEP && strcmp(e->subject, group) == 0)
            return true;
    }
    return false;
}

static int open_logs(struct reload *r)
{
    const struct conf_log *c = &r->conf->log;
    r->log.error = c->error;
    r->log.error_level = c->error_level;
    r->log.access = c->access;
    r->log.error.fd = r->log.access.fd = -1;
    r->log_changed = r->diff.before == NULL || is_changed(&r->diff, "log");
    if (!r->log_changed)
        return 0;
    int err = open_target(r, &r->log.error, true);
    return err < 0 ? err : open_target(r, &r->log.access, false);
}

static int open_all(struct reload *r)
{
    const struct diff *diff = r->diff.before != NULL ? &r->diff : NULL;
    int err = find_limits(r);
    if (err == 0)
        err = bindings_open(&r->bindings, r->conf, diff, &r->all->sockets, r->all->opener, &r->why);
    return err < 0 ? err : open_logs(r);
}

/* The control thread's: the last acceptor of an address that is not listened on any more. */
static void acceptor_closed(struct notice *n);

static int make_generation(struct reload *r)
{
    const struct shard_group *group = &r->all->control->group;
    const struct proxy_options o = {
        .conf = r->conf,
        .generation = (uint64_t)message_integer(&r->order, "generation"),
        .max_connections = r->limits.max_connections,
        .shards = group->count,
        .previous = r->all->proxy,
    };
    r->proxy = proxy_new(&o);
    if (r->proxy == NULL)
        return -ENOMEM;
    return bindings_prepare(&r->bindings, &r->transition, r->proxy, group, acceptor_closed);
}

static int load(struct reload *r)
{
    int err = loading_read(&r->order, r->all->opener, &r->conf, &r->why);
    if (err == 0)
        err = diff_init(&r->diff, r->all->proxy->conf, r->conf);
    if (err < 0)
        return err;
    r->restart = r->diff.restart != NULL;
    if (r->restart)
        return 0;
    err = open_all(r);
    return err < 0 ? err : make_generation(r);
}

static void *load_run(void *arg)
{
    struct reload *r = arg;
    r->err = load(r);
    if (r->err < 0 && r->why.length == 0)
        text_format(&r->why, "error: %s", error_text(r->err));
    if (r->err < 0)
        bindings_abandon(&r->bindings);
    mailbox_post(r->all->control->mailbox, &r->finished.mail);
    return NULL;
}

/* --- going over: the control thread ------------------------------------------------------- */

struct forgetting {
    struct opener *opener;
    const char *key;
};

static void forget_key(void *arg)
{
    const struct forgetting *f = arg;
    opener_forget(f->opener, f->key);
}

static void acceptor_closed(struct notice *n)
{
    struct acceptor *a = container_of(n, struct acceptor, closed);
    struct reloads *all = container_of(a->shard->group, struct control, group)->reloads;
    char *key = sockets_closed(&all->sockets, a->address);
    acceptor_free(a);
    if (key == NULL)
        return;
    struct forgetting f = {.opener = all->opener, .key = key};
    fiber_call(forget_key, &f);
    free(key);
}

static void note_verdict(struct reloads *all, bool accepted)
{
    all->last = clock_wall();
    all->last_accepted = accepted;
}

static void say_accepted(struct reload *r)
{
    struct text summary;
    text_init(&summary);
    diff_summarize(&r->diff, &summary);
    log_line(LOG_LEVEL_NOTICE, "reload accepted: generation %" PRIu64 ": %s",
             r->all->proxy->generation, summary.data != NULL ? summary.data : "");
    text_free(&summary);
    note_verdict(r->all, true);
    link_send(&r->all->control->link, MESSAGE_VERDICT,
              json_pack("{s:b, s:I}", "accepted", 1, "drain_timeout",
                        (json_int_t)r->conf->process.drain_timeout));
}

static void say_rejected(struct reload *r)
{
    const char *line = r->why.data;
    while (line != NULL && *line != '\0') {
        size_t n = strcspn(line, "\n");
        log_line(LOG_LEVEL_ERROR, "%.*s", (int)n, line);
        line += n + (line[n] != '\0');
    }
    log_line(LOG_LEVEL_ERROR, "reload rejected: generation %" PRIu64 " stays in effect",
             r->all->proxy->generation);
    note_verdict(r->all, false);
    link_send(&r->all->control->link, MESSAGE_VERDICT,
              json_pack("{s:b, s:s}", "accepted", 0, "text", r->why.data));
}

/* Every shard is in the new generation: no session of the one before begins any more. */
static void gone_over(struct transition *t)
{
    struct reload *r = container_of(t, struct reload, transition);
    if (r->old != NULL) {
        proxy_retire(r->old, &r->all->control->group);
        say_accepted(r);
    }
    reload_free(r);
}

static int set_log(struct reload *r)
{
    const char *path = NULL;
    int err = r->log_changed ? log_set(&r->log, &path) : 0;
    r->log.error.fd = r->log.access.fd = -1; /* they are the log's now */
    if (err < 0)
        text_format(&r->why, "error: log: %s: %s", path != NULL ? path : "", error_text(err));
    else
        r->all->log = r->log;
    return err;
}

static void commit(struct reload *r)
{
    struct reloads *all = r->all;
    r->old = all->proxy;
    bindings_apply_options(&r->bindings);
    bindings_commit(&r->bindings, &r->transition);
    pipes_set_budget(r->limits.pipes);
    proxy_apply_limits(r->proxy);
    all->limits = r->limits;
    all->proxy = r->proxy;
    r->proxy = NULL;
    list_push_back(&all->generations, &all->proxy->link);
    all->control->drain_timeout = r->conf->process.drain_timeout;
    r->transition.done = gone_over;
    transition_begin(&r->transition);
}

static void reject(struct reload *r)
{
    say_rejected(r);
    reload_free(r);
}

static void give_up(struct reload *r)
{
    transition_destroy(&r->transition);
    bindings_abandon(&r->bindings);
}

static void conclude(void *arg)
{
    struct reload *r = arg;
    pthread_join(r->thread, NULL);
    if (r->restart) {
        give_up(r);
        link_send(&r->all->control->link, MESSAGE_VERDICT, json_pack("{s:b}", "restart", 1));
        reload_free(r);
    } else if (r->err < 0) {
        reject(r);
    } else if (r->all->control->draining) {
        give_up(r);
        text_format(&r->why, "error: weft is stopping");
        reject(r);
    } else if (set_log(r) < 0) {
        give_up(r);
        reject(r);
    } else {
        commit(r);
    }
}

static void deliver_finished(struct notice *n)
{
    fiber_call(conclude, container_of(n, struct reload, finished));
}

void reload_begin(struct reloads *all, struct message *m)
{
    struct reload *r = all->now == NULL ? reload_new(all, m) : NULL;
    if (r == NULL) {
        link_send(&all->control->link, MESSAGE_VERDICT,
                  json_pack("{s:b, s:s}", "accepted", 0, "text", "error: out of memory"));
        return;
    }
    r->finished.deliver = deliver_finished;
    all->now = r;
    int err = pthread_create(&r->thread, NULL, load_run, r); /* which writes the rest of `r` */
    if (err != 0) {
        text_format(&r->why, "error: cannot load: %s", error_text(err));
        reject(r);
    }
}

/* --- start and end ------------------------------------------------------------------------ */

int reloads_load_first(struct reloads *all, struct message *hello, const struct conf **ret,
                       struct text *why)
{
    struct reload *r = reload_new(all, hello);
    if (r == NULL)
        return -ENOMEM;
    all->now = r;
    int err = loading_read(&r->order, all->opener, &r->conf, why);
    if (err == 0)
        err = open_all(r);
    if (err < 0 && r->why.length > 0)
        text_add_string(why, r->why.data);
    if (err < 0)
        return err;
    all->log = r->log; /* with the descriptors: the log is started with it */
    r->log.error.fd = r->log.access.fd = -1;
    *ret = conf_ref(r->conf);
    return 0;
}

int reloads_start(struct reloads *all)
{
    struct reload *r = all->now;
    int err = make_generation(r);
    if (err == 0)
        commit(r);
    return err;
}

void reloads_destroy(struct reloads *all)
{
    struct list *l;
    if (all->now != NULL)
        reload_free(all->now);
    while ((l = list_pop_front(&all->generations)) != NULL)
        proxy_free(container_of(l, struct proxy, link));
    sockets_destroy(&all->sockets);
}

void reload_abandon(struct reloads *all)
{
    struct reload *r = all->now;
    if (r == NULL)
        return;
    pthread_join(r->thread, NULL);
    if (r->err == 0)
        give_up(r);
}
