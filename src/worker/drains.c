#include "worker/drains.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/log.h"

#define TELL_INTERVAL (5 * NSEC_PER_SEC)

void drains_init(struct drains *d)
{
    list_init(&d->all);
}

static void forget(struct drains_entry *e)
{
    list_remove(&e->link);
    drain_destroy(&e->drain);
    e->free(e);
}

static void done(struct drain *d)
{
    forget(container_of(d, struct drains_entry, drain));
}

void drains_begin(struct drains *d, struct drains_entry *e)
{
    list_push_back(&d->all, &e->link);
    e->drain.done = done;
    e->told = clock_now();
    drain_begin(&e->drain);
}

static void tell(struct drains_entry *e, int64_t now)
{
    uint64_t all, left;
    drain_progress(&e->drain, &all, &left);
    e->told = now;
    if (left > 0)
        log_line(LOG_LEVEL_INFO,
                 "draining (%s): %" PRIu64 " of %" PRIu64 " connections left, %" PRId64 " s to go",
                 e->what, left, all, (e->drain.end - now) / NSEC_PER_SEC);
}

void drains_tell(const struct drains *d)
{
    int64_t now = clock_now();
    list_for_each (l, &d->all) {
        struct drains_entry *e = container_of(l, struct drains_entry, link);
        if (now - e->told >= TELL_INTERVAL)
            tell(e, now);
    }
}

void drains_sum(const struct drains *d, struct drains_progress *ret)
{
    *ret = (struct drains_progress){.all = 0};
    list_for_each (l, &d->all) {
        const struct drains_entry *e = container_of(l, struct drains_entry, link);
        uint64_t all, left;
        drain_progress(&e->drain, &all, &left);
        ret->all += all;
        ret->left += left;
        if (e->drain.end > ret->end)
            ret->end = e->drain.end;
    }
}

void drains_destroy(struct drains *d)
{
    list_for_each_safe (l, &d->all)
        forget(container_of(l, struct drains_entry, link));
}
