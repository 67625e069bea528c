/*
 * What a reload means for the connections there are, by `on_change`:
 *
 *      a listener that was changed       as its new configuration says
 *      one that was removed              as its old one said
 *      a server that was removed         as the connection's listener says
 */
#ifndef WEFT_WORKER_CHANGES_H
#define WEFT_WORKER_CHANGES_H

#include <stdint.h>

#include "base/attr.h"
#include "base/list.h"
#include "conf/diff.h"
#include "proxy/proxy.h"
#include "worker/drains.h"

struct changes {
    const struct diff *diff;
    const struct proxy *before;
    const struct proxy *after;
    const struct list *generations; /* struct proxy, by its link: all that have connections */
    const struct shard_group *group;
    int64_t drain_timeout; /* [ns] */
};

/**
 * Begin to end the connections that are to end.
 *
 * Every shard has gone over to the new generation, and every connection of the ones before has
 * arrived where it is to be by the time that a message comes there. Returns 0, or -ENOMEM with
 * some that are to end left alone. Thread: control.
 */
int changes_apply(const struct changes *c, struct drains *drains) WEFT_MUSTCHECK;

#endif
