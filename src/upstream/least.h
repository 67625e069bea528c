/*
 * The least loaded of many servers, without looking at all of them: they are in groups, the groups
 * are in groups, and of each group the lowest load in it is known.
 *
 *      level 1    │       0        │      1     ...      look for the lowest group,
 *      level 0    │  2    0    5   │  1    1    ...      in it for the lowest group,
 *      servers    │3 2  0 4  5 5 9 │ 1 1  2 1   ...      in that for the lowest server
 *
 * What is known is brought up to date by whoever picks or leaves a server. Nobody waits for
 * anybody: it may be wrong for a moment, and it is wrong where a server has gone up or down. So a
 * choice is made by the server's own count, and now and then a group is looked through for its own
 * sake.
 */
#ifndef WEFT_UPSTREAM_LEAST_H
#define WEFT_UPSTREAM_LEAST_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

#define LEAST_BITS   3
#define LEAST_GROUP  (1 << LEAST_BITS) /* members of a group */
#define LEAST_LEVELS 6                 /* enough for 8^6 servers; there are 65,535 at the most */

struct pick;
struct rank;

struct least {
    unsigned levels;                        /* the last one has but one group */
    size_t counts[LEAST_LEVELS];            /* of groups */
    _Atomic uint32_t *lowest[LEAST_LEVELS]; /* load.h; owned by the first one */
};

/** Make the groups of `count` servers, at least one. Returns 0 or -ENOMEM. */
int least_init(struct least *l, size_t count) WEFT_MUSTCHECK;

/** Fine on one that is all zero. */
void least_free(struct least *l);

/**
 * Choose the least loaded server and count the connection in; of equals the next one in turn.
 *
 * `from`: the place in the rank whose turn it is, `turn`: its number. Returns the place chosen, or
 * -1 when none can be. Thread: any.
 */
int least_pick(struct rank *r, struct pick *p, uint64_t turn, size_t from) WEFT_MUSTCHECK;

/** Take note that a server has less to do. Thread: any. */
void least_leave(struct rank *r, size_t place, int64_t now);

#endif
