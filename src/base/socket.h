/*
 * System calls on sockets, as functions that return -errno. All sockets are non-blocking and
 * close-on-exec. EINTR is tried again inside.
 */
#ifndef WEFT_BASE_SOCKET_H
#define WEFT_BASE_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/addr.h"
#include "base/attr.h"

struct socket_keepalive {
    int64_t idle;     /* [ns] 0: no keepalive */
    int64_t interval; /* [ns] */
    int count;
};

/* What a socket is set to; a listening socket hands all of it on to what it accepts. */
struct socket_options {
    bool nodelay;
    struct socket_keepalive keepalive;
    int receive_buffer; /* [bytes] 0: the kernel's own tuning */
    int send_buffer;    /* [bytes] 0: the kernel's own tuning */
};

struct socket_listen_options {
    struct socket_options common;
    int backlog;
    int64_t defer_accept; /* [ns] 0: off */
    int fastopen;         /* queue length; 0: off */
    bool dual_stack;      /* a v6 socket takes v4 too */
    bool reuse_port;      /* several sockets share the address (TCP only) */
};

/**
 * Open a listening socket.
 *
 * A UNIX path left over by a process that is gone (nobody accepts there) is removed first; the new
 * one lets everyone connect who can reach it.
 * Returns the descriptor, which the caller owns, or the -errno of the first step that failed.
 */
int socket_listen(const struct addr *a, const struct socket_listen_options *o) WEFT_MUSTCHECK;

/** As socket_listen(), of a socket that takes no connection before socket_listen_on(). */
int socket_bind(const struct addr *a, const struct socket_listen_options *o) WEFT_MUSTCHECK;

/** Have a bound socket listen, unless it does. Returns 0 or -errno. */
int socket_listen_on(int fd, int backlog) WEFT_MUSTCHECK;

/** Whether two sets of options are the same to a socket that listens already: `dual_stack` and
 * `reuse_port` are not its to change. */
bool socket_listen_same(const struct socket_listen_options *a,
                        const struct socket_listen_options *b);

/**
 * Set a socket that listens to other options; what it accepts from then on has them.
 *
 * Returns 0 or the -errno of the first one that failed, with the others set.
 */
int socket_listen_change(int fd, const struct socket_listen_options *o) WEFT_MUSTCHECK;

/**
 * Say whether someone else listens on a TCP address already: a SO_REUSEPORT socket would share
 * it with them silently.
 *
 * Returns 0 when it is free, -EADDRINUSE, or the -errno of bind.
 */
int socket_probe(const struct addr *a, bool dual_stack) WEFT_MUSTCHECK;

/**
 * Make a socket that somebody else opened fit to accept from, and set as `o` says.
 *
 * Returns 0, or -EINVAL with what is wrong with it in `*ret_why` (never freed): it is none of those
 * that weft accepts from, or does not listen; or another -errno, `*ret_why` then being NULL.
 */
int socket_adopt(int fd, const struct socket_options *o, const char **ret_why) WEFT_MUSTCHECK;

/** Returns the new descriptor, -EAGAIN when none waits, or another -errno (-EMFILE, -ECONNABORTED
 * ...). */
int socket_accept(int fd, struct addr *ret_peer) WEFT_MUSTCHECK;

/**
 * Open a stream socket for `a` and begin to connect.
 *
 * Returns the descriptor, which the caller owns, with `*ret_pending` set when the connect is
 * under way (also for a UNIX socket whose peer's queue is full: -EAGAIN is returned then), or
 * -errno.
 */
int socket_connect(const struct addr *a, const struct socket_options *o,
                   bool *ret_pending) WEFT_MUSTCHECK;

/** The pending error of a socket (SO_ERROR) as a -errno; 0 when there is none. */
int socket_error(int fd) WEFT_MUSTCHECK;

int socket_set_options(int fd, int family, const struct socket_options *o) WEFT_MUSTCHECK;

/** Close `fd` so that a TCP peer sees an RST rather than a FIN. */
void socket_reset(int fd);

/** Local address of a socket; `ret->len` is 0 when the kernel does not say. */
void socket_local(int fd, struct addr *ret);

#endif
