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

static bool is_unix(const struct conf_address *a)
{
    return a->addr.sa.sa_family == AF_UNIX;
}

/* `:PORT` where the kernel has no IPv6: every address there is, is a v4 one. */
static struct addr any_v4(const struct conf_address *a)
{
    struct addr v4 = {.len = sizeof(struct sockaddr_in)};
    v4.in.sin_family = AF_INET;
    v4.in.sin_port = htons(addr_port(&a->addr));
    return v4;
}

static int listen_on(const struct conf_address *a, const struct socket_listen_options *o)
{
    int fd = socket_listen(&a->addr, o);
    if (fd != -EAFNOSUPPORT || !a->any)
        return fd;
    struct addr v4 = any_v4(a);
    return socket_listen(&v4, o);
}

static int probe(const struct conf_address *a)
{
    int err = is_unix(a) ? 0 : socket_probe(&a->addr, a->any);
    return err == -EAFNOSUPPORT && a->any ? 0 : err;
}

static int duplicate(int fd)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    return copy < 0 ? -errno : copy;
}

/* Open one address for every worker. */
static int open_bind(struct sockets *s, size_t listener, const struct conf_address *a)
{
    struct socket_listen_options o;
    proxy_listen_options(&s->conf->listeners[listener], &o);
    o.dual_stack = a->any;
    o.reuse_port = !is_unix(a);
    int err = probe(a);
    if (err < 0)
        return err;
    int first = -1;
    for (unsigned w = 0; w < s->conf->process.workers; w++) {
        int fd = w > 0 && is_unix(a) ? duplicate(first) : listen_on(a, &o);
        if (fd < 0)
            return fd;
        first = fd;
        s->all[s->count++] =
            (struct listening){.fd = fd, .listener = listener, .bind = a, .worker = w};
    }
    return 0;
}

static void explain(struct text *why, const struct conf_listener *l, const struct conf_address *a,
                    int err)
{
    if (a->mark.file != NULL && a->mark.line > 0)
        text_format(why, "%s:%u:%u: ", a->mark.file, a->mark.line, a->mark.column);
    text_format(why, "error: listener %s: cannot listen on %s: %s", l->name, a->text,
                error_text(err));
}

static int open_listener(struct sockets *s, size_t listener, struct text *why)
{
    const struct conf_listener *l = &s->conf->listeners[listener];
    for (size_t i = 0; i < l->bind_count; i++) {
        int err = open_bind(s, listener, &l->binds[i]);
        if (err < 0) {
            explain(why, l, &l->binds[i], err);
            return err;
        }
    }
    return 0;
}

static void remove_path(const struct conf_address *a)
{
    const char *path = a->addr.un.sun_path;
    if (is_unix(a) && a->addr.len > sizeof(sa_family_t) && path[0] != '\0')
        unlink(path);
}

void sockets_close(struct sockets *s)
{
    for (size_t i = 0; i < s->count; i++) {
        struct listening *l = &s->all[i];
        if (l->fd >= 0)
            close(l->fd);
        if (l->worker == 0)
            remove_path(l->bind);
    }
    free(s->all);
    *s = (struct sockets){0};
}

int sockets_open(struct sockets *ret, const struct conf *conf, struct text *why)
{
    struct sockets s = {.conf = conf};
    s.all = calloc(sockets_needed(conf), sizeof(*s.all));
    int err = s.all != NULL ? 0 : -ENOMEM;
    for (size_t i = 0; err == 0 && i < conf->listener_count; i++)
        err = open_listener(&s, i, why);
    if (err < 0)
        sockets_close(&s);
    else
        *ret = s;
    return err;
}
