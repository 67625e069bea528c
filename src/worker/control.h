/*
 * The control thread: signals in, orders to the workers out.
 *
 *      serving ── TERM, QUIT ──> draining ── drain_timeout, or a second one ──> ending ──> done
 *         └──────────────────────── INT ───────────────────────────────────────^
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
#include "proxy/notice.h"
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
    int signals;           /* signalfd, owned */
    int64_t drain_timeout; /* [ns] 0: as long as it takes */
    int64_t drain_until;   /* [monotonic ns] CLOCK_NEVER while serving */
    bool draining;
    bool ending;
};

/** Prepare for `count` workers. Returns 0 or -errno. */
int control_init(struct control *c, unsigned count, int64_t drain_timeout) WEFT_MUSTCHECK;

/** The n-th worker, to be filled in and started. */
struct worker *control_worker(struct control *c, unsigned n);

/** Serve until the last worker has ended, or, unless `serve`, end those that were started at once.
 */
void control_run(struct control *c, bool serve);

void control_destroy(struct control *c);

#endif
