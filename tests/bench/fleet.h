/*
 * Many connections, opened a few at a time, so that no listen queue runs over.
 */
#ifndef BENCH_FLEET_H
#define BENCH_FLEET_H

#include "client.h"

struct fleet {
    struct load *load;
    struct client *clients; /* owned */
    unsigned size;
    unsigned begun; /* of the pass over all clients */
    unsigned done;  /* of that pass, well or not */
};

/** Make a fleet of connections that are still to open. Returns 0 or a negative errno. */
int fleet_create(struct fleet *f, struct load *l, unsigned size);

/**
 * Open connections until there are `count`, and exchange a message on each new one.
 *
 * Runs the loop. A connection that fails is counted as a fault.
 */
void fleet_open(struct fleet *f, unsigned count);

/** Exchange a message on every connection, a few at a time. Runs the loop. */
void fleet_ask_all(struct fleet *f);

/** How many connections are open. */
unsigned fleet_alive(const struct fleet *f);

/** Reset all connections and free them. */
void fleet_destroy(struct fleet *f);

#endif
