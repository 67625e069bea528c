#include "fiber/fiber.h"

#include <errno.h>
#include <fenv.h>
#include <string.h>

#include "fibers.h"
#include "unit.h"

/* What happened, in order: each fiber under test appends its letter. */
static char trace[64];

static void note(char c)
{
    size_t n = strlen(trace);

    ck_assert_uint_lt(n, sizeof(trace) - 1);
    trace[n] = c;
}

static void note_arg(void *arg)
{
    note(*(char *)arg);
}

static struct fiber *spawn(const char *name, fiber_fn *fn, void *arg)
{
    struct fiber *f = fiber_spawn(name, fn, arg, true);

    ck_assert_ptr_nonnull(f);
    return f;
}

static void join(struct fiber *f)
{
    ck_assert_int_eq(fiber_join(f), 0);
}

static void order_main(void *arg)
{
    char names[] = "abc";
    struct fiber *f[3];

    (void)arg;
    for (int i = 0; i < 3; i++)
        f[i] = spawn("child", note_arg, &names[i]);
    note('m');
    for (int i = 0; i < 3; i++)
        join(f[i]);
    note('M');
}

START_TEST(runs_in_order_of_start)
{
    in_fiber(order_main, NULL);
    ck_assert_str_eq(trace, "mabcM");
}
END_TEST

static void yielder(void *arg)
{
    for (int i = 0; i < 3; i++) {
        note_arg(arg);
        fiber_yield();
    }
}

static void yield_main(void *arg)
{
    char a = 'a';
    char b = 'b';

    (void)arg;
    struct fiber *x = spawn("a", yielder, &a);
    struct fiber *y = spawn("b", yielder, &b);
    join(x);
    join(y);
}

START_TEST(yield_takes_turns)
{
    in_fiber(yield_main, NULL);
    ck_assert_str_eq(trace, "ababab");
}
END_TEST

/* --- park and ready ---------------------------------------------------------------------- */

struct parked {
    struct fiber *fiber;
    int64_t deadline;
    int result;
    int times;
};

static void park(void *arg)
{
    struct parked *p = arg;

    p->result = fiber_park(p->deadline);
    ck_assert_int_eq(fiber_wait_result(), p->result);
    p->times++;
}

static void ready_main(void *arg)
{
    struct parked p = {.deadline = CLOCK_NEVER, .result = 1};

    (void)arg;
    p.fiber = spawn("parked", park, &p);
    fiber_ready(p.fiber); /* it has not parked yet: no effect */
    fiber_yield();
    ck_assert_int_eq(p.times, 0);
    fiber_ready(p.fiber);
    fiber_ready(p.fiber); /* it is ready: no effect */
    ck_assert_int_eq(p.times, 0);
    join(p.fiber);
    ck_assert_int_eq(p.result, 0);
    ck_assert_int_eq(p.times, 1);
}

START_TEST(park_ends_by_ready)
{
    in_fiber(ready_main, NULL);
}
END_TEST

static void deadline_main(void *arg)
{
    struct parked p = {.deadline = clock_now() + 5 * NSEC_PER_MSEC};

    (void)arg;
    p.fiber = spawn("parked", park, &p);
    join(p.fiber);
    ck_assert_int_eq(p.result, -ETIMEDOUT);
    ck_assert_int_ge(clock_now(), p.deadline);
    ck_assert_int_eq(fiber_park(0), -ETIMEDOUT);
    ck_assert_int_eq(fiber_park(clock_now()), -ETIMEDOUT);
}

START_TEST(park_ends_by_deadline)
{
    in_fiber(deadline_main, NULL);
}
END_TEST

/* A timer left running by an earlier wait must neither end a later one nor hide an earlier one. */
static void lazy_main(void *arg)
{
    (void)arg;
    for (int i = 0; i < 3; i++) {
        struct parked p = {.deadline = clock_now() + 3 * NSEC_PER_MSEC};
        struct fiber *other = spawn("short", park, &p);
        ck_assert_int_eq(fiber_sleep(clock_now() + NSEC_PER_MSEC), 0);
        ck_assert_int_eq(fiber_sleep(clock_now() + 20 * NSEC_PER_MSEC), 0);
        ck_assert_int_eq(p.result, -ETIMEDOUT);
        join(other);
    }
}

START_TEST(deadlines_move_both_ways)
{
    in_fiber(lazy_main, NULL);
}
END_TEST

