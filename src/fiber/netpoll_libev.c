/*
 * Wherever libev runs: an ev_io for each descriptor. libev is level-triggered; a direction is
 * watched from the moment a fiber waits for it until its first event, which makes an edge of it:
 * what is still there will be seen when somebody waits again. A wait right after an event costs no
 * system call, since libev compares what it watches only when it goes to sleep.
 *
 * There is no NETPOLL_HANGUP and no NETPOLL_ERROR here.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/pool.h"
#include "fiber/netpoll_ops.h"
#include "fiber/sched_internal.h"

#define POOL_LOCAL_MAX 256

struct netpoll_libev {
    struct netpoll base;
    struct pool *watchers; /* of struct ev_io */
    int events;            /* in the present netpoll_poll() */
};

static struct netpoll_libev *self(struct netpoll *np)
{
    return container_of(np, struct netpoll_libev, base);
}

static_assert((int)NETPOLL_READ == (int)EV_READ && (int)NETPOLL_WRITE == (int)EV_WRITE,
              "bits are the same");

/* Watch for other events, without the system call that a fresh ev_io would cost. */
static void watch(struct ev_loop *loop, struct ev_io *w, int events)
{
    ev_io_stop(loop, w);
    ev_io_modify(w, events);
    if (events != 0)
        ev_io_start(loop, w);
}

static int watched(const struct ev_io *w)
{
    return ev_is_active(w) ? w->events & (EV_READ | EV_WRITE) : 0;
}

/* A descriptor that is bad comes as EV_ERROR with both directions, and stopped. */
static void on_event(struct ev_loop *loop, struct ev_io *w, int revents)
{
    struct netpoll_desc *d = w->data;
    struct netpoll_libev *l = self(((struct sched *)ev_userdata(loop))->netpoll);

    l->events++;
    watch(loop, w, watched(w) & ~revents);
    netpoll_event(d, revents & (EV_READ | EV_WRITE));
}

static void libev_want(struct netpoll *np, struct netpoll_desc *d, int mode)
{
    struct ev_io *w = d->backend;
    int now = watched(w);

    if ((now | mode) != now)
        watch(np->loop, w, now | mode);
}

static int libev_open(struct netpoll *np, struct netpoll_desc *d)
{
    struct stat st;

    /* As epoll_ctl(2) says it; select(2) would call a file ready for ever. */
    if (fstat(d->fd, &st) != 0)
        return -errno;
    if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode))
        return -EPERM;
    struct ev_io *w = pool_get(self(np)->watchers);
    if (w == NULL)
        return -ENOMEM;
    ev_io_init(w, on_event, d->fd, 0);
    ev_set_priority(w, EV_MAXPRI); /* before the timers: what is both ready and late is ready */
    w->data = d;
    d->backend = w;
    return 0;
}

static void libev_close(struct netpoll *np, struct netpoll_desc *d, bool stays)
{
    (void)stays;
    ev_io_stop(np->loop, d->backend);
    pool_put(self(np)->watchers, d->backend);
}

static int libev_poll(struct netpoll *np)
{
    self(np)->events = 0;
    ev_run(np->loop, EVRUN_NOWAIT);
    return self(np)->events;
}

static bool libev_is_descriptor(const struct netpoll *np, int fd)
{
    (void)np;
    (void)fd;
    return false;
}

static void libev_free(struct netpoll *np)
{
    pool_free(self(np)->watchers);
    free(np);
}

struct netpoll *netpoll_libev_init(struct ev_loop *loop)
{
    static const struct netpoll_ops ops = {
        .open = libev_open,
        .close = libev_close,
        .poll = libev_poll,
        .is_descriptor = libev_is_descriptor,
        .want = libev_want,
        .free = libev_free,
    };
    struct netpoll_libev *l = calloc(1, sizeof(*l));

    (void)loop;
    if (l == NULL)
        return NULL;
    l->base.ops = &ops;
    l->watchers = pool_new("netpoll", sizeof(struct ev_io), POOL_LOCAL_MAX);
    if (l->watchers == NULL) {
        free(l);
        return NULL;
    }
    return &l->base;
}
