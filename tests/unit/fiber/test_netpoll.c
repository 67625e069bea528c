/* The same tests with every implementation, and with libev's every backend. */
#include "fiber/netpoll.h"

#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fiber/sched_internal.h"
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

static void run(int variant, fiber_fn *fn)
{
    signal(SIGPIPE, SIG_IGN);
    struct sched *s = sched_new(&variants[variant]);
    ck_assert_ptr_nonnull(s);
    sched_run(s, "test", fn, NULL);
    sched_free(s);
}

#define SOON (clock_now() + 5 * NSEC_PER_MSEC)
#define LATE (clock_now() + 60 * NSEC_PER_SEC)

static void nonblocking(int fd)
{
    ck_assert_int_eq(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
}

static void unix_pair(int fds[2])
{
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
}

static int tcp_listen(struct sockaddr_in *ret_at)
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

static void tcp_pair(int fds[2])
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

static void open_desc(struct netpoll_desc *d, int fd)
{
    ck_assert_int_eq(netpoll_open(d, fd), 0);
    ck_assert_int_eq(d->fd, fd);
}

static void close_both(struct netpoll_desc *d, int peer)
{
    int fd = d->fd;

    netpoll_close(d);
    ck_assert_int_eq(d->fd, -1);
    netpoll_close(d); /* once more: no harm */
    close(fd);
    close(peer);
}

/* The protocol of netpoll.h. Returns what recv(2) does, or how the wait failed. */
static ssize_t receive(struct netpoll_desc *d, void *data, size_t size, int64_t deadline)
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

static ssize_t transmit(struct netpoll_desc *d, const void *data, size_t size, int64_t deadline)
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
static size_t fill(int fd)
{
    static const char block[65536];
    size_t all = 0;
    ssize_t n;

    while ((n = send(fd, block, sizeof(block), MSG_NOSIGNAL)) > 0)
        all += (size_t)n;
    ck_assert_int_eq(errno, EAGAIN);
    return all;
}

static size_t drain(int fd)
{
    static char block[65536];
    size_t all = 0;
    ssize_t n;

    while ((n = recv(fd, block, sizeof(block), 0)) > 0)
        all += (size_t)n;
    return all;
}

static uint64_t switches(void)
{
    struct sched_stats st;

    sched_stats(sched_self(), &st);
    return st.switches;
}

/* --- reading ------------------------------------------------------------------------------ */

struct peer {
    int fd;
    const char *text;
};

static void say(void *arg)
{
    struct peer *p = arg;

    ck_assert_int_eq(fiber_sleep(clock_now() + NSEC_PER_MSEC), 0);
    ck_assert_int_eq(send(p->fd, p->text, strlen(p->text), 0), (ssize_t)strlen(p->text));
}

static void spawn(fiber_fn *fn, void *arg)
{
    ck_assert_ptr_nonnull(fiber_spawn("peer", fn, arg, false));
}

static void read_main(void *arg)
{
    struct netpoll_desc d;
    char data[16];
    int fds[2];

    (void)arg;
    unix_pair(fds);
    open_desc(&d, fds[0]);
    struct peer peer = {.fd = fds[1], .text = "hello"};
    for (int i = 0; i < 5; i++) {
        spawn(say, &peer);
        ck_assert_int_eq(receive(&d, data, sizeof(data), LATE), 5);
    }
    ck_assert_int_eq(receive(&d, data, sizeof(data), SOON), -ETIMEDOUT);
    ck_assert_ptr_null(d.reader);
    close_both(&d, fds[1]);
}

START_TEST(waits_for_what_is_to_be_read)
{
    run(_i, read_main);
}
END_TEST

/* An edge that comes between the try and the wait is not lost. */
static void race_main(void *arg)
{
    struct netpoll_desc d;
    char data[16];
    int fds[2];

    (void)arg;
    unix_pair(fds);
    open_desc(&d, fds[0]);
    for (int i = 0; i < 5; i++) {
        d.ready &= (uint8_t)~NETPOLL_READ;
        ck_assert_int_eq(recv(d.fd, data, sizeof(data), 0), -1);
        ck_assert_int_eq(send(fds[1], "x", 1, 0), 1);
        if (i % 2)
            fiber_yield(); /* the edge is seen with nobody waiting */
        ck_assert_int_eq(netpoll_wait(&d, NETPOLL_READ, LATE), 0);
        ck_assert_int_eq(recv(d.fd, data, sizeof(data), 0), 1);
    }
    close_both(&d, fds[1]);
}

START_TEST(loses_no_edge)
{
    run(_i, race_main);
}
END_TEST

static void past_main(void *arg)
{
    struct netpoll_desc d;
    int fds[2];

    (void)arg;
    unix_pair(fds);
    open_desc(&d, fds[0]);
    ck_assert_int_eq(netpoll_wait(&d, NETPOLL_READ, 0), -ETIMEDOUT);
    ck_assert_int_eq(send(fds[1], "x", 1, 0), 1);
    ck_assert_int_eq(netpoll_wait(&d, NETPOLL_READ, LATE), 0);
    ck_assert_int_eq(netpoll_wait(&d, NETPOLL_READ, 0), 0); /* nobody has cleared the bit */
    close_both(&d, fds[1]);
}

START_TEST(what_is_ready_is_not_late)
{
    run(_i, past_main);
}
END_TEST

/* --- writing ------------------------------------------------------------------------------ */

static void drain_later(void *arg)
{
    ck_assert_int_eq(fiber_sleep(clock_now() + 2 * NSEC_PER_MSEC), 0);
    ck_assert_uint_gt(drain(*(int *)arg), 0);
}

static void write_main(void *arg)
{
    struct netpoll_desc d;
    int fds[2];

    (void)arg;
    unix_pair(fds);
    open_desc(&d, fds[0]);
    for (int i = 0; i < 3; i++) {
        ck_assert_uint_gt(fill(d.fd), 0);
        ck_assert_int_eq(transmit(&d, "x", 1, SOON), -ETIMEDOUT);
        spawn(drain_later, &fds[1]);
        ck_assert_int_eq(transmit(&d, "x", 1, LATE), 1);
    }
    ck_assert_ptr_null(d.writer);
    close_both(&d, fds[1]);
}

START_TEST(waits_for_room_to_write)
{
    run(_i, write_main);
}
END_TEST

/* A peer that has only closed its own direction: the reader has its EOF, and a writer must not be
 * woken in vain. */
static void half_closed_main(void *arg)
{
    struct netpoll_desc d;
    char data[16];
    int fds[2];

    (void)arg;
    tcp_pair(fds);
    open_desc(&d, fds[0]);
    ck_assert_int_eq(shutdown(fds[1], SHUT_WR), 0);
    ck_assert_int_eq(receive(&d, data, sizeof(data), LATE), 0);
    while (fill(d.fd) > 0)
        ck_assert_int_eq(fiber_sleep(SOON), 0); /* the peer's buffer grows for a while */
    uint64_t before = switches();
    ck_assert_int_eq(transmit(&d, "x", 1, clock_now() + 50 * NSEC_PER_MSEC), -ETIMEDOUT);
    ck_assert_uint_le(switches() - before, 4);
    struct fiber *drainer = fiber_spawn("drainer", drain_later, &fds[1], true);
    d.ready &= (uint8_t)~NETPOLL_WRITE;
    ck_assert_int_eq(netpoll_wait(&d, NETPOLL_WRITE, LATE), 0);
    ck_assert_int_eq(fiber_join(drainer), 0);
    close_both(&d, fds[1]);
}

START_TEST(half_closed_peer_does_not_spin)
{
    run(_i, half_closed_main);
}
END_TEST

/* --- ends --------------------------------------------------------------------------------- */

static void close_later(void *arg)
{
    ck_assert_int_eq(fiber_sleep(clock_now() + 2 * NSEC_PER_MSEC), 0);
    close(*(int *)arg);
}

static void eof_main(void *arg)
{
    struct netpoll_desc d;
    char data[16];
    int fds[2];

    for (int tcp = 0; tcp < 2; tcp++) {
        (tcp ? tcp_pair : unix_pair)(fds);
        open_desc(&d, fds[0]);
        spawn(close_later, &fds[1]);
        ck_assert_int_eq(receive(&d, data, sizeof(data), LATE), 0);
        ck_assert_int_eq(receive(&d, data, sizeof(data), LATE), 0);
        close_both(&d, -1);
    }
    (void)arg;
}

START_TEST(wakes_a_reader_at_the_end)
{
    run(_i, eof_main);
}
END_TEST

static void reset_later(void *arg)
{
    struct linger off = {.l_onoff = 1};

    ck_assert_int_eq(fiber_sleep(clock_now() + 2 * NSEC_PER_MSEC), 0);
    ck_assert_int_eq(setsockopt(*(int *)arg, SOL_SOCKET, SO_LINGER, &off, sizeof(off)), 0);
    close(*(int *)arg);
}

static void reset_main(void *arg)
{
    struct netpoll_desc d;
    char data[16];
    int fds[2];

    (void)arg;
    tcp_pair(fds);
    open_desc(&d, fds[0]);
    spawn(reset_later, &fds[1]);
    ck_assert_int_eq(receive(&d, data, sizeof(data), LATE), -ECONNRESET);
    close_both(&d, -1);

    tcp_pair(fds);
    open_desc(&d, fds[0]);
    while (fill(d.fd) > 0)
        ck_assert_int_eq(fiber_sleep(SOON), 0);
    spawn(reset_later, &fds[1]);
    ssize_t r = transmit(&d, "x", 1, LATE);
    ck_assert(r == -ECONNRESET || r == -EPIPE);
    close_both(&d, -1);
}

START_TEST(wakes_both_at_a_reset)
{
    run(_i, reset_main);
}
END_TEST

/* A short read before the FIN, which came with it: NETPOLL_HANGUP says to read on, or else the
 * wait sees it. Either way there is an end. */
static void fin_behind_data_main(void *arg)
{
    struct netpoll_desc d;
    char data[16];
    int fds[2];

    (void)arg;
    tcp_pair(fds);
    open_desc(&d, fds[0]);
    ck_assert_int_eq(send(fds[1], "last", 4, 0), 4);
    ck_assert_int_eq(shutdown(fds[1], SHUT_WR), 0);
    ck_assert_int_eq(fiber_sleep(SOON), 0);
    ck_assert_int_eq(netpoll_wait(&d, NETPOLL_READ, LATE), 0);
    d.ready &= (uint8_t)~NETPOLL_READ;
    ck_assert_int_eq(recv(d.fd, data, sizeof(data), 0), 4);
    if (!(d.ready & NETPOLL_HANGUP))
        ck_assert_int_eq(netpoll_wait(&d, NETPOLL_READ, LATE), 0);
    ck_assert_int_eq(recv(d.fd, data, sizeof(data), 0), 0);
    close_both(&d, fds[1]);
}

START_TEST(fin_behind_a_short_read_is_seen)
{
    run(_i, fin_behind_data_main);
}
END_TEST

static void connect_main(void *arg)
{
    struct netpoll_desc d;
    struct sockaddr_in at;
    int err = 0;
    socklen_t length = sizeof(err);
    int listening = tcp_listen(&at);

    (void)arg;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    open_desc(&d, fd); /* before it is connected: the kernel calls that a hang-up */
    fiber_yield();
    fiber_yield();
    ck_assert_int_eq(d.ready & (NETPOLL_HANGUP | NETPOLL_ERROR), 0);
    d.ready = 0;
    int r = connect(fd, (struct sockaddr *)&at, sizeof(at));
    ck_assert(r == 0 || errno == EINPROGRESS);
    ck_assert_int_eq(netpoll_wait(&d, NETPOLL_WRITE, LATE), 0);
    ck_assert_int_eq(getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &length), 0);
    ck_assert_int_eq(err, 0);
    ck_assert_int_eq(d.ready & (NETPOLL_HANGUP | NETPOLL_ERROR), 0);
    close_both(&d, listening);

    fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    r = connect(fd, (struct sockaddr *)&at, sizeof(at)); /* nobody listens there any more */
    ck_assert_int_eq(r, -1);
    if (errno == EINPROGRESS) {
        open_desc(&d, fd);
        ck_assert_int_eq(netpoll_wait(&d, NETPOLL_WRITE, LATE), 0);
        ck_assert_int_eq(getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &length), 0);
        ck_assert_int_eq(err, ECONNREFUSED);
        netpoll_close(&d);
    }
    close(fd);
}

