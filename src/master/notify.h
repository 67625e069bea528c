/*
 * What the master says to systemd, and what it got from it: sd_notify(3), sd_listen_fds(3). Without
 * systemd, or in a build without its library, each of these does nothing.
 */
#ifndef WEFT_MASTER_NOTIFY_H
#define WEFT_MASTER_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"

/** Serving: at the start, and again when a reload is over, however it went. */
void notify_ready(void);

/** A reload has begun. */
void notify_reloading(void);

void notify_stopping(void);

/** What `systemctl status` shows. */
void notify_status(const char *format, ...) WEFT_PRINTF(1, 2);

/** All is well: to be said more often than the watchdog's time, where there is one. */
void notify_alive(void);

/** Have `more` [ns] from now before systemd loses patience with a start or a stop. */
void notify_extend(int64_t more);

/** Put copies of sockets into the descriptor store. Returns whether there is one, and the key can
 * be a name in it. */
bool notify_store(const char *key, const int *fds, unsigned count);

/** Take a key's sockets out of the descriptor store. */
void notify_unstore(const char *key);

/**
 * The descriptors that systemd has passed, `*ret_first` and those after it, close-on-exec.
 *
 * Returns their number, 0 where it is no service, with a name each. Owns: the caller frees the
 * names and their array. The environment does not speak of them any more.
 */
int notify_handed(int *ret_first, char ***ret_names) WEFT_MUSTCHECK;

/** Whether a descriptor's name is one that notify_store() gave. Owns: the caller frees the key,
 * which is NULL without memory. */
bool notify_is_stored(const char *name, char **ret_key);

#endif
