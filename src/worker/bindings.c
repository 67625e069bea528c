#include "worker/bindings.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/socket.h"

#define KEY_SIZE ADDR_TEXT_SIZE

struct binding {
    size_t listener; /* its number in the configuration */
    const struct conf_address *address;
    unsigned number;   /* the address's */
    unsigned open;     /* acceptors that were made for it */
    bool fresh;        /* it was not listened on before */
    struct opened got; /* sockets of one that is fresh, or whose options have changed */
};

unsigned bindings_needed(const struct conf *conf)
{
    size_t binds = 0;
    for (size_t i = 0; i < conf->listener_count; i++)
        binds += conf->listeners[i].bind_count;
    return (unsigned)binds * conf->process.workers;
}

/* --- opening ----------------------------------------------------------------------------- */

/* What the address is called, in `buf` where it is put together. */
static const char *key_of(const struct conf_address *a, char *buf)
{
    if (a->systemd != NULL)
        return a->text;
    if (a->any)
        snprintf(buf, KEY_SIZE, ":%u", addr_port(&a->addr));
    else
        addr_format(&a->addr, buf);
    return buf;
}

static void explain(struct text *why, const struct conf_listener *l, const struct conf_address *a,
                    const struct text *reason)
{
    if (a->mark.file != NULL && a->mark.line > 0)
        text_format(why, "%s:%u:%u: ", a->mark.file, a->mark.line, a->mark.column);
    text_format(why, "error: listener %s: cannot listen on %s: %s", l->name, a->text,
                reason->length > 0 ? reason->data : "out of memory");
}

static int order(struct bindings *b, struct binding *binding, const char *key, struct text *why)
{
    const struct conf_listener *l = &b->conf->listeners[binding->listener];
    struct listen_order want = {.key = key,
                                .addr = binding->address->addr,
                                .any = binding->address->any,
                                .count = b->conf->process.workers};
    struct text reason;
    text_init(&reason);
    proxy_listen_options(l, &want.options);
    int err = opener_listen(b->opener, &want, &binding->got, &reason);
    if (err == 0 && binding->got.count == 0)
        err = -EPROTO;
    if (err < 0)
        explain(why, l, binding->address, &reason);
    text_free(&reason);
    return err;
}

/* `changed`: sockets there are need other options. */
static int open_binding(struct bindings *b, struct binding *binding, bool changed, struct text *why)
{
    char buf[KEY_SIZE];
    const char *key = key_of(binding->address, buf);
    int number = sockets_find(b->sockets, key);
    if (number >= 0) {
        binding->number = (unsigned)number;
        return changed ? order(b, binding, key, why) : 0;
    }
    number = sockets_reserve(b->sockets, key);
    if (number < 0)
        return number;
    binding->fresh = true;
    binding->number = (unsigned)number;
    return order(b, binding, key, why);
}

static bool is_changed(const struct diff *diff, size_t listener)
{
    return diff != NULL && diff->listeners.entries[listener].change == DIFF_CHANGE;
}

static size_t count_binds(const struct conf *conf)
{
    size_t count = 0;
    for (size_t i = 0; i < conf->listener_count; i++)
        count += conf->listeners[i].bind_count;
    return count;
}

static int open_listener(struct bindings *b, size_t listener, bool changed, struct text *why)
{
    const struct conf_listener *l = &b->conf->listeners[listener];
    for (size_t i = 0; i < l->bind_count; i++) {
        struct binding *binding = &b->all[b->count++];
        *binding = (struct binding){.listener = listener, .address = &l->binds[i]};
        int err = open_binding(b, binding, changed, why);
        if (err < 0)
            return err;
    }
    return 0;
}

