#include "proxy/acceptor.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "fiber/fiber.h"
#include "io/conn.h"
#include "proxy/handover.h"
#include "proxy/session.h"

#define ACCEPT_BATCH 32                    /* connections taken before other fibers run */
#define ACCEPT_PAUSE (100 * NSEC_PER_MSEC) /* between tries while out of descriptors or memory */

/* The last word: the acceptor is the control thread's from here on. */
static void say_closed(struct acceptor *a)
{
    struct shard *shard = a->shard;
    list_remove(&a->link);
    mailbox_post(shard->group->control, &a->closed.mail);
    shard_left(shard);
}

static void deliver_wake(struct shard_message *m, struct shard *shard)
{
    (void)shard;
    struct acceptor *a = container_of(m, struct acceptor, wake);
    atomic_store(&a->wake_posted, false);
    if (a->ended)
        say_closed(a);
    else
        fiber_ready(&a->fiber);
}

static void post_wake(struct gate_waiter *w)
{
    struct acceptor *a = container_of(w, struct acceptor, waiter);
    if (!atomic_exchange(&a->wake_posted, true))
        shard_post(a->shard, &a->wake);
}

static void say_full(void *arg)
{
    const struct acceptor *a = arg;
    const struct proxy_listener *l = a->listener;
    if (a->placed)
        log_line(LOG_LEVEL_WARNING, "max_connections of %u reached, new connections wait",
                 gate_max(&l->proxy->state->gate));
    else
        log_line(LOG_LEVEL_WARNING,
                 "listener %s: max_connections of %u reached, new connections wait", l->conf->name,
                 gate_max(&l->state->gate));
}

/*
 * Wait for a place at `g`. Returns 0 when it was taken, -ECANCELED when the acceptor is to stop, or
 * -EAGAIN when it has gone over to a listener with another gate, and left this one's queue.
 */
static int enter_or_wait(struct acceptor *a, struct gate *g)
{
    unsigned moves = a->moves;
    while (!gate_enter(g)) {
        if (a->stopping)
            return -ECANCELED;
        if (gate_tell_full(g, clock_now()))
            fiber_call(say_full, a);
        gate_wait(g, &a->waiter);
        a->waits_at = g;
        bool entered = gate_enter(g);
        int err = entered ? 0 : fiber_park(CLOCK_NEVER);
        if (a->moves != moves)
            return -EAGAIN;
        a->waits_at = NULL;
        if (err < 0) {
            gate_give_up(g, &a->waiter);
            return -ECANCELED;
        }
        gate_forget(g, &a->waiter);
        if (entered)
            return 0;
    }
    return 0;
}

/* Take a place at both gates. Returns 0 or -ECANCELED. */
static int take_place(struct acceptor *a)
{
    int err;
    do {
        err = enter_or_wait(a, &a->listener->state->gate);
        if (err < 0)
            continue;
        a->placed = true;
        err = enter_or_wait(a, &a->listener->proxy->state->gate);
        if (err < 0 && a->placed)
            gate_leave(&a->listener->state->gate);
        a->placed = false;
    } while (err == -EAGAIN);
    return err;
}

struct shortage {
    const struct acceptor *acceptor;
    int err;
};

static void say_shortage(void *arg)
{
    const struct shortage *s = arg;
    log_line(LOG_LEVEL_WARNING, "listener %s: accepting is paused: %s",
             s->acceptor->listener->conf->name, error_text(s->err));
}

static void say_resumed(void *arg)
{
    const struct acceptor *a = arg;
    log_line(LOG_LEVEL_NOTICE, "listener %s: accepting again", a->listener->conf->name);
}

/* Returns whether to go on. */
static bool pause_accepting(struct acceptor *a, int err)
{
    struct shortage s = {.acceptor = a, .err = err};
    if (!atomic_exchange(&a->listener->proxy->state->out_of_descriptors, true))
        fiber_call(say_shortage, &s);
    return fiber_sleep(clock_now() + ACCEPT_PAUSE) == 0;
}

static void note_resumed(struct acceptor *a)
{
    atomic_bool *flag = &a->listener->proxy->state->out_of_descriptors;
    if (unlikely(atomic_load_explicit(flag, memory_order_relaxed)) && atomic_exchange(flag, false))
        fiber_call(say_resumed, a);
}

static bool is_shortage(int err)
{
    return err == -EMFILE || err == -ENFILE || err == -ENOBUFS || err == -ENOMEM;
}

/*
 * Take one connection. Returns 0, -EAGAIN when none waits, a shortage's -errno, or -ECANCELED when
 * the acceptor is to stop. A connection that died in the backlog counts as taken.
 */
static int take_one(struct acceptor *a)
{
    if (take_place(a) < 0)
        return -ECANCELED;
    struct addr peer;
    int fd = conn_try_accept(&a->listening, &peer);
    if (fd < 0) {
        proxy_listener_leave(a->listener);
        return fd == -EAGAIN || is_shortage(fd) ? fd : 0;
    }
    note_resumed(a);
    if (!a->stopping && handover(a->shard, a->listener, fd, &peer))
        return 0;
    if (session_start(a->shard, a->listener, fd, &peer) < 0) {
        proxy_listener_leave(a->listener);
        close(fd);
        return -ENOMEM;
    }
    return 0;
}

static bool wait_for_connection(struct acceptor *a)
{
    return conn_watch(&a->listening) == 0 &&
           netpoll_wait(&a->listening.poll, NETPOLL_READ, CLOCK_NEVER) == 0;
}

