#include "fiber/mailbox.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "fibers.h"
#include "unit.h"

#define POSTERS 4
#define POSTS   UNIT_WORK(200000)
#define LAPS    UNIT_WORK(2000)

struct letter {
    struct mail mail;
    unsigned poster;
    unsigned number;
};

static struct mailbox *mailbox;

static const struct letter *receive(int64_t deadline)
{
    struct mail *mail = NULL;
    int r = mailbox_receive(mailbox, &mail, deadline);

    ck_assert_int_eq(r, 0);
    return container_of(mail, struct letter, mail);
}

static void order_main(void *arg)
{
    struct letter letters[5];
    struct mail *none = NULL;

    (void)arg;
    mailbox = mailbox_new(sched_self());
    ck_assert_ptr_nonnull(mailbox);
    for (unsigned i = 0; i < 5; i++) {
        letters[i].number = i;
        mailbox_post(mailbox, &letters[i].mail);
    }
    for (unsigned i = 0; i < 3; i++)
        ck_assert_uint_eq(receive(0)->number, i);
    mailbox_post(mailbox, &letters[0].mail);
    ck_assert_uint_eq(receive(0)->number, 3);
    ck_assert_uint_eq(receive(0)->number, 4);
    ck_assert_uint_eq(receive(0)->number, 0);
    ck_assert_int_eq(mailbox_receive(mailbox, &none, clock_now() + NSEC_PER_MSEC), -ETIMEDOUT);
    ck_assert_ptr_null(none);
    mailbox_free(mailbox);
    mailbox_free(NULL);
}

START_TEST(keeps_the_order)
{
    in_fiber(order_main, NULL);
}
END_TEST

/* --- many threads post, one receives ----------------------------------------------------- */

struct poster {
    unsigned number;
    struct letter *letters;
    pthread_t thread;
};

static void *post(void *arg)
{
    struct poster *p = arg;

    for (unsigned i = 0; i < POSTS; i++) {
        p->letters[i] = (struct letter){.poster = p->number, .number = i};
        mailbox_post(mailbox, &p->letters[i].mail);
    }
    return NULL;
}

static void threads_main(void *arg)
{
    struct poster posters[POSTERS];
    unsigned next[POSTERS] = {0};

    (void)arg;
    mailbox = mailbox_new(sched_self());
    ck_assert_ptr_nonnull(mailbox);
    for (unsigned i = 0; i < POSTERS; i++) {
        posters[i] = (struct poster){.number = i, .letters = calloc(POSTS, sizeof(struct letter))};
        ck_assert_ptr_nonnull(posters[i].letters);
        ck_assert_int_eq(pthread_create(&posters[i].thread, NULL, post, &posters[i]), 0);
    }
    for (unsigned n = 0; n < POSTERS * POSTS; n++) {
        const struct letter *l = receive(CLOCK_NEVER);
        ck_assert_uint_eq(l->number, next[l->poster]++);
    }
    for (unsigned i = 0; i < POSTERS; i++) {
        pthread_join(posters[i].thread, NULL);
        free(posters[i].letters);
    }
    mailbox_free(mailbox);
}

START_TEST(takes_from_many_threads)
{
    in_fiber(threads_main, NULL);
}
END_TEST

/* --- a letter there and back: each post must wake a loop that sleeps ---------------------- */

static struct mailbox *outward;
static _Atomic bool outward_is_there;
static _Atomic bool outward_is_over; /* no post to it is under way */

static void echo_fiber(void *arg)
{
    struct mail *mail;

    (void)arg;
    outward = mailbox_new(sched_self());
    ck_assert_ptr_nonnull(outward);
    atomic_store(&outward_is_there, true);
    for (int i = 0; i < LAPS; i++) {
        ck_assert_int_eq(mailbox_receive(outward, &mail, CLOCK_NEVER), 0);
        mailbox_post(mailbox, mail);
    }
    while (!atomic_load(&outward_is_over))
        ck_assert_int_eq(fiber_sleep(clock_now() + NSEC_PER_MSEC), 0);
    mailbox_free(outward);
}

