#include "upstream/server.h"

#include <assert.h>
#include <stdlib.h>

struct server *server_new(uint64_t id)
{
    struct server *s = aligned_alloc(WEFT_CACHE_LINE, sizeof(*s));
    if (s == NULL)
        return NULL;
    *s = (struct server){.id = id, .configured_weight = 1};
    atomic_init(&s->flags, SERVER_UNCHECKED);
    atomic_init(&s->weight, 1);
    atomic_init(&s->references, 1);
    outlier_init(&s->outlier);
    return s;
}

struct server *server_ref(struct server *s)
{
    unsigned before = atomic_fetch_add_explicit(&s->references, 1, memory_order_relaxed);
    assert(before > 0);
    (void)before;
    return s;
}

void server_unref(struct server *s)
{
    if (s == NULL || atomic_fetch_sub_explicit(&s->references, 1, memory_order_acq_rel) > 1)
        return;
    outlier_free(&s->outlier);
    free(s);
}

unsigned server_set(struct server *s, unsigned flags, bool on)
{
    return on ? atomic_fetch_or(&s->flags, flags) : atomic_fetch_and(&s->flags, ~flags);
}

void server_configure(struct server *s, const struct server_options *o)
{
    if (o->weight != s->configured_weight)
        atomic_store(&s->weight, o->weight);
    s->configured_weight = o->weight;
    atomic_store(&s->max_connections, o->max_connections);
    atomic_store(&s->slow_start, o->slow_start);
    server_set(s, SERVER_LIMITED, o->max_connections != 0);
}

/* To be set before the server can be used, so that nobody finds it at its whole weight. */
static void begin_slowly(struct server *s, int64_t from)
{
    if (atomic_load(&s->slow_start) == 0)
        return;
    atomic_store(&s->up_since, from);
    server_set(s, SERVER_SLOW, true);
}

void server_rise(struct server *s, bool slowly, int64_t now)
{
    if (slowly)
        begin_slowly(s, now);
    server_set(s, SERVER_UNCHECKED | SERVER_DOWN, false);
}

void server_eject(struct server *s, int64_t until)
{
    atomic_store(&s->ejected_until, until);
    server_set(s, SERVER_EJECTED, true);
    begin_slowly(s, until);
}

unsigned server_share(const struct server *s, int64_t now)
{
    int64_t span = atomic_load_explicit(&s->slow_start, memory_order_relaxed);
    int64_t up = now - atomic_load_explicit(&s->up_since, memory_order_relaxed);
    if ((s->flags & SERVER_SLOW) == 0 || up >= span)
        return SERVER_WHOLE;
    if (up < 0)
        return 1;
    return 1 + (unsigned)(up / (span / SERVER_WHOLE + 1));
}

unsigned server_tend(struct server *s, int64_t now)
{
    unsigned lapsed = 0, flags = s->flags;
    if ((flags & SERVER_EJECTED) != 0 && now >= s->ejected_until)
        lapsed |= SERVER_EJECTED;
    if ((flags & SERVER_SLOW) != 0 && server_share(s, now) == SERVER_WHOLE)
        lapsed |= SERVER_SLOW;
    if (lapsed != 0)
        server_set(s, lapsed, false);
    return lapsed;
}

bool server_usable_by(const struct server *s, unsigned flags, int64_t now)
{
    if ((flags & SERVER_UNUSABLE) != 0)
        return false;
    return (flags & SERVER_EJECTED) == 0 ||
           now >= atomic_load_explicit(&s->ejected_until, memory_order_relaxed);
}

bool server_enter(struct server *s)
{
    unsigned active = atomic_load(&s->active);
    do {
        unsigned max = atomic_load_explicit(&s->max_connections, memory_order_relaxed);
        if (max != 0 && active >= max)
            return false;
    } while (!atomic_compare_exchange_weak(&s->active, &active, active + 1));
    return true;
}

void server_leave(struct server *s)
{
    unsigned before = atomic_fetch_sub(&s->active, 1);
    assert(before > 0);
    (void)before;
}
