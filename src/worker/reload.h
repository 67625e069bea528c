/*
 * Reloads: how the worker process goes over to another configuration, all of it or nothing.
 *
 *      control thread                 loading thread              worker threads
 *      begin ───────────────────────> makes a plan, see plan.h:
 *                                     all that can take long
 *      commit, or reject <─────────── ready, or not
 *        └───────────────────────────────────────────────────────> go over, see transition.h
 *      conclude <───────────────────────────────────────────────── all have
 *        │  retire the generation before, apply `on_change`, forget dropped addresses
 *        └─> verdict to the master
 *
 * The master has one done at a time. Thread: the control thread, on the loop's stack.
 */
#ifndef WEFT_WORKER_RELOAD_H
#define WEFT_WORKER_RELOAD_H

#include "base/attr.h"
#include "base/list.h"
#include "base/log.h"
#include "ctl/message.h"
#include "proxy/proxy.h"
#include "worker/addresses.h"
#include "worker/limits.h"
#include "worker/opener.h"

struct control;
struct reload_job; /* opaque */

/* What is in effect, and what replaces it. */
struct reload {
    struct control *control;
    struct opener *opener;      /* not owned */
    struct proxy *proxy;        /* the generation in effect; owned, as one of `generations` */
    struct list generations;    /* struct proxy: it, and those that still have sessions */
    struct addresses addresses; /* that are listened on */
    struct log_options log;     /* as the log was last set */
    struct limits limits;       /* of the process */
    struct reload_job *job;     /* under way; NULL: none */
    bool forget_again;          /* the master was not told of all addresses that are dropped */
};

void reload_init(struct reload *r, struct control *c, struct opener *opener);

/** Let a generation be the one in effect. Owns: it. */
void reload_take(struct reload *r, struct proxy *p);

/** Begin one. Owns: takes the message, and leaves an empty one. */
void reload_begin(struct reload *r, struct message *m);

/** Make sure that no other thread uses anything of ours any more: what is under way is given up. */
void reload_abandon(struct reload *r);

/** Whether a thread that loads what was given up still runs: it may use the opener. */
bool reload_has_strays(void);

/** Tell the master again what it had no room for. */
void reload_tend(struct reload *r);

/** An acceptor of ours is closed; for acceptor_new(). Thread: control, a fiber. */
void reload_acceptor_closed(struct notice *n);

/** Free it, once no shard runs any more. */
void reload_destroy(struct reload *r);

#endif