static void *echo(void *arg)
{
    struct sched *s = sched_new(&(struct sched_options){0});

    ck_assert_ptr_nonnull(s);
    sched_run(s, "echo", echo_fiber, arg);
    sched_free(s);
    return NULL;
}

static void there_and_back_main(void *arg)
{
    struct letter letter = {.number = 0};
    pthread_t thread;

    (void)arg;
    mailbox = mailbox_new(sched_self());
    ck_assert_ptr_nonnull(mailbox);
    ck_assert_int_eq(pthread_create(&thread, NULL, echo, NULL), 0);
    while (!atomic_load(&outward_is_there))
        ck_assert_int_eq(fiber_sleep(clock_now() + NSEC_PER_MSEC), 0);
    for (int i = 0; i < LAPS; i++) {
        mailbox_post(outward, &letter.mail);
        ck_assert_ptr_eq(receive(CLOCK_NEVER), &letter);
    }
    atomic_store(&outward_is_over, true);
    pthread_join(thread, NULL);
    mailbox_free(mailbox);
}

START_TEST(wakes_a_sleeping_loop)
{
    in_fiber(there_and_back_main, NULL);
}
END_TEST

/* --- several receivers, and cancel -------------------------------------------------------- */

static unsigned received;

static void receiver(void *arg)
{
    struct mail *mail;

    (void)arg;
    while (mailbox_receive(mailbox, &mail, CLOCK_NEVER) == 0)
        received++;
    ck_assert_int_eq(fiber_wait_result(), -ECANCELED);
}

static void receivers_main(void *arg)
{
    struct letter letters[10];
    struct fiber *f[3];

    (void)arg;
    mailbox = mailbox_new(sched_self());
    ck_assert_ptr_nonnull(mailbox);
    for (int i = 0; i < 3; i++)
        f[i] = fiber_spawn("receiver", receiver, NULL, true);
    fiber_yield();
    for (int i = 0; i < 10; i++)
        mailbox_post(mailbox, &letters[i].mail);
    while (received < 10)
        fiber_yield();
    for (int i = 0; i < 3; i++) {
        fiber_cancel(f[i]);
        ck_assert_int_eq(fiber_join(f[i]), 0);
    }
    mailbox_free(mailbox);
}

START_TEST(serves_several_receivers)
{
    in_fiber(receivers_main, NULL);
}
END_TEST

/* One wake-up of the loop stands for several messages, each for another receiver. */
static void receive_one(void *arg)
{
    (void)arg;
    (void)receive(clock_now() + 60 * NSEC_PER_SEC);
    received++;
}

static void one_each_main(void *arg)
{
    struct letter letters[3];
    struct fiber *f[3];

    (void)arg;
    mailbox = mailbox_new(sched_self());
    ck_assert_ptr_nonnull(mailbox);
    for (int i = 0; i < 3; i++)
        f[i] = fiber_spawn("receiver", receive_one, NULL, true);
    fiber_yield();
    for (int i = 0; i < 3; i++)
        mailbox_post(mailbox, &letters[i].mail);
    int64_t soon = clock_now() + 10 * NSEC_PER_SEC;
    while (received < 3 && clock_now() < soon)
        ck_assert_int_eq(fiber_sleep(clock_now() + NSEC_PER_MSEC), 0);
    ck_assert_uint_eq(received, 3);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(fiber_join(f[i]), 0);
    mailbox_free(mailbox);
}

START_TEST(wakes_as_many_as_there_are_messages)
{
    in_fiber(one_each_main, NULL);
}
END_TEST

UNIT_MAIN("mailbox", keeps_the_order, takes_from_many_threads, wakes_a_sleeping_loop,
          serves_several_receivers, wakes_as_many_as_there_are_messages)
