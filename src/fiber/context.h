/*
 * The context switch: one thread of execution is left, another one goes on.
 *
 * A context is the stack pointer it was left at; everything else that a call must keep is on that
 * stack. Implementations: context_x86_64.S, context_aarch64.S, context_ucontext.c.
 */
#ifndef WEFT_FIBER_CONTEXT_H
#define WEFT_FIBER_CONTEXT_H

#include <stddef.h>

struct context {
    void *sp; /* where it was left; with ucontext: its ucontext_t */
};

/**
 * Make `c` begin at `entry(arg)` on an empty stack, at the first switch to it. `entry` must not
 * return.
 *
 * Owns nothing: the stack stays the caller's, and may be reused once the context is left for good.
 */
void context_make(struct context *c, void *stack, size_t size, void (*entry)(void *), void *arg);

/**
 * Leave the running context in `from` and go on in `to`.
 *
 * Keeps the callee-saved registers and the floating-point control words of the ABI
 * (System V x86-64 psABI 3.2.1; AAPCS64 6.1).
 */
void context_switch(struct context *from, const struct context *to);

#endif
