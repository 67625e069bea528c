/*
 * A relay between two conns whose other ends the test holds.
 *
 *      peer[0] <──socket──> client [ relay ] server <──socket──> peer[1]
 *
 * To be included once. All of it is for one fiber.
 */
#ifndef WEFT_UNIT_RELAYING_H
#define WEFT_UNIT_RELAYING_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fiber/netpoll.h"
#include "fibers.h"
#include "io/buffers.h"
#include "proxy/relay.h"
#include "unit.h"

static struct conn client, server;
static int peer[2];
static struct relay relay;

static void unix_pair(int pair[2])
{
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
}

static inline void tcp_pair(int pair[2])
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    int listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(listening, (struct sockaddr *)&a, len), 0);
    ck_assert_int_eq(listen(listening, 1), 0);
    ck_assert_int_eq(getsockname(listening, (struct sockaddr *)&a, &len), 0);
    pair[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(pair[1], (struct sockaddr *)&a, len), 0);
    pair[0] = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    ck_assert_int_ge(pair[0], 0);
    ck_assert_int_eq(fcntl(pair[1], F_SETFL, O_NONBLOCK), 0);
    close(listening);
}

static void begin_with(void (*make_pair)(int pair[2]), int family, enum conf_splice mode)
{
    struct conn *const sides[] = {&client, &server};
    for (int i = 0; i < 2; i++) {
        int pair[2];
        make_pair(pair);
        conn_init(sides[i], pair[0], family);
        ck_assert_int_eq(conn_watch(sides[i]), 0);
        peer[i] = pair[1];
    }
    relay_init(&relay, mode);
}

static void close_peer(int i)
{
    close(peer[i]);
    peer[i] = -1;
}

static void end(void)
{
    relay_reset(&relay);
    struct pool_stats st;
    pool_stats(io_buffers(), &st);
    ck_assert_uint_eq(st.taken, 0);
    struct pipes_stats pipes;
    pipes_stats(&pipes);
    ck_assert_uint_eq(pipes.free, pipes.open);
    conn_close(&client);
    conn_close(&server);
    for (int i = 0; i < 2; i++) {
        if (peer[i] >= 0)
            close(peer[i]);
    }
}

/* Let the netpoller see what has happened, then take a turn; to the end of what can be moved. */
static enum relay_state turn(void)
{
    enum relay_state state;
    do {
        fiber_yield();
        state = relay_turn(&relay, &client, &server);
    } while (state == RELAY_BUSY);
    return state;
}

static void expect_bytes(int fd, const char *bytes)
{
    char buf[64];
    ssize_t got = read(fd, buf, sizeof(buf));
    ck_assert_int_eq(got, (ssize_t)strlen(bytes));
    ck_assert_mem_eq(buf, bytes, strlen(bytes));
}

static void expect_fin(int fd)
{
    char byte;
    ck_assert_int_eq(read(fd, &byte, 1), 0);
}

/* Write until nobody takes more. Returns the bytes written. */
static size_t fill(int fd)
{
    static const char block[4096];
    size_t total = 0;
    ssize_t put;
    while ((put = write(fd, block, sizeof(block))) > 0)
        total += (size_t)put;
    return total;
}

/* Read all there is. Returns the bytes read. */
static size_t empty(int fd)
{
    static char block[65536];
    size_t total = 0;
    ssize_t got;
    while ((got = read(fd, block, sizeof(block))) > 0)
        total += (size_t)got;
    return total;
}

#endif
