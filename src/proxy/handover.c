#include "proxy/handover.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/xorshift.h"
#include "proxy/session.h"

struct parcel {
    struct shard_message message;
    struct proxy_listener *listener;
    struct addr peer;
    int fd;
};

static void deliver(struct shard_message *m, struct shard *shard)
{
    struct parcel *p = container_of(m, struct parcel, message);
    if (session_start(shard, p->listener, p->fd, &p->peer) < 0) {
        proxy_listener_leave(p->listener);
        close(p->fd);
    }
    free(p);
    atomic_fetch_sub(&shard->incoming, 1);
}

/* Any other shard, evenly enough. */
static struct shard *random_other(struct shard *shard)
{
    const struct shard_group *g = shard->group;
    unsigned step = 1 + xorshift(&shard->random) % (g->count - 1);
    return g->shards[(shard->number + step) % g->count];
}

static bool has_clearly_less(const struct shard *other, const struct shard *self)
{
    uint64_t theirs =
        shard_active(other) + atomic_load_explicit(&other->incoming, memory_order_relaxed);
    return theirs + 1 + theirs / 4 < shard_active(self);
}

/*
 * A shard that drains ends when it has nothing left and nothing is on its way: `incoming` goes up
 * before `draining` is looked at, and the shard looks at `incoming` after it has set `draining`.
 */
static bool announce(struct shard *to)
{
    atomic_fetch_add(&to->incoming, 1);
    if (!atomic_load(&to->draining))
        return true;
    atomic_fetch_sub(&to->incoming, 1);
    return false;
}

bool handover(struct shard *shard, struct proxy_listener *listener, int fd, const struct addr *peer)
{
    if (shard->group->count < 2)
        return false;
    struct shard *to = random_other(shard);
    if (!has_clearly_less(to, shard))
        return false;
    struct parcel *p = malloc(sizeof(*p));
    if (p == NULL)
        return false;
    if (!announce(to)) {
        free(p);
        return false;
    }
    *p = (struct parcel){.message.deliver = deliver, .listener = listener, .peer = *peer, .fd = fd};
    shard_post(to, &p->message);
    counters_add(&shard->handed_over, 1);
    return true;
}
