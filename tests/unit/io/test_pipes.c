#include "io/pipes.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "unit.h"

#define NOBODY             65534
#define PIPE_DEFAULT_PAGES 16

/* Each test runs in a process of its own, which may change its limits and its user for good. */

static struct pipes_stats stats(void)
{
    struct pipes_stats st;
    pipes_stats(&st);
    return st;
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static void become_ordinary(void)
{
    if (geteuid() == 0)
        ck_assert_int_eq(setresuid(NOBODY, NOBODY, NOBODY), 0);
}

static unsigned long soft_limit_pages(void)
{
    unsigned long pages;
    FILE *f = fopen("/proc/sys/fs/pipe-user-pages-soft", "r");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(fscanf(f, "%lu", &pages), 1);
    fclose(f);
    return pages;
}

START_TEST(without_a_budget_there_is_none)
{
    ck_assert_ptr_null(pipes_get());
    ck_assert_ptr_null(pipes_get());
    ck_assert_uint_eq(stats().denied, 2);
    ck_assert_uint_eq(stats().open, 0);
}
END_TEST

START_TEST(a_pipe_is_large_and_never_blocks)
{
    pipes_set_budget(1);
    struct pipe *p = pipes_get();
    ck_assert_ptr_nonnull(p);
    ck_assert_uint_eq(p->length, 0);
    ck_assert_uint_ge(p->size, 64 << 10);
    ck_assert_uint_eq(p->size, (size_t)fcntl(p->in, F_GETPIPE_SZ));
    const int ends[] = {p->in, p->out};
    for (int i = 0; i < 2; i++) {
        ck_assert_int_ne(fcntl(ends[i], F_GETFL) & O_NONBLOCK, 0);
        ck_assert_int_ne(fcntl(ends[i], F_GETFD) & FD_CLOEXEC, 0);
    }
    char byte = 'x';
    ck_assert_int_eq(write(p->in, &byte, 1), 1);
    ck_assert_int_eq(read(p->out, &byte, 1), 1);
    pipes_put(p);
}
END_TEST

START_TEST(what_was_put_last_is_taken_first)
{
    pipes_set_budget(2);
    struct pipe *a = pipes_get(), *b = pipes_get();
    ck_assert_ptr_ne(a, b);
    pipes_put(a);
    pipes_put(b);
    ck_assert_uint_eq(stats().open, 2);
    ck_assert_uint_eq(stats().free, 2);
    ck_assert_ptr_eq(pipes_get(), b);
    ck_assert_ptr_eq(pipes_get(), a);
    ck_assert_uint_eq(stats().free, 0);
    pipes_put(a);
    pipes_put(b);
}
END_TEST

START_TEST(the_budget_binds)
{
    pipes_set_budget(3);
    struct pipe *taken[3];
    for (int i = 0; i < 3; i++)
        ck_assert_ptr_nonnull(taken[i] = pipes_get());
    ck_assert_ptr_null(pipes_get());
    ck_assert_uint_eq(stats().denied, 1);
    ck_assert_uint_eq(stats().budget, 3);
    pipes_put(taken[1]);
    ck_assert_ptr_eq(pipes_get(), taken[1]);
    for (int i = 0; i < 3; i++)
        pipes_put(taken[i]);
}
END_TEST

START_TEST(one_with_bytes_in_it_is_closed)
{
    pipes_set_budget(1);
    struct pipe *p = pipes_get();
    int in = p->in, out = p->out;
    ck_assert_int_eq(write(p->in, "left", 4), 4);
    p->length = 4;
    pipes_put(p);
    ck_assert(!is_open(in));
    ck_assert(!is_open(out));
    ck_assert_uint_eq(stats().open, 0);
    char byte;
    ck_assert_ptr_nonnull(p = pipes_get());
    ck_assert_int_eq(read(p->out, &byte, 1), -1);
    pipes_put(p);
}
END_TEST

START_TEST(a_trim_closes_those_that_nobody_needed)
{
    pipes_set_budget(3);
    struct pipe *taken[3];
    for (int i = 0; i < 3; i++)
        taken[i] = pipes_get();
    for (int i = 0; i < 3; i++)
        pipes_put(taken[i]);
    pipes_trim(); /* all were in use before it */
    ck_assert_uint_eq(stats().open, 3);
    pipes_put(pipes_get());
    pipes_trim();
    ck_assert_uint_eq(stats().open, 1);
    ck_assert_uint_eq(stats().free, 1);
    pipes_trim();
    ck_assert_uint_eq(stats().open, 0);
}
END_TEST

START_TEST(a_flush_closes_all_that_are_free)
{
    pipes_set_budget(3);
    struct pipe *a = pipes_get(), *b = pipes_get();
    int in = a->in;
    pipes_put(a);
    pipes_flush();
    ck_assert(!is_open(in));
    ck_assert(is_open(b->in));
    ck_assert_uint_eq(stats().open, 1);
    pipes_trim();
    pipes_put(b);
    pipes_flush();
    ck_assert_uint_eq(stats().open, 0);
}
END_TEST

static void limit_descriptors(rlim_t n)
{
    struct rlimit r;
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &r), 0);
    r.rlim_cur = n;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &r), 0);
}

