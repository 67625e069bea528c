/* What the files of the master share. */
#ifndef WEFT_MASTER_INTERNAL_H
#define WEFT_MASTER_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "master/family.h"
#include "master/master.h"
#include "master/orders.h"
#include "master/snapshot.h"
#include "master/vault.h"

/*
 * One change at a time; what is asked for meanwhile waits.
 *
 *                     ┌─ START ─── the first process, or one for one that died
 *      NONE ──begins──┼─ RELOAD ── the serving process loads the configuration itself
 *                     ├─ REPLACE ─ a new process takes over: for a reload that needs one, or for
 *                     │            one that is stuck
 *                     └─ UPGRADE ─ likewise, of the new binary, which the master then becomes too
 */
enum change { CHANGE_NONE, CHANGE_START, CHANGE_RELOAD, CHANGE_REPLACE, CHANGE_UPGRADE };

struct transition {
    enum change kind;
    bool reload;               /* somebody waits for the verdict of a reload */
    bool process_due;          /* a process is to be started for it */
    struct process *newcomer;  /* NULL: none was */
    struct snapshot *snapshot; /* a reference: what is being loaded */
    int64_t deadline;          /* [monotonic ns] when it has failed */
};

struct master {
    const struct master_options *options;
    char *binary; /* owned; path of the program that runs */
    int signals;  /* signalfd */
    struct family family;
    struct vault vault;
    struct orders orders;
    struct transition now;
    bool reload_wanted;
    bool replace_wanted;
    bool upgrade_wanted;
    bool become_wanted;        /* the program at `binary` serves: to be that too */
    struct snapshot *accepted; /* the configuration in effect; NULL: none yet */
    uint64_t generation;       /* its number */
    uint64_t restarts;         /* processes started for one that died or was stuck */
    unsigned failures;         /* processes that died young, in a row */
    int64_t start_at;          /* [monotonic ns] when the next try to start one is due */
    int64_t tick_at;           /* [monotonic ns] */
    bool stopping;
    bool ending; /* at once */
    bool failed; /* the first process could not start */
};

/* --- succession.c: changes ---------------------------------------------------------------- */

/** Begin what is wanted or due, if nothing is under way. Here alone processes are started. */
void succession_begin(struct master *m);

void succession_ready(struct master *m, struct process *p, const struct message *message);
void succession_failed(struct master *m, struct process *p, const char *why);
void succession_verdict(struct master *m, struct process *p, const struct message *message);

/** A process has ended, as `status` of waitpid() says. */
void succession_gone(struct master *m, struct process *p, int status);

/** A change that has taken too long has failed. */
void succession_expire(struct master *m, int64_t now);

/** Give up what is under way, as weft is stopping. */
void succession_abandon(struct master *m);

/** Become the program that serves since an upgrade; where that fails, this one goes on. */
void succession_become(struct master *m);

/* --- state.c: what outlives an upgrade ---------------------------------------------------- */

/** Write the state into memory. Returns a descriptor, close-on-exec, or -errno. */
int state_save(const struct master *m) WEFT_MUSTCHECK;

/** Read it into a master that is new, from a descriptor that stays the caller's. Returns 0 or
 * -errno. */
int state_load(struct master *m, int fd) WEFT_MUSTCHECK;

/** Become the program at `binary`, with the state. Returns only when that fails: -errno. */
int state_become(struct master *m) WEFT_MUSTCHECK;

#endif
