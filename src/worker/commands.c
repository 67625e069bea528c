#include "worker/commands.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "worker/asking.h"
#include "worker/control.h"

static command_fn *const handlers[COMMAND_COUNT] = {
    [COMMAND_INFO] = command_info,       [COMMAND_LISTENERS] = command_listeners,
    [COMMAND_WORKERS] = command_workers, [COMMAND_RELOAD] = command_reload,
    [COMMAND_UPGRADE] = command_upgrade, [COMMAND_STOP] = command_stop,
    [COMMAND_DIFF] = command_diff,
};

command_fn *command_handler(enum command_id id)
{
    return handlers[id];
}

/* --- what waits for a verdict ------------------------------------------------------------ */

void command_put_faults(struct reply *r, char *lines)
{
    char *rest = lines; /* strsep() takes NULL for nothing at all */
    for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n")) {
        if (*line != '\0')
            reply_fault(r, line);
    }
}

static int rejected(struct call *c, const struct verdict *v)
{
    command_put_faults(c->reply, v->text);
    text_add_string(c->why, "rejected: generation ");
    text_add_uint(c->why, v->generation);
    text_add_string(c->why, " stays in effect");
    return -EINVAL;
}

/* Ask the master, and wait. Returns 0 with a verdict that has accepted. */
static int ask(struct call *c, const char *what, struct verdict *ret)
{
    int err = asking_wait(&c->about->control->asking, what, ret);
    if (err == -ECANCELED)
        text_add_string(c->why, "weft has ended before there was a verdict");
    if (err == 0 && !ret->accepted) {
        err = rejected(c, ret);
        free(ret->text);
    }
    return err;
}

int command_reload(struct call *c)
{
    struct verdict v;
    int err = ask(c, "reload", &v);
    if (err < 0)
        return err;
    reply_row(c->reply);
    reply_count(c->reply, "generation", v.generation);
    free(v.text);
    return 0;
}

int command_upgrade(struct call *c)
{
    struct verdict v;
    int err = ask(c, "upgrade", &v);
    if (err < 0)
        return err;
    reply_row(c->reply);
    reply_count(c->reply, "generation", v.generation);
    reply_text(c->reply, "version", v.text);
    free(v.text);
    return 0;
}

/* --- stop -------------------------------------------------------------------------------- */

void command_put_drain_left(struct reply *r, const struct control *control)
{
    int64_t left = control->drain_until - clock_now();
    if (control->drain_until != CLOCK_NEVER)
        reply_duration(r, "drain_left", left > 0 ? left : 0);
    else
        reply_none(r, "drain_left");
}

int command_stop(struct call *c)
{
    struct control *control = c->about->control;
    int err = control_ask_stop(control);
    if (err < 0) {
        text_add_string(c->why, "the master does not begin to stop");
        return err;
    }
    reply_row(c->reply);
    reply_count(c->reply, "connections", control_active(control));
    command_put_drain_left(c->reply, control);
    return 0;
}
