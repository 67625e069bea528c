/*
 * The switch where there is no assembly for the machine: the C library's ucontext. Each switch
 * costs a sigprocmask(2).
 *
 * context.sp points to a ucontext_t: of a context that was left, the one in its swap()
 * frame (that is about 1 KiB of its stack); of a new one, the one at the high end of its stack.
 */
#include "fiber/context.h"

#include <stdint.h>
#include <stdlib.h>
#include <ucontext.h>

/* What a new context begins with; it lies at the high end of its stack. */
struct beginning {
    ucontext_t context;
    void (*entry)(void *);
    void *arg;
};

/* makecontext() passes ints only: a pointer goes in two halves. */
static void start(unsigned high, unsigned low)
{
    struct beginning *b = (struct beginning *)(uintptr_t)((uint64_t)high << 32 | low);

    b->entry(b->arg);
    abort();
}

void context_make(struct context *c, void *stack, size_t size, void (*entry)(void *), void *arg)
{
    uintptr_t top = ((uintptr_t)stack + size - sizeof(struct beginning)) & ~(uintptr_t)63;
    struct beginning *b = (struct beginning *)top;
    uint64_t address = top;

    getcontext(&b->context);
    b->context.uc_stack.ss_sp = stack;
    b->context.uc_stack.ss_size = top - (uintptr_t)stack;
    b->context.uc_link = NULL;
    b->entry = entry;
    b->arg = arg;
    makecontext(&b->context, (void (*)(void))start, 2, (unsigned)(address >> 32),
                (unsigned)address);
    c->sp = b;
}

static void swap(struct context *from, const struct context *to)
{
    ucontext_t here;

    from->sp = &here;
    swapcontext(&here, to->sp);
}

void context_enter(struct context *loop, const struct context *fiber)
{
    swap(loop, fiber);
}

void context_leave(struct context *fiber, const struct context *loop)
{
    swap(fiber, loop);
}
