#include "worker/sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"
#include "base/socket.h"
#include "proxy/proxy.h"

unsigned sockets_needed(const struct conf *conf)
{
    size_t binds = 0;
    for (size_t i = 0; i < conf->listener_count; i++)
        binds += conf->listeners[i].bind_count;
    return (unsigned)binds * conf->process.workers;
}

static int add(struct sockets *s, const struct listening *l)
{
    struct listening *more = realloc(s->all, (s->count + 1) * sizeof(*more));
    if (more == NULL) {
        close(l->fd);
        return -ENOMEM;
    }
    s->all = more;
    s->all[s->count++] = *l;
    return 0;
}

/* Every worker has to have one: where there are fewer sockets than workers, they are duplicated. */
static int distribute(struct sockets *s, size_t listener, const struct conf_address *a,
                      struct opened *got)
{
    unsigned workers = s->conf->process.workers;
    unsigned count = got->count > workers ? got->count : workers;
    int err = got->count > 0 ? 0 : -EPROTO;
    for (unsigned i = 0; err == 0 && i < count; i++) {
        struct listening l = {.listener = listener, .bind = a, .worker = i % workers};
        l.fd = fcntl(got->fds[i % got->count], F_DUPFD_CLOEXEC, 0);
        err = l.fd < 0 ? -errno : add(s, &l);
    }
    return err;
}

static void make_order(const struct sockets *s, size_t listener, const struct conf_address *a,
                       char *key, struct listen_order *ret)
{
    *ret = (struct listen_order){.key = a->systemd != NULL ? a->text : key,
                                 .addr = a->addr,
                                 .any = a->any,
                                 .count = s->conf->process.workers};
    proxy_listen_options(&s->conf->listeners[listener], &ret->options);
    listen_order_key(&a->addr, a->any, key);
}

static void explain(struct text *why, const struct conf_listener *l, const struct conf_address *a,
                    const struct text *reason)
{
    if (a->mark.file != NULL && a->mark.line > 0)
        text_format(why, "%s:%u:%u: ", a->mark.file, a->mark.line, a->mark.column);
    text_format(why, "error: listener %s: cannot listen on %s: %s", l->name, a->text,
                reason->data != NULL ? reason->data : "out of memory");
}

static int open_bind(struct sockets *s, size_t listener, const struct conf_address *a,
                     struct opener *opener, struct text *why)
{
    char key[ADDR_TEXT_SIZE];
    struct listen_order want;
    struct opened got;
    struct text reason;
    text_init(&reason);
    make_order(s, listener, a, key, &want);
    int err = opener_listen(opener, &want, &got, &reason);
    if (err < 0) {
        explain(why, &s->conf->listeners[listener], a, &reason);
    } else {
        err = distribute(s, listener, a, &got);
        opened_free(&got);
    }
    text_free(&reason);
    return err;
}

void sockets_close(struct sockets *s)
{
    for (size_t i = 0; i < s->count; i++) {
        if (s->all[i].fd >= 0)
            close(s->all[i].fd);
    }
    free(s->all);
    *s = (struct sockets){0};
}

int sockets_open(struct sockets *ret, const struct conf *conf, struct opener *opener,
                 struct text *why)
{
    struct sockets s = {.conf = conf};
    int err = 0;
    for (size_t i = 0; err == 0 && i < conf->listener_count; i++) {
        const struct conf_listener *l = &conf->listeners[i];
        for (size_t k = 0; err == 0 && k < l->bind_count; k++)
            err = open_bind(&s, i, &l->binds[k], opener, why);
    }
    if (err < 0)
        sockets_close(&s);
    else
        *ret = s;
    return err;
}