START_TEST(waits_for_a_connect)
{
    run(_i, connect_main);
}
END_TEST

/* --- either of two ------------------------------------------------------------------------ */

static void either_main(void *arg)
{
    struct netpoll_desc a;
    struct netpoll_desc b;
    char data[16];
    int x[2];
    int y[2];

    (void)arg;
    unix_pair(x);
    unix_pair(y);
    open_desc(&a, x[0]);
    open_desc(&b, y[0]);
    ck_assert_int_eq(netpoll_wait_either(&a, NETPOLL_READ, &b, NETPOLL_READ, SOON), -ETIMEDOUT);
    struct peer peer = {.fd = x[1], .text = "a"};
    spawn(say, &peer);
    ck_assert_int_eq(netpoll_wait_either(&a, NETPOLL_READ, &b, NETPOLL_READ, LATE), 0);
    ck_assert_int_eq(a.ready & NETPOLL_READ, NETPOLL_READ);
    ck_assert_int_eq(b.ready & NETPOLL_READ, 0);
    ck_assert_int_eq(receive(&a, data, sizeof(data), LATE), 1);

    /* One for reading, the other for room to write; the first is not asked for. */
    ck_assert_uint_gt(fill(b.fd), 0);
    a.ready = b.ready = 0;
    ck_assert_int_eq(send(x[1], "x", 1, 0), 1);
    ck_assert_int_eq(netpoll_wait_either(&a, 0, &b, NETPOLL_WRITE, SOON), -ETIMEDOUT);
    spawn(drain_later, &y[1]);
    ck_assert_int_eq(netpoll_wait_either(&a, 0, &b, NETPOLL_WRITE, LATE), 0);
    ck_assert_int_eq(b.ready & NETPOLL_WRITE, NETPOLL_WRITE);
    ck_assert_ptr_null(a.reader);
    ck_assert_ptr_null(a.writer);
    ck_assert_ptr_null(b.reader);
    ck_assert_ptr_null(b.writer);
    close_both(&a, x[1]);
    close_both(&b, y[1]);
}

