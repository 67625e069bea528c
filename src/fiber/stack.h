/*
 * Stacks for fibers, from an arena of large mappings.
 *
 *      low                                                    high
 *      ┌───────┬───────────────────────────────┬───────┬─────
 *      │ guard │            stack      <── sp  │ guard │ ...      64 KiB each, guard included
 *      └───────┴───────────────────────────────┴───────┴─────
 *
 * The guard page is installed by MADV_GUARD_INSTALL (Linux 6.13), which needs no mapping of its
 * own; before that by mprotect up to a cap, and beyond the cap it is a canary: a page that must
 * still be all zeroes when the stack comes back. Free stacks are kept warm, last used first.
 */
#ifndef WEFT_FIBER_STACK_H
#define WEFT_FIBER_STACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

#define STACK_SIZE ((size_t)64 * 1024) /* [bytes] guard included; a multiple of the page size */

/* One arena a scheduler; not shared between threads. */
struct stack_arena;

enum stack_guard {
    STACK_GUARD_AUTO,
    STACK_GUARD_MADVISE,
    STACK_GUARD_MPROTECT,
    STACK_GUARD_CANARY
};

struct stack_stats {
    size_t used;     /* stacks in fibers' hands */
    size_t warm;     /* free stacks whose pages are kept */
    size_t cold;     /* free stacks without pages */
    size_t mappings; /* slabs asked of the kernel */
};

/** Make an arena; it maps nothing yet. Returns NULL without memory. */
struct stack_arena *stack_arena_new(enum stack_guard guard) WEFT_MUSTCHECK;

/** Unmap everything, stacks in use too. NULL is fine. */
void stack_arena_free(struct stack_arena *a);

/** Returns the lowest usable byte of a stack of stack_usable() bytes, or NULL without memory. */
void *stack_get(struct stack_arena *a) WEFT_MUSTCHECK;

/** Give a stack back; the next stack_get() has it. */
void stack_put(struct stack_arena *a, void *stack);

/** What a fiber may use of a stack [bytes]. */
size_t stack_usable(void);

/** Whether a canary guard is untouched; true where the guard is a page that faults. */
bool stack_intact(const struct stack_arena *a, const void *stack);

/**
 * Give the pages of stacks that were free since the last trim back to the kernel, but for a few,
 * and of a bounded number in one call.
 *
 * Returns when to call it again [ns from now]; CLOCK_NEVER: not before another stack came back.
 */
int64_t stack_trim(struct stack_arena *a);

/** Whether an address is in the guard page of one of the arena's stacks; async-signal-safe. */
bool stack_is_guard(const struct stack_arena *a, const void *address);

void stack_stats(const struct stack_arena *a, struct stack_stats *ret);

#endif
