/*
 * Netpoll tests run with every implementation, and with libev's every backend: the index of a loop
 * test is one of the variants.
 */
#ifndef WEFT_TESTS_NETPOLL_VARIANTS_H
#define WEFT_TESTS_NETPOLL_VARIANTS_H

#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fiber/netpoll.h"
#include "fibers.h"
#include "unit.h"

static const struct sched_options variants[] = {
    {.netpoll = NETPOLL_DEFAULT},
    {.netpoll = NETPOLL_EPOLL},
    {.netpoll = NETPOLL_EPOLL, .ev_backends = EVBACKEND_SELECT},
    {.netpoll = NETPOLL_LIBEV, .ev_backends = EVBACKEND_EPOLL},
    {.netpoll = NETPOLL_LIBEV, .ev_backends = EVBACKEND_POLL},
    {.netpoll = NETPOLL_LIBEV, .ev_backends = EVBACKEND_SELECT},
};

static inline void run(int variant, fiber_fn *fn)
{
    signal(SIGPIPE, SIG_IGN);
    struct sched *s = sched_new(&variants[variant]);
    ck_assert_ptr_nonnull(s);
    sched_run(s, "test", fn, NULL);
    sched_free(s);
}

#define SOON (clock_now() + 5 * NSEC_PER_MSEC)
#define LATE (clock_now() + 60 * NSEC_PER_SEC)

static inline void nonblocking(int fd)
{
    ck_assert_int_eq(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
}

static inline void unix_pair(int fds[2])
{
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
}

static inline int tcp_listen(struct sockaddr_in *ret_at)
{
    socklen_t length = sizeof(*ret_at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

    ck_assert_int_ge(fd, 0);
    *ret_at =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    ck_assert_int_eq(bind(fd, (struct sockaddr *)ret_at, length), 0);
    ck_assert_int_eq(listen(fd, 16), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)ret_at, &length), 0);
    return fd;
}

static inline void tcp_pair(int fds[2])
{
    struct sockaddr_in at;
    int listening = tcp_listen(&at);

    fds[0] = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(connect(fds[0], (struct sockaddr *)&at, sizeof(at)), 0);
    fds[1] = accept(listening, NULL, NULL);
    ck_assert_int_ge(fds[1], 0);
    nonblocking(fds[0]);
    nonblocking(fds[1]);
    close(listening);
}

static inline void open_desc(struct netpoll_desc *d, int fd)
{
    ck_assert_int_eq(netpoll_open(d, fd), 0);
    ck_assert_int_eq(d->fd, fd);
}

static inline void close_both(struct netpoll_desc *d, int peer)
{
    int fd = d->fd;

    netpoll_close(d);
    ck_assert_int_eq(d->fd, -1);
    netpoll_close(d); /* once more: no harm */
    close(fd);
    close(peer);
}

/* The protocol of netpoll.h. Returns what recv(2) does, or how the wait failed. */
static inline ssize_t receive(struct netpoll_desc *d, void *data, size_t size, int64_t deadline)
{
    for (;;) {
        d->ready &= (uint8_t)~NETPOLL_READ;
        ssize_t n = recv(d->fd, data, size, 0);
        if (n >= 0 || errno != EAGAIN)
            return n < 0 ? -errno : n;
        int r = netpoll_wait(d, NETPOLL_READ, deadline);
        if (r != 0)
            return r;
    }
}

static inline ssize_t transmit(struct netpoll_desc *d, const void *data, size_t size,
                               int64_t deadline)
{
    for (;;) {
        d->ready &= (uint8_t)~NETPOLL_WRITE;
        ssize_t n = send(d->fd, data, size, MSG_NOSIGNAL);
        if (n >= 0 || errno != EAGAIN)
            return n < 0 ? -errno : n;
        int r = netpoll_wait(d, NETPOLL_WRITE, deadline);
        if (r != 0)
            return r;
    }
}

/* Write until the kernel takes no more. Returns how much it took. */
static inline size_t fill(int fd)
{
    static const char block[65536];
    size_t all = 0;
    ssize_t n;

    while ((n = send(fd, block, sizeof(block), MSG_NOSIGNAL)) > 0)
        all += (size_t)n;
    ck_assert_int_eq(errno, EAGAIN);
    return all;
}

static inline size_t drain(int fd)
{
    static char block[65536];
    size_t all = 0;
    ssize_t n;

    while ((n = recv(fd, block, sizeof(block), 0)) > 0)
        all += (size_t)n;
    return all;
}

/* --- the other end of a pair --------------------------------------------------------------- */

struct peer {
    int fd;
    const char *text;
};

static inline void say(void *arg)
{
    struct peer *p = arg;

    ck_assert_int_eq(fiber_sleep(clock_now() + NSEC_PER_MSEC), 0);
    ck_assert_int_eq(send(p->fd, p->text, strlen(p->text), 0), (ssize_t)strlen(p->text));
}

static inline void spawn(fiber_fn *fn, void *arg)
{
    ck_assert_ptr_nonnull(fiber_spawn("peer", fn, arg, false));
}

static inline void drain_later(void *arg)
{
    ck_assert_int_eq(fiber_sleep(clock_now() + 2 * NSEC_PER_MSEC), 0);
    ck_assert_uint_gt(drain(*(int *)arg), 0);
}

/* Run the tests of one suite, each with every variant. Returns main()'s exit code. */
static inline int run_variants(const char *name, const TTest *const *tests, size_t count)
{
    Suite *suite = suite_create(name);
    TCase *tc = tcase_create(name);

    tcase_set_timeout(tc, UNIT_TIMEOUT);
    for (size_t i = 0; i < count; i++)
        tcase_add_loop_test(tc, tests[i], 0, array_size(variants));
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
