/*
 * The worker process: its main thread is the control thread, which starts the workers, takes the
 * signals and sees to an orderly end.
 */
#ifndef WEFT_WORKER_PROCESS_H
#define WEFT_WORKER_PROCESS_H

#include "base/attr.h"
#include "base/text.h"
#include "conf/conf.h"

/**
 * Proxy as `conf` says until a signal ends it.
 *
 * To be called with one thread and default signals. Returns 0 when it was stopped as asked, or the
 * -errno of a start that failed, with the reason added to `why`.
 */
int process_run(const struct conf *conf, struct text *why) WEFT_MUSTCHECK;

#endif
