/*
 * A census: how many live sessions each listener and each server has, of whatever generation they
 * are. Every shard counts its own, between two messages: some hundred microseconds for each ten
 * thousand.
 */
#ifndef WEFT_PROXY_CENSUS_H
#define WEFT_PROXY_CENSUS_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "conf/conf.h"
#include "proxy/shard.h"

struct census_share; /* what is one shard's */
struct census_name;  /* of a listener or a server */

struct census {
    const struct conf *conf;        /* a reference; what is in it is counted, by its name */
    void (*done)(struct census *c); /* all have counted; on the control thread. May free it */
    uint64_t *counts;               /* owned; the listeners', then the servers', pool by pool */
    size_t place_count;
    struct census_name *names; /* owned; sorted */
    struct census_share *shares;
    const struct shard_group *group;
    unsigned waiting; /* shards that have not said anything yet */
};

/** Prepare one; `done` is the caller's to fill in. Returns 0 or -ENOMEM. */
int census_init(struct census *c, const struct conf *conf,
                const struct shard_group *group) WEFT_MUSTCHECK;

/** Begin. It must stay until `done`, or until no shard runs any more. Thread: control. */
void census_begin(struct census *c);

/** The sessions of a listener, a server or a whole pool, by their numbers in the configuration. */
uint64_t census_of_listener(const struct census *c, size_t listener);
uint64_t census_of_server(const struct census *c, size_t pool, size_t server);
uint64_t census_of_pool(const struct census *c, size_t pool);

void census_destroy(struct census *c);

#endif
