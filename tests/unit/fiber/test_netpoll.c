/* Waiting: for reading, for writing, for either, with a deadline. */
#include "fiber/netpoll.h"

#include <pthread.h>

#include "fiber/mailbox.h"
#include "fiber/sched_internal.h"
#include "netpoll_variants.h"

/* --- reading ------------------------------------------------------------------------------ */

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

/* A fiber that is still armed, but waits for something else by now. */
static void armed_main(void *arg)
{
    struct netpoll_desc d;
    struct netpoll_desc silent;
    int fds[2];
    int others[2];

    (void)arg;
    unix_pair(fds);
    unix_pair(others);
    open_desc(&d, fds[0]);
    open_desc(&silent, others[0]);
    struct peer peer = {.fd = fds[1], .text = "x"};
    for (int i = 0; i < 2; i++) {
        d.ready = 0;
        drain(d.fd);
        ck_assert(!netpoll_arm(&d, NETPOLL_READ));
        struct fiber *f = fiber_spawn("peer", say, &peer, true);
        int64_t deadline = clock_now() + 10 * NSEC_PER_MSEC;
        if (i == 0)
            ck_assert_int_eq(fiber_sleep(deadline), 0);
        else
            ck_assert_int_eq(netpoll_wait(&silent, NETPOLL_READ, deadline), -ETIMEDOUT);
        ck_assert_int_ge(clock_now(), deadline);
        ck_assert_int_eq(fiber_join(f), 0);
    }
    close_both(&silent, others[1]);
    close_both(&d, fds[1]);
}

START_TEST(an_event_ends_no_other_wait)
{
    run(_i, armed_main);
}
END_TEST

/* What is ready and nobody waits for must not keep the loop busy. */
static void quiet_main(void *arg)
{
    struct netpoll_desc d;
    struct sched_stats before;
    struct sched_stats after;
    int fds[2];

    (void)arg;
    unix_pair(fds);
    open_desc(&d, fds[0]);
    struct peer peer = {.fd = fds[1], .text = "x"};
    spawn(say, &peer);
    ck_assert_int_eq(netpoll_wait(&d, NETPOLL_READ, LATE), 0);
    sched_stats(sched_self(), &before);
    ck_assert_int_eq(fiber_sleep(clock_now() + 50 * NSEC_PER_MSEC), 0);
    sched_stats(sched_self(), &after);
    ck_assert_uint_le(after.turns - before.turns, 5);
    close_both(&d, fds[1]);
}

START_TEST(what_nobody_waits_for_is_quiet)
{
    run(_i, quiet_main);
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
    struct sched *sched;
    struct mailbox *mailbox;
    struct mail over;
};

static uint64_t turns(const struct sched *s)
{
    struct sched_stats st;

    sched_stats(s, &st);
    return st.turns;
}

static void *break_often(void *arg)
{
    struct breaker *b = arg;

    for (int i = 0; i < 5; i++) {
        uint64_t before = turns(b->sched);
        netpoll_break(b->sched->netpoll);
        while (turns(b->sched) == before)
            usleep(100);
    }
    mailbox_post(b->mailbox, &b->over);
    return NULL;
}

static void break_main(void *arg)
{
    struct breaker b = {.sched = sched_self(), .mailbox = mailbox_new(sched_self())};
    struct mail *mail;
    pthread_t thread;

    (void)arg;
    ck_assert_int_eq(pthread_create(&thread, NULL, break_often, &b), 0);
    ck_assert_int_eq(mailbox_receive(b.mailbox, &mail, LATE), 0);
    pthread_join(thread, NULL);
    mailbox_free(b.mailbox);
}

START_TEST(another_thread_breaks_the_wait)
{
    run(_i, break_main);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        waits_for_what_is_to_be_read,   loses_no_edge,
        what_is_ready_is_not_late,      waits_for_room_to_write,
        waits_for_either_of_two,        serves_a_fiber_a_direction,
        wakes_who_gave_its_stack_back,  an_event_ends_no_other_wait,
        what_nobody_waits_for_is_quiet, wait_can_be_cancelled,
        hands_out_what_is_there,        another_thread_breaks_the_wait,
    };

    return run_variants("netpoll", tests, array_size(tests));
}
