/*
 * Sockets as the load, the backend and the bare proxy need them: IPv4, not blocking.
 */
#ifndef BENCH_NET_H
#define BENCH_NET_H

#include <stdbool.h>
#include <stdint.h>

/**
 * Listen on a loopback port.
 *
 * `share` lets several sockets of one program have the port (SO_REUSEPORT); without it a port
 * that anyone listens on is refused.
 * Returns the descriptor or a negative errno.
 */
int net_listen(uint16_t port, bool share);

/** Accept one connection. Returns the descriptor or a negative errno. */
int net_accept(int listener);

/**
 * Begin to connect to a loopback port.
 *
 * Returns the descriptor, on which the connection may not be complete yet, or a negative errno.
 */
int net_connect(uint16_t port);

/** Make the next close() of this descriptor a reset, which leaves no TIME_WAIT at either end. */
void net_reset_on_close(int fd);

/** Take and return the error that a connection has met: 0 or a negative errno. */
int net_error(int fd);

/** Allow this process as many descriptors as it may have. */
void net_raise_limit(void);

#endif
