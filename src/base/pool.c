#include "base/pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/thread.h"

#if defined(__SANITIZE_ADDRESS__)
#define POOL_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POOL_ASAN 1
#endif
#endif

#ifdef POOL_ASAN
#include <sanitizer/asan_interface.h>
#endif

/*
 * A free object's own first words link it. What is moved between threads is a batch, a chain that
 * is never walked, so that its objects' cache lines stay untouched:
 *
 *      depot ──> ┌──────┐ next  ┌──────┐ next  ┌──────┐
 *                │ n=3  │──────>│      │──────>│      │──> NULL
 *                └──┬───┘       └──────┘       └──────┘
 *        next_batch v
 *                ┌──────┐ next
 *                │ n=2  │──────> ...
 */
struct link {
    struct link *next;
    struct link *next_batch; /* of a batch's first object, in a depot */
    unsigned batch_count;    /* of a batch's first object, in a depot */
#ifdef WEFT_DEBUG
    enum link_state { LINK_TAKEN = 0x7a4e, LINK_POOLED = 0xf4ee } state;
#endif
};

/*
 * Where puts are checked, the link stands before the object: then all of the object can be
 * poisoned, and LeakSanitizer, which does not look into poisoned memory, still finds the chain.
 */
#if defined(WEFT_DEBUG) || defined(POOL_ASAN)
#define LINK_ROOM ((sizeof(struct link) + 15) / 16 * 16) /* [bytes] */
#else
#define LINK_ROOM 0
#endif

/*
 * One thread's objects; nobody else writes here. Two chains, so that a get and put that alternate
 * around a full or an empty one do not go to the depot each time (Bonwick and Adams, "Magazines
 * and Vmem", USENIX 2001).
 */
struct slot {
    struct link *free;  /* what get and put use */
    struct link *spare; /* a batch set aside, or NULL */
    /* Read by pool_stats() of any thread. */
    _Atomic unsigned count;       /* in `free` */
    _Atomic unsigned spare_count; /* in `spare` */
    _Atomic uint64_t misses;
    unsigned low;    /* the least `count` since the last trim: so many nobody needed */
    bool spare_used; /* since the last trim */
} __attribute__((aligned(WEFT_CACHE_LINE)));

_Static_assert(sizeof(struct slot) == WEFT_CACHE_LINE, "a slot is one cache line");

struct depot {
    struct link *batches;
    uint64_t count; /* objects */
};

struct pool {
    const char *name;
    size_t size;    /* [bytes] */
    unsigned batch; /* objects: half of what a thread keeps */
    struct list in_pools;

    pthread_mutex_t lock; /* for what follows; and whoever moves a batch holds it */
    struct depot depot;
    struct depot victim;
    uint64_t freed;  /* objects given back to the allocator, ever */
    uint64_t misses; /* of threads that had no memory for a slot */

    /* By thread_number, each made at its thread's first use; so [0], of a thread without a number,
     * is always NULL, and the hot path has one test for "no number" and "no slot". */
    struct slot *_Atomic slots[1 + THREAD_MAX];
};

/* Every pool, oldest first. Order of locks: this one, then a pool's. */
static pthread_mutex_t pools_lock = PTHREAD_MUTEX_INITIALIZER;
static struct list pools = {&pools, &pools};

/* --- an object's way in and out ---------------------------------------------------------- */

#ifdef WEFT_DEBUG
#define POISON_FREE 0xdb /* what a pooled object is full of */
#define POISON_NEW  0xce /* what an object is full of when it is taken */

static WEFT_NORETURN void die(const struct pool *p, const void *object, const char *what)
{
    fprintf(stderr, "pool %s: object %p: %s\n", p->name, object, what);
    abort();
}

static void check_in(const struct pool *p, struct link *l, void *object)
{
    if (l->state == LINK_POOLED)
        die(p, object, "put twice");
    if (l->state != LINK_TAKEN)
        die(p, object, "not from a pool, or written to before its start");
    l->state = LINK_POOLED;
    memset(object, POISON_FREE, p->size);
}

