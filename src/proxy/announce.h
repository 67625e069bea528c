/*
 * Announcing the client to a server: a PROXY header is the first thing on a connection to it.
 */
#ifndef WEFT_PROXY_ANNOUNCE_H
#define WEFT_PROXY_ANNOUNCE_H

#include <stdint.h>

#include "base/attr.h"

struct session;

/**
 * Send the header that the session's pool asks for, and with it what was read ahead from the
 * client, over a connect that may not be through yet.
 *
 * Where the client's own connection began with a header, it is that one's addresses and TLVs that
 * go on. Yields. Returns 0, -ETIMEDOUT, -ECANCELED, -ENOMEM or the connection's -errno.
 */
int announce_client(struct session *s, int64_t deadline) WEFT_MUSTCHECK;

#endif