START_TEST(waits_for_either_of_two)
{
    run(_i, either_main);
}
END_TEST

/* Two fibers, a direction each. */
static void pump(void *arg)
{
    struct netpoll_desc *d = arg;
    static char block[65536];

    for (size_t left = UNIT_WORK(64u << 20); left > 0;) {
        ssize_t n = transmit(d, block, left < sizeof(block) ? left : sizeof(block), LATE);
        ck_assert_int_gt(n, 0);
        left -= (size_t)n;
    }
    ck_assert_int_eq(shutdown(d->fd, SHUT_WR), 0);
}

static void duplex_main(void *arg)
{
    struct netpoll_desc d[2];
    struct fiber *pumps[2];
    static char block[65536];
    size_t got[2] = {0};
    ssize_t n;
    int fds[2];

    (void)arg;
    tcp_pair(fds);
    for (int i = 0; i < 2; i++) {
        open_desc(&d[i], fds[i]);
        pumps[i] = fiber_spawn("pump", pump, &d[i], true);
    }
    while ((n = receive(&d[0], block, sizeof(block), LATE)) > 0 || got[0] == 0) {
        ck_assert_int_ge(n, 0);
        got[0] += (size_t)n;
        n = receive(&d[1], block, sizeof(block), LATE);
        ck_assert_int_ge(n, 0);
        got[1] += (size_t)n;
    }
    ck_assert_int_eq(n, 0);
    while ((n = receive(&d[1], block, sizeof(block), LATE)) > 0)
        got[1] += (size_t)n;
    ck_assert_uint_eq(got[0], UNIT_WORK(64u << 20));
    ck_assert_uint_eq(got[1], UNIT_WORK(64u << 20));
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(fiber_join(pumps[i]), 0);
    close_both(&d[0], -1);
    close_both(&d[1], -1);
}

