#include "io/conn.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fiber/fiber.h"
#include "fibers.h"
#include "io/buffers.h"
#include "io/copy.h"
#include "io/memory.h"
#include "unit.h"

#define SOON (5 * NSEC_PER_SEC) /* far longer than anything here takes */

static struct conn listening;
static struct addr listening_addr;

static void listen_on(const char *text)
{
    struct addr a = {.len = sizeof(a.in)};
    struct socket_listen_options o = {.backlog = 16};
    if (text == NULL) {
        a.in.sin_family = AF_INET;
        a.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    } else {
        struct addr_spec spec;
        const char *why;
        ck_assert_int_eq(addr_parse(text, &spec, &why), 0);
        a = spec.addr;
    }
    int fd = socket_listen(&a, &o);
    ck_assert_int_ge(fd, 0);
    socket_local(fd, &listening_addr);
    conn_init(&listening, fd, a.sa.sa_family);
}

/* Connect to the listener and accept: both ends of one connection. */
static void make_pair(struct conn *client, struct conn *server)
{
    struct socket_options o = {.nodelay = true};
    struct addr peer;
    ck_assert_int_eq(conn_connect(client, &listening_addr, &o, clock_now() + SOON), 0);
    ck_assert_int_eq(conn_accept(&listening, server, &peer), 0);
}

static void echo_run(void *arg)
{
    struct conn *c = arg;
    ck_assert_int_eq(io_copy(&c->stream, &c->stream, NULL), 0);
    ck_assert_int_eq(conn_shutdown(c), 0);
    conn_close(c);
}

static void writer_run(void *arg)
{
    struct conn *c = arg;
    static char block[100000];
    for (int i = 0; i < 50; i++) {
        memset(block, i, sizeof(block));
        ck_assert_int_eq(stream_write(&c->stream, block, sizeof(block)), 0);
    }
    ck_assert_int_eq(stream_shutdown(&c->stream), 0);
}

/* Megabytes through an echo: every call in it has to wait at some time. */
static void echo_test(void *arg)
{
    listen_on(arg);
    struct conn client, server;
    make_pair(&client, &server);
    struct fiber *echo = fiber_spawn("echo", echo_run, &server, true);
    struct fiber *writer = fiber_spawn("writer", writer_run, &client, true);
    static char block[100000];
    for (int i = 0; i < 50; i++) {
        ck_assert_int_eq(stream_read_full(&client.stream, block, sizeof(block)), 0);
        for (size_t j = 0; j < sizeof(block); j++)
            ck_assert_int_eq(block[j], (char)i);
    }
    ck_assert_int_eq(stream_read(&client.stream, block, 1), 0);
    ck_assert_int_eq(fiber_join(writer), 0);
    ck_assert_int_eq(fiber_join(echo), 0);
    conn_close(&client);
    conn_close(&listening);
}

START_TEST(tcp_echo)
{
    in_fiber(echo_test, NULL);
}
END_TEST

START_TEST(unix_echo)
{
    char name[64];
    snprintf(name, sizeof(name), "unix:@weft-test-conn-%d", (int)getpid());
    in_fiber(echo_test, name);
}
END_TEST

static void deadline_test(void *arg)
{
    (void)arg;
    listen_on(NULL);
    struct conn client, server;
    make_pair(&client, &server);
    char byte;
    stream_deadline(&client.stream, clock_now() + 20 * NSEC_PER_MSEC, CLOCK_NEVER);
    ck_assert_int_eq(stream_read(&client.stream, &byte, 1), -ETIMEDOUT);
    ck_assert_int_eq(stream_write(&server.stream, "x", 1), 0);
    stream_deadline(&client.stream, clock_now() + SOON, CLOCK_NEVER);
    ck_assert_int_eq(stream_read(&client.stream, &byte, 1), 1);
    static char block[1 << 20];
    stream_deadline(&server.stream, CLOCK_NEVER, clock_now() + 20 * NSEC_PER_MSEC);
    int err = 0;
    for (int i = 0; err == 0 && i < 64; i++)
        err = stream_write(&server.stream, block, sizeof(block));
    ck_assert_int_eq(err, -ETIMEDOUT);
    listening.read_deadline = clock_now() + 20 * NSEC_PER_MSEC;
    struct conn none;
    struct addr peer;
    ck_assert_int_eq(conn_accept(&listening, &none, &peer), -ETIMEDOUT);
    conn_close(&client);
    conn_close(&server);
    conn_close(&listening);
}

START_TEST(deadlines_end_waits)
{
    in_fiber(deadline_test, NULL);
}
END_TEST

static void refused_test(void *arg)
{
    (void)arg;
    listen_on(NULL);
    conn_close(&listening);
    struct conn c;
    struct socket_options o = {.nodelay = true};
    ck_assert_int_eq(conn_connect(&c, &listening_addr, &o, clock_now() + SOON), -ECONNREFUSED);
}

START_TEST(a_refused_connect_says_so)
{
    in_fiber(refused_test, NULL);
}
END_TEST

static void reset_test(void *arg)
{
    (void)arg;
    listen_on(NULL);
    struct conn client, server;
    make_pair(&client, &server);
    ck_assert_int_eq(stream_write(&client.stream, "x", 1), 0);
    conn_reset(&client);
    conn_reset(&client); /* once more is harmless */
    char buf[8];
    ssize_t got = stream_read(&server.stream, buf, sizeof(buf));
    if (got == 1)
        got = stream_read(&server.stream, buf, sizeof(buf));
    ck_assert_int_eq(got, -ECONNRESET);
    conn_close(&server);
    conn_close(&listening);
}

START_TEST(a_reset_arrives_as_one)
{
    in_fiber(reset_test, NULL);
}
END_TEST

static void drained_test(void *arg)
{
    (void)arg;
    listen_on(NULL);
    struct conn client, server;
    make_pair(&client, &server);
    ck_assert_int_eq(stream_write(&client.stream, "abc", 3), 0);
    char buf[8];
    ck_assert_int_eq(stream_read(&server.stream, buf, sizeof(buf)), 3);
    struct iovec iov = {buf, sizeof(buf)};
    ck_assert(!conn_readable(&server)); /* known without a system call */
    ck_assert_int_eq(conn_try_readv(&server, &iov, 1), -EAGAIN);
    ck_assert_int_eq(stream_write(&client.stream, "d", 1), 0);
    ck_assert_int_eq(stream_read(&server.stream, buf, sizeof(buf)), 1);
    ck_assert_int_eq(conn_shutdown(&client), 0);
    ck_assert_int_eq(stream_read(&server.stream, buf, sizeof(buf)), 0);
    conn_close(&client);
    conn_close(&server);
    conn_close(&listening);
}

START_TEST(a_short_read_is_the_last_until_an_edge)
{
    in_fiber(drained_test, NULL);
}
END_TEST

static void set_up(void)
{
    ck_assert_int_eq(io_buffers_init(), 0);
}

static void tear_down(void)
{
    io_buffers_free();
}

UNIT_MAIN_AROUND("conn", set_up, tear_down, tcp_echo, unix_echo, deadlines_end_waits,
                 a_refused_connect_says_so, a_reset_arrives_as_one,
                 a_short_read_is_the_last_until_an_edge)