/* Take a batch. Returns whether to go on. */
static bool take_batch(struct acceptor *a)
{
    for (int taken = 0; taken < ACCEPT_BATCH; taken++) {
        int err = take_one(a);
        if (err == -EAGAIN)
            return wait_for_connection(a);
        if (err == -ECANCELED)
            return false;
        if (err < 0)
            return pause_accepting(a, err);
    }
    fiber_yield();
    return true;
}

/* Clients in the backlog have a connection as far as they know: they are served, as far as the
 * limits allow. */
static void take_rest(struct acceptor *a)
{
    a->listening.poll.ready |= NETPOLL_READ;
    while (take_one(a) == 0)
        continue;
}

/* --- the socket's options ---------------------------------------------------------------- */

struct changed_options {
    const struct proxy_listener *listener;
    int err;
};

static void say_not_changed(void *arg)
{
    const struct changed_options *c = arg;
    log_line(LOG_LEVEL_WARNING, "listener %s: not all socket options could be changed: %s",
             c->listener->conf->name, error_text(c->err));
}

/* Of what systemd has opened, only those that a connection inherits are the listener's. */
static void set_options(struct acceptor *a, const struct proxy_listener *listener)
{
    struct changed_options c = {.listener = listener};
    struct socket_listen_options o;
    const char *unfit;
    proxy_listen_options(listener->conf, &o);
    c.err = a->handed ? socket_adopt(a->listening.poll.fd, &o.common, &unfit)
                      : socket_listen_change(a->listening.poll.fd, &o);
    if (c.err < 0)
        fiber_call(say_not_changed, &c);
}

static void change_options(struct acceptor *a, const struct proxy_listener *listener)
{
    struct socket_listen_options before, after;
    proxy_listen_options(a->listener->conf, &before);
    proxy_listen_options(listener->conf, &after);
    if (!socket_listen_same(&before, &after))
        set_options(a, listener);
}

static void say_deaf(void *arg)
{
    const struct shortage *s = arg;
    log_line(LOG_LEVEL_ERROR, "listener %s: cannot listen: %s", s->acceptor->listener->conf->name,
             error_text(s->err));
}

/*
 * One that was opened beside others that are served takes connections from now on: the kernel
 * gives it its share, and before there was nobody to take them. One that another process has
 * listened on may be set as that one's configuration said.
 */
static bool listen_now(struct acceptor *a)
{
    struct shortage s = {.acceptor = a};
    set_options(a, a->listener);
    s.err = socket_listen_on(a->listening.poll.fd, a->listener->conf->backlog);
    if (s.err < 0)
        fiber_call(say_deaf, &s);
    return s.err == 0;
}

/* --- accepting --------------------------------------------------------------------------- */

static void acceptor_run(void *arg)
{
    struct acceptor *a = arg;
    if (listen_now(a)) {
        while (!a->stopping && take_batch(a))
            continue;
        take_rest(a);
    }
    conn_close(&a->listening);
}

/* A wake-up may still be on its way here. */
static void acceptor_done(struct fiber *f)
{
    struct acceptor *a = container_of(f, struct acceptor, fiber);
    a->ended = true;
    proxy_leave(a->listener, a->shard);
    if (!atomic_load(&a->wake_posted))
        say_closed(a);
}

struct acceptor *acceptor_new(struct proxy_listener *listener, unsigned address, int fd,
                              void (*closed)(struct notice *n))
{
    struct acceptor *a = calloc(1, sizeof(*a));
    if (a == NULL)
        return NULL;
    a->listener = listener;
    a->address = address;
    a->waiter.wake = post_wake;
    a->wake.deliver = deliver_wake;
    a->closed.deliver = closed;
    list_init(&a->link);
    list_init(&a->waiter.link);
    conn_init(&a->listening, fd, AF_UNSPEC);
    a->listening.shared = true; /* others have the socket open too */
    return a;
}

void acceptor_start(struct acceptor *a, struct shard *shard)
{
    a->shard = shard;
    list_push_back(&shard->acceptors, &a->link);
    fiber_create(&a->fiber, "acceptor", acceptor_run, a, acceptor_done);
    fiber_start(&a->fiber);
}

/* Leave the gates of a listener that it does not accept for any more. */
static void leave_gates(struct acceptor *a)
{
    if (a->placed)
        gate_leave(&a->listener->state->gate);
    if (a->waits_at != NULL)
        gate_give_up(a->waits_at, &a->waiter);
    a->placed = false;
    a->waits_at = NULL;
    a->moves++;
    fiber_ready(&a->fiber);
}

void acceptor_retarget(struct acceptor *a, struct proxy_listener *listener)
{
    if (a->stopping)
        return;
    change_options(a, listener);
    if (a->listener->state != listener->state)
        leave_gates(a);
    a->listener = listener;
}

/*
 * The sessions that it still starts are of the generation it is in, however late: it counts as one
 * of them itself. It hands none over, since those on their way between shards are not counted.
 */
void acceptor_stop(struct acceptor *a)
{
    if (a->stopping)
        return;
    a->stopping = true;
    proxy_join(a->listener, a->shard);
    fiber_cancel(&a->fiber);
}

void acceptor_stop_all(struct shard *shard)
{
    list_for_each (l, &shard->acceptors)
        acceptor_stop(container_of(l, struct acceptor, link));
}

void acceptor_free(struct acceptor *a)
{
    conn_close(&a->listening);
    free(a);
}
