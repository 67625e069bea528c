#include "proxy/sources.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/list.h"
#include "base/prefix.h"
#include "upstream/hash.h"

#define STRIPES        64 /* locks: some for each worker */
#define BUCKETS_FIRST  16 /* of a stripe */
#define FORGET_AT_ONCE 4  /* idle sources for each that comes: more than that can add */

#define V4_BITS 32
#define V6_BITS 64

struct source {
    struct stripe *stripe; /* never changed */
    struct source *next;   /* in its bucket */
    struct list idle;      /* in the stripe's, while `connections` is 0 */
    struct prefix from;
    uint32_t connections;
    int64_t full; /* [monotonic ns] when its bucket of tokens is full again */
};

struct stripe {
    pthread_mutex_t lock;
    struct source **buckets; /* owned; a power of two of them */
    size_t bucket_count;
    size_t count;      /* sources */
    size_t idle_count; /* those without a connection */
    size_t idle_max;
    struct list idle; /* heard of longest ago first */
    uint64_t seed;    /* of all stripes: nobody outside can choose addresses that collide */
} __attribute__((aligned(WEFT_CACHE_LINE)));

struct sources {
    struct stripe stripes[STRIPES];
};

/* --- a stripe ----------------------------------------------------------------------------- */

static uint64_t hash_of(const struct stripe *stripe, const struct prefix *from)
{
    return hash_bytes(from, sizeof(*from), stripe->seed);
}

static struct source **bucket_of(struct stripe *stripe, const struct prefix *from)
{
    return &stripe->buckets[hash_of(stripe, from) & (stripe->bucket_count - 1)];
}

static struct source *find(struct stripe *stripe, const struct prefix *from)
{
    struct source *s = *bucket_of(stripe, from);
    while (s != NULL && memcmp(&s->from, from, sizeof(*from)) != 0)
        s = s->next;
    return s;
}

static void link_in(struct stripe *stripe, struct source *s)
{
    struct source **bucket = bucket_of(stripe, &s->from);
    s->next = *bucket;
    *bucket = s;
}

/* Twice as many buckets; without memory the chains become longer. */
static void grow(struct stripe *stripe)
{
    size_t count = stripe->bucket_count;
    struct source **old = stripe->buckets, **twice = calloc(2 * count, sizeof(struct source *));
    if (twice == NULL)
        return;
    stripe->buckets = twice;
    stripe->bucket_count = 2 * count;
    for (size_t i = 0; i < count; i++) {
        for (struct source *s = old[i], *next; s != NULL; s = next) {
            next = s->next;
            link_in(stripe, s);
        }
    }
    free(old);
}

static struct source *add(struct stripe *stripe, const struct prefix *from)
{
    struct source *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return NULL;
    if (stripe->count == stripe->bucket_count)
        grow(stripe);
    s->stripe = stripe;
    s->from = *from;
    list_init(&s->idle);
    link_in(stripe, s);
    stripe->count++;
    return s;
}

static void drop(struct stripe *stripe, struct source *s)
{
    struct source **at = bucket_of(stripe, &s->from);
    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    stripe->count--;
    free(s);
}

static void make_busy(struct stripe *stripe, struct source *s)
{
    if (list_empty(&s->idle))
        return;
    list_remove(&s->idle);
    stripe->idle_count--;
}

static void drop_oldest(struct stripe *stripe)
{
    struct source *s = container_of(stripe->idle.next, struct source, idle);
    make_busy(stripe, s);
    drop(stripe, s);
}

static bool oldest_is_stale(const struct stripe *stripe, int64_t now)
{
    return !list_empty(&stripe->idle) &&
           container_of(stripe->idle.next, struct source, idle)->full <= now;
}

/* Forget some of those whose bucket is full again: they are as good as new. */
static void forget(struct stripe *stripe, int64_t now)
{
    for (int i = 0; i < FORGET_AT_ONCE && oldest_is_stale(stripe, now); i++)
        drop_oldest(stripe);
}

/* A source has no connection any more. */
static void make_idle(struct stripe *stripe, struct source *s, int64_t now)
{
    if (s->full <= now) {
        drop(stripe, s);
        return;
    }
    list_push_back(&stripe->idle, &s->idle);
    if (++stripe->idle_count > stripe->idle_max)
        drop_oldest(stripe);
}

/* --- the table --------------------------------------------------------------------------- */

