/*
 * The opener: what a worker process may not open itself, it orders from the master.
 *
 * A call sends an order and waits for the answer, if not said otherwise, so it is not for a fiber
 * but for the start of the process, and for the thread that loads a configuration. Calls of several
 * threads follow each other.
 */
#ifndef WEFT_WORKER_OPENER_H
#define WEFT_WORKER_OPENER_H

#include <pthread.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/addr.h"
#include "base/attr.h"
#include "base/expand.h"
#include "base/text.h"
#include "ctl/listen_order.h"

struct opener {
    int orders;           /* socket to the master, owned */
    pthread_mutex_t lock; /* from an order to its answer */
    bool refused;         /* some order was, as one for a new process alone; under `lock` */
};

/* Descriptors that the master has passed on. */
struct opened {
    int *fds; /* owned, as are they */
    unsigned count;
};

void opener_init(struct opener *o, int orders);
void opener_destroy(struct opener *o);

/**
 * Have sockets listen, or get those that do already: at least as many as asked for of TCP, one of
 * UNIX, what there is from systemd.
 *
 * Returns 0, or -errno with the reason added to `why`; -EPIPE when there is no master any more.
 * Owns: the caller closes the descriptors.
 */
int opener_listen(struct opener *o, const struct listen_order *want, struct opened *ret,
                  struct text *why) WEFT_MUSTCHECK;

/** The control socket, accessible to `group`; as opener_listen(). */
int opener_control(struct opener *o, const struct addr *addr, gid_t group, struct opened *ret,
                   struct text *why) WEFT_MUSTCHECK;

/**
 * The socket `key` is closed here: it need not be kept for us.
 *
 * Does not wait, and so may be called on a fiber, by fiber_call(). Orders keep their order: one of
 * another thread that comes later is for a socket that is new. Returns 0, also where there is no
 * master any more, or the -errno of what could not be sent.
 */
int opener_forget(struct opener *o, const char *key) WEFT_MUSTCHECK;

/**
 * Open a log file for appending; `errors`: the error log, which the master writes to as well.
 *
 * Returns the descriptor, or -errno; -EPERM also says that only a new process gets it.
 */
int opener_log(struct opener *o, const char *path, bool errors) WEFT_MUSTCHECK;

/** As expand_open(), by the master. */
int opener_include(struct opener *o, const char *pattern, expand_fn *take,
                   void *taker) WEFT_MUSTCHECK;

/** Have the master write its process id to a file. Returns 0 or -errno. */
int opener_write_pid(struct opener *o, const char *path) WEFT_MUSTCHECK;

/** Whether an order was refused, since this was last asked, that a new process could give. */
bool opener_take_refused(struct opener *o);

/** Close what was not taken (the others are set to -1), and free. */
void opened_free(struct opened *o);

#endif
