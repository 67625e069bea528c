#include "io/conn.h"

#include <assert.h>
#include <errno.h>
#include <unistd.h>

#include "base/clock.h"

#define CONNECT_RETRY                                                                              \
    (10 * NSEC_PER_MSEC) /* between tries at a UNIX listener whose queue is full */

static struct conn *conn_of(struct stream *s)
{
    return container_of(s, struct conn, stream);
}

static size_t iov_length(const struct iovec *iov, int n)
{
    size_t total = 0;
    for (int i = 0; i < n; i++)
        total += iov[i].iov_len;
    return total;
}

int conn_watch(struct conn *c)
{
    if (c->watched)
        return 0;
    uint8_t ready = c->poll.ready;
    int err = netpoll_open(&c->poll, c->poll.fd);
    if (err < 0)
        return err;
    c->poll.ready |= ready;
    c->watched = true;
    return 0;
}

static ssize_t receive(int fd, const struct iovec *iov, int n)
{
    ssize_t got = n == 1 ? TEMP_FAILURE_RETRY(recv(fd, iov->iov_base, iov->iov_len, 0))
                         : TEMP_FAILURE_RETRY(readv(fd, iov, n));
    return got < 0 ? -errno : got;
}

ssize_t conn_try_readv(struct conn *c, const struct iovec *iov, int n)
{
    if (!conn_readable(c))
        return -EAGAIN;
    c->poll.ready &= (uint8_t)~NETPOLL_READ;
    ssize_t got = receive(c->poll.fd, iov, n);
    if (got > 0 && (!c->short_is_all || (size_t)got == iov_length(iov, n)))
        c->poll.ready |= NETPOLL_READ;
    return got;
}

static ssize_t transmit(int fd, const struct iovec *iov, int n)
{
    ssize_t put;
    if (n == 1) {
        put = TEMP_FAILURE_RETRY(send(fd, iov->iov_base, iov->iov_len, MSG_NOSIGNAL));
    } else {
        struct msghdr msg = {.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)n};
        put = TEMP_FAILURE_RETRY(sendmsg(fd, &msg, MSG_NOSIGNAL));
    }
    return put < 0 ? -errno : put;
}

ssize_t conn_try_writev(struct conn *c, const struct iovec *iov, int n)
{
    if ((c->poll.ready & (NETPOLL_WRITE | NETPOLL_ERROR)) == 0)
        return -EAGAIN;
    ssize_t put = transmit(c->poll.fd, iov, n);
    if (put == -EAGAIN || (put > 0 && (size_t)put < iov_length(iov, n)))
        c->poll.ready &= (uint8_t)~NETPOLL_WRITE;
    if (put > 0)
        c->connecting = false;
    return put;
}

static int conn_wait(struct conn *c, int mode, int64_t deadline)
{
    int err = conn_watch(c);
    return err < 0 ? err : netpoll_wait(&c->poll, mode, deadline);
}

static ssize_t conn_readv(struct stream *s, const struct iovec *iov, int n)
{
    struct conn *c = conn_of(s);
    ssize_t got;
    while ((got = conn_try_readv(c, iov, n)) == -EAGAIN) {
        int err = conn_wait(c, NETPOLL_READ, c->read_deadline);
        if (err < 0)
            return err;
    }
    return got;
}

static ssize_t conn_writev(struct stream *s, const struct iovec *iov, int n)
{
    struct conn *c = conn_of(s);
    ssize_t put;
    while ((put = conn_try_writev(c, iov, n)) == -EAGAIN) {
        int err = conn_wait(c, NETPOLL_WRITE, c->write_deadline);
        if (err < 0)
            return err;
    }
    return put;
}

static int conn_stream_shutdown(struct stream *s)
{
    return conn_shutdown(conn_of(s));
}

static void conn_stream_close(struct stream *s)
{
    conn_close(conn_of(s));
}

static void conn_deadline(struct stream *s, int64_t read, int64_t write)
{
    struct conn *c = conn_of(s);
    c->read_deadline = read;
    c->write_deadline = write;
}

