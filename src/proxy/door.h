/*
 * The door of a listener: which clients may come in, and how many of one source. What is asked
 * there never changes; a reload makes a door of its own.
 *
 * Where a PROXY header is required, the one who connects is a proxy, and the client is known only
 * later. `allow` is then about who may speak for clients, so it is asked about the peer alone;
 * `deny` is asked about both; and it is clients that are counted.
 */
#ifndef WEFT_PROXY_DOOR_H
#define WEFT_PROXY_DOOR_H

#include <stdbool.h>
#include <sys/socket.h>

#include "base/attr.h"
#include "base/prefix.h"
#include "conf/conf.h"
#include "proxy/sources.h"

struct door {
    struct prefix_set allow; /* empty: everybody */
    struct prefix_set deny;
    struct sources_limits limits;
    bool counts; /* there are limits */
    bool open;   /* nothing is asked */
};

/** Returns 0, or -ENOMEM with nothing in `ret`. */
int door_init(struct door *ret, const struct conf_listener *l) WEFT_MUSTCHECK;

void door_free(struct door *d);

/** Whether who connects from there may come in. Thread: any. */
bool door_admits(const struct door *d, const struct sockaddr *peer);

/** Whether a client whom a header speaks of may not. Thread: any. */
bool door_denies(const struct door *d, const struct sockaddr *client);

#endif
