/*
 * Errands: what takes long and can't yield, done on a thread of its own while a fiber waits for it.
 */
#ifndef WEFT_WORKER_ERRAND_H
#define WEFT_WORKER_ERRAND_H

#include "base/attr.h"

/**
 * Run `fn(arg)` on another thread and wait for it.
 *
 * Yields. Returns 0 once it is done; -ECANCELED when the fiber was cancelled meanwhile: then the
 * thread goes on by itself, and calls `drop(arg)` in the end; or the -errno of a thread that could
 * not be started. Owns: `arg` is the thread's from -ECANCELED on, else the caller's again.
 */
int errand_run(void (*fn)(void *arg), void *arg, void (*drop)(void *arg)) WEFT_MUSTCHECK;

#endif