static void check_out(const struct pool *p, struct link *l, void *object)
{
    const unsigned char *bytes = object;
    if (l->state != LINK_POOLED || bytes[0] != POISON_FREE ||
        memcmp(bytes, bytes + 1, p->size - 1) != 0)
        die(p, object, "written to after it was put back");
    l->state = LINK_TAKEN;
    memset(object, POISON_NEW, p->size);
}

static void check_new(const struct pool *p, struct link *l, void *object)
{
    l->state = LINK_TAKEN;
    memset(object, POISON_NEW, p->size);
}
#else
#define check_in(p, l, object)  ((void)0)
#define check_out(p, l, object) ((void)0)
#define check_new(p, l, object) ((void)0)
#endif

/* The object of a link that leaves the pool. */
static inline void *leave(const struct pool *p, struct link *l)
{
    void *object = (char *)l + LINK_ROOM;
    (void)p;
#ifdef POOL_ASAN
    ASAN_UNPOISON_MEMORY_REGION(object, p->size);
#endif
    check_out(p, l, object);
    return object;
}

/* The link of an object that enters the pool. */
static inline struct link *enter(const struct pool *p, void *object)
{
    struct link *l = (struct link *)((char *)object - LINK_ROOM);
    (void)p;
    check_in(p, l, object);
#ifdef POOL_ASAN
    ASAN_POISON_MEMORY_REGION(object, p->size);
#endif
    return l;
}

/* --- depots ------------------------------------------------------------------------------ */

static void depot_push(struct depot *d, struct link *batch, unsigned count)
{
    batch->next_batch = d->batches;
    batch->batch_count = count;
    d->batches = batch;
    d->count += count;
}

static struct link *depot_pop(struct depot *d, unsigned *ret_count)
{
    struct link *batch = d->batches;
    if (batch == NULL)
        return NULL;
    d->batches = batch->next_batch;
    d->count -= batch->batch_count;
    *ret_count = batch->batch_count;
    return batch;
}

static void free_chain(struct link *l)
{
    while (l != NULL) {
        struct link *next = l->next;
        free(l);
        l = next;
    }
}

static void free_depot(struct depot *d)
{
    struct link *batch;
    unsigned count;
    while ((batch = depot_pop(d, &count)) != NULL)
        free_chain(batch);
}

/* --- slots ------------------------------------------------------------------------------- */