START_TEST(serves_a_fiber_a_direction)
{
    run(_i, duplex_main);
}
END_TEST

/* --- arm and hibernate -------------------------------------------------------------------- */

struct sleeper {
    struct netpoll_desc a;
    struct netpoll_desc b;
    int woken;
    bool over;
};

static void sleeper_woken(void *arg);

static void sleeper_sleep(void *arg)
{
    struct sleeper *s = arg;

    s->a.ready = s->b.ready = 0;
    bool ready = netpoll_arm(&s->a, NETPOLL_READ | NETPOLL_WRITE);
    ready |= netpoll_arm(&s->b, NETPOLL_READ);
    ck_assert(!ready);
    fiber_hibernate(sleeper_woken, s, LATE);
}

static void sleeper_woken(void *arg)
{
    struct sleeper *s = arg;

    ck_assert_int_eq(fiber_wait_result(), 0);
    ck_assert((s->a.ready | s->b.ready) != 0);
    s->woken++;
    drain(s->a.fd);
    drain(s->b.fd);
    if (!s->over)
        sleeper_sleep(s);
}

static void wait_woken(const struct sleeper *s, int times)
{
    while (s->woken < times)
        ck_assert_int_eq(fiber_sleep(clock_now() + NSEC_PER_MSEC), 0);
}

