/*
 * Crashes, said as what they are before the process ends by the signal as it would have:
 *
 *      weft: fiber 'session' (connection 42 of listener web) crashed: SIGSEGV
 *      weft: fiber 'session' (connection 42 of listener web) overflowed its stack of 64 KiB
 *
 * The handler itself is installed by sched_catch_crash().
 */
#ifndef WEFT_FIBER_CRASH_H
#define WEFT_FIBER_CRASH_H

#include "base/attr.h"

struct fiber;

/** Report that a fiber overflowed its stack, and abort: for a canary found dead. */
void crash_by_overflow(const struct fiber *f) WEFT_NORETURN;

#endif
