/*
 * The context switch: a thread leaves its loop's stack for a fiber's, and comes back.
 *
 * A context is the stack pointer it was left at; everything else that a call must keep is on that
 * stack. Implementations: context_x86_64.S, context_aarch64.S, context_ucontext.c.
 *
 * Two functions, one a direction, though both swap stacks: the processor predicts each one's jump
 * by itself (one function for both took 4 to 10 ns on Zen 4, two take 1.6), and as the loop keeps
 * the control words that a process begins with, only a fiber's are read (4 ns of the round trip).
 */
#ifndef WEFT_FIBER_CONTEXT_H
#define WEFT_FIBER_CONTEXT_H

#include <stddef.h>

struct context {
    void *sp; /* where it was left; with ucontext: its ucontext_t */
};

/**
 * Make `c` begin at `entry(arg)` on an empty stack with the default floating-point control words,
 * at the first switch to it. `entry` must not return.
 *
 * Owns nothing: the stack stays the caller's, and may be reused once the context is left for good.
 */
void context_make(struct context *c, void *stack, size_t size, void (*entry)(void *), void *arg);

/**
 * Leave the loop's stack for a fiber's; returns when the fiber leaves.
 *
 * Keeps the callee-saved registers (System V x86-64 psABI 3.2.1; AAPCS64 6.1) and gives the fiber
 * its own floating-point control words back.
 */
void context_enter(struct context *loop, const struct context *fiber);

/**
 * Leave a fiber's stack for the loop's; returns when the fiber is entered again.
 *
 * Keeps as context_enter() does; the loop gets the default floating-point control words.
 */
void context_leave(struct context *fiber, const struct context *loop);

#endif
