#include "fiber/netpoll.h"

#include <errno.h>

#include "fiber/netpoll_ops.h"
#include "fiber/sched_internal.h"

static void on_wakeup(struct ev_loop *loop, struct ev_async *w, int revents)
{
    (void)loop;
    (void)w;
    (void)revents;
}

struct netpoll *netpoll_init(enum netpoll_kind kind, struct ev_loop *loop)
{
    struct netpoll *np =
        kind == NETPOLL_LIBEV ? netpoll_libev_init(loop) : netpoll_epoll_init(loop);

    if (np == NULL)
        return NULL;
    np->loop = loop;
    ev_async_init(&np->wakeup, on_wakeup);
    ev_async_start(loop, &np->wakeup);
    return np;
}

void netpoll_free(struct netpoll *np)
{
    if (np == NULL)
        return;
    ev_async_stop(np->loop, &np->wakeup);
    np->ops->free(np);
}

static struct netpoll *current(void)
{
    assert(sched_current != NULL);
    return sched_current->netpoll;
}

int netpoll_open(struct netpoll_desc *d, int fd)
{
    struct netpoll *np = current();

    *d = (struct netpoll_desc){.fd = fd};
    int r = np->ops->open(np, d);
    if (r != 0)
        d->fd = -1;
    return r;
}

static void forget(struct netpoll_desc *d, bool stays)
{
    struct netpoll *np = current();

    if (d->fd < 0)
        return;
    np->ops->close(np, d, stays);
    *d = (struct netpoll_desc){.fd = -1};
}

void netpoll_close(struct netpoll_desc *d)
{
    forget(d, false);
}

void netpoll_detach(struct netpoll_desc *d)
{
    forget(d, true);
}

int netpoll_poll(struct netpoll *np)
{
    return np->ops->poll(np);
}

void netpoll_break(struct netpoll *np)
{
    ev_async_send(np->loop, &np->wakeup);
}

bool netpoll_is_descriptor(const struct netpoll *np, int fd)
{
    return np->ops->is_descriptor(np, fd);
}

static void disarm(struct netpoll_desc *d, const struct fiber *f, int mode)
{
    if ((mode & NETPOLL_READ) && d->reader == f)
        d->reader = NULL;
    if ((mode & NETPOLL_WRITE) && d->writer == f)
        d->writer = NULL;
}

bool netpoll_arm(struct netpoll_desc *d, int mode)
{
    struct fiber *f = fiber_running();
    struct netpoll *np = f->sched->netpoll;

    disarm(d, f, ~mode);
    if (mode & NETPOLL_READ) {
        assert(d->reader == NULL || d->reader == f);
        d->reader = f;
    }
    if (mode & NETPOLL_WRITE) {
        assert(d->writer == NULL || d->writer == f);
        d->writer = f;
    }
    int missing = mode & ~d->ready;
    if (missing != 0 && np->ops->want)
        np->ops->want(np, d, missing);
    return missing != mode;
}

int netpoll_wait(struct netpoll_desc *d, int mode, int64_t deadline)
{
    struct fiber *f = fiber_running();
    int r = f->cancelled ? -ECANCELED : 0;

    while (r == 0 && !netpoll_arm(d, mode))
        r = fiber_park(deadline);
    disarm(d, f, mode);
    return r;
}

static bool arm_both(struct netpoll_desc *a, int a_mode, struct netpoll_desc *b, int b_mode)
{
    bool a_ready = netpoll_arm(a, a_mode);

    return netpoll_arm(b, b_mode) || a_ready;
}

int netpoll_wait_either(struct netpoll_desc *a, int a_mode, struct netpoll_desc *b, int b_mode,
                        int64_t deadline)
{
    struct fiber *f = fiber_running();
    int r = f->cancelled ? -ECANCELED : 0;

    while (r == 0 && !arm_both(a, a_mode, b, b_mode))
        r = fiber_park(deadline);
    disarm(a, f, a_mode);
    disarm(b, f, b_mode);
    return r;
}
