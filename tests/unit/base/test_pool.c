#include "base/pool.h"

#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "alloc.h"
#include "unit.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

#define SIZE 100 /* [bytes] of an object */
#define MANY 10000

static struct pool *pool;
static void *objects[MANY];

static struct pool_stats stats(void)
{
    struct pool_stats st;
    pool_stats(pool, &st);
    return st;
}

static void make(unsigned local_max)
{
    pool = pool_new("test", SIZE, local_max);
    ck_assert_ptr_nonnull(pool);
}

static void take(int n)
{
    for (int i = 0; i < n; i++) {
        objects[i] = pool_get(pool);
        unit_assert(objects[i] != NULL);
        memset(objects[i], i, SIZE);
    }
}

static void give(int n)
{
    for (int i = 0; i < n; i++)
        pool_put(pool, objects[i]);
}

START_TEST(gives_again_what_was_put)
{
    make(8);
    void *a = pool_get(pool);
    memset(a, 1, SIZE);
    pool_put(pool, a);
    void *b = pool_get(pool);
    ck_assert_ptr_eq(a, b);
    ck_assert_uint_eq(stats().misses, 1);
    pool_put(pool, b);
    pool_free(pool);
    pool_free(NULL);
}
END_TEST

START_TEST(counts_exactly)
{
    make(8);
    ck_assert_str_eq(stats().name, "test");
    ck_assert_uint_eq(stats().object_size, SIZE);
    ck_assert_uint_eq(stats().bytes, 0);
    take(100);
    ck_assert_uint_eq(stats().taken, 100);
    ck_assert_uint_eq(stats().kept, 0);
    ck_assert_uint_eq(stats().misses, 100);
    for (int i = 0; i < 100; i++) {
        pool_put(pool, objects[i]);
        ck_assert_uint_eq(stats().taken, 99 - (uint64_t)i);
        ck_assert_uint_eq(stats().kept, (uint64_t)i + 1);
        ck_assert_uint_eq(stats().bytes, 100 * SIZE);
    }
    for (int i = 0; i < 100; i++) {
        objects[i] = pool_get(pool);
        ck_assert_uint_eq(stats().kept, 99 - (uint64_t)i);
    }
    ck_assert_uint_eq(stats().misses, 100);
    give(100);
    pool_flush(pool);
    ck_assert_uint_eq(stats().kept, 100);
    pool_free(pool);
}
END_TEST

START_TEST(no_object_is_given_twice)
{
    for (unsigned local_max = 0; local_max < 5; local_max++) {
        make(local_max);
        for (int round = 0; round < 3; round++) {
            take(1000);
            for (int i = 0; i < 1000; i++)
                for (int k = 0; k < SIZE; k++)
                    unit_assert(((unsigned char *)objects[i])[k] == (unsigned char)i);
            give(1000);
        }
        ck_assert_uint_eq(stats().misses, 1000);
        pool_free(pool);
    }
}
END_TEST

/* --- trimming ---------------------------------------------------------------------------- */

START_TEST(a_bursts_memory_goes_back)
{
    make(64);
    long before = atomic_load(&alloc_live); /* Check allocates too: none of it between these */
    take(MANY);
    give(MANY);
    long peak = atomic_load(&alloc_live);
    pool_trim_all();
    uint64_t kept_once = stats().kept;
    pool_trim_all();
    uint64_t kept_twice = stats().kept;
    for (int i = 0; i < 10; i++) /* the thread's own go by and by */
        pool_trim_all();
    long after = atomic_load(&alloc_live);

    ck_assert_int_eq(peak - before, MANY + 1); /* and its slot */
    ck_assert_uint_eq(kept_once, MANY);
    ck_assert_uint_le(kept_twice, 64);
    ck_assert_uint_eq(stats().kept, 0);
    ck_assert_uint_eq(stats().bytes, 0);
    ck_assert_int_eq(after - before, 1);
    pool_free(pool);
}
END_TEST

/* As in sync.Pool: what is used once in two trims is not freed. */
START_TEST(what_is_used_stays)
{
    make(64);
    for (int round = 0; round < 20; round++) {
        take(500);
        give(500);
        pool_trim_all();
    }
    ck_assert_uint_eq(stats().misses, 500);
    pool_free(pool);
}
END_TEST

START_TEST(the_victims_are_the_last_resort)
{
    make(2);
    take(10);
    give(10);
    pool_flush(pool);
    pool_trim_all(); /* all ten are victims */
    take(10);
    ck_assert_uint_eq(stats().misses, 10);
    pool_trim_all();
    pool_trim_all();
    ck_assert_uint_eq(stats().taken, 10);
    give(10);
    pool_free(pool);
}
END_TEST