static void hibernate_main(void *arg)
{
    struct sleeper s = {0};
    int x[2];
    int y[2];

    (void)arg;
    unix_pair(x);
    unix_pair(y);
    open_desc(&s.a, x[0]);
    open_desc(&s.b, y[0]);
    fill(x[0]);
    struct fiber *f = fiber_spawn("sleeper", sleeper_sleep, &s, true);
    ck_assert_int_eq(fiber_sleep(SOON), 0);
    int start = s.woken; /* what epoll says at first may have woken it */
    ck_assert_int_eq(send(y[1], "b", 1, 0), 1);
    wait_woken(&s, start + 1);
    ck_assert_int_eq(send(x[1], "a", 1, 0), 1);
    wait_woken(&s, start + 2);
    s.over = true;
    drain(x[1]); /* room to write */
    ck_assert_int_eq(fiber_join(f), 0);
    ck_assert_int_eq(s.woken, start + 3);
    close_both(&s.a, x[1]);
    close_both(&s.b, y[1]);
}

START_TEST(wakes_who_gave_its_stack_back)
{
    run(_i, hibernate_main);
}
END_TEST

/* --- cancel -------------------------------------------------------------------------------- */

static void cancelled(void *arg)
{
    struct netpoll_desc *d = arg;

    ck_assert_int_eq(netpoll_wait(d, NETPOLL_READ, CLOCK_NEVER), -ECANCELED);
    ck_assert_ptr_null(d->reader);
    d->ready |= NETPOLL_READ; /* a loop of reads must end, too */
    ck_assert_int_eq(netpoll_wait(d, NETPOLL_READ, CLOCK_NEVER), -ECANCELED);
    ck_assert_int_eq(netpoll_wait_either(d, NETPOLL_READ, d, 0, CLOCK_NEVER), -ECANCELED);
}

