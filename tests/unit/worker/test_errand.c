#include "worker/errand.h"

#include <errno.h>
#include <semaphore.h>

#include "base/clock.h"
#include "fiber/fiber.h"
#include "fibers.h"
#include "unit.h"

static sem_t go, dropped;

struct work {
    int runs, drops;
};

static void run(void *arg)
{
    struct work *w = arg;
    sem_wait(&go);
    w->runs++;
}

static void drop(void *arg)
{
    struct work *w = arg;
    w->drops++;
    sem_post(&dropped);
}

static unsigned turns; /* of another fiber, while one waits */

static void turn(void *arg)
{
    (void)arg;
    while (turns < 100) {
        turns++;
        fiber_yield();
    }
    sem_post(&go);
}

static void waits(void *arg)
{
    (void)arg;
    struct work w = {.runs = 0};
    struct fiber *other = fiber_spawn("other", turn, NULL, true);
    ck_assert_int_eq(errand_run(run, &w, drop), 0);
    ck_assert_uint_eq(turns, 100);
    ck_assert_int_eq(w.runs, 1);
    ck_assert_int_eq(w.drops, 0);
    ck_assert_int_eq(fiber_join(other), 0);
}

START_TEST(others_go_on_meanwhile)
{
    in_fiber(waits, NULL);
}
END_TEST

static int result;

static void ask(void *arg)
{
    result = errand_run(run, arg, drop);
}

static void abandons(void *arg)
{
    (void)arg;
    static struct work w;
    struct fiber *f = fiber_spawn("asking", ask, &w, true);
    fiber_yield();
    fiber_cancel(f);
    ck_assert_int_eq(fiber_join(f), 0);
    ck_assert_int_eq(result, -ECANCELED);
    ck_assert_int_eq(w.drops, 0);
    sem_post(&go);
    sem_wait(&dropped);
    ck_assert_int_eq(w.runs, 1);
    ck_assert_int_eq(w.drops, 1);
}

START_TEST(one_that_nobody_waits_for_cleans_up)
{
    in_fiber(abandons, NULL);
}
END_TEST

static void many(void *arg)
{
    (void)arg;
    for (int i = 0; i < 200; i++) {
        struct work w = {.runs = 0};
        sem_post(&go);
        ck_assert_int_eq(errand_run(run, &w, drop), 0);
        ck_assert_int_eq(w.runs, 1);
    }
}

START_TEST(one_may_follow_another)
{
    in_fiber(many, NULL);
}
END_TEST

static void set_up(void)
{
    sem_init(&go, 0, 0);
    sem_init(&dropped, 0, 0);
}

UNIT_MAIN_AROUND("errand", set_up, NULL, others_go_on_meanwhile,
                 one_that_nobody_waits_for_cleans_up, one_may_follow_another)
