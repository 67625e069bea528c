#include "fiber/sync.h"

#include <errno.h>
#include <string.h>

#include "fibers.h"
#include "unit.h"

#define SOON (clock_now() + 3 * NSEC_PER_MSEC)

static char trace[64];

static void note(char c)
{
    size_t n = strlen(trace);

    ck_assert_uint_lt(n, sizeof(trace) - 1);
    trace[n] = c;
}

static struct fiber *spawn(fiber_fn *fn, void *arg)
{
    struct fiber *f = fiber_spawn("child", fn, arg, true);

    ck_assert_ptr_nonnull(f);
    return f;
}

static void join(struct fiber *f)
{
    ck_assert_int_eq(fiber_join(f), 0);
}

/* --- mutex ------------------------------------------------------------------------------- */

static struct fiber_mutex mutex;
static int inside;

static void critical(void *arg)
{
    ck_assert_int_eq(fiber_mutex_lock(&mutex, CLOCK_NEVER), 0);
    ck_assert_int_eq(inside++, 0);
    note(*(char *)arg);
    fiber_yield();
    inside--;
    fiber_mutex_unlock(&mutex);
}

static void mutex_main(void *arg)
{
    char names[] = "abcd";
    struct fiber *f[4];

    (void)arg;
    fiber_mutex_init(&mutex);
    for (int i = 0; i < 4; i++)
        f[i] = spawn(critical, &names[i]);
    for (int i = 0; i < 4; i++)
        join(f[i]);
    ck_assert_ptr_null(mutex.owner);
}

START_TEST(mutex_lets_one_in_at_a_time_in_order)
{
    in_fiber(mutex_main, NULL);
    ck_assert_str_eq(trace, "abcd");
}
END_TEST

static void lock_fails(void *arg)
{
    int *result = arg;

    *result = fiber_mutex_lock(&mutex, *result == 0 ? CLOCK_NEVER : SOON);
}

static void mutex_fails_main(void *arg)
{
    int late = 1;
    int cancelled = 0;
    char name = 'x';

    (void)arg;
    fiber_mutex_init(&mutex);
    ck_assert_int_eq(fiber_mutex_lock(&mutex, 0), 0); /* free: nothing to wait for */
    struct fiber *a = spawn(lock_fails, &late);
    struct fiber *b = spawn(lock_fails, &cancelled);
    struct fiber *c = spawn(critical, &name);
    fiber_yield();
    fiber_cancel(b);
    join(a);
    join(b);
    ck_assert_int_eq(late, -ETIMEDOUT);
    ck_assert_int_eq(cancelled, -ECANCELED);
    fiber_mutex_unlock(&mutex); /* to the one waiter left */
    join(c);
    ck_assert_ptr_null(mutex.owner);
}

START_TEST(mutex_waits_can_fail)
{
    in_fiber(mutex_fails_main, NULL);
    ck_assert_str_eq(trace, "x");
}
END_TEST

static void lock_and_hold(void *arg)
{
    int *result = arg;

    *result = fiber_mutex_lock(&mutex, CLOCK_NEVER);
    if (*result == 0)
        fiber_mutex_unlock(&mutex);
}

static void mutex_handed_main(void *arg)
{
    int result = 1;

    (void)arg;
    fiber_mutex_init(&mutex);
    ck_assert_int_eq(fiber_mutex_lock(&mutex, CLOCK_NEVER), 0);
    struct fiber *f = spawn(lock_and_hold, &result);
    fiber_yield();
    fiber_ready(f); /* waits for a lock: no effect */
    fiber_yield();
    ck_assert_int_eq(result, 1);
    fiber_mutex_unlock(&mutex);
    fiber_cancel(f); /* too late: it owns the mutex already */
    ck_assert_ptr_eq(mutex.owner, f);
    join(f);
    ck_assert_int_eq(result, 0);
    ck_assert_ptr_null(mutex.owner);
}

START_TEST(mutex_is_handed_over_for_good)
{
    in_fiber(mutex_handed_main, NULL);
}
END_TEST

/* --- condition --------------------------------------------------------------------------- */

static struct fiber_cond cond;

static void cond_wait(void *arg)
{
    int r = fiber_cond_wait(&cond, CLOCK_NEVER);

    ck_assert_int_eq(r, 0);
    note(*(char *)arg);
}

static void cond_main(void *arg)
{
    char names[] = "abc";
    struct fiber *f[3];

    (void)arg;
    fiber_cond_init(&cond);
    fiber_cond_signal(&cond); /* nobody waits: not remembered */
    for (int i = 0; i < 3; i++)
        f[i] = spawn(cond_wait, &names[i]);
    fiber_yield();
    note('-');
    fiber_cond_signal(&cond);
    join(f[0]);
    note('-');
    fiber_cond_broadcast(&cond);
    join(f[1]);
    join(f[2]);
    ck_assert_int_eq(fiber_cond_wait(&cond, SOON), -ETIMEDOUT);
    ck_assert(list_empty(&cond.waiters));
}

START_TEST(cond_wakes_one_or_all)
{
    in_fiber(cond_main, NULL);
    ck_assert_str_eq(trace, "-a-bc");
}
END_TEST

/* --- semaphore --------------------------------------------------------------------------- */

static struct fiber_sem sem;
static int using;
static int most;

static void use(void *arg)
{
    (void)arg;
    ck_assert_int_eq(fiber_sem_acquire(&sem, CLOCK_NEVER), 0);
    if (++using > most)
        most = using;
    fiber_yield();
    using --;
    fiber_sem_release(&sem);
}

static void sem_main(void *arg)
{
    struct fiber *f[7];

    (void)arg;
    fiber_sem_init(&sem, 3);
    for (int i = 0; i < 7; i++)
        f[i] = spawn(use, NULL);
    for (int i = 0; i < 7; i++)
        join(f[i]);
    ck_assert_int_eq(most, 3);
    ck_assert_uint_eq(sem.count, 3);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(fiber_sem_acquire(&sem, 0), 0);
    ck_assert_int_eq(fiber_sem_acquire(&sem, SOON), -ETIMEDOUT);
    fiber_sem_release(&sem); /* the waiter that gave up does not take it */
    ck_assert_uint_eq(sem.count, 1);
}

START_TEST(sem_bounds_users)
{
    in_fiber(sem_main, NULL);
}
END_TEST

/* --- group ------------------------------------------------------------------------------- */

static struct fiber_group group;

static void part(void *arg)
{
    (void)arg;
    fiber_yield();
    note('p');
    fiber_group_done(&group);
}

static void group_main(void *arg)
{
    (void)arg;
    fiber_group_init(&group);
    ck_assert_int_eq(fiber_group_wait(&group, 0), 0); /* nothing to wait for */
    fiber_group_add(&group, 3);
    for (int i = 0; i < 3; i++)
        ck_assert_ptr_nonnull(fiber_spawn("part", part, NULL, false));
    ck_assert_int_eq(fiber_group_wait(&group, CLOCK_NEVER), 0);
    note('!');
    fiber_group_add(&group, 1);
    ck_assert_int_eq(fiber_group_wait(&group, SOON), -ETIMEDOUT);
    fiber_group_done(&group);
}

START_TEST(group_waits_for_all)
{
    in_fiber(group_main, NULL);
    ck_assert_str_eq(trace, "ppp!");
}
END_TEST

UNIT_MAIN("sync", mutex_lets_one_in_at_a_time_in_order, mutex_waits_can_fail,
          mutex_is_handed_over_for_good, cond_wakes_one_or_all, sem_bounds_users,
          group_waits_for_all)
