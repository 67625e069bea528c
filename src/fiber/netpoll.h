/*
 * The netpoller, after Go's: fibers wait here for descriptors.
 *
 * Edge-triggered semantics for every implementation. `ready` remembers the edges that were seen
 * and not yet used. The protocol of a read:
 *
 *      1. clear NETPOLL_READ in `ready`      (an edge from now on is a new one)
 *      2. try the call
 *      3. on EAGAIN, wait for NETPOLL_READ: returns at once if the bit is set again
 *
 *      bit               epoll events                            ends a wait for
 *      NETPOLL_READ      IN, PRI, RDHUP, HUP, ERR                READ
 *      NETPOLL_WRITE     OUT, HUP, ERR                           WRITE
 *      NETPOLL_HANGUP    PRI, RDHUP; HUP of what is connected
 *      NETPOLL_ERROR     ERR; HUP of what is connected
 *
 * The last two are never cleared, and end no wait by themselves (they come with edges that do).
 * NETPOLL_HANGUP says that a short read is not the last one: read on until 0, an error or EAGAIN.
 * NETPOLL_ERROR says the same of both directions. libev shows neither, and needs neither: there, a
 * FIN behind a short read keeps the descriptor readable.
 *
 * Fibers never run while a batch of events is handed out, so a descriptor closed by one fiber
 * can't wake the next owner of its number.
 */
#ifndef WEFT_FIBER_NETPOLL_H
#define WEFT_FIBER_NETPOLL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "fiber/fiber.h"
#include "fiber/sched.h"

enum {
    NETPOLL_READ = 1,
    NETPOLL_WRITE = 2,
    NETPOLL_HANGUP = 4,
    NETPOLL_ERROR = 8,
};

/* A descriptor in the poll set; a member of whatever owns the descriptor. */
struct netpoll_desc {
    struct fiber *reader; /* made ready by NETPOLL_READ; NULL: nobody waits */
    struct fiber *writer; /* made ready by NETPOLL_WRITE; NULL: nobody waits */
    void *backend;        /* the implementation's own; NULL when it needs none */
    int fd;
    uint8_t ready; /* NETPOLL_ bits */
};

struct netpoll; /* a scheduler's */

/* Go's five. Thread: the scheduler's own, but for netpoll_break. */

/** Make the poller of a scheduler whose loop is `loop`. Returns NULL and sets errno on failure. */
struct netpoll *netpoll_init(enum netpoll_kind kind, struct ev_loop *loop) WEFT_MUSTCHECK;

/** Add `fd` to this thread's poll set, once and for both directions. Returns 0 or -errno; -EPERM: a
 * file that is always ready. */
int netpoll_open(struct netpoll_desc *d, int fd) WEFT_MUSTCHECK;

/** Hand out what the kernel has now, without waiting. Returns the number of events. */
int netpoll_poll(struct netpoll *np);

/** Make the scheduler's wait for events end. Thread: any. */
void netpoll_break(struct netpoll *np);

/** Whether `fd` is one of the poller's own. */
bool netpoll_is_descriptor(const struct netpoll *np, int fd);

/**
 * Forget `d` whose descriptor the caller closes next; its fd becomes -1.
 *
 * The close itself takes the descriptor out of the poll set, without a system call more; but only
 * the last one does: where the descriptor is open elsewhere, in this process or another, `d` would
 * go on getting events. There, and where it is not closed, use netpoll_detach().
 */
void netpoll_close(struct netpoll_desc *d);

/** As netpoll_close, for a descriptor that stays open: kept, duplicated, shared with a process. */
void netpoll_detach(struct netpoll_desc *d);

/**
 * Wait until `mode` (NETPOLL_READ, NETPOLL_WRITE or either of both) is ready.
 *
 * Yields. Returns 0, -ETIMEDOUT at `deadline` [monotonic ns], -ECANCELED. Only one fiber at a
 * time may wait for a direction.
 */
int netpoll_wait(struct netpoll_desc *d, int mode, int64_t deadline) WEFT_MUSTCHECK;

/**
 * Wait until either of two descriptors is ready for its mode (NETPOLL_READ | NETPOLL_WRITE,
 * 0: not at all).
 */
int netpoll_wait_either(struct netpoll_desc *a, int a_mode, struct netpoll_desc *b, int b_mode,
                        int64_t deadline) WEFT_MUSTCHECK;

/**
 * Name the running fiber as the one to make ready for `mode`, 0 for nothing: the first half of a
 * wait that ends in fiber_park() or fiber_hibernate(). Stays until changed, but is to be called
 * before each wait: what came meanwhile is seen only then.
 *
 * Returns whether something of `mode` is ready already, and the wait is not needed.
 */
bool netpoll_arm(struct netpoll_desc *d, int mode);

void netpoll_free(struct netpoll *np);

#endif
