#include "worker/logs.h"

#include <string.h>
#include <unistd.h>

#include "base/error.h"

static bool is_file(const struct log_target *t, const char *path)
{
    return t->output == LOG_OUTPUT_FILE && strcmp(t->path, path) == 0;
}

static bool is_open(const struct log_options *now, const char *path)
{
    return now != NULL && (is_file(&now->error, path) || is_file(&now->access, path));
}

static int open_target(struct opener *o, const struct log_options *now, struct log_target *t,
                       bool errors, struct text *why)
{
    t->fd = -1;
    if (t->output != LOG_OUTPUT_FILE || is_open(now, t->path))
        return 0;
    int fd = opener_log(o, t->path, errors);
    if (fd < 0) {
        text_format(why, "error: log: %s: %s", t->path, error_text(fd));
        return fd;
    }
    t->fd = fd;
    return 0;
}

int logs_open(struct opener *o, const struct conf_log *c, const struct log_options *now,
              struct log_options *ret, struct text *why)
{
    struct log_options l = {.error = c->error, .error_level = c->error_level, .access = c->access};
    l.error.fd = l.access.fd = -1;
    int err = open_target(o, now, &l.access, false, why);
    if (err == 0) /* the last one, as the master's own lines go there from now on */
        err = open_target(o, now, &l.error, true, why);
    if (err < 0)
        logs_close(&l);
    else
        *ret = l;
    return err;
}

void logs_close(struct log_options *o)
{
    struct log_target *targets[] = {&o->error, &o->access};
    for (size_t i = 0; i < 2; i++) {
        if (targets[i]->fd >= 0)
            close(targets[i]->fd);
        targets[i]->fd = -1;
    }
}
