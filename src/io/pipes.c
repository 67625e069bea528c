#include "io/pipes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/thread.h"

#define PIPE_SIZE     (1 << 20)  /* [bytes] asked for */
#define PIPE_SIZE_MIN (64 << 10) /* [bytes] in less than that, copying is as cheap */

#define BUDGET_MAX                1024 /* pipes */
#define DESCRIPTORS_MIN           1024 /* with fewer, every one of them is a connection's */
#define PIPES_OF(descriptors)     ((descriptors) / 200) /* one descriptor in a hundred */
#define PIPES_MAX_OF(descriptors) ((descriptors) / 32)  /* no more than one in sixteen */

/* One thread's free pipes; nobody else writes here. */
struct shelf {
    struct pipe *free;
    /* Read by pipes_stats() of any thread. */
    _Atomic unsigned count; /* in `free` */
    _Atomic uint64_t denied;
    unsigned low; /* the least `count` since the last trim: so many nobody needed */
    bool refused; /* the kernel gave none since the last trim: it is not asked again till then */
} __attribute__((aligned(WEFT_CACHE_LINE)));

static struct shelf shelves[THREAD_MAX];
static _Atomic unsigned open_count; /* never over the budget */
static _Atomic unsigned budget;

static inline unsigned load(_Atomic unsigned *count)
{
    return atomic_load_explicit(count, memory_order_relaxed);
}

static inline void store(_Atomic unsigned *count, unsigned value)
{
    atomic_store_explicit(count, value, memory_order_relaxed);
}

/* --- one pipe ---------------------------------------------------------------------------- */

/* Make it as large as the kernel allows this user at this moment. Returns its size [bytes]. */
static size_t grow(int fd)
{
    int size = fcntl(fd, F_GETPIPE_SZ);
    for (int wanted = PIPE_SIZE; wanted > size; wanted /= 2) {
        int got = fcntl(fd, F_SETPIPE_SZ, wanted);
        if (got > 0)
            return (size_t)got;
    }
    return size > 0 ? (size_t)size : 0;
}

static void close_both(const int fds[2])
{
    close(fds[0]);
    close(fds[1]);
}

/* Returns NULL without descriptors or memory, and where the kernel has only small ones left. */
static struct pipe *pipe_new(void)
{
    int fds[2];
    if (pipe2(fds, O_NONBLOCK | O_CLOEXEC) < 0)
        return NULL;
    size_t size = grow(fds[0]);
    struct pipe *p = size >= PIPE_SIZE_MIN ? malloc(sizeof(*p)) : NULL;
    if (p == NULL) {
        close_both(fds);
        return NULL;
    }
    *p = (struct pipe){.out = fds[0], .in = fds[1], .size = size};
    return p;
}

static void pipe_free(struct pipe *p)
{
    close_both((const int[]){p->out, p->in});
    free(p);
    atomic_fetch_sub_explicit(&open_count, 1, memory_order_relaxed);
}

/* --- the budget -------------------------------------------------------------------------- */

/* Pages of pipe buffers that an ordinary user may have before the kernel shrinks new pipes. 0: any
 * number. */
static unsigned long soft_limit_pages(void)
{
    unsigned long pages = 0;
    FILE *f = fopen("/proc/sys/fs/pipe-user-pages-soft", "re");
    if (f == NULL)
        return 0;
    if (fscanf(f, "%lu", &pages) != 1)
        pages = 0;
    fclose(f);
    return pages;
}

/* Pipes that the kernel lets this user have; half of the pages stay for other programs. */
static unsigned long user_share(void)
{
    unsigned long pages = geteuid() != 0 ? soft_limit_pages() : 0;
    unsigned long page = (unsigned long)sysconf(_SC_PAGESIZE);
    unsigned long pipes = pages != 0 ? pages / 2 * page / PIPE_SIZE : BUDGET_MAX;
    return pipes < BUDGET_MAX ? pipes : BUDGET_MAX;
}

unsigned pipes_advise(unsigned descriptors, unsigned threads)
{
    unsigned long advised = PIPES_OF(descriptors);
    if (advised < threads)
        advised = threads;
    if (descriptors < DESCRIPTORS_MIN || advised > PIPES_MAX_OF(descriptors))
        return 0;
    unsigned long share = user_share();
    return (unsigned)(advised < share ? advised : share);
}

void pipes_set_budget(unsigned n)
{
    store(&budget, n);
}

/* Count a pipe that is to be opened. Returns whether the budget has room for it. */
static bool reserve(void)
{
    unsigned now = load(&open_count);
    do {
        if (now >= load(&budget))
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&open_count, &now, now + 1,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

/* --- the pool ---------------------------------------------------------------------------- */

static struct pipe *deny(struct shelf *s)
{
    uint64_t denied = atomic_load_explicit(&s->denied, memory_order_relaxed);
    atomic_store_explicit(&s->denied, denied + 1, memory_order_relaxed);
    return NULL;
}

static WEFT_NOINLINE struct pipe *get_new(struct shelf *s)
{
    if (s->refused || !reserve())
        return deny(s);
    struct pipe *p = pipe_new();
    if (p != NULL)
        return p;
    atomic_fetch_sub_explicit(&open_count, 1, memory_order_relaxed);
    s->refused = true;
    return deny(s);
}

static struct pipe *pop(struct shelf *s)
{
    struct pipe *p = s->free;
    s->free = p->next;
    unsigned count = load(&s->count) - 1;
    store(&s->count, count);
    if (count < s->low)
        s->low = count;
    return p;
}

struct pipe *pipes_get(void)
{
    struct shelf *s = &shelves[thread_index()];
    return likely(s->free != NULL) ? pop(s) : get_new(s);
}

void pipes_put(struct pipe *p)
{
    struct shelf *s = &shelves[thread_index()];
    if (p->length > 0) {
        pipe_free(p);
        return;
    }
    p->next = s->free;
    s->free = p;
    store(&s->count, load(&s->count) + 1);
}

void pipes_trim(void)
{
    struct shelf *s = &shelves[thread_index()];
    for (unsigned idle = s->low; idle > 0; idle--)
        pipe_free(pop(s));
    s->low = load(&s->count);
    s->refused = false;
}

void pipes_flush(void)
{
    struct shelf *s = &shelves[thread_index()];
    while (s->free != NULL)
        pipe_free(pop(s));
}

void pipes_stats(struct pipes_stats *ret)
{
    *ret = (struct pipes_stats){.budget = load(&budget), .open = load(&open_count)};
    for (size_t i = 0; i < array_size(shelves); i++) {
        ret->free += load(&shelves[i].count);
        ret->denied += atomic_load_explicit(&shelves[i].denied, memory_order_relaxed);
    }
}
