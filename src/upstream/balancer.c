#include "upstream/balancer.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

static bool needs_counts(enum conf_balance method)
{
    return method == CONF_LEAST_CONN || method == CONF_RANDOM;
}

static int init_rank(struct balancer *b, const struct balancer_options *o, int rank)
{
    unsigned *weights = calloc(o->count, sizeof(*weights));
    if (weights == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < o->count; i++)
        weights[i] = o->members[i].backup == (rank == BALANCER_BACKUP) ? o->members[i].weight : 0;
    const struct rank_options ro = {
        .method = o->method,
        .counted = b->counted,
        .servers = b->servers,
        .weights = weights,
        .count = o->count,
        .cursor = &o->position->cursors[rank],
    };
    int err = rank_init(&b->ranks[rank], &ro);
    free(weights);
    if (err < 0)
        return err;
    for (size_t i = 0; i < b->ranks[rank].count; i++) {
        b->places[b->ranks[rank].numbers[i]] = (uint16_t)i;
        b->rank_of[b->ranks[rank].numbers[i]] = (uint8_t)rank;
    }
    return 0;
}

static int fill(struct balancer *b, const struct balancer_options *o)
{
    b->servers = calloc(o->count, sizeof(struct server *));
    b->places = calloc(o->count, sizeof(*b->places));
    b->rank_of = calloc(o->count, sizeof(*b->rank_of));
    if (b->servers == NULL || b->places == NULL || b->rank_of == NULL)
        return -ENOMEM;
    for (; b->count < o->count; b->count++)
        b->servers[b->count] = server_ref(o->members[b->count].server);
    int err = init_rank(b, o, BALANCER_PRIMARY);
    return err == 0 ? init_rank(b, o, BALANCER_BACKUP) : err;
}

int balancer_init(struct balancer *b, const struct balancer_options *o)
{
    *b = (struct balancer){.counted = o->limited || needs_counts(o->method), .outlier = o->outlier};
    int err = fill(b, o);
    if (err < 0)
        balancer_free(b);
    return err;
}

void balancer_free(struct balancer *b)
{
    for (int rank = 0; rank < BALANCER_RANKS; rank++)
        rank_free(&b->ranks[rank]);
    for (size_t i = 0; i < b->count; i++)
        server_unref(b->servers[i]);
    free(b->servers);
    free(b->places);
    free(b->rank_of);
    *b = (struct balancer){.count = 0};
}

/* --- picking ---------------------------------------------------------------------------------- */

/* Why none of a rank was picked, as balancer_pick() returns it. */
static int reason(const struct rank *r, const struct pick *p)
{
    int why = -ENOENT;
    for (size_t i = 0; i < r->count; i++) {
        const struct server *s = r->servers[i];
        if (pick_has_tried(p, r->numbers[i]))
            continue;
        if ((s->flags & SERVER_UNUSABLE) == SERVER_UNCHECKED)
            return -EAGAIN;
        if (server_usable(s, p->now))
            why = -EBUSY;
    }
    return why;
}

/* Returns a server's number, or a reason. */
static int pick_from(struct rank *r, struct pick *p)
{
    int place = rank_pick(r, p);
    if (unlikely(place < 0))
        return reason(r, p);
    p->tried[p->tried_count++] = r->numbers[place];
    return r->numbers[place];
}

/* While a primary may turn out to be up any moment, no backup takes its place. */
int balancer_pick(struct balancer *b, struct pick *p)
{
    if (p->tried_count == PICK_TRIES_MAX)
        return -ENOENT;
    int first = pick_from(&b->ranks[BALANCER_PRIMARY], p);
    if (likely(first >= 0) || first == -EAGAIN)
        return first;
    int second = pick_from(&b->ranks[BALANCER_BACKUP], p);
    return second == -ENOENT ? first : second;
}

void balancer_leave(struct balancer *b, size_t server, int64_t now)
{
    rank_leave(&b->ranks[b->rank_of[server]], b->places[server], now);
}

/* --- failing ---------------------------------------------------------------------------------- */

/* Of all ejections: a server may be in several balancers, and failures are rare. */
static pthread_mutex_t ejections = PTHREAD_MUTEX_INITIALIZER;

static bool is_ejected(const struct server *s, int64_t now)
{
    return (s->flags & SERVER_EJECTED) != 0 && now < s->ejected_until;
}

static bool may_eject(const struct balancer *b, const struct server *s, int64_t now)
{
    size_t ejected = 0, others = 0;
    for (size_t i = 0; i < b->count; i++) {
        ejected += is_ejected(b->servers[i], now);
        others += b->servers[i] != s && server_usable(b->servers[i], now);
    }
    return outlier_allowed(&b->outlier, b->count, ejected, others);
}

/* Under the lock. */
static int64_t note_failure(struct balancer *b, struct server *s, int64_t now)
{
    if (is_ejected(s, now) || !outlier_note(&s->outlier, &b->outlier, now))
        return 0;
    if (!may_eject(b, s, now)) {
        outlier_forget(&s->outlier);
        return 0;
    }
    int64_t until = outlier_eject(&s->outlier, &b->outlier, now);
    server_eject(s, until);
    return until - now;
}

int64_t balancer_fail(struct balancer *b, size_t server, int64_t now)
{
    if (b->outlier.failures == 0)
        return 0;
    pthread_mutex_lock(&ejections);
    int64_t length = note_failure(b, b->servers[server], now);
    pthread_mutex_unlock(&ejections);
    return length;
}

bool balancer_tend(struct balancer *b, size_t server, int64_t now)
{
    struct server *s = b->servers[server];
    if ((s->flags & (SERVER_EJECTED | SERVER_SLOW)) == 0)
        return false;
    pthread_mutex_lock(&ejections);
    bool back = (server_tend(s, now) & SERVER_EJECTED) != 0;
    pthread_mutex_unlock(&ejections);
    return back;
}

int balancer_reweigh(struct balancer *b)
{
    int err = rank_reweigh(&b->ranks[BALANCER_PRIMARY]);
    return err == 0 ? rank_reweigh(&b->ranks[BALANCER_BACKUP]) : err;
}