/* A counter with one writer: no read-modify-write, as only its owner changes it. */
static inline unsigned load(const _Atomic unsigned *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static inline void store(_Atomic unsigned *counter, unsigned value)
{
    atomic_store_explicit(counter, value, memory_order_relaxed);
}

static inline struct slot *own_slot(struct pool *p)
{
    return atomic_load_explicit(&p->slots[thread_number], memory_order_relaxed);
}

/* The calling thread's slot, made or inherited from an ended thread. NULL: no memory. */
static struct slot *find_slot(struct pool *p)
{
    unsigned number = thread_index() + 1;
    struct slot *s = atomic_load_explicit(&p->slots[number], memory_order_relaxed);
    if (s != NULL)
        return s;
    s = aligned_alloc(WEFT_CACHE_LINE, sizeof(*s));
    if (s == NULL)
        return NULL;
    *s = (struct slot){0};
    atomic_store_explicit(&p->slots[number], s, memory_order_release);
    return s;
}

/* The free objects become the spare batch, of which there is none. */
static void set_spare_aside(struct slot *s)
{
    s->spare = s->free;
    store(&s->spare_count, load(&s->count));
    s->free = NULL;
    store(&s->count, 0);
    s->spare_used = true;
    s->low = 0;
}

static void take_spare(struct slot *s)
{
    s->free = s->spare;
    store(&s->count, load(&s->spare_count));
    s->spare = NULL;
    store(&s->spare_count, 0);
    s->spare_used = true;
    s->low = 0;
}

static void give_spare(struct pool *p, struct slot *s)
{
    if (s->spare == NULL)
        return;
    pthread_mutex_lock(&p->lock);
    depot_push(&p->depot, s->spare, load(&s->spare_count));
    store(&s->spare_count, 0);
    pthread_mutex_unlock(&p->lock);
    s->spare = NULL;
}

static bool refill(struct pool *p, struct slot *s)
{
    unsigned count;
    pthread_mutex_lock(&p->lock);
    struct link *batch = depot_pop(&p->depot, &count);
    if (batch == NULL)
        batch = depot_pop(&p->victim, &count);
    if (batch != NULL)
        store(&s->count, count);
    pthread_mutex_unlock(&p->lock);
    s->free = batch;
    s->low = 0;
    return batch != NULL;
}

static void count_miss(struct pool *p, struct slot *s)
{
    if (s != NULL) {
        uint64_t misses = atomic_load_explicit(&s->misses, memory_order_relaxed);
        atomic_store_explicit(&s->misses, misses + 1, memory_order_relaxed);
        return;
    }
    pthread_mutex_lock(&p->lock);
    p->misses++;
    pthread_mutex_unlock(&p->lock);
}

static void *allocate(struct pool *p, struct slot *s)
{
    struct link *l = malloc(p->size + LINK_ROOM);
    if (l == NULL)
        return NULL;
    count_miss(p, s);
    void *object = (char *)l + LINK_ROOM;
    check_new(p, l, object);
    return object;
}

static WEFT_NOINLINE void *get_slow(struct pool *p, struct slot *s)
{
    if (s == NULL) {
        s = find_slot(p);
        return s != NULL ? pool_get(p) : allocate(p, NULL);
    }
    if (s->spare != NULL)
        take_spare(s);
    else if (!refill(p, s))
        return allocate(p, s);
    return pool_get(p);
}

static void put_in_depot(struct pool *p, struct link *l)
{
    l->next = NULL;
    pthread_mutex_lock(&p->lock);
    depot_push(&p->depot, l, 1);
    pthread_mutex_unlock(&p->lock);
}

static inline void push(struct slot *s, struct link *l)
{
    l->next = s->free;
    s->free = l;
    store(&s->count, load(&s->count) + 1);
}

static WEFT_NOINLINE void put_slow(struct pool *p, struct slot *s, struct link *l)
{
    if (s == NULL)
        s = find_slot(p);
    if (s == NULL) {
        put_in_depot(p, l);
        return;
    }
    if (load(&s->count) >= p->batch) {
        give_spare(p, s);
        set_spare_aside(s);
    }
    push(s, l);
}

/* --- the pool ---------------------------------------------------------------------------- */

struct pool *pool_new(const char *name, size_t size, unsigned local_max)
{
    struct pool *p = calloc(1, sizeof(*p));
    if (p == NULL)
        return NULL;
    p->name = name;
    p->size = size > sizeof(struct link) ? size : sizeof(struct link);
    p->batch = local_max > 1 ? local_max / 2 : 1;
    pthread_mutex_init(&p->lock, NULL);
    pthread_mutex_lock(&pools_lock);
    list_push_back(&pools, &p->in_pools);
    pthread_mutex_unlock(&pools_lock);
    return p;
}

static void check_none_taken(struct pool *p)
{
#ifdef WEFT_DEBUG
    struct pool_stats st;
    pool_stats(p, &st);
    if (st.taken != 0)
        die(p, NULL, "freed while objects are in use");
#else
    (void)p;
#endif
}

void pool_free(struct pool *p)
{
    if (p == NULL)
        return;
    check_none_taken(p);
    pthread_mutex_lock(&pools_lock);
    list_remove(&p->in_pools);
    pthread_mutex_unlock(&pools_lock);
    for (size_t i = 0; i < array_size(p->slots); i++) {
        struct slot *s = atomic_load_explicit(&p->slots[i], memory_order_acquire);
        if (s == NULL)
            continue;
        free_chain(s->free);
        free_chain(s->spare);
        free(s);
    }
    free_depot(&p->depot);
    free_depot(&p->victim);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

void *pool_get(struct pool *p)
{
    struct slot *s = own_slot(p);
    if (unlikely(s == NULL || s->free == NULL))
        return get_slow(p, s);
    struct link *l = s->free;
    s->free = l->next;
    unsigned count = load(&s->count) - 1;
    store(&s->count, count);
    if (count < s->low)
        s->low = count;
    return leave(p, l);
}

void pool_put(struct pool *p, void *object)
{
    struct link *l = enter(p, object);
    struct slot *s = own_slot(p);
    if (unlikely(s == NULL || load(&s->count) >= p->batch)) {
        put_slow(p, s, l);
        return;
    }
    push(s, l);
}

/* Give the depot the `give` oldest of the free objects: the coldest, at the chain's end. */
static void give_oldest(struct pool *p, struct slot *s, unsigned give)
{
    if (give == 0)
        return;
    struct link **cut = &s->free;
    for (unsigned keep = load(&s->count) - give; keep > 0; keep--)
        cut = &(*cut)->next;
    pthread_mutex_lock(&p->lock);
    depot_push(&p->depot, *cut, give);
    store(&s->count, load(&s->count) - give);
    pthread_mutex_unlock(&p->lock);
    *cut = NULL;
}

void pool_flush(struct pool *p)
{
    struct slot *s = own_slot(p);
    if (s == NULL)
        return;
    give_spare(p, s);
    give_oldest(p, s, load(&s->count));
    s->low = 0;
}

static void trim_slot(struct pool *p, struct slot *s)
{
    if (!s->spare_used)
        give_spare(p, s);
    s->spare_used = false;
    give_oldest(p, s, (s->low + 1) / 2);
    s->low = load(&s->count);
}

static void age(struct pool *p)
{
    pthread_mutex_lock(&p->lock);
    struct depot old = p->victim;
    p->victim = p->depot;
    p->depot = (struct depot){0};
    p->freed += old.count;
    pthread_mutex_unlock(&p->lock);
    free_depot(&old);
}

/*
 * A thread ages the depots where nobody did since its own last call: with any number of threads
 * that call once in a period, that is once in a period, by no clock. A busy lock means that
 * another thread is at it: a worker does not wait for that.
 */
void pool_trim_all(void)
{
    static uint64_t generation;
    static _Thread_local uint64_t seen;

    if (pthread_mutex_trylock(&pools_lock) != 0)
        return;
    bool aging = seen == generation;
    if (aging)
        generation++;
    seen = generation;
    list_for_each (l, &pools) {
        struct pool *p = container_of(l, struct pool, in_pools);
        struct slot *s = own_slot(p);
        if (s != NULL)
            trim_slot(p, s);
        if (aging)
            age(p);
    }
    pthread_mutex_unlock(&pools_lock);
}

void pool_stats(struct pool *p, struct pool_stats *ret)
{
    uint64_t kept = 0, misses = 0;
    pthread_mutex_lock(&p->lock);
    for (size_t i = 0; i < array_size(p->slots); i++) {
        struct slot *s = atomic_load_explicit(&p->slots[i], memory_order_acquire);
        if (s == NULL)
            continue;
        kept += load(&s->count) + load(&s->spare_count);
        misses += atomic_load_explicit(&s->misses, memory_order_relaxed);
    }
    kept += p->depot.count + p->victim.count;
    misses += p->misses;
    uint64_t owned = misses - p->freed;
    pthread_mutex_unlock(&p->lock);

    *ret = (struct pool_stats){
        .name = p->name,
        .object_size = p->size,
        .taken = owned > kept ? owned - kept : 0, /* the counters move while they are read */
        .kept = kept,
        .misses = misses,
    };
    ret->bytes = (ret->taken + ret->kept) * p->size;
}

void pool_for_each(void (*fn)(const struct pool_stats *st, void *arg), void *arg)
{
    pthread_mutex_lock(&pools_lock);
    list_for_each (l, &pools) {
        struct pool_stats st;
        pool_stats(container_of(l, struct pool, in_pools), &st);
        fn(&st, arg);
    }
    pthread_mutex_unlock(&pools_lock);
}
