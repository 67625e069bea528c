#include "fiber/sched.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fiber/crash.h"
#include "fiber/sched_internal.h"

#define RUN_MAX      256                 /* fibers between two looks at the events */
#define STARVE_DELAY (1 * NSEC_PER_MSEC) /* until a stack is asked for again */
#define TRIM_DELAY   (1 * NSEC_PER_SEC)

/* Spinning before a wait: */
#define SPIN_RECENT    (1 * NSEC_PER_MSEC) /* a wait shorter than this is recent activity */
#define SPINS_MAX      16                  /* how many may pay before the loop is asked */
#define SPINS_VAIN_MAX 8                   /* after so many in vain, 255 waits go without */

_Thread_local struct sched *sched_current;

static inline void cpu_relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static struct annotate_stack stack_of(const struct fiber *f)
{
    struct annotate_stack stack = {.low = f->stack};

#ifdef FIBER_ASAN
    stack.size = stack_usable();
#endif
#ifdef FIBER_TSAN
    stack.thread = f->thread;
#endif
    return stack;
}

static void enter(struct sched *s, struct fiber *f)
{
    struct annotate_stack to = stack_of(f);
    void *fake = NULL;

    s->current = f;
    annotate_leave(&fake, &to);
    context_enter(&s->context, &f->context);
    annotate_arrive(fake, NULL);
    s->current = NULL;
}

void sched_leave(struct fiber *f)
{
    struct sched *s = f->sched;
    void *fake = NULL;

    annotate_leave(&fake, &s->loop_stack);
    context_leave(&f->context, &s->context);
    annotate_arrive(fake, NULL);
}

void sched_leave_stack(struct fiber *f)
{
    struct sched *s = f->sched;

    s->stack_over = true;
    annotate_leave(NULL, &s->loop_stack);
    context_leave(&f->context, &s->context);
    abort();
}

static bool give_stack(struct sched *s, struct fiber *f)
{
    f->stack = stack_get(s->stacks);
    if (unlikely(f->stack == NULL))
        return false;
    context_make(&f->context, f->stack, stack_usable(), fiber_main, f);
#ifdef FIBER_TSAN
    f->thread = annotate_thread_new(f->name);
#endif
    return true;
}

static void take_stack(struct sched *s, struct fiber *f)
{
    if (unlikely(!stack_intact(s->stacks, f->stack)))
        crash_by_overflow(f);
#ifdef FIBER_TSAN
    annotate_thread_free(f->thread);
#endif
    stack_put(s->stacks, f->stack);
    f->stack = NULL;
    s->stack_over = false;
    if (!ev_is_active(&s->trim)) {
        ev_timer_set(&s->trim, (ev_tstamp)TRIM_DELAY / NSEC_PER_SEC, 0.);
        ev_timer_start(s->loop, &s->trim);
    }
}

static void serve_call(struct sched *s)
{
    fiber_fn *fn = s->call_fn;

    s->call_fn = NULL;
    fn(s->call_arg);
}

static void run(struct sched *s, struct fiber *f)
{
    if (f->stack == NULL && unlikely(!give_stack(s, f))) {
        s->starved = true;
        fiber_enqueue(f);
        return;
    }
    f->state = FIBER_RUNNING;
    sched_add(&s->watched.switches, 1);
    atomic_store_explicit(&s->watched.running, f->name, memory_order_relaxed);
    enter(s, f);
    while (s->call_fn) {
        serve_call(s);
        enter(s, f);
    }
    if (s->stack_over)
        take_stack(s, f);
    if (f->state == FIBER_DONE)
        fiber_finish(f);
}

/* Fibers that become ready meanwhile wait for the next turn: events come in between. */
static void run_ready(struct sched *s)
{
    struct list batch;
    struct list *l;
    unsigned n = 0;

    list_init(&batch);
    list_splice_back(&batch, &s->ready);
    s->starved = false;
    while (n++ < RUN_MAX && (l = list_pop_front(&batch)) != NULL)
        run(s, container_of(l, struct fiber, link));
    list_splice_back(&batch, &s->ready);
    list_splice_back(&s->ready, &batch);
    atomic_store_explicit(&s->watched.running, NULL, memory_order_relaxed);
}

