/*
 * The control thread: what the master says in, orders to the workers out.
 *
 *      serving ── drain ──> draining ── drain_timeout, or end ──> ending ──> done
 *         └───────────────── end ───────────────────────────────────^
 *      any state but done: done when the last worker has ended
 */
#ifndef WEFT_WORKER_CONTROL_H
#define WEFT_WORKER_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/list.h"
#include "fiber/mailbox.h"
#include "fiber/sched.h"
#include "fiber/sync.h"
#include "proxy/care.h"
#include "proxy/notice.h"
#include "worker/asking.h"
#include "worker/control_server.h"
#include "worker/drains.h"
#include "worker/link.h"
#include "worker/reload.h"
#include "worker/thread.h"

struct control_worker;

struct control {
    struct sched *sched;
    struct mailbox *mailbox; /* struct notice: what is to be done here */
    struct notice nudge;     /* posted once, when drain_until is set: to wait anew */
    struct control_worker *workers;
    struct shard_group group; /* the workers' shards */
    unsigned count;
    unsigned started;      /* workers whose threads were started */
    unsigned ended;        /* of them, those that have said their last word */
    struct link link;      /* to the master */
    struct asking asking;  /* of the master */
    struct reload reload;  /* what is in effect */
    struct care care;      /* of its servers */
    struct drains drains;  /* connections that are to end, over a time */
    int64_t drain_timeout; /* [ns] 0: as long as it takes */
    int64_t drain_until;   /* [monotonic ns] CLOCK_NEVER while serving */
    int64_t leave_by;      /* [monotonic ns] with clients that wait for a verdict or without */
    bool succeeded;        /* another process serves */
    bool draining;
    bool ending;
    struct fiber_cond begun_to_drain;
    struct list censuses; /* of the command diff */
    struct control_server_options server_options;
    struct control_server *server; /* what weftctl finds; NULL: there is none */
};

/** Prepare for `count` workers, with a socket to the master that it owns, and an opener that stays
 * the caller's. Returns 0 or -errno. */
int control_init(struct control *c, unsigned count, int64_t drain_timeout, int events,
                 struct opener *opener) WEFT_MUSTCHECK;

/** The n-th worker, to be filled in and started. */
struct worker *control_worker(struct control *c, unsigned n);

/** Serve until the last worker has ended, or, unless `serve`, end those that were started at once.
 */
void control_run(struct control *c, bool serve);

void control_destroy(struct control *c);

/* What the master orders. Thread: the control thread, on the loop's stack. */

/** Accept no more, and end within drain_timeout; `stop`: weft is to stop, nobody takes over. */
void control_drain(struct control *c, bool stop);

/** End at once. */
void control_end(struct control *c);

/** A log file was opened anew at its path. Owns: takes `fd`. */
void control_reopen_log(struct control *c, const char *path, int fd);

/** Load a configuration. Owns: takes the message, and leaves an empty one. */
void control_reload(struct control *c, struct message *m);

/** What was asked of the master has come to an end. */
void control_verdict(struct control *c, const struct message *m);

/** Whether a worker thread has not turned for `limit` [ns]; `why` says which, and what it does. */
bool control_find_stuck(struct control *c, int64_t limit, struct text *why);

/** Connections that live. */
uint64_t control_active(const struct control *c);

/* What commands ask for. Thread: the control thread, a fiber. */

/** Have the master stop weft gracefully; wait until that has begun. Yields. Returns 0, -ETIMEDOUT
 * or -ECANCELED. */
int control_ask_stop(struct control *c) WEFT_MUSTCHECK;

#endif
