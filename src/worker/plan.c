#include "worker/plan.h"

#include <errno.h>

#include "base/error.h"
#include "worker/loading.h"
#include "worker/logs.h"

void plan_init(struct plan *p)
{
    *p = (struct plan){.verdict = PLAN_REJECTED, .log = {.error.fd = -1, .access.fd = -1}};
    text_init(&p->why);
}

void plan_destroy(struct plan *p)
{
    logs_close(&p->log);
    transition_destroy(&p->transition);
    proxy_free(p->proxy);
    sockets_close(&p->sockets);
    diff_free(&p->diff);
    conf_unref(p->conf);
    text_free(&p->why);
    p->proxy = NULL;
    p->conf = NULL;
}

/* Once it is known that a new process is needed, nothing of what comes to light is a fault. */
static void need_process(struct plan *p, const char *why)
{
    text_clear(&p->why);
    text_add_string(&p->why, why);
    p->verdict = PLAN_RESTART;
}

bool plan_read(struct plan *p, struct message *m, struct opener *opener)
{
    (void)opener_take_refused(opener);
    p->generation = (uint64_t)message_integer(m, "generation");
    if (loading_read(m, opener, &p->conf, &p->why) == 0)
        return true;
    if (opener_take_refused(opener))
        need_process(p, "it includes what this worker process may not read");
    return false;
}

static int compare(struct plan *p, const struct plan_base *base)
{
    return diff_init(&p->diff, base->proxy->conf, p->conf);
}

static int find_limits(struct plan *p)
{
    int err = limits_find(p->conf, sockets_needed(p->conf), &p->limits);
    if (err < 0)
        limits_explain(&p->limits, &p->why);
    return err;
}

static int open_sockets(struct plan *p, const struct plan_base *base)
{
    return sockets_open(&p->sockets, p->conf, base->addresses, base->opener, &p->why);
}

static int make_generation(struct plan *p, const struct plan_base *base)
{
    const struct proxy_options o = {
        .conf = p->conf,
        .generation = p->generation,
        .max_connections = p->limits.max_connections,
        .shards = base->group->count,
        .previous = base->proxy,
    };
    p->proxy = proxy_new(&o);
    if (p->proxy == NULL)
        return -ENOMEM;
    return sockets_prepare(&p->sockets, p->proxy, base->group, base->closed, &p->transition);
}

static int open_logs(struct plan *p, const struct plan_base *base)
{
    return logs_open(base->opener, &p->conf->log, base->log, &p->log, &p->why);
}

void plan_make(struct plan *p, const struct plan_base *base)
{
    int err = compare(p, base);
    if (err == 0 && p->diff.restart != NULL) {
        need_process(p, "a change of ");
        text_add_string(&p->why, p->diff.restart);
        return;
    }
    if (err == 0)
        err = find_limits(p);
    if (err == 0)
        err = open_sockets(p, base);
    if (err == 0)
        err = make_generation(p, base);
    if (err == 0)
        err = open_logs(p, base);
    if (err == 0)
        p->verdict = PLAN_READY;
    else if (opener_take_refused(base->opener))
        need_process(p, "this worker process may not open all that it needs");
    else if (p->why.length == 0)
        text_format(&p->why, "error: %s", error_text(err));
}
