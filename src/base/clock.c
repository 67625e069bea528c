#include "base/clock.h"

#include <time.h>

_Thread_local int64_t clock_cached;

static int64_t read_clock(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

int64_t clock_update(void)
{
    clock_cached = read_clock(CLOCK_MONOTONIC);
    return clock_cached;
}

int64_t clock_after(int64_t delay)
{
    int64_t deadline;
    if (delay <= 0 || __builtin_add_overflow(clock_cached, delay, &deadline))
        return CLOCK_NEVER;
    return deadline;
}

int64_t clock_wall(void)
{
    return read_clock(CLOCK_REALTIME);
}
