#include "base/thread.h"

#include <pthread.h>
#include <stdatomic.h>

#include "unit.h"

START_TEST(a_thread_keeps_its_number)
{
    ck_assert_uint_eq(thread_index(), 0);
    ck_assert_uint_eq(thread_index(), 0);
}
END_TEST

static void *ask(void *ret)
{
    *(unsigned *)ret = thread_index();
    return NULL;
}

START_TEST(an_ended_threads_number_is_given_again)
{
    ck_assert_uint_eq(thread_index(), 0);
    for (int i = 0; i < 2 * THREAD_MAX; i++) {
        pthread_t thread;
        unsigned index = 0;
        ck_assert_int_eq(pthread_create(&thread, NULL, ask, &index), 0);
        ck_assert_int_eq(pthread_join(thread, NULL), 0);
        ck_assert_uint_eq(index, 1);
    }
}
END_TEST

static pthread_barrier_t all_have_one;
static atomic_uchar seen[THREAD_MAX];

static void *ask_and_stay(void *arg)
{
    (void)arg;
    atomic_fetch_add(&seen[thread_index()], 1);
    pthread_barrier_wait(&all_have_one);
    return NULL;
}

START_TEST(all_numbers_are_different)
{
    enum { COUNT = THREAD_MAX - 1 };
    pthread_t threads[COUNT];
    pthread_barrier_init(&all_have_one, NULL, THREAD_MAX);
    for (int i = 0; i < COUNT; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, ask_and_stay, NULL), 0);
    ask_and_stay(NULL);
    for (int i = 0; i < COUNT; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    for (int i = 0; i < THREAD_MAX; i++)
        ck_assert_uint_eq(atomic_load(&seen[i]), 1);
}
END_TEST

UNIT_MAIN("thread", a_thread_keeps_its_number, an_ended_threads_number_is_given_again,
          all_numbers_are_different)
