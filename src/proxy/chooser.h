/* Choosing a server for a session, and waiting for one where all are full. */
#ifndef WEFT_PROXY_CHOOSER_H
#define WEFT_PROXY_CHOOSER_H

#include "base/attr.h"
#include "proxy/session.h"
#include "upstream/pick.h"

/** Begin to choose: what the session's client is known by. */
void chooser_init(struct pick *p, const struct session *s);

/**
 * Choose a server that was not tried yet, and count the session in at it.
 *
 * Yields where it has to wait for one. Returns END_NONE with the session's `server` set, else why
 * it ends, with nothing changed.
 */
enum session_end chooser_choose(struct pick *p, struct session *s) WEFT_MUSTCHECK;

/**
 * Hold a failure against the session's server, which is left alone if there are too many.
 *
 * `err`: of the connection to it; one that is not the server's fault does no harm.
 */
void chooser_blame(struct session *s, int err);

/** Count the session out at its server, once its connection there is closed. */
void chooser_leave(struct session *s);

#endif
