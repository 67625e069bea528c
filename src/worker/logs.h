/* The logs that a configuration wants, opened by way of the master. */
#ifndef WEFT_WORKER_LOGS_H
#define WEFT_WORKER_LOGS_H

#include "base/attr.h"
#include "base/log.h"
#include "base/text.h"
#include "conf/conf.h"
#include "worker/opener.h"

/**
 * Open the log files of `c` that `now` does not have: NULL, all.
 *
 * Returns 0 with what log_start() and log_set() take, whose paths are those of `c`; or -errno with
 * the reason added to `why`. Owns: the descriptors are the caller's.
 */
int logs_open(struct opener *o, const struct conf_log *c, const struct log_options *now,
              struct log_options *ret, struct text *why) WEFT_MUSTCHECK;

/** Close descriptors that the log was not given. */
void logs_close(struct log_options *o);

#endif
