/*
 * The preamble of a connection: what comes first from the client and is not, or not only, for the
 * server.
 *
 *      [ PROXY header ][ ClientHello ...
 *        taken out       looked at, and stays in the ring that the relay goes on with
 *
 * Each is waited for no longer than the listener's sni_timeout.
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
    char *name;                 /* of the server that the client asks for, owned; NULL: none */
};

/**
 * Read what the session's listener asks for, after what has come was read ahead, and choose the
 * session's pool where there are routes. Once a header is read, the session's source is the client
 * that it names, who may come in or not.
 *
 * Yields. Returns END_NONE, or why the session ends.
 */
enum session_end preamble_read(struct session *s) WEFT_MUSTCHECK;

/** Free it. NULL is fine. */
void preamble_free(struct preamble *p);

#endif
