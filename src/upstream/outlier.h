/*
 * Outliers: servers that fail real connections are left alone for a while, longer each time.
 *
 *      failures    x    x x  x x         `failures` of them within `window`: eject
 *      ejected                  ━━━━━━━━━━              for `eject`,
 *      failures                           xx xxx        and soon again:
 *      ejected                                  ━━━━━━━━━━━━━━━━━━━━  for twice that, and so on
 *
 * Every decision is the caller's to carry out, and to serialize: failures are rare.
 */
#ifndef WEFT_UPSTREAM_OUTLIER_H
#define WEFT_UPSTREAM_OUTLIER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

#define OUTLIER_BACKOFF_MAX 10 /* times `eject` at most */

struct outlier_limits {
    unsigned failures;    /* 0: nobody is ejected */
    int64_t window;       /* [ns] */
    int64_t eject;        /* [ns] */
    unsigned max_ejected; /* [per cent] of a pool's servers, out at a time */
};

struct outlier {
    int64_t *failures; /* [monotonic ns] the last ones, in a circle, owned; NULL: none yet */
    unsigned room;     /* of the circle */
    unsigned next;     /* place of the next one, and of the oldest */
    unsigned row;      /* ejections in a row */
    int64_t length;    /* [ns] of the last ejection */
    int64_t until;     /* [monotonic ns] the end of the last ejection */
};

/** Begin without a failure; all zero is the same. */
void outlier_init(struct outlier *o);

void outlier_free(struct outlier *o);

/**
 * Take a failure in. `now`: [monotonic ns].
 *
 * Returns whether there were too many; without memory a failure goes unnoticed.
 */
bool outlier_note(struct outlier *o, const struct outlier_limits *limits, int64_t now);

/** Whether one more of `servers` may be ejected, when `ejected` of them are, and `others` usable
 * beside it: the last usable one stays. */
bool outlier_allowed(const struct outlier_limits *limits, size_t servers, size_t ejected,
                     size_t others);

/**
 * Eject, and forget the failures that led to it.
 *
 * Returns until when [monotonic ns]: the longer, the more often it has been ejected without having
 * done well in between for as long as the last ejection and a window took.
 */
int64_t outlier_eject(struct outlier *o, const struct outlier_limits *limits, int64_t now);

/** Forget the failures, as when there were too many but it may not be ejected. */
void outlier_forget(struct outlier *o);

#endif