static const struct stream_ops conn_ops = {
    .readv = conn_readv,
    .writev = conn_writev,
    .shutdown = conn_stream_shutdown,
    .close = conn_stream_close,
    .deadline = conn_deadline,
};

struct conn *conn_of_stream(struct stream *s)
{
    return s->ops == &conn_ops ? conn_of(s) : NULL;
}

void conn_init(struct conn *c, int fd, int family)
{
    *c = (struct conn){
        .stream.ops = &conn_ops,
        .poll = {.fd = fd, .ready = NETPOLL_READ | NETPOLL_WRITE},
        .read_deadline = CLOCK_NEVER,
        .write_deadline = CLOCK_NEVER,
        /* A UNIX read also ends between the messages of two writers or at passed descriptors. */
        .short_is_all = family != AF_UNIX,
    };
}

int conn_connect_begin(struct conn *c, const struct addr *a, const struct socket_options *o)
{
    bool pending = false;
    int fd = socket_connect(a, o, &pending);
    if (fd < 0)
        return fd;
    conn_init(c, fd, a->sa.sa_family);
    c->connecting = pending;
    return 0;
}

int conn_established(struct conn *c, int64_t deadline)
{
    if (!c->connecting)
        return 0;
    c->poll.ready &= (uint8_t) ~(NETPOLL_READ | NETPOLL_WRITE);
    int err = conn_wait(c, NETPOLL_WRITE, deadline);
    if (err == 0 && (c->poll.ready & NETPOLL_ERROR) != 0)
        err = socket_error(c->poll.fd);
    if (err == 0)
        c->connecting = false;
    return err;
}

static int connect_begin_retrying(struct conn *c, const struct addr *a,
                                  const struct socket_options *o, int64_t deadline)
{
    int err;
    while ((err = conn_connect_begin(c, a, o)) == -EAGAIN) {
        int64_t next = clock_now() + CONNECT_RETRY;
        if (next > deadline)
            return -ETIMEDOUT;
        err = fiber_sleep(next);
        if (err < 0)
            return err;
    }
    return err;
}

int conn_connect(struct conn *c, const struct addr *a, const struct socket_options *o,
                 int64_t deadline)
{
    int err = connect_begin_retrying(c, a, o, deadline);
    if (err < 0)
        return err;
    err = conn_established(c, deadline);
    if (err < 0)
        conn_close(c);
    return err;
}

int conn_accept(struct conn *listening, struct conn *ret, struct addr *ret_peer)
{
    int fd;
    while ((fd = conn_try_accept(listening, ret_peer)) == -EAGAIN) {
        int err = conn_wait(listening, NETPOLL_READ, listening->read_deadline);
        if (err < 0)
            return err;
    }
    if (fd < 0)
        return fd;
    conn_init(ret, fd, ret_peer->sa.sa_family);
    return 0;
}

int conn_try_accept(struct conn *listening, struct addr *ret_peer)
{
    if ((listening->poll.ready & (NETPOLL_READ | NETPOLL_ERROR)) == 0)
        return -EAGAIN;
    int fd = socket_accept(listening->poll.fd, ret_peer);
    if (fd == -EAGAIN)
        listening->poll.ready &= (uint8_t)~NETPOLL_READ;
    return fd;
}

int conn_shutdown(struct conn *c)
{
    return shutdown(c->poll.fd, SHUT_WR) < 0 ? -errno : 0;
}

/* Take the descriptor out of the conn. Returns it, or -1. */
static int conn_detach(struct conn *c)
{
    int fd = c->poll.fd;
    if (c->watched && c->shared)
        netpoll_detach(&c->poll);
    else if (c->watched)
        netpoll_close(&c->poll);
    c->watched = false;
    c->poll.fd = -1;
    return fd;
}

void conn_close(struct conn *c)
{
    int fd = conn_detach(c);
    if (fd >= 0)
        close(fd);
}

void conn_reset(struct conn *c)
{
    int fd = conn_detach(c);
    if (fd >= 0)
        socket_reset(fd);
}
