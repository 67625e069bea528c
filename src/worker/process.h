/*
 * The worker process: its main thread is the control thread, which starts the workers, takes the
 * signals and sees to an orderly end.
 */
#ifndef WEFT_WORKER_PROCESS_H
#define WEFT_WORKER_PROCESS_H

#include "base/attr.h"

/**
 * Proxy as the master says, until it says that it is enough.
 *
 * `events` and `orders` are sockets to it, owned from here on. To be called with one thread and
 * default signals. Returns 0 when it was stopped as asked, or the -errno of a start that failed,
 * which the master has been told.
 */
int process_run(int events, int orders) WEFT_MUSTCHECK;

/** Tell the master why a process can't start. */
void process_fail(int events, const char *why);

#endif
