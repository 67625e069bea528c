/*
 * The master: a small process that holds what must not be lost. It has every listening socket,
 * starts the worker process and starts it again, takes the signals, and talks to systemd. It does
 * not know what a configuration says.
 */
#ifndef WEFT_MASTER_MASTER_H
#define WEFT_MASTER_MASTER_H

#include <stddef.h>

#include "base/attr.h"

struct master_options {
    const char *config; /* NULL: quick mode */
    const char *const *listen;
    size_t listen_count;
    const char *const *backend;
    size_t backend_count;
    char *const *argv; /* as the process was started, NULL at its end */
    int resume;        /* state of the master that this one was before an upgrade; -1: none */
};

/**
 * Serve until a signal ends it.
 *
 * To be called with one thread. Returns the exit code: 0 stopped as asked; 1 could not start, the
 * reason is on stderr.
 */
int master_run(const struct master_options *o) WEFT_MUSTCHECK;

/**
 * Whether this binary could go on where another one's master is: to be tried before it does.
 * `state`: a descriptor. Returns 0 or -errno.
 */
int master_check_state(int state) WEFT_MUSTCHECK;

#endif
