/* What the daemon does for each command of the table. */
#ifndef WEFT_WORKER_COMMANDS_H
#define WEFT_WORKER_COMMANDS_H

#include "base/attr.h"
#include "base/text.h"
#include "ctl/reply.h"
#include "ctl/request.h"
#include "worker/control_server.h"
#include "worker/load.h"

/* A command being done, on the fiber of the client that has asked for it. */
struct call {
    const struct control_server_options *about;
    const struct load *loads; /* of the workers, by number */
    const struct request *request;
    int *passed; /* a descriptor that came with the request, -1: none; whoever takes it leaves -1 */
    struct reply *reply;
    struct text *why; /* to be told what has gone wrong; no printf on a fiber's stack */
};

/** Do it. Yields. Returns 0 with its rows in the reply, or -errno with the reason in `why`. */
typedef int command_fn(struct call *c);

/** What does a command; NULL: nothing does. */
command_fn *command_handler(enum command_id id);

/** The column `drain_left` of several: how long what lives may go on living. */
void command_put_drain_left(struct reply *r, const struct control *control);

/** Tell of faults, each a line. The text is used up; NULL: there are none. */
void command_put_faults(struct reply *r, char *lines);

/** Forget what diff has counted for nobody, once no shard runs any more. */
void command_forget_counts(struct control *control);

command_fn command_info;
command_fn command_listeners;
command_fn command_workers;
command_fn command_reload;
command_fn command_upgrade;
command_fn command_stop;
command_fn command_diff;

#endif
