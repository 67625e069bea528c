/*
 * The drains of the worker process: begun, told of in the log now and then, freed when they are
 * done. Thread: the control thread.
 */
#ifndef WEFT_WORKER_DRAINS_H
#define WEFT_WORKER_DRAINS_H

#include <stdint.h>

#include "base/attr.h"
#include "base/list.h"
#include "proxy/drain.h"

struct drains {
    struct list all; /* struct drains_entry */
};

/* One of them; a member of whatever `drain.concerns` needs. */
struct drains_entry {
    struct drain drain; /* all but `done` is set by the caller */
    struct list link;
    const char *what; /* it is about, for the log: not owned */
    int64_t told;     /* [monotonic ns] when it was last told of */
    void (*free)(struct drains_entry *e);
};

/* Connections that are to end, as far as shards have counted them. */
struct drains_progress {
    uint64_t all;  /* that there were */
    uint64_t left; /* that wait for their end */
    int64_t end;   /* [monotonic ns] when the last of the drains ends; 0: there is none */
};

void drains_init(struct drains *d);

/** Begin one. Owns: the entry, which is freed by its own `free`. */
void drains_begin(struct drains *d, struct drains_entry *e);

/** Say how far those are that have connections left, not too often. Needs log_line()'s stack. */
void drains_tell(const struct drains *d);

void drains_sum(const struct drains *d, struct drains_progress *ret);

/** Free all, once no shard runs any more. */
void drains_destroy(struct drains *d);

#endif
