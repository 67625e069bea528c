/*
 * Two configurations compared, name by name and key by key: what a reload from one to the other
 * keeps, changes, adds and drops.
 *
 *      before            after
 *      listener a ────── listener a        KEEP, or CHANGE where any of its keys differs
 *      listener b                          DROP
 *                        listener c        NEW
 *
 * The comparison walks the key tables: a new key of schema.c is compared as soon as it is there.
 */
#ifndef WEFT_CONF_DIFF_H
#define WEFT_CONF_DIFF_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/text.h"
#include "conf/arena.h"
#include "conf/conf.h"

enum diff_change { DIFF_KEEP, DIFF_CHANGE, DIFF_NEW, DIFF_DROP };

#define DIFF_NOWHERE SIZE_MAX

struct diff_entry; /* below */

struct diff_list {
    struct diff_entry *entries; /* in the order of the new configuration, then what is dropped */
    size_t count;
};

/* A listener, a pool or a server that either configuration has, or a group of the daemon's own. */
struct diff_entry {
    enum diff_change change;
    const char *subject;      /* listener, pool, server; the name of a group: weft, log */
    const char *name;         /* of a group: NULL */
    const char *keys;         /* those that differ, as in "pool, keepalive.idle"; NULL: none */
    size_t before;            /* its number in the old configuration; DIFF_NOWHERE: not in it */
    size_t after;             /* its number in the new one; DIFF_NOWHERE: not in it */
    struct diff_list servers; /* of a pool, which is CHANGEd where one of them is not KEPT */
};

struct diff {
    struct diff_list listeners;
    struct diff_list pools;
    struct diff_list groups; /* weft, log ...: KEEP or CHANGE */
    const char *restart; /* keys that differ and need a new worker process: "weft.workers"; NULL */
    const struct conf *before, *after; /* references */
    struct arena arena;                /* all of the above */
};

/**
 * Compare two configurations.
 *
 * Returns 0, or -ENOMEM with nothing in `ret`. Owns: `ret` holds references to both, until
 * diff_free().
 */
int diff_init(struct diff *ret, const struct conf *before, const struct conf *after) WEFT_MUSTCHECK;

void diff_free(struct diff *d);

/** Write what becomes of one entry: `listener web: changed (idle_timeout)`, `server back/b:
 * removed`. `pool` is a server's; NULL: it is none. */
void diff_describe(const struct diff_entry *e, const struct diff_entry *pool, struct text *out);

/** Write a line for all that is not kept; none where all is. */
void diff_write(const struct diff *d, struct text *out);

/** Write how many of what are added, changed and removed, in one line: `1 listener added, 2
 * servers removed`, or `nothing changed`. */
void diff_summarize(const struct diff *d, struct text *out);

#endif
