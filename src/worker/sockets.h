/*
 * The listening sockets that a configuration wants: for every address one a worker. Those of
 * addresses that are listened on already stay with their acceptors.
 */
#ifndef WEFT_WORKER_SOCKETS_H
#define WEFT_WORKER_SOCKETS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "base/text.h"
#include "conf/conf.h"
#include "proxy/transition.h"
#include "worker/addresses.h"
#include "worker/opener.h"

/* An address that is wanted. */
struct binding {
    char *key;       /* owned */
    size_t listener; /* its number in the configuration */
    unsigned address;
    unsigned opened; /* sockets in `all`; 0: it is listened on already */
    bool claimed;    /* the master was asked for it */
};

/* A socket that has no acceptor yet. */
struct listening {
    int fd; /* owned until somebody takes it and leaves -1 */
    size_t binding;
    unsigned worker;
};

struct sockets {
    struct binding *bindings;
    size_t binding_count;
    struct listening *all;
    size_t count;
    size_t addresses; /* numbers that are in use with these, from 0 */
    const struct conf *conf;
};

/**
 * Get all that are new, or none, from the opener. `known`: what is listened on already.
 *
 * TCP sockets share their address by SO_REUSEPORT: where there are more than workers, some serve
 * several. A UNIX socket is one, duplicated.
 * Returns 0, or the -errno of the first address that failed, with a line on each that did, and
 * where it was configured, added to `why`; `ret` then still has the bindings that were opened.
 */
int sockets_open(struct sockets *ret, const struct conf *conf, const struct addresses *known,
                 struct opener *opener, struct text *why) WEFT_MUSTCHECK;

/** How many sockets a configuration needs. */
unsigned sockets_needed(const struct conf *conf);

/**
 * Prepare to go over to `p`, which is of the same configuration, with acceptors for all sockets.
 *
 * `closed`: see acceptor_new(). Returns 0, or -ENOMEM with `t` still to be destroyed.
 */
int sockets_prepare(struct sockets *s, struct proxy *p, const struct shard_group *group,
                    void (*closed)(struct notice *n), struct transition *t) WEFT_MUSTCHECK;

/** Enter the addresses, for which there is room, as those that are wanted. */
void sockets_enter(struct sockets *s, struct addresses *a);

/** Close what was not taken. */
void sockets_close(struct sockets *s);

#endif
