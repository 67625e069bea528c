/*
 * Farewell: how a drained session ends, the peers willing, without a loss.
 *
 *      what is buffered ──> FIN to both sides ──> read until both have closed ──> close
 *                                                 at the deadline, if they have not
 */
#ifndef WEFT_PROXY_FAREWELL_H
#define WEFT_PROXY_FAREWELL_H

#include <stdint.h>

#include "proxy/session.h"

/**
 * Say farewell to both sides of a session that relays.
 *
 * Yields. Returns when nothing is left to do or to wait for, at the latest at `deadline`
 * [monotonic ns] or when the session is ended in another way.
 */
void farewell_run(struct session *s, int64_t deadline);

/** Close both sides; those who did not get all that was meant for them see an RST. */
void farewell_close(struct session *s);

#endif
