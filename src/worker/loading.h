/* Reading the configuration that the master has passed on. */
#ifndef WEFT_WORKER_LOADING_H
#define WEFT_WORKER_LOADING_H

#include "base/attr.h"
#include "base/text.h"
#include "conf/conf.h"
#include "ctl/message.h"
#include "worker/opener.h"

/**
 * Read the configuration that a MESSAGE_HELLO or MESSAGE_RELOAD is about: the file that came with
 * it, what that includes by way of the opener, or the addresses of quick mode.
 *
 * May block. Returns 0 with a reference in `*ret`, or -WEFT_ECONF with the faults added to `why`.
 * Owns: takes the message's descriptor.
 */
int loading_read(struct message *m, struct opener *o, const struct conf **ret,
                 struct text *why) WEFT_MUSTCHECK;

#endif