/*
 * Look for events again and again instead of sleeping, up to `busy_poll`: waking a sleeping CPU
 * costs more than a short wait. Where it was in vain, more and more of the following waits do
 * without it, until it pays again.
 *
 * Returns whether fibers are ready, and the loop need not be asked: it is at least every SPINS_MAX
 * times, for timers and mail.
 */
static bool spin(struct sched *s)
{
    int64_t until = clock_now() + s->busy_poll;

    sched_add(&s->watched.spins, 1);
    do {
        netpoll_poll(s->netpoll);
        clock_update();
        if (!list_empty(&s->ready)) {
            s->spins_in_vain = 0;
            return ++s->spins_paid % SPINS_MAX != 0;
        }
        cpu_relax();
    } while (clock_now() < until);
    if (s->spins_in_vain < SPINS_VAIN_MAX)
        s->spins_in_vain++;
    s->spins_left_out = (1u << s->spins_in_vain) - 1;
    return false;
}

/* Nothing is ready. Whether spinning is likely to pay: after recent activity, not after failure. */
static bool should_spin(struct sched *s)
{
    if (!s->recent)
        return false;
    if (s->spins_left_out == 0)
        return true;
    s->spins_left_out--;
    return false;
}

static void wait_for_events(struct sched *s)
{
    if (unlikely(s->busy_poll > 0) && list_empty(&s->ready) && should_spin(s) && spin(s))
        return;
    s->polling = !list_empty(&s->ready) && !s->starved;
    if (unlikely(s->starved) && !ev_is_active(&s->pause)) {
        ev_timer_set(&s->pause, (ev_tstamp)STARVE_DELAY / NSEC_PER_SEC, 0.);
        ev_timer_start(s->loop, &s->pause);
    }
    ev_run(s->loop, s->polling ? EVRUN_NOWAIT : EVRUN_ONCE);
}

static void account_busy(struct sched_watched *w, int64_t now)
{
    sched_add(&w->busy, now - atomic_load_explicit(&w->busy_since, memory_order_relaxed));
}

/* libev calls it right before it asks the kernel for events ... */
static void on_release(struct ev_loop *loop)
{
    struct sched *s = ev_userdata(loop);

    if (s->polling)
        return;
    s->slept = clock_update();
    account_busy(&s->watched, s->slept);
    atomic_store_explicit(&s->watched.busy_since, 0, memory_order_relaxed);
}

/* ... and right after: the one place where a turn's time is read, before any callback. */
static void on_acquire(struct ev_loop *loop)
{
    struct sched *s = ev_userdata(loop);
    int64_t now = clock_update();

    if (s->polling)
        account_busy(&s->watched, now);
    else
        s->recent = now - s->slept < SPIN_RECENT;
    atomic_store_explicit(&s->watched.busy_since, now, memory_order_relaxed);
    sched_add(&s->watched.turns, 1);
}

static void on_trim(struct ev_loop *loop, struct ev_timer *w, int revents)
{
    struct sched *s = container_of(w, struct sched, trim);
    int64_t next = stack_trim(s->stacks);

    (void)revents;
    if (next == CLOCK_NEVER)
        return;
    ev_timer_set(w, (ev_tstamp)next / NSEC_PER_SEC, 0.);
    ev_timer_start(loop, w);
}

static void on_pause(struct ev_loop *loop, struct ev_timer *w, int revents)
{
    (void)loop;
    (void)w;
    (void)revents;
}

static struct ev_loop *loop_new(unsigned backends, struct sched *s)
{
    /* No signals through libev, nothing from the environment, no descriptors we do not need. */
    struct ev_loop *loop = ev_loop_new(EVFLAG_NOENV | EVFLAG_NOTIMERFD | backends);