static void wake_main_early(void *arg)
{
    fiber_ready(arg);
}

static void wake_late(void *arg)
{
    ck_assert_int_eq(fiber_sleep(clock_now() + 20 * NSEC_PER_MSEC), 0);
    fiber_ready(arg);
}

/* Leave a timer running that the fiber waits for no more. */
static void leave_timer(void)
{
    int r;

    do { /* on a loaded machine, the deadline may come first */
        struct fiber *waker = spawn("waker", wake_main_early, fiber_self());
        r = fiber_park(clock_now() + 5 * NSEC_PER_MSEC);
        join(waker);
    } while (r != 0);
}

static void stale_main(void *arg)
{
    (void)arg;
    leave_timer();
    int64_t deadline = clock_now() + 20 * NSEC_PER_MSEC;
    ck_assert_int_eq(fiber_park(deadline), -ETIMEDOUT);
    ck_assert_int_ge(clock_now(), deadline);

    leave_timer();
    struct fiber *late = spawn("late", wake_late, fiber_self());
    ck_assert_int_eq(fiber_park(CLOCK_NEVER), 0); /* the timer fires for nobody */
    join(late);
}

START_TEST(stale_timer_ends_no_wait)
{
    in_fiber(stale_main, NULL);
}
END_TEST

/* --- cancel ------------------------------------------------------------------------------ */

static void cancelled(void *arg)
{
    struct parked *p = arg;

    p->result = fiber_park(CLOCK_NEVER);
    ck_assert_int_eq(fiber_park(CLOCK_NEVER), -ECANCELED);
    ck_assert_int_eq(fiber_sleep(clock_now() + NSEC_PER_SEC), -ECANCELED);
    fiber_yield();
    p->times++;
}

static void cancel_main(void *arg)
{
    struct parked parked = {.result = 1};
    struct parked fresh = {.result = 1};

    (void)arg;
    parked.fiber = spawn("parked", cancelled, &parked);
    fiber_yield();
    fiber_cancel(parked.fiber);
    fresh.fiber = spawn("fresh", cancelled, &fresh);
    fiber_cancel(fresh.fiber);
    join(parked.fiber);
    join(fresh.fiber);
    ck_assert_int_eq(parked.result, -ECANCELED);
    ck_assert_int_eq(fresh.result, -ECANCELED);
    ck_assert_int_eq(parked.times + fresh.times, 2);
}

START_TEST(cancel_ends_every_wait)
{
    in_fiber(cancel_main, NULL);
}
END_TEST

static void join_cancelled(void *arg)
{
    ck_assert_int_eq(fiber_join(arg), -ECANCELED);
}

static void join_main(void *arg)
{
    struct parked p = {.deadline = CLOCK_NEVER};

    (void)arg;
    p.fiber = spawn("parked", park, &p);
    struct fiber *joiner = spawn("joiner", join_cancelled, p.fiber);
    fiber_yield();
    fiber_cancel(joiner);
    join(joiner);
    fiber_cancel(p.fiber); /* it was left alone */
    join(p.fiber);
    ck_assert_int_eq(p.times, 1);
}

START_TEST(join_can_be_cancelled)
{
    in_fiber(join_main, NULL);
}
END_TEST

/* --- a fiber of the caller's own, with done() -------------------------------------------- */

struct session {
    int laps;
    struct fiber fiber;
    struct fiber *observer;
};

static int freed;

static void session_done(struct fiber *f)
{
    struct session *s = container_of(f, struct session, fiber);

    ck_assert_ptr_null(fiber_self());
    fiber_ready(s->observer);
    free(s);
    freed++;
}

static void session_resume(void *arg)
{
    struct session *s = arg;

    ck_assert_ptr_eq(fiber_self(), &s->fiber);
    if (s->laps++ < 3)
        fiber_hibernate(session_resume, s, CLOCK_NEVER);
}

static struct session *session_start(void)
{
    struct session *s = calloc(1, sizeof(*s));

    ck_assert_ptr_nonnull(s);
    s->observer = fiber_self();
    fiber_create(&s->fiber, "session", session_resume, s, session_done);
    fiber_start(&s->fiber);
    return s;
}

