/*
 * Routes: which pool takes a connection, by who the client is and what it asks for.
 *
 *      routes, the first that fits ──> source ── in its networks, or it has none
 *                                      sni ───── exact, or below "*.example.org", or it has none
 *                                      alpn ──── one of them is offered, or it has none
 *
 * The source is known first. The client's hello is waited for only when a route that is for its
 * source asks for something in it.
 */
#ifndef WEFT_PROXY_ROUTE_H
#define WEFT_PROXY_ROUTE_H

#include <stdbool.h>
#include <sys/socket.h>

#include "base/attr.h"
#include "base/prefix.h"
#include "conf/conf.h"
#include "conf/names.h"
#include "proxy/client_hello.h"

struct route {
    const struct conf_route *conf; /* not owned */
    struct prefix_set sources;
    struct names names;   /* of servers */
    struct name *entries; /* owned: what `names` is made of */
};

/** Returns 0, or -ENOMEM with nothing in `ret`. */
int route_init(struct route *ret, const struct conf_route *conf) WEFT_MUSTCHECK;

void route_free(struct route *r);

/** Whether the route is for a client from there. Thread: any. */
bool route_takes_source(const struct route *r, const struct sockaddr *from);

/** Whether the route asks for something in a ClientHello. */
bool route_asks_hello(const struct route *r);

/** Whether a ClientHello has what the route asks for in it. Thread: any. */
bool route_takes_hello(const struct route *r, const struct client_hello *h);

#endif
