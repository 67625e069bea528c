#include "proxy/gate.h"

#include <pthread.h>
#include <sched.h>

#include "base/clock.h"
#include "unit.h"

static struct gate gate;

struct sleeper {
    struct gate_waiter waiter;
    atomic_int wakes;
};

static void note_wake(struct gate_waiter *w)
{
    atomic_fetch_add(&container_of(w, struct sleeper, waiter)->wakes, 1);
}

static void sleeper_init(struct sleeper *s)
{
    s->waiter.wake = note_wake;
    list_init(&s->waiter.link);
    atomic_init(&s->wakes, 0);
}

START_TEST(takes_so_many_and_no_more)
{
    gate_init(&gate, 2);
    ck_assert(gate_enter(&gate));
    ck_assert(gate_enter(&gate));
    ck_assert(!gate_enter(&gate));
    ck_assert_uint_eq(gate_active(&gate), 2);
    gate_leave(&gate);
    ck_assert(gate_enter(&gate));
    gate_destroy(&gate);
}
END_TEST

START_TEST(no_limit_lets_all_in)
{
    gate_init(&gate, 0);
    for (int i = 0; i < 1000; i++)
        ck_assert(gate_enter(&gate));
    ck_assert_uint_eq(gate_active(&gate), 1000);
    gate_destroy(&gate);
}
END_TEST

START_TEST(who_leaves_wakes_the_first_who_waits)
{
    gate_init(&gate, 1);
    struct sleeper a, b;
    sleeper_init(&a);
    sleeper_init(&b);
    ck_assert(gate_enter(&gate));
    gate_wait(&gate, &a.waiter);
    gate_wait(&gate, &b.waiter);
    ck_assert(!gate_enter(&gate)); /* a try that fails wakes nobody */
    ck_assert_int_eq(a.wakes, 0);
    gate_leave(&gate);
    ck_assert_int_eq(a.wakes, 1);
    ck_assert_int_eq(b.wakes, 0);
    gate_forget(&gate, &a.waiter);
    gate_forget(&gate, &b.waiter);
    ck_assert(gate_enter(&gate));
    gate_leave(&gate);
    ck_assert_int_eq(b.wakes, 0);
    gate_destroy(&gate);
}
END_TEST

START_TEST(a_wake_up_that_is_not_used_is_passed_on)
{
    gate_init(&gate, 1);
    struct sleeper a, b;
    sleeper_init(&a);
    sleeper_init(&b);
    ck_assert(gate_enter(&gate));
    gate_wait(&gate, &a.waiter);
    gate_wait(&gate, &b.waiter);
    gate_leave(&gate);
    ck_assert_int_eq(a.wakes, 1);
    gate_give_up(&gate, &a.waiter);
    ck_assert_int_eq(b.wakes, 1);
    gate_wait(&gate, &a.waiter);
    gate_give_up(&gate, &a.waiter); /* it was not woken: there is nothing to pass on */
    ck_assert_int_eq(a.wakes + b.wakes, 2);
    ck_assert_uint_eq(atomic_load(&gate.waiting), 0);
    gate_destroy(&gate);
}
END_TEST

START_TEST(its_width_can_be_changed)
{
    gate_init(&gate, 1);
    struct sleeper a, b;
    sleeper_init(&a);
    sleeper_init(&b);
    ck_assert(gate_enter(&gate));
    gate_wait(&gate, &a.waiter);
    gate_wait(&gate, &b.waiter);
    gate_set_max(&gate, 2);
    ck_assert_int_eq(a.wakes, 1);
    ck_assert_int_eq(b.wakes, 1);
    ck_assert(gate_enter(&gate));
    ck_assert(!gate_enter(&gate));
    gate_set_max(&gate, 0);
    ck_assert(gate_enter(&gate));
    gate_set_max(&gate, 1);
    gate_leave(&gate);
    gate_leave(&gate);
    ck_assert(!gate_enter(&gate));
    gate_leave(&gate);
    ck_assert(gate_enter(&gate));
    ck_assert_uint_eq(gate_max(&gate), 1);
    gate_destroy(&gate);
}
END_TEST

START_TEST(says_once_a_minute_that_it_is_full)
{
    gate_init(&gate, 4);
    int64_t now = 1000 * NSEC_PER_SEC;
    ck_assert(gate_tell_full(&gate, now));
    ck_assert(!gate_tell_full(&gate, now));
    ck_assert(!gate_tell_full(&gate, now + 59 * NSEC_PER_SEC));
    ck_assert(gate_tell_full(&gate, now + 60 * NSEC_PER_SEC));
    gate_destroy(&gate);
}
END_TEST

#define ROUNDS  20000
#define THREADS 4

static atomic_int inside;
static atomic_int most;

/* Enter, waiting as an acceptor does, and leave, many times over. */
static void *visitor(void *arg)
{
    (void)arg;
    struct sleeper s;
    sleeper_init(&s);
    for (int i = 0; i < ROUNDS; i++) {
        while (!gate_enter(&gate)) {
            int before = atomic_load(&s.wakes);
            gate_wait(&gate, &s.waiter);
            if (gate_enter(&gate)) {
                gate_forget(&gate, &s.waiter);
                break;
            }
            while (atomic_load(&s.wakes) == before)
                sched_yield(); /* hangs here when a wake-up is lost */
            gate_forget(&gate, &s.waiter);
        }
        int now = atomic_fetch_add(&inside, 1) + 1;
        if (now > atomic_load(&most))
            atomic_store(&most, now);
        atomic_fetch_sub(&inside, 1);
        gate_leave(&gate);
    }
    return NULL;
}

START_TEST(no_wake_up_is_lost_between_threads)
{
    gate_init(&gate, 2);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, visitor, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    ck_assert_int_le(most, 2);
    ck_assert_uint_eq(gate_active(&gate), 0);
    gate_destroy(&gate);
}
END_TEST

UNIT_MAIN("gate", takes_so_many_and_no_more, no_limit_lets_all_in,
          who_leaves_wakes_the_first_who_waits, a_wake_up_that_is_not_used_is_passed_on,
          its_width_can_be_changed, says_once_a_minute_that_it_is_full,
          no_wake_up_is_lost_between_threads)
