#include "worker/sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/socket.h"
#include "conf/names.h"
#include "proxy/proxy.h"

static size_t count_binds(const struct conf *conf)
{
    size_t binds = 0;
    for (size_t i = 0; i < conf->listener_count; i++)
        binds += conf->listeners[i].bind_count;
    return binds;
}

unsigned sockets_needed(const struct conf *conf)
{
    return (unsigned)count_binds(conf) * conf->process.workers;
}

/* --- numbers ----------------------------------------------------------------------------- */

/* The known addresses by their keys, and the numbers that none of them has. */
struct numbering {
    const struct addresses *known;
    struct name *entries; /* owned; one for each known address */
    struct names index;
    unsigned next; /* below it no number is free */
};

static int numbering_init(struct numbering *n, const struct addresses *known)
{
    *n = (struct numbering){.known = known};
    names_init(&n->index);
    n->entries = calloc(known->count + 1, sizeof(*n->entries));
    if (n->entries == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < known->count; i++) {
        n->entries[i].text = known->all[i].key;
        if (known->all[i].key != NULL && names_add(&n->index, &n->entries[i]) == NULL)
            return -ENOMEM;
    }
    return 0;
}

static void numbering_destroy(struct numbering *n)
{
    names_clear(&n->index);
    free(n->entries);
}

/* The number of an address. Returns whether it is listened on, and wanted, already. */
static bool find_number(struct numbering *n, const char *key, unsigned *ret)
{
    const struct name *found = names_find(&n->index, key);
    if (found != NULL) {
        *ret = (unsigned)(found - n->entries);
        return n->known->all[*ret].wanted;
    }
    while (n->next < n->known->count && n->known->all[n->next].key != NULL)
        n->next++;
    *ret = n->next++;
    return false;
}

/* --- opening ----------------------------------------------------------------------------- */

static int add(struct sockets *s, const struct listening *l)
{
    struct listening *more = realloc(s->all, (s->count + 1) * sizeof(*more));
    if (more == NULL) {
        close(l->fd);
        return -ENOMEM;
    }
    s->all = more;
    s->all[s->count++] = *l;
    s->bindings[l->binding].opened++;
    return 0;
}

/* Every worker has to have one: where there are fewer sockets than workers, they are duplicated. */
static int distribute(struct sockets *s, size_t binding, const struct opened *got)
{
    unsigned workers = s->conf->process.workers;
    unsigned count = got->count > workers ? got->count : workers;
    int err = got->count > 0 ? 0 : -EPROTO;
    for (unsigned i = 0; err == 0 && i < count; i++) {
        struct listening l = {.binding = binding, .worker = i % workers};
        l.fd = fcntl(got->fds[i % got->count], F_DUPFD_CLOEXEC, 0);
        err = l.fd < 0 ? -errno : add(s, &l);
    }
    return err;
}

/* What the address is called; NULL without memory. */
static char *make_key(const struct conf_address *a)
{
    char key[LISTEN_KEY_SIZE];
    if (a->systemd != NULL)
        return strdup(a->text);
    listen_order_key(&a->addr, a->any, key);
    return strdup(key);
}

static void explain(struct text *why, const struct conf_listener *l, const struct conf_address *a,
                    const char *reason)
{
    if (why->length > 0)
        text_add_string(why, "\n");
    if (a->mark.file != NULL && a->mark.line > 0)
        text_format(why, "%s:%u:%u: ", a->mark.file, a->mark.line, a->mark.column);
    text_format(why, "error: listener %s: cannot listen on %s: %s", l->name, a->text, reason);
}

static int open_new(struct sockets *s, size_t binding, const struct conf_address *a,
                    struct opener *opener, struct text *why)
{
    const struct conf_listener *l = &s->conf->listeners[s->bindings[binding].listener];
    struct listen_order want = {.key = s->bindings[binding].key,
                                .addr = a->addr,
                                .any = a->any,
                                .count = s->conf->process.workers};
    proxy_listen_options(l, &want.options);
    struct opened got;
    struct text reason;
    text_init(&reason);
    int err = opener_listen(opener, &want, &got, &reason);
    if (err == 0) {
        s->bindings[binding].claimed = true;
        err = distribute(s, binding, &got);
        opened_free(&got);
    }
    if (err < 0)
        explain(why, l, a, reason.length > 0 ? reason.data : error_text(err));
    text_free(&reason);
    return err;
}

static int open_bind(struct sockets *s, struct numbering *n, size_t listener,
                     const struct conf_address *a, struct opener *opener, struct text *why)
{
    size_t number = s->binding_count++;
    struct binding *b = &s->bindings[number];
    *b = (struct binding){.listener = listener, .key = make_key(a)};
    if (b->key == NULL)
        return -ENOMEM;
    bool there = find_number(n, b->key, &b->address);
    if (b->address >= s->addresses)
        s->addresses = b->address + 1;
    return there ? 0 : open_new(s, number, a, opener, why);
}

static int open_all(struct sockets *s, struct numbering *n, struct opener *opener, struct text *why)
{
    int first = 0;
    for (size_t i = 0; i < s->conf->listener_count; i++) {
        const struct conf_listener *l = &s->conf->listeners[i];
        for (size_t k = 0; k < l->bind_count; k++) {
            int err = open_bind(s, n, i, &l->binds[k], opener, why);
            first = first < 0 ? first : err;
        }
    }
    return first;
}

int sockets_open(struct sockets *ret, const struct conf *conf, const struct addresses *known,
                 struct opener *opener, struct text *why)
{
    *ret = (struct sockets){
        .conf = conf,
        .addresses = known->count,
        .bindings = calloc(count_binds(conf) + 1, sizeof(*ret->bindings)),
    };
    struct numbering n;
    int err = numbering_init(&n, known);
    if (err == 0 && ret->bindings == NULL)
        err = -ENOMEM;
    if (err == 0)
        err = open_all(ret, &n, opener, why);
    numbering_destroy(&n);
    return err;
}

void sockets_close(struct sockets *s)
{
    for (size_t i = 0; i < s->count; i++) {
        if (s->all[i].fd >= 0)
            close(s->all[i].fd);
    }
    for (size_t i = 0; i < s->binding_count; i++)
        free(s->bindings[i].key);
    free(s->all);
    free(s->bindings);
    *s = (struct sockets){.all = NULL};
}

/* --- handing out ------------------------------------------------------------------------- */

static bool is_handed(const char *key)
{
    return strncmp(key, LISTEN_KEY_HANDED, strlen(LISTEN_KEY_HANDED)) == 0;
}

int sockets_prepare(struct sockets *s, struct proxy *p, const struct shard_group *group,
                    void (*closed)(struct notice *n), struct transition *t)
{
    int err = transition_init(t, p, group, s->addresses);
    if (err < 0)
        return err;
    for (size_t i = 0; i < s->binding_count; i++)
        t->listeners[s->bindings[i].address] = (unsigned)s->bindings[i].listener;
    for (size_t i = 0; i < s->count; i++) {
        struct listening *l = &s->all[i];
        const struct binding *b = &s->bindings[l->binding];
        struct acceptor *a = acceptor_new(&p->listeners[b->listener], b->address, l->fd, closed);
        if (a == NULL)
            return -ENOMEM;
        l->fd = -1;
        a->handed = is_handed(b->key);
        transition_add(t, l->worker, a);
    }
    return 0;
}

void sockets_enter(struct sockets *s, struct addresses *a)
{
    addresses_want_none(a);
    for (size_t i = 0; i < s->binding_count; i++) {
        struct binding *b = &s->bindings[i];
        addresses_want(a, b->address, &b->key, b->opened);
    }
}