static void cancel_main(void *arg)
{
    struct netpoll_desc d;
    int fds[2];

    (void)arg;
    unix_pair(fds);
    open_desc(&d, fds[0]);
    struct fiber *f = fiber_spawn("cancelled", cancelled, &d, true);
    fiber_yield();
    fiber_cancel(f);
    ck_assert_int_eq(fiber_join(f), 0);
    close_both(&d, fds[1]);
}

START_TEST(wait_can_be_cancelled)
{
    run(_i, cancel_main);
}
END_TEST

/* --- descriptors come and go --------------------------------------------------------------- */

static void file_main(void *arg)
{
    struct netpoll_desc d;
    int fd = fileno(tmpfile());

    (void)arg;
    ck_assert_int_eq(netpoll_open(&d, fd), -EPERM);
    ck_assert_int_eq(d.fd, -1);
    netpoll_close(&d); /* of one that was never open: no harm */
    ck_assert_int_eq(netpoll_open(&d, 9999), -EBADF);
}

START_TEST(says_what_can_not_be_polled)
{
    run(_i, file_main);
}
END_TEST

/* A number that is reused at once, its old owner gone with an event under way. */
static void reuse_main(void *arg)
{
    int64_t short_while = 2 * NSEC_PER_MSEC;

    (void)arg;
    for (int i = 0; i < 50; i++) {
        struct netpoll_desc *old = calloc(1, sizeof(*old));
        struct netpoll_desc *new = calloc(1, sizeof(*new));
        int fds[2];
        unix_pair(fds);
        int number = fds[0];
        open_desc(old, number);
        fiber_yield();
        ck_assert_int_eq(send(fds[1], "x", 1, 0), 1);
        close_both(old, fds[1]);
        free(old);
        unix_pair(fds);
        ck_assert_int_eq(fds[0], number);
        open_desc(new, number);
        ck_assert_int_eq(netpoll_wait(new, NETPOLL_READ, clock_now() + short_while), -ETIMEDOUT);
        close_both(new, fds[1]);
        free(new);
    }
}

START_TEST(a_reused_number_is_a_new_descriptor)
{
    run(_i, reuse_main);
}
END_TEST

static void detach_main(void *arg)
{
    struct netpoll_desc d;
    int fds[2];

    (void)arg;
    unix_pair(fds);
    int other = dup(fds[0]);
    open_desc(&d, fds[0]);
    netpoll_detach(&d);
    ck_assert_int_eq(d.fd, -1);
    close(fds[0]);
    memset(&d, 0xa5, sizeof(d)); /* nobody may write there any more */
    struct netpoll_desc before = d;
    ck_assert_int_eq(send(fds[1], "x", 1, 0), 1);
    ck_assert_int_eq(fiber_sleep(SOON), 0);
    ck_assert_int_eq(memcmp(&d, &before, sizeof(d)), 0);
    open_desc(&d, other); /* and it can be polled anew */
    ck_assert_int_eq(netpoll_wait(&d, NETPOLL_READ, LATE), 0);
    close_both(&d, fds[1]);
}

START_TEST(detaches_what_stays_open)
{
    run(_i, detach_main);
}
END_TEST

#define PAIRS UNIT_WORK(400)

static unsigned answered;

static void answer(void *arg)
{
    struct netpoll_desc *d = arg;
    char c;

    ck_assert_int_eq(receive(d, &c, 1, LATE), 1);
    ck_assert_int_eq(transmit(d, &c, 1, LATE), 1);
    answered++;
}

