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

struct acceptor {
    struct fiber fiber;
    struct list link; /* in the shard's acceptors */
    struct shard *shard;
    struct proxy_listener *listener;
    struct conn listening;
    bool stopping;
    bool ended;
    struct gate_waiter waiter;
    struct shard_message wake; /* posted by the gate */
    atomic_bool wake_posted;   /* and not yet delivered: it is in the mailbox at most once */
};

static void deliver_wake(struct shard_message *m, struct shard *shard)
{
    (void)shard;
    struct acceptor *a = container_of(m, struct acceptor, wake);
    atomic_store(&a->wake_posted, false);
    if (!a->ended)
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
    if (l->gate.max != 0 && gate_active(&l->gate) >= l->gate.max)
        log_line(LOG_LEVEL_WARNING,
                 "listener %s: max_connections of %u reached, new connections wait", l->conf->name,
                 l->gate.max);
    else
        log_line(LOG_LEVEL_WARNING, "max_connections of %u reached, new connections wait",
                 l->proxy->gate.max);
}

/* Wait for a place at `g`. Returns whether it was taken; if not, the acceptor is to stop. */
static bool enter_or_wait(struct acceptor *a, struct gate *g)
{
    while (!gate_enter(g)) {
        if (a->stopping)
            return false;
        if (gate_tell_full(g, clock_now()))
            fiber_call(say_full, a);
        gate_wait(g, &a->waiter);
        if (gate_enter(g)) {
            gate_forget(g, &a->waiter);
            return true;
        }
        int err = fiber_park(CLOCK_NEVER);
        gate_forget(g, &a->waiter);
        if (err < 0)
            return false;
    }
    return true;
}

static bool take_place(struct acceptor *a)
{
    if (!enter_or_wait(a, &a->listener->gate))
        return false;
    if (enter_or_wait(a, &a->listener->proxy->gate))
        return true;
    gate_leave(&a->listener->gate);
    return false;
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
    if (!atomic_exchange(&a->listener->proxy->out_of_descriptors, true))
        fiber_call(say_shortage, &s);
    return fiber_sleep(clock_now() + ACCEPT_PAUSE) == 0;
}

static void note_resumed(struct acceptor *a)
{
    atomic_bool *flag = &a->listener->proxy->out_of_descriptors;
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
    if (!take_place(a))
        return -ECANCELED;
    struct addr peer;
    int fd = conn_try_accept(&a->listening, &peer);
    if (fd < 0) {
        proxy_listener_leave(a->listener);
        return fd == -EAGAIN || is_shortage(fd) ? fd : 0;
    }
    note_resumed(a);
    if (handover(a->shard, a->listener, fd, &peer))
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

static void acceptor_run(void *arg)
{
    struct acceptor *a = arg;
    while (!a->stopping && take_batch(a))
        continue;
    take_rest(a);
    conn_close(&a->listening);
    a->ended = true;
    shard_left(a->shard);
}

struct acceptor *acceptor_start(struct shard *shard, struct proxy_listener *listener, int fd)
{
    struct acceptor *a = calloc(1, sizeof(*a));
    if (a == NULL)
        return NULL;
    a->shard = shard;
    a->listener = listener;
    a->waiter.wake = post_wake;
    a->wake.deliver = deliver_wake;
    list_init(&a->waiter.link);
    conn_init(&a->listening, fd, AF_UNSPEC);
    a->listening.shared = true; /* a UNIX socket is every worker's */
    list_push_back(&shard->acceptors, &a->link);
    fiber_create(&a->fiber, listener->conf->name, acceptor_run, a, NULL);
    fiber_start(&a->fiber);
    return a;
}

void acceptor_stop(struct acceptor *a)
{
    if (a->ended)
        return;
    a->stopping = true;
    fiber_cancel(&a->fiber);
}

void acceptor_stop_all(struct shard *shard)
{
    list_for_each (l, &shard->acceptors)
        acceptor_stop(container_of(l, struct acceptor, link));
}

bool acceptor_all_ended(const struct shard *shard)
{
    list_for_each (l, &shard->acceptors) {
        if (!container_of(l, struct acceptor, link)->ended)
            return false;
    }
    return true;
}

void acceptor_free_all(struct shard *shard)
{
    struct list *l;
    while ((l = list_pop_front(&shard->acceptors)) != NULL)
        free(container_of(l, struct acceptor, link));
}
