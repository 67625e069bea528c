/* What a netpoll implementation provides; only the netpoll_*.c files include it. */
#ifndef WEFT_FIBER_NETPOLL_OPS_H
#define WEFT_FIBER_NETPOLL_OPS_H

#include <ev.h>

#include "fiber/netpoll.h"

struct netpoll_ops {
    int (*open)(struct netpoll *np, struct netpoll_desc *d);
    /* `stays`: the descriptor stays open somewhere, and must be taken out explicitly. */
    void (*close)(struct netpoll *np, struct netpoll_desc *d, bool stays);
    int (*poll)(struct netpoll *np);
    bool (*is_descriptor)(const struct netpoll *np, int fd);
    /* See to it that `mode` is reported; NULL where everything always is. */
    void (*want)(struct netpoll *np, struct netpoll_desc *d, int mode);
    void (*free)(struct netpoll *np);
};

/* The first member of an implementation's own structure. */
struct netpoll {
    const struct netpoll_ops *ops;
    struct ev_loop *loop;
    struct ev_async wakeup; /* netpoll_break() */
};

/** Note that `bits` are ready, and wake who waits for them. Loop's stack. */
static inline void netpoll_event(struct netpoll_desc *d, int bits)
{
    d->ready |= (uint8_t)bits;
    if (d->reader && (bits & NETPOLL_READ))
        fiber_ready(d->reader);
    if (d->writer && (bits & NETPOLL_WRITE))
        fiber_ready(d->writer);
}

struct netpoll *netpoll_epoll_init(struct ev_loop *loop) WEFT_MUSTCHECK;
struct netpoll *netpoll_libev_init(struct ev_loop *loop) WEFT_MUSTCHECK;

#endif