    if (loop == NULL)
        return NULL;
    ev_set_userdata(loop, s);
    ev_set_loop_release_cb(loop, on_release, on_acquire);
    ev_ref(loop); /* ev_run() would return at once where only fibers wait */
    return loop;
}

struct sched *sched_new(const struct sched_options *o)
{
    struct sched *s = aligned_alloc(WEFT_CACHE_LINE, sizeof(*s));

    if (s == NULL)
        return NULL;
    memset(s, 0, sizeof(*s));
    list_init(&s->ready);
    s->busy_poll = o->busy_poll;
    ev_init(&s->trim, on_trim);
    ev_init(&s->pause, on_pause);
    errno = ENOMEM;
    s->loop = loop_new(o->ev_backends, s);
    if (s->loop == NULL)
        goto fail;
    s->stacks = stack_arena_new(o->guard);
    if (s->stacks == NULL)
        goto fail;
    s->netpoll = netpoll_init(o->netpoll, s->loop);
    if (s->netpoll == NULL)
        goto fail;
    return s;

fail:;
    int saved = errno;
    sched_free(s);
    errno = saved;
    return NULL;
}

void sched_free(struct sched *s)
{
    if (s == NULL)
        return;
    netpoll_free(s->netpoll);
    stack_arena_free(s->stacks);
    if (s->loop)
        ev_loop_destroy(s->loop);
    free(s);
}

void sched_run(struct sched *s, const char *name, fiber_fn *main_fn, void *arg)
{
    assert(sched_current == NULL);
    assert(s->first.state == FIBER_CREATED || s->first.state == FIBER_DONE);
    sched_current = s;
    s->stopped = false;
    s->loop_stack.thread = annotate_thread_self();
    atomic_store_explicit(&s->watched.busy_since, clock_update(), memory_order_relaxed);
    sched_add(&s->watched.turns, 1);
    fiber_create(&s->first, name, main_fn, arg, NULL);
    fiber_start(&s->first);
    for (;;) {
        run_ready(s);
        if (s->stopped || sched_load(&s->watched.fibers) == 0)
            break;
        wait_for_events(s);
    }
    atomic_store_explicit(&s->watched.busy_since, 0, memory_order_relaxed);
    sched_current = NULL;
}

void sched_stop(struct sched *s)
{
    assert(s == sched_current);
    s->stopped = true;
}

struct sched *sched_self(void)
{
    return sched_current;
}

struct ev_loop *sched_loop(struct sched *s)
{
    return s->loop;
}

void sched_stats(const struct sched *s, struct sched_stats *ret)
{
    const struct sched_watched *w = &s->watched;

    *ret = (struct sched_stats){
        .turns = sched_load(&w->turns),
        .switches = sched_load(&w->switches),
        .fibers = sched_load(&w->fibers),
        .stalls = sched_load(&s->stalls),
        .spins = sched_load(&w->spins),
        .busy = (int64_t)sched_load(&w->busy),
    };
}

/* The watching thread may keep no cached time of its own. */
static int64_t monotonic(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

int64_t sched_watch(struct sched *s, int64_t limit, char *ret_name, size_t size)
{
    const struct sched_watched *w = &s->watched;
    uint64_t turn = sched_load(&w->turns);
    int64_t since = atomic_load_explicit(&w->busy_since, memory_order_relaxed);
    const char *name = atomic_load_explicit(&w->running, memory_order_relaxed);

    if (since == 0)
        return 0;
    int64_t lasted = monotonic() - since;
    if (lasted <= limit || sched_load(&w->turns) != turn)
        return 0;
    ret_name[0] = '\0';
    if (name)
        strncat(ret_name, name, size - 1);
    if (sched_load(&s->stalled_turn) != turn) {
        atomic_store_explicit(&s->stalled_turn, turn, memory_order_relaxed);
        sched_add(&s->stalls, 1);
    }
    return lasted;
}
