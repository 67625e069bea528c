#include "base/log_route.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool same_target(const struct log_target *a, const struct log_target *b)
{
    return a->output == b->output &&
           (a->output != LOG_OUTPUT_FILE || strcmp(a->path, b->path) == 0);
}

static const char *target_name(const struct log_target *t)
{
    return t->output == LOG_OUTPUT_FILE ? t->path : "journal";
}

static bool brings_fd(const struct log_target *t)
{
    return t->output == LOG_OUTPUT_FILE && t->fd >= 0;
}

static void drop_fd(const struct log_target *t)
{
    if (brings_fd(t))
        close(t->fd);
}

static bool has(const struct log_route *r, const struct log_sink *s)
{
    return r->error == s || r->access == s;
}

static void delete_sink(struct log_sink *s)
{
    log_sink_close(s);
    free(s);
}

/* --- opening ----------------------------------------------------------------------------- */

static int new_sink(const struct log_target *t, struct log_sink **ret)
{
    struct log_sink *s = malloc(sizeof(*s));
    int rc = s != NULL ? log_sink_open(s, t) : -ENOMEM;
    if (rc == 0) {
        *ret = s;
        return 0;
    }
    drop_fd(t);
    free(s);
    return rc;
}

static bool leads_to(const struct log_sink *s, const struct log_target *t)
{
    return s != NULL && same_target(&(struct log_target){.output = s->output, .path = s->path}, t);
}

static int find_or_open(const struct log_target *t, const struct log_route *now,
                        struct log_sink **ret, const char **ret_path)
{
    *ret_path = target_name(t);
    if (brings_fd(t))
        return new_sink(t, ret);
    if (leads_to(now->error, t))
        *ret = now->error;
    else if (leads_to(now->access, t))
        *ret = now->access;
    else
        return new_sink(t, ret);
    return 0;
}

/* One sink for both, by either one's descriptor. */
static int open_one(struct log_route *ret, const struct log_options *o, const struct log_route *now,
                    const char **ret_path)
{
    struct log_target both = o->error;
    if (!brings_fd(&both))
        both = o->access;
    else if (o->access.fd != both.fd)
        drop_fd(&o->access);
    int rc = find_or_open(&both, now, &ret->error, ret_path);
    ret->access = ret->error;
    return rc;
}

static int open_two(struct log_route *ret, const struct log_options *o, const struct log_route *now,
                    const char **ret_path)
{
    int rc = find_or_open(&o->error, now, &ret->error, ret_path);
    if (rc != 0) {
        drop_fd(&o->access);
        return rc;
    }
    rc = find_or_open(&o->access, now, &ret->access, ret_path);
    if (rc != 0) {
        ret->access = ret->error;
        log_route_discard(ret, now);
    }
    return rc;
}

int log_route_open(struct log_route *ret, const struct log_options *o, const struct log_route *now,
                   const char **ret_path)
{
    bool one = same_target(&o->error, &o->access);
    return one ? open_one(ret, o, now, ret_path) : open_two(ret, o, now, ret_path);
}

void log_route_discard(struct log_route *r, const struct log_route *now)
{
    if (r->access != r->error && !has(now, r->access))
        delete_sink(r->access);
    if (!has(now, r->error))
        delete_sink(r->error);
    *r = (struct log_route){NULL, NULL};
}

/* --- those in use ------------------------------------------------------------------------ */

static void forget(struct log_sinks *s, size_t i)
{
    delete_sink(s->all[i]);
    s->count--;
    memmove(&s->all[i], &s->all[i + 1], (s->count - i) * sizeof(s->all[0]));
}

/* Close the oldest retired sink with what it holds. Two are in use at most: there is one. */
static size_t make_room(struct log_sinks *s)
{
    size_t i = 0;
    while (has(&s->route, s->all[i]))
        i++;
    size_t lost = log_sink_lines(s->all[i]);
    forget(s, i);
    return lost;
}

static size_t add(struct log_sinks *s, struct log_sink *sink)
{
    for (size_t i = 0; i < s->count; i++)
        if (s->all[i] == sink)
            return 0;
    size_t lost = s->count == LOG_SINKS_MAX ? make_room(s) : 0;
    s->all[s->count++] = sink;
    return lost;
}

size_t log_sinks_take(struct log_sinks *s, const struct log_route *route)
{
    s->route = *route;
    return add(s, route->error) + add(s, route->access);
}

size_t log_sinks_flush(struct log_sinks *s)
{
    size_t lost = 0;
    for (size_t i = 0; i < s->count;) {
        lost += log_sink_flush(s->all[i]);
        if (has(&s->route, s->all[i]) || log_sink_pending(s->all[i]))
            i++;
        else
            forget(s, i);
    }
    return lost;
}

bool log_sinks_pending(const struct log_sinks *s)
{
    for (size_t i = 0; i < s->count; i++)
        if (log_sink_pending(s->all[i]))
            return true;
    return false;
}

void log_sinks_close(struct log_sinks *s)
{
    while (s->count > 0)
        forget(s, s->count - 1);
    s->route = (struct log_route){NULL, NULL};
}
