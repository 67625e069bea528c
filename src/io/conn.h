/*
 * Connections: TCP and UNIX stream sockets as streams.
 *
 * Every call is tried first and waits only on EAGAIN. The conn_try functions never wait: a relay
 * that watches two connections at once is built on them.
 */
#ifndef WEFT_IO_CONN_H
#define WEFT_IO_CONN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/addr.h"
#include "base/attr.h"
#include "base/socket.h"
#include "fiber/netpoll.h"
#include "io/stream.h"

struct conn {
    struct stream stream;
    struct netpoll_desc poll; /* poll.fd is the descriptor, owned; -1 when there is none */
    int64_t read_deadline;    /* [monotonic ns] */
    int64_t write_deadline;   /* [monotonic ns] */
    bool watched;             /* in the poll set: left out until the first wait */
    bool shared;       /* others have the socket open too: closing does not end its polling */
    bool connecting;   /* connect() is under way, as far as we know */
    bool short_is_all; /* a short read of this family says that nothing is left */
};

/** The conn that a stream is; NULL when it is something else. */
struct conn *conn_of_stream(struct stream *s);

/** Make a conn of a connected or listening socket, which it owns from here on. */
void conn_init(struct conn *c, int fd, int family);

/**
 * Put the descriptor in the poll set, if it is not there yet. A wait does so by itself; who arms
 * the poll descriptor on their own calls it first.
 */
int conn_watch(struct conn *c) WEFT_MUSTCHECK;

/**
 * Begin to connect.
 *
 * Returns 0 with `c` owning the socket: established or on its way, which the first conn_try_writev
 * (-EAGAIN) or conn_established() tells; or -errno with `c` untouched.
 */
int conn_connect_begin(struct conn *c, const struct addr *a,
                       const struct socket_options *o) WEFT_MUSTCHECK;

/** Wait until a begun connect is through. Yields. Returns 0, -ETIMEDOUT, -ECANCELED or the
 * connect's -errno. */
int conn_established(struct conn *c, int64_t deadline) WEFT_MUSTCHECK;

/** Connect, in one go. Yields. Returns 0, or as above with nothing left open. */
int conn_connect(struct conn *c, const struct addr *a, const struct socket_options *o,
                 int64_t deadline) WEFT_MUSTCHECK;

/**
 * Take a connection from a listening conn, waiting for one until its read deadline.
 *
 * Yields. Returns 0 with `ret` initialised, or -errno.
 */
int conn_accept(struct conn *listening, struct conn *ret, struct addr *ret_peer) WEFT_MUSTCHECK;

/** As conn_accept, without waiting. Returns the descriptor, which the caller owns, -EAGAIN, or
 * another -errno. */
int conn_try_accept(struct conn *listening, struct addr *ret_peer) WEFT_MUSTCHECK;

/** Whether a read may find something: false says, without a system call, that it would not. */
static inline bool conn_readable(const struct conn *c)
{
    return (c->poll.ready & (NETPOLL_READ | NETPOLL_HANGUP | NETPOLL_ERROR)) != 0;
}

/**
 * Read what is there, without waiting.
 *
 * Returns > 0, 0 at the end of the stream, -EAGAIN when nothing is there (also, without a system
 * call, when nothing came since the last read that took all), or -errno.
 */
ssize_t conn_try_readv(struct conn *c, const struct iovec *iov, int n) WEFT_MUSTCHECK;

/** Write what fits, without waiting. Returns > 0, -EAGAIN, or -errno. A short write means that the
 * rest would be refused. */
ssize_t conn_try_writev(struct conn *c, const struct iovec *iov, int n) WEFT_MUSTCHECK;

/** Half-close. */
int conn_shutdown(struct conn *c) WEFT_MUSTCHECK;

/** Close; bytes that were written still go out. Fine on a conn that is closed. */
void conn_close(struct conn *c);

/** Close so that a TCP peer sees an RST. Fine on a conn that is closed. */
void conn_reset(struct conn *c);

#endif