int bindings_open(struct bindings *ret, const struct conf *conf, const struct diff *diff,
                  struct sockets *sockets, struct opener *opener, struct text *why)
{
    struct bindings b = {.conf = conf, .sockets = sockets, .opener = opener};
    b.all = calloc(count_binds(conf) + 1, sizeof(*b.all));
    int err = b.all != NULL ? 0 : -ENOMEM;
    for (size_t i = 0; err == 0 && i < conf->listener_count; i++)
        err = open_listener(&b, i, is_changed(diff, i), why);
    if (err < 0) {
        bindings_abandon(&b);
        bindings_free(&b);
    } else {
        *ret = b;
    }
    return err;
}

/* --- acceptors --------------------------------------------------------------------------- */

static int add_acceptor(struct binding *binding, struct transition *t, unsigned shard, int fd,
                        void (*closed)(struct notice *n))
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (copy < 0)
        return -errno;
    struct acceptor *a =
        acceptor_new(&t->to->listeners[binding->listener], binding->number, copy, closed);
    if (a == NULL) {
        close(copy);
        return -ENOMEM;
    }
    transition_add(t, shard, a);
    binding->open++;
    return 0;
}

/* Every shard has to have a socket: where there are fewer, they are shared; where there are more,
 * left from a time with more workers, some shards have several. */
static int add_acceptors(struct binding *binding, struct transition *t,
                         void (*closed)(struct notice *n))
{
    unsigned shards = t->group->count, sockets = binding->got.count;
    unsigned count = sockets > shards ? sockets : shards;
    int err = 0;
    for (unsigned i = 0; err == 0 && i < count; i++)
        err = add_acceptor(binding, t, i % shards, binding->got.fds[i % sockets], closed);
    return err;
}

int bindings_prepare(struct bindings *b, struct transition *t, struct proxy *to,
                     const struct shard_group *group, void (*closed)(struct notice *n))
{
    int err = transition_init(t, to, group, sockets_numbers(b->sockets));
    for (size_t i = 0; err == 0 && i < b->count; i++) {
        struct binding *binding = &b->all[i];
        t->listeners[binding->number] = (unsigned)binding->listener;
        if (binding->fresh)
            err = add_acceptors(binding, t, closed);
    }
    return err;
}

/* --- options ----------------------------------------------------------------------------- */

static int apply_to(int fd, const struct binding *binding, const struct conf_listener *l)
{
    struct socket_listen_options o;
    proxy_listen_options(l, &o);
    return socket_listen_again(fd, binding->address->addr.sa.sa_family, &o);
}

static void apply(const struct bindings *b, const struct binding *binding)
{
    const struct conf_listener *l = &b->conf->listeners[binding->listener];
    for (unsigned i = 0; i < binding->got.count; i++) {
        int err = apply_to(binding->got.fds[i], binding, l);
        if (err < 0) {
            log_line(LOG_LEVEL_WARNING, "listener %s: %s is not set as configured: %s", l->name,
                     binding->address->text, error_text(err));
            return;
        }
    }
}

void bindings_apply_options(struct bindings *b)
{
    for (size_t i = 0; i < b->count; i++)
        apply(b, &b->all[i]);
}

/* --- the outcome ------------------------------------------------------------------------- */

void bindings_commit(struct bindings *b, const struct transition *t)
{
    for (size_t i = 0; i < b->count; i++) {
        if (b->all[i].fresh)
            sockets_commit(b->sockets, b->all[i].number, b->all[i].open);
    }
    for (unsigned i = 0; i < t->addresses; i++) {
        if (t->listeners[i] == TRANSITION_STOP && sockets_is_live(b->sockets, i))
            sockets_leave(b->sockets, i);
    }
}

void bindings_abandon(struct bindings *b)
{
    for (size_t i = 0; i < b->count; i++) {
        struct binding *binding = &b->all[i];
        if (!binding->fresh)
            continue;
        char buf[KEY_SIZE];
        opened_free(&binding->got);
        sockets_release(b->sockets, binding->number);
        opener_forget(b->opener, key_of(binding->address, buf));
    }
}

void bindings_free(struct bindings *b)
{
    for (size_t i = 0; i < b->count; i++)
        opened_free(&b->all[i].got);
    free(b->all);
    *b = (struct bindings){.all = NULL};
}
