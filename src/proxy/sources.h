/*
 * Sources: how many connections each client address has, and how fast it makes new ones. One table
 * for all workers.
 *
 *      hash of the source ──> one of many stripes, each with a lock of its own
 *                                 buckets ──> source ──> source          have connections
 *                                 idle: oldest <──> ... <──> newest      have none, and a rate
 *                                                                        that is not yet forgotten
 *
 * A source is a v4 address, or a v6 network of 64 bits, which is what one household or one machine
 * is given, and can take any address of.
 *
 * What the table holds is bounded: by the connections there are, and by a number of sources that
 * have none. Of these the one that was heard of longest ago is forgotten first, when it makes no
 * difference any more or when there are too many; so a flood of sources has no effect on those that
 * are connected.
 *
 * The rate is a token bucket, kept as the time at which it would be full again (the "generic cell
 * rate algorithm", ITU-T I.371 annex A): it holds as many connections as may come in one period.
 */
#ifndef WEFT_PROXY_SOURCES_H
#define WEFT_PROXY_SOURCES_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/attr.h"

#define SOURCES_IDLE_MAX (128 << 10) /* sources without a connection: 8 MiB */

struct sources; /* opaque */
struct source;  /* opaque: one that has connections */

/* What is asked of a source that comes; another one each time, if need be. */
struct sources_limits {
    unsigned connections; /* at a time; 0: unlimited */
    unsigned rate;        /* new ones a period, and as many at once; 0: unlimited */
    int64_t period;       /* [ns] at least `rate` */
};

enum sources_verdict {
    SOURCES_ENTERED,
    SOURCES_TOO_MANY, /* connections at a time */
    SOURCES_TOO_FAST, /* new ones */
};

/** Make an empty table, for at most `idle_max` sources without a connection. Returns NULL without
 * memory. */
struct sources *sources_new(size_t idle_max) WEFT_MUSTCHECK;

/** Free it, with whatever is in it. NULL is fine. */
void sources_free(struct sources *t);

/**
 * Count a connection in, unless its source has reached a limit; a refused one counts for nothing.
 *
 * Returns the verdict; with SOURCES_ENTERED `*ret` is the source, for sources_leave(). It is NULL,
 * and the connection not counted, where it comes from a UNIX socket or there is no memory.
 * Thread: any. `now`: [monotonic ns]
 */
enum sources_verdict sources_enter(struct sources *t, const struct sources_limits *limits,
                                   const struct sockaddr *from, int64_t now,
                                   struct source **ret) WEFT_MUSTCHECK;

/** Count a connection out. NULL is fine. Thread: any. `now`: [monotonic ns] */
void sources_leave(struct source *s, int64_t now);

/** Sources in the table, with and without a connection. Thread: any; a moment old. */
size_t sources_count(struct sources *t);

#endif
