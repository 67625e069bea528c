/*
 * Time: monotonic nanoseconds, read from the kernel once per turn of a thread's loop.
 */
#ifndef WEFT_BASE_CLOCK_H
#define WEFT_BASE_CLOCK_H

#include <stdint.h>

#define CLOCK_NEVER INT64_MAX /* a deadline that does not come */

#define NSEC_PER_USEC INT64_C(1000)
#define NSEC_PER_MSEC INT64_C(1000000)
#define NSEC_PER_SEC  INT64_C(1000000000)

extern _Thread_local int64_t clock_cached; /* [monotonic ns] 0 until the first clock_update */

/** Read the monotonic clock and keep it for clock_now(). Returns it [monotonic ns]. */
int64_t clock_update(void);

/** The time of this thread's last clock_update() [monotonic ns]; no system call. */
static inline int64_t clock_now(void)
{
    return clock_cached;
}

/** The deadline `delay` [ns] from clock_now(); CLOCK_NEVER where the sum would not fit or `delay`
 * is 0 or less. */
int64_t clock_after(int64_t delay);

/** The wall clock [ns since 1970 UTC]. */
int64_t clock_wall(void);

#endif
