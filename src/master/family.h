/*
 * The worker processes that live, and how they come and go:
 *
 *      starting ── ready ──> serving ── succeeded, or to stop ──> leaving ──> gone
 *          └── failed ──> gone  └── crashed ──> gone
 *
 * At most one is starting, at most one serves; any number may be leaving, each for as long as its
 * connections take, drain_timeout at most.
 */
#ifndef WEFT_MASTER_FAMILY_H
#define WEFT_MASTER_FAMILY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/attr.h"
#include "base/list.h"
#include "ctl/message.h"
#include "master/snapshot.h"

enum stage { STAGE_STARTING, STAGE_SERVING, STAGE_LEAVING };

struct log_path {
    struct list link;
    char path[]; /* of a log file that the process writes */
};

struct process {
    struct list link;
    uint64_t id; /* never used twice by one master */
    pid_t pid;   /* ours until its end has been waited for */
    int events;  /* socket for messages, owned; -1: the other side has closed it */
    int orders;  /* likewise */
    enum stage stage;
    struct snapshot *snapshot; /* a reference: what it runs on, or is loading */
    uint64_t generation;       /* of the configuration that it runs on */
    uint64_t connections;      /* live, by its own account */
    uint64_t ticket;           /* of the last request from its control socket */
    uint64_t ticket_begun;     /* of the last that came before the present change began */
    int64_t drain_timeout;     /* [ns] 0: as long as it takes */
    int64_t served_since;      /* [monotonic ns] */
    int64_t heard;             /* [monotonic ns] of its last sign of life */
    int64_t deadline;          /* [monotonic ns] when it is killed; CLOCK_NEVER: it is not */
    struct list logs;          /* struct log_path */
    bool killed;               /* by us */
};

struct family {
    struct list processes;
    uint64_t last_id;
};

/* How to start one. */
struct spawn {
    const char *binary;
    unsigned state; /* descriptor that is passed as --state; 0: none */
};

void family_init(struct family *f);

/**
 * Fork and exec a worker process of `snapshot`, which it takes a reference to.
 *
 * A binary that can't be run says so in a MESSAGE_FAILED of its own. Returns 0 or -errno.
 */
int family_spawn(struct family *f, const struct spawn *how, struct snapshot *snapshot,
                 struct process **ret) WEFT_MUSTCHECK;

/** A process as it was in another life of this one, all fields but the list's its caller's to fill
 * in. Returns NULL without memory. */
struct process *family_restore(struct family *f, uint64_t id) WEFT_MUSTCHECK;

/** The process at a stage; NULL: none. */
struct process *family_at(const struct family *f, enum stage stage);

struct process *family_find(const struct family *f, pid_t pid);

/** Forget a process that has ended. */
void family_remove(struct process *p);

/** Send without waiting. One that does not read its messages is not told, which is logged. Owns:
 * `body` is consumed. */
void process_tell(const struct process *p, enum message_type type, json_t *body);

/** Tell it to leave when its last connection has ended, drain_timeout from now at the latest;
 * `stop`: nobody takes over. One that does not keep to that is killed. */
void process_drain(struct process *p, bool stop);

/** Tell it to end at once; it has some seconds for that. */
void process_end(struct process *p);

/** Remember that it writes this log file. Returns 0 or -ENOMEM. */
int process_note_log(struct process *p, const char *path) WEFT_MUSTCHECK;

/** End it by force, and hear no more of what it says. */
void process_kill(struct process *p);

#endif
