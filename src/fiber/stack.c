#include "fiber/stack.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/clock.h"
#include "fiber/annotate.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102 /* Linux 6.13; not in glibc 2.36 */
#endif
#define PIDFD_SELF (-10000) /* Linux 6.15 */

#define SLAB_STACKS 256 /* one process_madvise(2) takes up to 1,024 */
#define SLAB_SIZE   (SLAB_STACKS * STACK_SIZE)

/* Each guard of mprotect makes two mappings; vm.max_map_count is 65,530 by default. */
#define MPROTECT_MAX 16000 /* stacks in the process */

#define TRIM_NEXT      (1 * NSEC_PER_SEC)
#define TRIM_NEXT_PART (10 * NSEC_PER_MSEC)
#define WARM_MIN       16 /* free stacks, the last used, that a trim leaves alone */

struct slab {
    char *base;
    enum stack_guard guard;
    unsigned *valgrind; /* ids of the stacks; NULL outside valgrind */
};

/*
 * Free stacks, the last used on the right:
 *
 *      0        cold           low                 count
 *      ├─────────┼──────────────┼────────────────────┤
 *       no pages   not taken       taken and put back
 *                  since the last  since then
 *                  trim
 *
 * A trim frees the pages from `cold` to `low`, a part at a time, then moves `low` up for the next.
 */
struct stack_arena {
    void **free; /* room for every stack there is */
    size_t count;
    size_t cold;
    size_t low;
    size_t used;
    struct slab *slabs;
    size_t slab_count;
    enum stack_guard guard; /* what was asked for */
    bool canaries;          /* some slab has no better guard */
    bool one_by_one;        /* the kernel takes advice on one range in a call only */
    struct iovec iov[SLAB_STACKS];
};

static _Atomic unsigned mprotected; /* stacks in the process whose guard is mprotect's */

static size_t guard_size(void)
{
    static _Atomic size_t page;
    size_t size = atomic_load_explicit(&page, memory_order_relaxed);

    if (unlikely(size == 0)) {
        size = (size_t)sysconf(_SC_PAGESIZE);
        atomic_store_explicit(&page, size, memory_order_relaxed);
    }
    return size;
}

size_t stack_usable(void)
{
    return STACK_SIZE - guard_size();
}

/* Advise the first `n` ranges of `iov`, equally long: in one call where the kernel lets a process
 * advise itself so, else one by one. */
static bool advise(struct stack_arena *a, size_t n, int advice)
{
    const struct iovec *iov = a->iov;

    if (!a->one_by_one) {
        long done = syscall(SYS_process_madvise, PIDFD_SELF, iov, n, advice, 0);
        if (done == (long)(n * iov[0].iov_len))
            return true;
        a->one_by_one = true;
    }
    for (size_t i = 0; i < n; i++) {
        if (madvise(iov[i].iov_base, iov[i].iov_len, advice) != 0)
            return false;
    }
    return true;
}

static bool guard_by_madvise(struct stack_arena *a, char *base)
{
    for (size_t i = 0; i < SLAB_STACKS; i++)
        a->iov[i] = (struct iovec){.iov_base = base + i * STACK_SIZE, .iov_len = guard_size()};
    return advise(a, SLAB_STACKS, MADV_GUARD_INSTALL);
}

static bool guard_by_mprotect(char *base)
{
    if (atomic_fetch_add(&mprotected, SLAB_STACKS) + SLAB_STACKS > MPROTECT_MAX)
        goto fail;
    for (size_t i = 0; i < SLAB_STACKS; i++) {
        if (mprotect(base + i * STACK_SIZE, guard_size(), PROT_NONE) != 0)
            goto fail;
    }
    return true;

fail:
    atomic_fetch_sub(&mprotected, SLAB_STACKS);
    return false;
}

/* Returns the guard that the slab got; STACK_GUARD_AUTO: not the one that was asked for. */
static enum stack_guard guard_slab(struct stack_arena *a, char *base)
{
    bool any = a->guard == STACK_GUARD_AUTO;

    if ((any || a->guard == STACK_GUARD_MADVISE) && guard_by_madvise(a, base))
        return STACK_GUARD_MADVISE;
    if ((any || a->guard == STACK_GUARD_MPROTECT) && guard_by_mprotect(base))
        return STACK_GUARD_MPROTECT;
    if (a->guard == STACK_GUARD_MADVISE)
        return STACK_GUARD_AUTO;
    /* What mprotect has split stays split; its cap leaves room for these mappings, too. */
    if (mprotect(base, SLAB_SIZE, PROT_READ | PROT_WRITE) != 0)
        return STACK_GUARD_AUTO;
    return STACK_GUARD_CANARY;
}

static void slab_register(struct slab *slab)
{
    (void)slab;
#ifdef FIBER_VALGRIND
    if (!RUNNING_ON_VALGRIND)
        return;
    slab->valgrind = calloc(SLAB_STACKS, sizeof(*slab->valgrind));
    for (size_t i = 0; slab->valgrind && i < SLAB_STACKS; i++) {
        char *low = slab->base + i * STACK_SIZE;
        slab->valgrind[i] = VALGRIND_STACK_REGISTER(low, low + STACK_SIZE - 1);
    }
#endif
}

