/* Finding a server for a session and connecting to it, others when it fails. */
#ifndef WEFT_PROXY_CONNECTOR_H
#define WEFT_PROXY_CONNECTOR_H

#include "base/attr.h"
#include "proxy/session.h"

/**
 * Connect the session's upstream, and send what was read ahead from the client with it.
 *
 * Yields. Returns END_NONE when it is connected, else why the session ends, with nothing left open.
 */
enum session_end connector_run(struct session *s) WEFT_MUSTCHECK;

#endif
