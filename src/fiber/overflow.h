/*
 * Stack overflow, said as what it is: "weft: fiber 'relay' overflowed its stack of 64 KiB", before
 * the process ends by SIGSEGV as it would have. The handler itself is installed by
 * sched_catch_overflow().
 */
#ifndef WEFT_FIBER_OVERFLOW_H
#define WEFT_FIBER_OVERFLOW_H

#include "base/attr.h"

/** Report that the fiber `name` overflowed its stack, and abort: for a canary found dead. */
void overflow_die(const char *name) WEFT_NORETURN;

#endif
