/* How descriptors begin and end: connects, half-closes, resets, reused numbers. */
#include "fiber/netpoll.h"

#include <stdio.h>

#include "netpoll_variants.h"

static uint64_t switches(void)
{
    struct sched_stats st;

    sched_stats(sched_self(), &st);
    return st.switches;
}

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

int main(void)
{
    const TTest *const tests[] = {
        half_closed_peer_does_not_spin,      wakes_a_reader_at_the_end, wakes_both_at_a_reset,
        fin_behind_a_short_read_is_seen,     waits_for_a_connect,       says_what_can_not_be_polled,
        a_reused_number_is_a_new_descriptor, detaches_what_stays_open,  serves_a_crowd,
    };

    return run_variants("netpoll_ends", tests, array_size(tests));
}
