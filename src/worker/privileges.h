/* Giving up what a process that talks to the network must not have. */
#ifndef WEFT_WORKER_PRIVILEGES_H
#define WEFT_WORKER_PRIVILEGES_H

#include "base/attr.h"
#include "base/text.h"
#include "conf/conf.h"

/**
 * Become the user and group of `p` when run as root, keep no capability unless that user is root
 * itself, and let no program that is run ever have more.
 *
 * To be called while there is one thread. Returns 0, or -errno with the reason added to `why`.
 */
int privileges_drop(const struct conf_process *p, struct text *why) WEFT_MUSTCHECK;

#endif
