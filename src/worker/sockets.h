/* The listening sockets of a configuration: for every address one socket a worker. */
#ifndef WEFT_WORKER_SOCKETS_H
#define WEFT_WORKER_SOCKETS_H

#include <stddef.h>

#include "base/attr.h"
#include "base/text.h"
#include "conf/conf.h"
#include "worker/opener.h"

struct listening {
    int fd;          /* owned by the set until somebody takes it and leaves -1 */
    size_t listener; /* its number in the configuration */
    const struct conf_address *bind;
    unsigned worker;
};

struct sockets {
    struct listening *all;
    size_t count;
    const struct conf *conf; /* not owned: the UNIX paths are in it */
};

/**
 * Get all of them, or none, from the opener.
 *
 * TCP sockets share their address by SO_REUSEPORT: where there are more than workers, some serve
 * several. A UNIX socket is one, duplicated.
 * Returns 0, or -errno with what failed, and where it was configured, added to `why`.
 */
int sockets_open(struct sockets *ret, const struct conf *conf, struct opener *opener,
                 struct text *why) WEFT_MUSTCHECK;

/** How many sockets a configuration needs. */
unsigned sockets_needed(const struct conf *conf);

/** Close what was not taken. */
void sockets_close(struct sockets *s);

#endif
