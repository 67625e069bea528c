#include "base/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/attr.h"
#include "base/clock.h"

#ifndef SO_BUF_LOCK /* Linux 5.14; not in every C library's headers */
#define SO_BUF_LOCK 72
#endif
#define SEND_LOCK    1 /* bits of its value (uapi/linux/socket.h: SOCK_SNDBUF_LOCK ...) */
#define RECEIVE_LOCK 2

/* The kernel refuses more (include/net/tcp.h: MAX_TCP_KEEPIDLE, _KEEPINTVL, _KEEPCNT). */
#define KEEPALIVE_SECONDS_MAX 32767
#define KEEPALIVE_COUNT_MAX   127

static int set_int(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof(value)) == 0 ? 0 : -errno;
}

static int open_socket(int family)
{
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    return fd >= 0 ? fd : -errno;
}

static bool is_tcp(int family)
{
    return family == AF_INET || family == AF_INET6;
}

/* Whole seconds, rounded up: half a second must not become "off". */
static int seconds_up(int64_t ns, int max)
{
    int64_t seconds = ns / NSEC_PER_SEC + (ns % NSEC_PER_SEC != 0);
    return seconds < max ? (int)seconds : max;
}

static int set_keepalive(int fd, const struct socket_keepalive *k)
{
    int rc = set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    if (rc == 0)
        rc = set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, seconds_up(k->idle, KEEPALIVE_SECONDS_MAX));
    if (rc == 0 && k->interval > 0)
        rc =
            set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, seconds_up(k->interval, KEEPALIVE_SECONDS_MAX));
    if (rc == 0 && k->count > 0)
        rc = set_int(fd, IPPROTO_TCP, TCP_KEEPCNT,
                     k->count < KEEPALIVE_COUNT_MAX ? k->count : KEEPALIVE_COUNT_MAX);
    return rc;
}

int socket_set_options(int fd, int family, const struct socket_options *o)
{
    int rc = 0;
    if (o->nodelay && is_tcp(family))
        rc = set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (rc == 0 && o->keepalive.idle > 0 && is_tcp(family))
        rc = set_keepalive(fd, &o->keepalive);
    if (rc == 0 && o->receive_buffer > 0)
        rc = set_int(fd, SOL_SOCKET, SO_RCVBUF, o->receive_buffer);
    if (rc == 0 && o->send_buffer > 0)
        rc = set_int(fd, SOL_SOCKET, SO_SNDBUF, o->send_buffer);
    return rc;
}

/* --- listening --------------------------------------------------------------------------- */

/* SO_REUSEADDR lets a restart bind while old connections are in TIME_WAIT. */
static int set_bind_options(int fd, int family, bool dual_stack)
{
    int rc = 0;
    if (is_tcp(family))
        rc = set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (rc == 0 && family == AF_INET6)
        rc = set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, !dual_stack);
    return rc;
}

static int set_listen_options(int fd, int family, const struct socket_listen_options *o)
{
    int rc = set_bind_options(fd, family, o->dual_stack);
    if (rc == 0 && o->reuse_port && is_tcp(family))
        rc = set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (rc == 0)
        rc = socket_set_options(fd, family, &o->common);
    if (rc == 0 && o->defer_accept > 0 && is_tcp(family))
        rc = set_int(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, seconds_up(o->defer_accept, INT_MAX));
    if (rc == 0 && o->fastopen > 0 && is_tcp(family))
        rc = set_int(fd, IPPROTO_TCP, TCP_FASTOPEN, o->fastopen);
    return rc;
}

/*
 * Remove the socket file of a process that is gone. Only what is a socket and refuses a connection
 * is removed: a full queue (EAGAIN) or a missing right (EACCES) may well have a server behind it.
 */
