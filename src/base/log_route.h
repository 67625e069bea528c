/*
 * Which sink takes the error lines and which the access records, and how one such pair takes the
 * place of another while lines are on their way.
 *
 *      before   error E   access A             E stays as it is
 *      after    error E   access B             A is retired: closed once what it holds is written
 *
 * A pair is opened by the thread that wants it, and from then on is the log thread's alone.
 */
#ifndef WEFT_BASE_LOG_ROUTE_H
#define WEFT_BASE_LOG_ROUTE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "base/log.h"
#include "base/log_sink.h"

struct log_route {
    struct log_sink *error, *access; /* one and the same where they have one target */
};

#define LOG_SINKS_MAX 8 /* further retired ones are closed, whatever they hold */

/* What the log thread writes to. */
struct log_sinks {
    struct log_route route;              /* where lines go now */
    struct log_sink *all[LOG_SINKS_MAX]; /* owned; these and retired ones, oldest first */
    size_t count;
};

/**
 * Open what `o` names. Sinks of `now` that it names again are taken from there, unless a descriptor
 * comes with them; `now` has none where nothing is open yet.
 *
 * Returns 0, or what log_sink_open() returned, with `*ret_path` naming the target.
 * Owns: the descriptors in `o`, whatever comes of it. The sinks go to log_sinks_take() or to
 * log_route_discard().
 */
int log_route_open(struct log_route *ret, const struct log_options *o, const struct log_route *now,
                   const char **ret_path) WEFT_MUSTCHECK;

/** Close what is in `r` and not in `now`. */
void log_route_discard(struct log_route *r, const struct log_route *now);

/** Let lines go to `route` from now on. Returns how many lines were lost for want of room. */
size_t log_sinks_take(struct log_sinks *s, const struct log_route *route) WEFT_MUSTCHECK;

/** Write what can be written without waiting, and close retired sinks that have nothing left.
 * Returns how many lines were lost to errors. */
size_t log_sinks_flush(struct log_sinks *s) WEFT_MUSTCHECK;

/** Whether lines wait for a descriptor. */
bool log_sinks_pending(const struct log_sinks *s);

/** Close all of them. */
void log_sinks_close(struct log_sinks *s);

#endif
