/* What a worker process wants to listen on, as it goes through a message. */
#ifndef WEFT_CTL_LISTEN_ORDER_H
#define WEFT_CTL_LISTEN_ORDER_H

#include <jansson.h>
#include <stdbool.h>

#include "base/addr.h"
#include "base/attr.h"
#include "base/socket.h"

#define LISTEN_KEY_SIZE   ADDR_TEXT_SIZE
#define LISTEN_KEY_HANDED "systemd:" /* a name of systemd's sockets has this in front */

struct listen_order {
    const char *key;  /* what the address is called on both sides, see below; not owned */
    struct addr addr; /* len 0: sockets that systemd has handed over under the key */
    bool any;         /* :PORT, every address of both families */
    unsigned count;   /* TCP sockets wanted, at the least */
    struct socket_listen_options options;
};

/**
 * What an address is called: "10.0.0.1:80", ":80", "unix:/PATH", "unix:@NAME". No two addresses are
 * called the same. `key` has LISTEN_KEY_SIZE bytes.
 */
void listen_order_key(const struct addr *a, bool any, char *key);

/** An address as a JSON string. Returns NULL without memory. */
json_t *listen_order_write_addr(const struct addr *a) WEFT_MUSTCHECK;

/** Returns false for what no configuration could name, so that listen_order_write_addr() did not
 * write it. */
bool listen_order_read_addr(const json_t *value, struct addr *ret) WEFT_MUSTCHECK;

/** Returns NULL without memory. */
json_t *listen_order_write(const struct listen_order *o) WEFT_MUSTCHECK;

/** Returns false for what is no such order, as where the key is not the address's. The key points
 * into `body`. */
bool listen_order_read(const json_t *body, struct listen_order *ret) WEFT_MUSTCHECK;

#endif