static void *trim(void *arg)
{
    pthread_barrier_t *turn = arg;
    for (int i = 0; i < 4; i++) {
        pthread_barrier_wait(turn);
        pool_trim_all();
        pthread_barrier_wait(turn);
    }
    return NULL;
}

/* Two threads that trim by turns age the depots once a turn, not twice. */
START_TEST(one_thread_in_a_period_ages)
{
    pthread_barrier_t turn;
    pthread_t thread;
    make(2);
    pthread_barrier_init(&turn, NULL, 2);
    ck_assert_int_eq(pthread_create(&thread, NULL, trim, &turn), 0);
    for (int i = 0; i < 4; i++) {
        take(1);
        give(1);
        pool_flush(pool);
        pool_trim_all();
        pthread_barrier_wait(&turn);
        pthread_barrier_wait(&turn);
        ck_assert_uint_eq(stats().kept, 1); /* a victim, but not freed yet */
    }
    ck_assert_uint_eq(stats().misses, 1);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    pool_free(pool);
}
END_TEST

/* --- threads ----------------------------------------------------------------------------- */

static void *use_and_end(void *arg)
{
    (void)arg;
    take(10);
    give(10);
    return NULL;
}

START_TEST(an_ended_threads_objects_are_not_lost)
{
    make(64);
    for (int i = 0; i < 50; i++) {
        pthread_t thread;
        ck_assert_int_eq(pthread_create(&thread, NULL, use_and_end, NULL), 0);
        ck_assert_int_eq(pthread_join(thread, NULL), 0);
    }
    ck_assert_uint_eq(stats().misses, 10);
    ck_assert_uint_eq(stats().kept, 10);
    pool_free(pool);
}
END_TEST

#define PASSES UNIT_WORK(200000)

static int channel[2];

static void *put_what_comes(void *arg)
{
    (void)arg;
    for (int i = 0; i < PASSES; i++) {
        void *object;
        unit_assert(read(channel[0], &object, sizeof(object)) == sizeof(object));
        unit_assert(*(int *)object == i);
        pool_put(pool, object);
    }
    pool_flush(pool);
    return NULL;
}

/* Gets on one thread, puts on another: the objects come back through the depot. */
START_TEST(objects_change_threads)
{
    pthread_t thread;
    make(64);
    ck_assert_int_eq(pipe(channel), 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, put_what_comes, NULL), 0);
    for (int i = 0; i < PASSES; i++) {
        int *object = pool_get(pool);
        unit_assert(object != NULL);
        *object = i;
        unit_assert(write(channel[1], &object, sizeof(object)) == sizeof(object));
    }
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_uint_eq(stats().taken, 0);
    ck_assert_uint_lt(stats().misses, 65536 / sizeof(void *) + 200); /* what the pipe holds */
    pool_free(pool);
}
END_TEST

enum { HANDS = 40 };

static void *get_and_put(void *arg)
{
    uint64_t x = (uintptr_t)arg, *hand[HANDS] = {NULL};
    for (long i = 0; i < UNIT_WORK(1000000); i++) {
        x = x * UINT64_C(6364136223846793005) + 1442695040888963407u;
        uint64_t **h = &hand[(x >> 33) % HANDS];
        if (*h == NULL) {
            *h = pool_get(pool);
            unit_assert(*h != NULL);
            (*h)[0] = (*h)[11] = (uintptr_t)h;
        } else {
            unit_assert((*h)[0] == (uintptr_t)h); /* nobody else has it */
            unit_assert((*h)[11] == (uintptr_t)h);
            pool_put(pool, *h);
            *h = NULL;
        }
        if (i % 10000 == 0)
            pool_trim_all();
    }
    for (int i = 0; i < HANDS; i++)
        if (hand[i] != NULL)
            pool_put(pool, hand[i]);
    return NULL;
}

START_TEST(threads_do_not_meet)
{
    pthread_t threads[4];
    make(8);
    for (uintptr_t i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, get_and_put, (void *)(i + 1)), 0);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    ck_assert_uint_eq(stats().taken, 0);
    pool_free(pool);
}
END_TEST

/* --- the rest ---------------------------------------------------------------------------- */

static void note_name(const struct pool_stats *st, void *arg)
{
    strcat(arg, st->name);
}

