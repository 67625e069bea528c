/*
 * The preamble of a connection: what comes first from the client and is not for the server.
 *
 *      [ PROXY header ][ the client's bytes ...
 *        taken out       stay in the ring that the relay goes on with
 *
 * It is waited for no longer than the listener's sni_timeout.
 */
#ifndef WEFT_PROXY_PREAMBLE_H
#define WEFT_PROXY_PREAMBLE_H

#include "base/attr.h"
#include "proxy/end.h"
#include "proxy/proxy_header.h"

struct session;

/* What a preamble has said. */
struct preamble {
    struct proxy_header header; /* its TLVs are owned */
};

/**
 * Read the header, after what has come was read ahead; from then on the session's source is the
 * client that it names, who may come in or not.
 *
 * Yields. Returns END_NONE, or why the session ends.
 */
enum session_end preamble_read(struct session *s) WEFT_MUSTCHECK;

/** Free it. NULL is fine. */
void preamble_free(struct preamble *p);

#endif