static void hibernate_main(void *arg)
{
    struct session *s = session_start();

    (void)arg;
    for (int lap = 1; lap <= 3; lap++) {
        fiber_yield();
        ck_assert_int_eq(s->laps, lap);
        fiber_yield(); /* nobody wakes it */
        ck_assert_int_eq(s->laps, lap);
        fiber_ready(&s->fiber);
    }
    ck_assert_int_eq(fiber_park(clock_now() + 5 * NSEC_PER_SEC), 0);
    ck_assert_int_eq(freed, 1);
}

START_TEST(hibernates_and_resumes)
{
    in_fiber(hibernate_main, NULL);
    ck_assert_int_eq(freed, 1);
}
END_TEST

static void resumed_late(void *arg)
{
    struct parked *p = arg;

    p->result = fiber_wait_result();
    p->times++;
}

static void hibernate(void *arg)
{
    struct parked *p = arg;

    fiber_hibernate(resumed_late, p, p->deadline);
}

static void hibernate_results_main(void *arg)
{
    struct parked late = {.deadline = clock_now() + 5 * NSEC_PER_MSEC};
    struct parked past = {.deadline = 0};
    struct parked stopped = {.deadline = CLOCK_NEVER};

    (void)arg;
    late.fiber = spawn("late", hibernate, &late);
    past.fiber = spawn("past", hibernate, &past);
    stopped.fiber = spawn("stopped", hibernate, &stopped);
    fiber_yield();
    fiber_cancel(stopped.fiber);
    join(stopped.fiber);
    join(past.fiber);
    join(late.fiber);
    ck_assert_int_eq(late.result, -ETIMEDOUT);
    ck_assert_int_eq(past.result, -ETIMEDOUT);
    ck_assert_int_eq(stopped.result, -ECANCELED);
    ck_assert_int_ge(clock_now(), late.deadline);
    ck_assert_int_eq(late.times + past.times + stopped.times, 3);
}

START_TEST(hibernation_says_how_it_ended)
{
    in_fiber(hibernate_results_main, NULL);
}
END_TEST

/* --- on the loop's stack ----------------------------------------------------------------- */

static void deep(void *arg)
{
    char big[200 * 1024]; /* three times a fiber's stack */

    ck_assert_ptr_null(fiber_self());
    memset(big, 1, sizeof(big));
    *(int *)arg += big[sizeof(big) - 1];
}

static void call_nested(void *arg)
{
    fiber_call(deep, arg);
}

static void call_main(void *arg)
{
    struct fiber *self = fiber_self();

    fiber_call(deep, arg);
    fiber_call(call_nested, arg);
    ck_assert_ptr_eq(fiber_self(), self);
}

START_TEST(calls_on_the_loops_stack)
{
    int calls = 0;

    in_fiber(call_main, &calls);
    ck_assert_int_eq(calls, 2);
    fiber_call(deep, &calls);
    ck_assert_int_eq(calls, 3);
    ck_assert_ptr_null(fiber_self());
}
END_TEST

/* --- floating point ---------------------------------------------------------------------- */

static void round_up(void *arg)
{
    (void)arg;
    ck_assert_int_eq(fegetround(), FE_TONEAREST);
    ck_assert_int_eq(fesetround(FE_UPWARD), 0);
    fiber_yield();
    ck_assert_int_eq(fegetround(), FE_UPWARD);
}

static void round_main(void *arg)
{
    (void)arg;
    struct fiber *a = spawn("up", round_up, NULL);
    struct fiber *b = spawn("up", round_up, NULL);
    fiber_yield();
    ck_assert_int_eq(fegetround(), FE_TONEAREST);
    join(a);
    join(b);
    ck_assert_int_eq(fegetround(), FE_TONEAREST);
}

START_TEST(keeps_the_rounding_mode)
{
    in_fiber(round_main, NULL);
}
END_TEST

/* Sessions embed it, and an idle one costs little more. */
START_TEST(is_small)
{
#ifndef FIBER_TSAN
    ck_assert_uint_le(sizeof(struct fiber), 160);
#endif
}
END_TEST

UNIT_MAIN("fiber", runs_in_order_of_start, yield_takes_turns, park_ends_by_ready,
          park_ends_by_deadline, deadlines_move_both_ways, stale_timer_ends_no_wait,
          cancel_ends_every_wait, join_can_be_cancelled, hibernates_and_resumes,
          hibernation_says_how_it_ended, calls_on_the_loops_stack, keeps_the_rounding_mode,
          is_small)