static void slab_unmap(struct slab *slab)
{
#ifdef FIBER_VALGRIND
    for (size_t i = 0; slab->valgrind && i < SLAB_STACKS; i++)
        VALGRIND_STACK_DEREGISTER(slab->valgrind[i]);
#endif
    free(slab->valgrind);
    slab->valgrind = NULL;
    munmap(slab->base, SLAB_SIZE);
    if (slab->guard == STACK_GUARD_MPROTECT)
        atomic_fetch_sub(&mprotected, SLAB_STACKS);
}

static bool slab_map(struct stack_arena *a, struct slab *ret)
{
    char *base = mmap(NULL, SLAB_SIZE, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);

    if (base == MAP_FAILED)
        return false;
    /* A huge page would make every stack of 64 KiB resident; a kernel that has none says EINVAL. */
    (void)madvise(base, SLAB_SIZE, MADV_NOHUGEPAGE);
    enum stack_guard guard = guard_slab(a, base);
    if (guard == STACK_GUARD_AUTO) {
        munmap(base, SLAB_SIZE);
        return false;
    }
    *ret = (struct slab){.base = base, .guard = guard};
    slab_register(ret);
    return true;
}

static bool arena_grow(struct stack_arena *a)
{
    size_t n = a->slab_count + 1;
    struct slab *slabs = realloc(a->slabs, n * sizeof(*slabs));

    if (slabs == NULL)
        return false;
    a->slabs = slabs;
    void **list = realloc(a->free, n * SLAB_STACKS * sizeof(*list));
    if (list == NULL)
        return false;
    a->free = list;

    struct slab *slab = &a->slabs[a->slab_count];
    if (!slab_map(a, slab))
        return false;
    a->slab_count = n;
    a->canaries |= slab->guard == STACK_GUARD_CANARY;
    /* Only an empty arena grows: all that is free is cold. The lowest address comes first. */
    for (size_t i = 0; i < SLAB_STACKS; i++)
        a->free[i] = slab->base + (SLAB_STACKS - 1 - i) * STACK_SIZE + guard_size();
    a->count = a->cold = a->low = SLAB_STACKS;
    return true;
}

struct stack_arena *stack_arena_new(enum stack_guard guard)
{
    struct stack_arena *a = calloc(1, sizeof(*a));

    if (a)
        a->guard = guard;
    return a;
}

void stack_arena_free(struct stack_arena *a)
{
    if (a == NULL)
        return;
    for (size_t i = 0; i < a->slab_count; i++)
        slab_unmap(&a->slabs[i]);
    free(a->slabs);
    free(a->free);
    free(a);
}

void *stack_get(struct stack_arena *a)
{
    if (unlikely(a->count == 0) && !arena_grow(a))
        return NULL;
    a->count--;
    if (a->low > a->count)
        a->low = a->count;
    if (a->cold > a->count)
        a->cold = a->count;
    a->used++;
    return a->free[a->count];
}

void stack_put(struct stack_arena *a, void *stack)
{
    assert(a->used > 0);
    annotate_stack_reset(stack, stack_usable());
    a->used--;
    a->free[a->count++] = stack;
}

static const struct slab *slab_of(const struct stack_arena *a, const void *address)
{
    for (size_t i = 0; i < a->slab_count; i++) {
        uintptr_t offset = (uintptr_t)address - (uintptr_t)a->slabs[i].base;
        if (offset < SLAB_SIZE)
            return &a->slabs[i];
    }
    return NULL;
}

bool stack_intact(const struct stack_arena *a, const void *stack)
{
    if (likely(!a->canaries))
        return true;
    const struct slab *slab = slab_of(a, stack);
    if (slab == NULL || slab->guard != STACK_GUARD_CANARY)
        return true;
    const char *guard = (const char *)stack - guard_size();
    return guard[0] == 0 && memcmp(guard, guard + 1, guard_size() - 1) == 0;
}

int64_t stack_trim(struct stack_arena *a)
{
    size_t n = a->low - a->cold;

    if (n > SLAB_STACKS)
        n = SLAB_STACKS;
    for (size_t i = 0; i < n; i++)
        a->iov[i] = (struct iovec){.iov_base = a->free[a->cold + i], .iov_len = stack_usable()};
    if (n > 0)
        (void)advise(a, n, MADV_DONTNEED);
    a->cold += n;
    if (a->cold < a->low)
        return TRIM_NEXT_PART;
    if (a->count > a->cold + WARM_MIN)
        a->low = a->count - WARM_MIN;
    return a->cold < a->low ? TRIM_NEXT : CLOCK_NEVER;
}

bool stack_is_guard(const struct stack_arena *a, const void *address)
{
    const struct slab *slab = slab_of(a, address);

    return slab && ((uintptr_t)address - (uintptr_t)slab->base) % STACK_SIZE < guard_size();
}

void stack_stats(const struct stack_arena *a, struct stack_stats *ret)
{
    *ret = (struct stack_stats){
        .used = a->used,
        .warm = a->count - a->cold,
        .cold = a->cold,
        .mappings = a->slab_count,
    };
}
