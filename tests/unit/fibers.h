/* Running a test's body on a fiber. */
#ifndef WEFT_TESTS_FIBERS_H
#define WEFT_TESTS_FIBERS_H

#include <check.h>
#include <signal.h>

#include "base/clock.h"
#include "fiber/sched.h"

/** Run `fn(arg)` as the main fiber of a scheduler of its own, until every fiber has ended. */
static inline void in_fiber(fiber_fn *fn, void *arg)
{
    signal(SIGPIPE, SIG_IGN);
    clock_update();
    struct sched *s = sched_new(&(struct sched_options){0});
    ck_assert_ptr_nonnull(s);
    sched_run(s, "test", fn, arg);
    sched_free(s);
}

#endif