START_TEST(without_descriptors_the_kernel_is_asked_once)
{
    pipes_set_budget(4);
    limit_descriptors(0);
    ck_assert_ptr_null(pipes_get());
    limit_descriptors(64);
    ck_assert_ptr_null(pipes_get());
    ck_assert_uint_eq(stats().denied, 2);
    ck_assert_uint_eq(stats().open, 0);
    pipes_trim();
    struct pipe *p = pipes_get();
    ck_assert_ptr_nonnull(p);
    pipes_put(p);
}
END_TEST

/* Give all of this user's pages to other pipes. Returns whether the descriptors suffice for it. */
static bool use_up_pages(void)
{
    struct rlimit r;
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &r), 0);
    limit_descriptors(r.rlim_max);
    unsigned long pages = soft_limit_pages();
    int fds[2] = {-1, -1};
    for (unsigned long used = 0; used <= pages && pages != 0; used += PIPE_DEFAULT_PAGES) {
        if (pipe(fds) < 0)
            return false;
    }
    return pages != 0;
}

START_TEST(a_shrunk_pipe_is_none)
{
    become_ordinary();
    if (!use_up_pages())
        return;
    pipes_set_budget(4);
    ck_assert_ptr_null(pipes_get());
    ck_assert_uint_eq(stats().open, 0);
}
END_TEST

START_TEST(few_are_advised)
{
    become_ordinary();
    unsigned long pages = soft_limit_pages();
    unsigned long page = (unsigned long)sysconf(_SC_PAGESIZE);
    unsigned long share = pages == 0 ? 1024 : pages / 2 * page >> 20;
    ck_assert_uint_eq(pipes_advise(0, 1), 0);
    ck_assert_uint_eq(pipes_advise(1023, 1), 0);
    ck_assert_uint_eq(pipes_advise(1024, 1), 5 < share ? 5 : share);
    ck_assert_uint_eq(pipes_advise(20000, 2), 100 < share ? 100 : share);
    ck_assert_uint_eq(pipes_advise(1u << 30, 2), 1024 < share ? 1024 : share);
    ck_assert_uint_eq(pipes_advise(1024, 8), 8 < share ? 8 : share);
    ck_assert_uint_eq(pipes_advise(1024, 256), 0);
}
END_TEST

#define THREADS 4
#define BUDGET  6

static _Atomic unsigned in_use;

static void *take_and_put(void *arg)
{
    (void)arg;
    for (int i = 0; i < UNIT_WORK(20000); i++) {
        struct pipe *p = pipes_get(), *q = pipes_get();
        unsigned mine = (p != NULL) + (q != NULL);
        unit_assert(atomic_fetch_add(&in_use, mine) + mine <= BUDGET);
        unit_assert(stats().open <= BUDGET);
        atomic_fetch_sub(&in_use, mine);
        if (p != NULL)
            pipes_put(p);
        if (q != NULL)
            pipes_put(q);
        if (i % 16 == 0)
            pipes_flush();
    }
    pipes_flush();
    return NULL;
}

START_TEST(threads_share_the_budget)
{
    pthread_t threads[THREADS];
    pipes_set_budget(BUDGET);
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, take_and_put, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    ck_assert_uint_eq(stats().open, 0);
    ck_assert_uint_eq(stats().free, 0);
}
END_TEST

UNIT_MAIN_AROUND("pipes", NULL, pipes_flush, without_a_budget_there_is_none,
                 a_pipe_is_large_and_never_blocks, what_was_put_last_is_taken_first,
                 the_budget_binds, one_with_bytes_in_it_is_closed,
                 a_trim_closes_those_that_nobody_needed, a_flush_closes_all_that_are_free,
                 without_descriptors_the_kernel_is_asked_once, a_shrunk_pipe_is_none,
                 few_are_advised, threads_share_the_budget)