static void crowd_main(void *arg)
{
    struct netpoll_desc *d = calloc(PAIRS, sizeof(*d));
    int(*fds)[2] = calloc(PAIRS, sizeof(*fds));

    (void)arg;
    for (int i = 0; i < PAIRS; i++) {
        unix_pair(fds[i]);
        open_desc(&d[i], fds[i][0]);
        spawn(answer, &d[i]);
    }
    fiber_yield();
    for (int i = 0; i < PAIRS; i++) /* more than one batch of events */
        ck_assert_int_eq(send(fds[i][1], "x", 1, 0), 1);
    while (answered < PAIRS)
        fiber_yield();
    for (int i = 0; i < PAIRS; i++)
        close_both(&d[i], fds[i][1]);
    free(d);
    free(fds);
}

START_TEST(serves_a_crowd)
{
    run(_i, crowd_main);
}
END_TEST

/* --- the five functions, by themselves ----------------------------------------------------- */

static void poll_in_call(void *arg)
{
    *(int *)arg = netpoll_poll(sched_self()->netpoll);
}

static void poll_main(void *arg)
{
    struct netpoll *np = sched_self()->netpoll;
    struct netpoll_desc d;
    int fds[2];
    int events;

    (void)arg;
    unix_pair(fds);
    open_desc(&d, fds[0]);
    ck_assert(!netpoll_is_descriptor(np, fds[0]));
    ck_assert(!netpoll_is_descriptor(np, -1));
    fiber_yield();
    d.ready = 0;
    ck_assert(!netpoll_arm(&d, NETPOLL_READ));
    fiber_call(poll_in_call, &events);
    ck_assert_int_eq(events, 0);
    ck_assert_int_eq(send(fds[1], "x", 1, 0), 1);
    fiber_call(poll_in_call, &events);
    ck_assert_int_eq(events, 1);
    ck_assert(d.ready & NETPOLL_READ);
    ck_assert(netpoll_arm(&d, NETPOLL_READ));
    ck_assert(!netpoll_arm(&d, 0));
    close_both(&d, fds[1]);
}

START_TEST(hands_out_what_is_there)
{
    run(_i, poll_main);
}
END_TEST

struct breaker {
    struct netpoll *np;
    _Atomic bool over;
};

static void *break_often(void *arg)
{
    struct breaker *b = arg;

    while (!atomic_load(&b->over)) {
        netpoll_break(b->np);
        usleep(1000);
    }
    return NULL;
}

static void break_main(void *arg)
{
    struct breaker b = {.np = sched_self()->netpoll};
    struct sched_stats before;
    struct sched_stats after;
    pthread_t thread;

    (void)arg;
    ck_assert_int_eq(pthread_create(&thread, NULL, break_often, &b), 0);
    sched_stats(sched_self(), &before);
    ck_assert_int_eq(fiber_sleep(clock_now() + 50 * NSEC_PER_MSEC), 0);
    sched_stats(sched_self(), &after);
    atomic_store(&b.over, true);
    pthread_join(thread, NULL);
    ck_assert_uint_gt(after.turns, before.turns + 3);
}

START_TEST(another_thread_breaks_the_wait)
{
    run(_i, break_main);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        waits_for_what_is_to_be_read,
        loses_no_edge,
        what_is_ready_is_not_late,
        waits_for_room_to_write,
        half_closed_peer_does_not_spin,
        wakes_a_reader_at_the_end,
        wakes_both_at_a_reset,
        fin_behind_a_short_read_is_seen,
        waits_for_a_connect,
        waits_for_either_of_two,
        serves_a_fiber_a_direction,
        wakes_who_gave_its_stack_back,
        wait_can_be_cancelled,
        says_what_can_not_be_polled,
        a_reused_number_is_a_new_descriptor,
        detaches_what_stays_open,
        serves_a_crowd,
        hands_out_what_is_there,
        another_thread_breaks_the_wait,
    };
    Suite *suite = suite_create("netpoll");
    TCase *tc = tcase_create("netpoll");

    tcase_set_timeout(tc, UNIT_TIMEOUT);
    for (size_t i = 0; i < array_size(tests); i++)
        tcase_add_loop_test(tc, tests[i], 0, array_size(variants));
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