static bool remove_stale(const struct addr *a)
{
    const char *path = a->un.sun_path;
    struct stat st;
    if (path[0] == '\0' || lstat(path, &st) != 0 || !S_ISSOCK(st.st_mode))
        return false;
    int fd = open_socket(AF_UNIX);
    if (fd < 0)
        return false;
    bool stale = connect(fd, &a->sa, a->len) != 0 && errno == ECONNREFUSED;
    close(fd);
    return stale && unlink(path) == 0;
}

static int bind_to(int fd, const struct addr *a)
{
    if (bind(fd, &a->sa, a->len) == 0)
        return 0;
    if (errno != EADDRINUSE || a->sa.sa_family != AF_UNIX)
        return -errno;
    if (remove_stale(a) && bind(fd, &a->sa, a->len) == 0)
        return 0;
    return -EADDRINUSE;
}

/*
 * As with a port, everyone may connect who can get there: that is for a path's directory to say.
 * The umask is the whole process's, and as it was again at once.
 */
static int bind_for_all(int fd, const struct addr *a)
{
    mode_t before = umask(0111);
    int rc = bind_to(fd, a);
    umask(before);
    return rc;
}

int socket_bind(const struct addr *a, const struct socket_listen_options *o)
{
    int fd = open_socket(a->sa.sa_family);
    if (fd < 0)
        return fd;
    int rc = set_listen_options(fd, a->sa.sa_family, o);
    if (rc == 0)
        rc = bind_for_all(fd, a);
    if (rc == 0)
        return fd;
    close(fd);
    return rc;
}

int socket_listen(const struct addr *a, const struct socket_listen_options *o)
{
    int fd = socket_bind(a, o);
    if (fd < 0 || listen(fd, o->backlog) == 0)
        return fd;
    int rc = -errno;
    close(fd);
    return rc;
}

int socket_listen_on(int fd, int backlog)
{
    int listens = 0;
    socklen_t len = sizeof(listens);
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) == 0 && listens)
        return 0;
    return listen(fd, backlog) == 0 ? 0 : -errno;
}

bool socket_listen_same(const struct socket_listen_options *a,
                        const struct socket_listen_options *b)
{
    const struct socket_options *x = &a->common, *y = &b->common;
    return x->nodelay == y->nodelay && x->keepalive.idle == y->keepalive.idle &&
           x->keepalive.interval == y->keepalive.interval &&
           x->keepalive.count == y->keepalive.count && x->receive_buffer == y->receive_buffer &&
           x->send_buffer == y->send_buffer && a->backlog == b->backlog &&
           a->defer_accept == b->defer_accept && a->fastopen == b->fastopen;
}

static int get_int(int fd, int name, int *ret)
{
    socklen_t len = sizeof(*ret);
    return getsockopt(fd, SOL_SOCKET, name, ret, &len) == 0 ? 0 : -errno;
}

/* Give a buffer back to the kernel's own tuning, beginning with the size that a new socket has. */
static int free_buffer(int fd, int family, int name, int lock)
{
    int locks, size;
    if (get_int(fd, SO_BUF_LOCK, &locks) < 0 || (locks & lock) == 0)
        return 0; /* it is free, or the kernel (before 5.14) can't */
    int fresh = open_socket(family);
    if (fresh < 0)
        return fresh;
    int rc = get_int(fresh, name, &size);
    close(fresh);
    if (rc == 0)
        rc = set_int(fd, SOL_SOCKET, name, size / 2); /* the kernel doubles it */
    return rc == 0 ? set_int(fd, SOL_SOCKET, SO_BUF_LOCK, locks & ~lock) : rc;
}

static int change_buffer(int fd, int family, int name, int lock, int size)
{
    return size > 0 ? set_int(fd, SOL_SOCKET, name, size) : free_buffer(fd, family, name, lock);
}

static int change_tcp(int fd, const struct socket_listen_options *o)
{
    const struct socket_keepalive *k = &o->common.keepalive;
    int results[] = {
        set_int(fd, IPPROTO_TCP, TCP_NODELAY, o->common.nodelay),
        k->idle > 0 ? set_keepalive(fd, k) : set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 0),
        set_int(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, seconds_up(o->defer_accept, INT_MAX)),
        set_int(fd, IPPROTO_TCP, TCP_FASTOPEN, o->fastopen),
    };
    for (size_t i = 0; i < array_size(results); i++) {
        if (results[i] < 0)
            return results[i];
    }
    return 0;
}

