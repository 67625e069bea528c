#include "worker/since.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "unit.h"

#define TICK (20 * NSEC_PER_MSEC) /* what the kernel counts in, and some more */

START_TEST(a_process_of_now_was_started_now)
{
    const struct timespec moment = {.tv_nsec = 100 * NSEC_PER_MSEC};
    int64_t before = clock_update();
    pid_t child = fork();
    if (child == 0) {
        pause();
        _exit(0);
    }
    nanosleep(&moment, NULL);
    int64_t after = clock_update();
    int64_t started = since_started(child);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    ck_assert_int_ge(started, before - TICK);
    ck_assert_int_lt(started, after - 50 * NSEC_PER_MSEC);
}
END_TEST

START_TEST(no_name_confuses_it)
{
    clock_update();
    int64_t started = since_started(getpid());
    ck_assert_int_eq(prctl(PR_SET_NAME, ") 1 (2) 3"), 0);
    int64_t again = since_started(getpid());
    ck_assert_int_le(again - started, TICK);
    ck_assert_int_ge(again - started, -TICK);
}
END_TEST

START_TEST(nobody_was_started_now)
{
    int64_t now = clock_update();
    ck_assert_int_eq(since_started(0), now);
}
END_TEST

UNIT_MAIN("since", a_process_of_now_was_started_now, no_name_confuses_it, nobody_was_started_now)