struct sources *sources_new(size_t idle_max)
{
    struct sources *t = aligned_alloc(WEFT_CACHE_LINE, sizeof(*t));
    uint64_t seed = 0;
    if (t == NULL)
        return NULL;
    (void)!getrandom(&seed, sizeof(seed), GRND_NONBLOCK); /* too early after boot: 0 will do */
    memset(t, 0, sizeof(*t));
    for (int i = 0; i < STRIPES; i++) {
        struct stripe *stripe = &t->stripes[i];
        pthread_mutex_init(&stripe->lock, NULL);
        list_init(&stripe->idle);
        stripe->seed = seed;
        stripe->idle_max = (idle_max + STRIPES - 1) / STRIPES;
        stripe->bucket_count = BUCKETS_FIRST;
        stripe->buckets = calloc(BUCKETS_FIRST, sizeof(struct source *));
        if (stripe->buckets == NULL) {
            sources_free(t);
            return NULL;
        }
    }
    return t;
}

static void free_stripe(struct stripe *stripe)
{
    for (size_t i = 0; i < stripe->bucket_count; i++) {
        for (struct source *s = stripe->buckets[i], *next; s != NULL; s = next) {
            next = s->next;
            free(s);
        }
    }
    free(stripe->buckets);
    pthread_mutex_destroy(&stripe->lock);
}

void sources_free(struct sources *t)
{
    if (t == NULL)
        return;
    for (int i = 0; i < STRIPES && t->stripes[i].buckets != NULL; i++)
        free_stripe(&t->stripes[i]);
    free(t);
}

/* Whether a source may have one more connection; a token is taken if so. */
static enum sources_verdict judge(struct source *s, const struct sources_limits *limits,
                                  int64_t now)
{
    if (limits->connections != 0 && s->connections >= limits->connections)
        return SOURCES_TOO_MANY;
    if (limits->rate == 0)
        return SOURCES_ENTERED;
    int64_t full = s->full > now ? s->full : now;
    int64_t token = limits->period / limits->rate;
    if (full - now > token * (limits->rate - 1))
        return SOURCES_TOO_FAST;
    s->full = full + token;
    return SOURCES_ENTERED;
}

/* One that knocks in vain is not forgotten before one that is silent. */
static void heard_of(struct stripe *stripe, struct source *s)
{
    if (list_empty(&s->idle))
        return;
    list_remove(&s->idle);
    list_push_back(&stripe->idle, &s->idle);
}

static enum sources_verdict enter(struct stripe *stripe, const struct prefix *from,
                                  const struct sources_limits *limits, int64_t now,
                                  struct source **ret)
{
    forget(stripe, now);
    struct source *s = find(stripe, from);
    if (s == NULL)
        s = add(stripe, from);
    if (s == NULL)
        return SOURCES_ENTERED;
    enum sources_verdict verdict = judge(s, limits, now);
    if (verdict != SOURCES_ENTERED) {
        heard_of(stripe, s);
        return verdict;
    }
    make_busy(stripe, s);
    s->connections++;
    *ret = s;
    return SOURCES_ENTERED;
}

enum sources_verdict sources_enter(struct sources *t, const struct sources_limits *limits,
                                   const struct sockaddr *from, int64_t now, struct source **ret)
{
    struct prefix p = prefix_of(from, V4_BITS, V6_BITS);
    *ret = NULL;
    if (p.family != PREFIX_V4 && p.family != PREFIX_V6)
        return SOURCES_ENTERED;
    struct stripe *stripe = &t->stripes[hash_of(&t->stripes[0], &p) >> 32 & (STRIPES - 1)];
    pthread_mutex_lock(&stripe->lock);
    enum sources_verdict verdict = enter(stripe, &p, limits, now, ret);
    pthread_mutex_unlock(&stripe->lock);
    return verdict;
}

void sources_leave(struct source *s, int64_t now)
{
    if (s == NULL)
        return;
    struct stripe *stripe = s->stripe;
    pthread_mutex_lock(&stripe->lock);
    assert(s->connections > 0);
    if (--s->connections == 0)
        make_idle(stripe, s, now);
    pthread_mutex_unlock(&stripe->lock);
}

size_t sources_count(struct sources *t)
{
    size_t count = 0;
    for (int i = 0; i < STRIPES; i++) {
        pthread_mutex_lock(&t->stripes[i].lock);
        count += t->stripes[i].count;
        pthread_mutex_unlock(&t->stripes[i].lock);
    }
    return count;
}