START_TEST(pools_are_listed_in_order)
{
    char names[16] = "";
    struct pool *a = pool_new("a", 8, 1), *b = pool_new("b", 8, 1), *c = pool_new("c", 8, 1);
    pool_free(b);
    pool_for_each(note_name, names);
    ck_assert_str_eq(names, "ac");
    pool_free(a);
    pool_free(c);
}
END_TEST

/* Without memory for the thread's slot, and with one. */
START_TEST(no_memory_is_an_answer)
{
    alloc_limit(0);
    struct pool *none = pool_new("none", SIZE, 8);
    alloc_limit(-1);
    ck_assert_ptr_null(none);
    make(8);
    for (int slot = 0; slot < 2; slot++) {
        alloc_limit(0);
        void *object = pool_get(pool);
        alloc_limit(-1);
        ck_assert_ptr_null(object);
        if (slot == 0)
            take(1);
    }
    ck_assert_uint_eq(stats().misses, 1);
    give(1);
    pool_free(pool);
}
END_TEST

static void *without_a_slot(void *arg)
{
    (void)arg;
    alloc_limit(0);
    for (int i = 0; i < 3; i++)
        pool_put(pool, objects[i]);
    void *object = pool_get(pool);
    alloc_limit(-1);
    ck_assert_ptr_null(object);
    return NULL;
}

START_TEST(a_thread_without_memory_for_a_slot_can_put)
{
    pthread_t thread;
    make(8);
    take(3);
    ck_assert_int_eq(pthread_create(&thread, NULL, without_a_slot, NULL), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_uint_eq(stats().taken, 0);
    ck_assert_uint_eq(stats().kept, 3);
    take(3);
    ck_assert_uint_eq(stats().misses, 3);
    give(3);
    pool_free(pool);
}
END_TEST

#ifdef WEFT_DEBUG
/* Run `fn`, which must abort saying `what` and the pool's name. */
static void must_abort(void (*fn)(void), const char *what)
{
    char said[1000] = "";
    int fds[2], status;
    ck_assert_int_eq(pipe(fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(fds[1], STDERR_FILENO);
        fn();
        _exit(0);
    }
    close(fds[1]);
    for (size_t n = 0; n < sizeof(said) - 1;) {
        ssize_t got = read(fds[0], said + n, sizeof(said) - 1 - n);
        if (got <= 0)
            break;
        n += (size_t)got;
    }
    close(fds[0]);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFSIGNALED(status));
    ck_assert_int_eq(WTERMSIG(status), SIGABRT);
    ck_assert_ptr_nonnull(strstr(said, "pool test"));
    ck_assert_ptr_nonnull(strstr(said, what));
}

static void put_twice(void)
{
    void *a = pool_get(pool), *b = pool_get(pool);
    pool_put(pool, a);
    pool_put(pool, b);
    pool_put(pool, a);
}

static void free_while_taken(void)
{
    (void)!pool_get(pool);
    pool_free(pool);
}

#ifndef __SANITIZE_ADDRESS__
static void write_after_put(void)
{
    char *a = pool_get(pool);
    pool_put(pool, a);
    a[SIZE - 1] = 0;
    (void)!pool_get(pool);
}
#endif

START_TEST(misuse_aborts)
{
    make(8);
#ifndef __SANITIZE_ADDRESS__
    must_abort(write_after_put, "written to after it was put back");
#endif
    must_abort(put_twice, "put twice");
    must_abort(free_while_taken, "in use");
    pool_free(pool);
}
END_TEST
#else
START_TEST(misuse_aborts)
{
    /* In debug builds only. */
}
END_TEST
#endif

START_TEST(pooled_objects_are_poisoned_for_asan)
{
#ifdef __SANITIZE_ADDRESS__
    make(8);
    char *object = pool_get(pool);
    ck_assert(!__asan_address_is_poisoned(object));
    pool_put(pool, object);
    ck_assert(__asan_address_is_poisoned(object));
    ck_assert(__asan_address_is_poisoned(object + SIZE - 1));
    pool_free(pool);
#endif
}
END_TEST

UNIT_MAIN("pool", gives_again_what_was_put, counts_exactly, no_object_is_given_twice,
          a_bursts_memory_goes_back, what_is_used_stays, the_victims_are_the_last_resort,
          one_thread_in_a_period_ages, an_ended_threads_objects_are_not_lost,
          objects_change_threads, threads_do_not_meet, pools_are_listed_in_order,
          no_memory_is_an_answer, a_thread_without_memory_for_a_slot_can_put, misuse_aborts,
          pooled_objects_are_poisoned_for_asan)
