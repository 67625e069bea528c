#include "fiber/fiber.h"

#include <errno.h>
#include <stdlib.h>

#include "fiber/sched_internal.h"

/*
 * Deadlines are lazy: most waits end long before theirs, so a wait only stores it, and the timer is
 * touched where it would fire too late. When it fires and the deadline has moved on, it is set
 * again:
 *
 *      deadline   d1    d2     d3              each a plain store
 *      timer      └─────────────> fires at d1, set to d3
 */
static void timer_set(struct fiber *f, int64_t delay)
{
    ev_timer_set(&f->timer, (ev_tstamp)delay / NSEC_PER_SEC, 0.);
    ev_timer_start(f->sched->loop, &f->timer);
    f->timer_at = clock_now() + delay;
}

static void on_timer(struct ev_loop *loop, struct ev_timer *w, int revents)
{
    struct fiber *f = container_of(w, struct fiber, timer);

    (void)loop;
    (void)revents;
    f->timer_at = CLOCK_NEVER;
    if (f->deadline == CLOCK_NEVER)
        return;
    int64_t left = f->deadline - clock_now();
    if (left <= 0)
        fiber_wake(f, -ETIMEDOUT);
    else /* libev's clock and ours differ by a little: must not spin on that */
        timer_set(f, left > NSEC_PER_MSEC ? left : NSEC_PER_MSEC);
}

/* Make the running fiber a parked one, yet to leave. Returns 0, or how its wait failed at once. */
static int wait_begin(struct fiber *f, int64_t deadline)
{
    if (unlikely(f->cancelled))
        return -ECANCELED;
    int64_t now = clock_now();
    if (deadline <= now)
        return -ETIMEDOUT;
    f->deadline = deadline;
    if (deadline < f->timer_at) {
        if (f->timer_at != CLOCK_NEVER)
            ev_timer_stop(f->sched->loop, &f->timer);
        timer_set(f, deadline - now);
    }
    f->state = FIBER_PARKED;
    return 0;
}

void fiber_create(struct fiber *f, const char *name, fiber_fn *fn, void *arg,
                  void (*done)(struct fiber *f))
{
    *f = (struct fiber){
        .fn = fn,
        .arg = arg,
        .name = name,
        .done = done,
        .deadline = CLOCK_NEVER,
        .timer_at = CLOCK_NEVER,
        .state = FIBER_CREATED,
    };
    list_init(&f->link);
    ev_init(&f->timer, on_timer);
}

void fiber_start(struct fiber *f)
{
    struct sched *s = sched_current;

    assert(s != NULL && f->state == FIBER_CREATED);
    f->sched = s;
    sched_add(&s->watched.fibers, 1);
    fiber_enqueue(f);
}

struct fiber *fiber_spawn(const char *name, fiber_fn *fn, void *arg, bool joinable)
{
    struct fiber *f = malloc(sizeof(*f));

    if (f == NULL)
        return NULL;
    fiber_create(f, name, fn, arg, NULL);
    f->owned = true;
    f->joinable = joinable;
    fiber_start(f);
    return f;
}

struct fiber *fiber_self(void)
{
    return sched_current ? sched_current->current : NULL;
}

void fiber_main(void *fiber)
{
    struct fiber *f = fiber;

    annotate_arrive(NULL, &f->sched->loop_stack);
    f->fn(f->arg);
    f->state = FIBER_DONE;
    sched_leave_stack(f);
}

void fiber_finish(struct fiber *f)
{
    struct sched *s = f->sched;

    if (f->timer_at != CLOCK_NEVER)
        ev_timer_stop(s->loop, &f->timer);
    sched_add(&s->watched.fibers, -1);
    if (f->joiner)
        fiber_ready(f->joiner);
    if (f->done)
        f->done(f);
    else if (f->owned && !f->joinable)
        free(f);
}

int fiber_park(int64_t deadline)
{
    struct fiber *f = fiber_running();

    f->result = wait_begin(f, deadline);
    if (f->result == 0)
        sched_leave(f);
    return f->result;
}

int fiber_park_in(struct list *waiters, int64_t deadline)
{
    struct fiber *f = fiber_running();

    f->result = wait_begin(f, deadline);
    if (f->result == 0) {
        list_push_back(waiters, &f->link);
        sched_leave(f);
    }
    return f->result;
}

void fiber_ready(struct fiber *f)
{
    assert(f->sched == sched_current);
    if (f->state == FIBER_PARKED && list_empty(&f->link))
        fiber_wake(f, 0);
}

void fiber_yield(void)
{
    struct fiber *f = fiber_running();

    fiber_enqueue(f);
    sched_leave(f);
}

void fiber_hibernate(fiber_fn *resume, void *arg, int64_t deadline)
{
    struct fiber *f = fiber_running();

    f->fn = resume;
    f->arg = arg;
    f->result = wait_begin(f, deadline);
    if (f->result != 0)
        fiber_enqueue(f);
    sched_leave_stack(f);
}

int fiber_wait_result(void)
{
    return fiber_running()->result;
}

int fiber_join(struct fiber *f)
{
    struct fiber *self = fiber_running();

    assert(f->joinable && f->joiner == NULL && f != self);
    f->joiner = self;
    while (f->state != FIBER_DONE) {
        int r = fiber_park(CLOCK_NEVER);
        if (r != 0) {
            f->joiner = NULL;
            return r;
        }
    }
    free(f);
    return 0;
}

void fiber_cancel(struct fiber *f)
{
    assert(f->state == FIBER_CREATED || f->sched == sched_current);
    f->cancelled = true;
    if (f->state == FIBER_PARKED)
        fiber_wake(f, -ECANCELED);
}

int fiber_sleep(int64_t deadline)
{
    int r;

    do
        r = fiber_park(deadline);
    while (r == 0);
    return r == -ETIMEDOUT ? 0 : r;
}

void fiber_call(fiber_fn *fn, void *arg)
{
    struct sched *s = sched_current;

    if (s == NULL || s->current == NULL) {
        fn(arg);
        return;
    }
    s->call_fn = fn;
    s->call_arg = arg;
    sched_leave(s->current);
}