int socket_listen_change(int fd, const struct socket_listen_options *o)
{
    int family;
    int rc = get_int(fd, SO_DOMAIN, &family);
    if (rc < 0)
        return rc;
    rc = is_tcp(family) ? change_tcp(fd, o) : 0;
    int receive = change_buffer(fd, family, SO_RCVBUF, RECEIVE_LOCK, o->common.receive_buffer);
    int send = change_buffer(fd, family, SO_SNDBUF, SEND_LOCK, o->common.send_buffer);
    int backlog = listen(fd, o->backlog) == 0 ? 0 : -errno;
    return rc < 0 ? rc : receive < 0 ? receive : send < 0 ? send : backlog;
}

int socket_probe(const struct addr *a, bool dual_stack)
{
    int family = a->sa.sa_family;
    if (!is_tcp(family))
        return 0;
    int fd = open_socket(family);
    if (fd < 0)
        return fd;
    int rc = set_bind_options(fd, family, dual_stack);
    if (rc == 0 && bind(fd, &a->sa, a->len) != 0)
        rc = -errno;
    close(fd);
    return rc;
}

/* Returns NULL, or why it is nothing to accept from. */
static const char *unfit(int fd, int *ret_family)
{
    int type, listens;
    if (get_int(fd, SO_TYPE, &type) < 0 || get_int(fd, SO_DOMAIN, ret_family) < 0)
        return "it is no socket";
    if (!is_tcp(*ret_family) && *ret_family != AF_UNIX)
        return "it is neither a TCP nor a UNIX socket";
    if (type != SOCK_STREAM)
        return "it is not a stream socket";
    if (get_int(fd, SO_ACCEPTCONN, &listens) < 0 || !listens)
        return "it does not listen";
    return NULL;
}

int socket_adopt(int fd, const struct socket_options *o, const char **ret_why)
{
    int family;
    *ret_why = unfit(fd, &family);
    if (*ret_why != NULL)
        return -EINVAL;
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
        fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
        return -errno;
    return socket_set_options(fd, family, o);
}

int socket_accept(int fd, struct addr *ret_peer)
{
    for (;;) {
        socklen_t len = sizeof(ret_peer->un);
        int conn = accept4(fd, &ret_peer->sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (likely(conn >= 0)) {
            ret_peer->len = len;
            return conn;
        }
        if (errno != EINTR)
            return -errno;
    }
}

/* --- connecting -------------------------------------------------------------------------- */

static int begin_connect(int fd, const struct addr *a, bool *ret_pending)
{
    if (connect(fd, &a->sa, a->len) == 0)
        *ret_pending = false;
    else if (errno == EINPROGRESS || errno == EINTR) /* interrupted, it goes on by itself */
        *ret_pending = true;
    else
        return -errno;
    return 0;
}

int socket_connect(const struct addr *a, const struct socket_options *o, bool *ret_pending)
{
    int fd = open_socket(a->sa.sa_family);
    if (unlikely(fd < 0))
        return fd;
    int rc = socket_set_options(fd, a->sa.sa_family, o);
    if (rc == 0)
        rc = begin_connect(fd, a, ret_pending);
    if (likely(rc == 0))
        return fd;
    close(fd);
    return rc;
}

int socket_error(int fd)
{
    int err;
    socklen_t len = sizeof(err);
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) != 0)
        return -errno;
    return -err;
}

void socket_reset(int fd)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)); /* else a FIN has to do */
    close(fd);
}

void socket_local(int fd, struct addr *ret)
{
    socklen_t len = sizeof(ret->un);
    ret->len = getsockname(fd, &ret->sa, &len) == 0 ? len : 0;
}
