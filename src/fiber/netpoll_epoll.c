/*
 * Linux: an epoll descriptor of our own, edge-triggered, with every descriptor in it once and for
 * both directions; libev's loop watches that one descriptor. A connection costs one epoll_ctl in
 * its life.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "fiber/netpoll_ops.h"

#define EVENTS_MAX 256 /* in one epoll_wait(2); what is left makes the next turn begin at once */

struct netpoll_epoll {
    struct netpoll base;
    struct ev_io readable; /* never initialised again: libev would add the descriptor anew */
    int fd;
    struct epoll_event events[EVENTS_MAX];
};

static struct netpoll_epoll *self(struct netpoll *np)
{
    return container_of(np, struct netpoll_epoll, base);
}

static int bits_of(uint32_t events)
{
    int bits = 0;

    /* What is writable and not hung up on the peer's side is a socket that is not connected yet. */
    if ((events & EPOLLHUP) && (events & (EPOLLOUT | EPOLLRDHUP)) != EPOLLOUT)
        bits |= NETPOLL_HANGUP | NETPOLL_ERROR;
    if (events & EPOLLERR)
        bits |= NETPOLL_ERROR;
    if (events & (EPOLLPRI | EPOLLRDHUP))
        bits |= NETPOLL_HANGUP;
    if (events & (EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        bits |= NETPOLL_READ;
    if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
        bits |= NETPOLL_WRITE;
    return bits;
}

static int epoll_open(struct netpoll *np, struct netpoll_desc *d)
{
    struct epoll_event event = {
        .events = EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP | EPOLLET,
        .data.ptr = d,
    };

    return epoll_ctl(self(np)->fd, EPOLL_CTL_ADD, d->fd, &event) == 0 ? 0 : -errno;
}

static void epoll_forget(struct netpoll *np, struct netpoll_desc *d, bool stays)
{
    if (stays)
        (void)epoll_ctl(self(np)->fd, EPOLL_CTL_DEL, d->fd, NULL);
}

static int epoll_poll(struct netpoll *np)
{
    struct netpoll_epoll *e = self(np);
    int n = epoll_wait(e->fd, e->events, EVENTS_MAX, 0);

    for (int i = 0; i < n; i++)
        netpoll_event(e->events[i].data.ptr, bits_of(e->events[i].events));
    return n < 0 ? 0 : n;
}

static void on_readable(struct ev_loop *loop, struct ev_io *w, int revents)
{
    (void)loop;
    (void)revents;
    epoll_poll(&container_of(w, struct netpoll_epoll, readable)->base);
}

static bool epoll_is_descriptor(const struct netpoll *np, int fd)
{
    return fd == container_of(np, const struct netpoll_epoll, base)->fd;
}

static void epoll_free(struct netpoll *np)
{
    struct netpoll_epoll *e = self(np);

    ev_io_stop(np->loop, &e->readable);
    close(e->fd);
    free(e);
}

struct netpoll *netpoll_epoll_init(struct ev_loop *loop)
{
    static const struct netpoll_ops ops = {
        .open = epoll_open,
        .close = epoll_forget,
        .poll = epoll_poll,
        .is_descriptor = epoll_is_descriptor,
        .free = epoll_free,
    };
    struct netpoll_epoll *e = calloc(1, sizeof(*e));

    if (e == NULL)
        return NULL;
    e->base.ops = &ops;
    e->fd = epoll_create1(EPOLL_CLOEXEC);
    if (e->fd < 0) {
        free(e);
        return NULL;
    }
    ev_io_init(&e->readable, on_readable, e->fd, EV_READ);
    /* Before the timers: what is both ready and late is ready. */
    ev_set_priority(&e->readable, EV_MAXPRI);
    ev_io_start(loop, &e->readable);
    return &e->base;
}
