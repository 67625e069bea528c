#include "fiber/crash.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fiber/stack.h"
#include "fibers.h"
#include "unit.h"

struct child {
    int status;
    char said[512]; /* on stderr */
};

/* Run `fn(arg)` in a process of its own. */
static struct child in_child(void (*fn)(void *), void *arg)
{
    struct child c = {0};
    int fds[2];

    ck_assert_int_eq(pipe(fds), 0);
    fflush(NULL);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        dup2(fds[1], STDERR_FILENO);
        signal(SIGABRT, SIG_DFL);
        fn(arg);
        _exit(0);
    }
    close(fds[1]);
    size_t length = 0;
    ssize_t n;
    while ((n = read(fds[0], c.said + length, sizeof(c.said) - 1 - length)) > 0)
        length += (size_t)n;
    close(fds[0]);
    ck_assert_int_eq(waitpid(pid, &c.status, 0), pid);
    return c;
}

static bool died_of(const struct child *c, int signal)
{
    return WIFSIGNALED(c->status) && WTERMSIG(c->status) == signal;
}

struct scene {
    enum stack_guard guard;
    fiber_fn *fn;
    int depth;
};

static void play(void *arg)
{
    struct scene *scene = arg;
    struct sched *s = sched_new(&(struct sched_options){.guard = scene->guard});

    if (sched_catch_crash() != 0 || sched_catch_crash() != 0) /* a second time: no harm */
        _exit(2);
    sched_run(s, "diver", scene->fn, &scene->depth);
    sched_free(s);
}

#define MESSAGE "weft: fiber 'diver' overflowed its stack of 64 KiB\n"

#ifndef FIBER_ASAN /* it has a handler of its own */

static uint64_t WEFT_NOINLINE sink(volatile char *frame, int depth)
{
    volatile char below[100];

    below[0] = frame[0];
    return depth == 0 ? 0 : sink(below, depth - 1) + (uint64_t)below[0];
}

static void sink_fiber(void *arg)
{
    volatile char frame[1] = {1};

    (void)sink(frame, *(int *)arg);
}

START_TEST(overflow_is_named)
{
    struct scene scene = {.fn = sink_fiber, .depth = 1000000};

    struct child c = in_child(play, &scene);
    ck_assert_str_eq(c.said, MESSAGE);
    ck_assert(died_of(&c, SIGSEGV));
}
END_TEST

START_TEST(depth_that_fits_is_fine)
{
    struct scene scene = {.fn = sink_fiber, .depth = 100};

    struct child c = in_child(play, &scene);
    ck_assert_str_eq(c.said, "");
    ck_assert(WIFEXITED(c.status) && WEXITSTATUS(c.status) == 0);
}
END_TEST

static void *catch_and_leave(void *arg)
{
    stack_t *stack = arg;

    if (sched_catch_crash() != 0 || sigaltstack(NULL, stack) != 0)
        stack->ss_sp = NULL;
    return NULL;
}

/* Each thread has its alternate stack, and takes it along. */
START_TEST(thread_frees_its_stack)
{
    for (int i = 0; i < 3; i++) {
        stack_t stack = {.ss_sp = NULL};
        pthread_t thread;
        ck_assert_int_eq(pthread_create(&thread, NULL, catch_and_leave, &stack), 0);
        ck_assert_int_eq(pthread_join(thread, NULL), 0);
        ck_assert_ptr_nonnull(stack.ss_sp);
        ck_assert_int_eq(msync(stack.ss_sp, stack.ss_size, MS_ASYNC), -1);
        ck_assert_int_eq(errno, ENOMEM); /* unmapped */
    }
}
END_TEST

static void null_fiber(void *arg)
{
    volatile int *volatile nothing = NULL;

    (void)arg;
    *nothing = 1;
}

START_TEST(another_fault_is_not_called_so)
{
    struct scene scene = {.fn = null_fiber};

    struct child c = in_child(play, &scene);
    ck_assert_str_eq(c.said, "weft: fiber 'diver' crashed: SIGSEGV\n");
    ck_assert(died_of(&c, SIGSEGV));
}
END_TEST

static void describe_diver(const struct fiber *f, void (*say)(const char *text))
{
    say(f->name[0] == 'd' ? "(deep) " : "(another) ");
}

static void play_described(void *arg)
{
    sched_describe_crash(describe_diver);
    play(arg);
}

START_TEST(what_a_fiber_was_about_is_said)
{
    struct scene scene = {.fn = null_fiber};

    struct child c = in_child(play_described, &scene);
    ck_assert_str_eq(c.said, "weft: fiber 'diver' (deep) crashed: SIGSEGV\n");
    ck_assert(died_of(&c, SIGSEGV));
}
END_TEST

static void abort_fiber(void *arg)
{
    (void)arg;
    abort();
}

START_TEST(abort_is_said)
{
    struct scene scene = {.fn = abort_fiber};

    struct child c = in_child(play, &scene);
    ck_assert_str_eq(c.said, "weft: fiber 'diver' aborted\n");
    ck_assert(died_of(&c, SIGABRT));
}
END_TEST

static void kill_fiber(void *arg)
{
    (void)arg;
    raise(SIGSEGV);
}

START_TEST(sent_signal_ends_the_process)
{
    struct scene scene = {.fn = kill_fiber};

    struct child c = in_child(play, &scene);
    ck_assert_str_eq(c.said, "");
    ck_assert(died_of(&c, SIGSEGV));
}
END_TEST

#endif

/* Writes where a guard page would be. */
static void canary_fiber(void *arg)
{
    char *stack = fiber_self()->stack;

    (void)arg;
    stack[-100] = 1;
}

START_TEST(canary_is_named)
{
    struct scene scene = {.guard = STACK_GUARD_CANARY, .fn = canary_fiber};

    struct child c = in_child(play, &scene);
    ck_assert_str_eq(c.said, MESSAGE);
    ck_assert(died_of(&c, SIGABRT));
}
END_TEST

#ifdef FIBER_ASAN
UNIT_MAIN("crash", canary_is_named)
#else
UNIT_MAIN("crash", overflow_is_named, depth_that_fits_is_fine, another_fault_is_not_called_so,
          what_a_fiber_was_about_is_said, abort_is_said, sent_signal_ends_the_process,
          thread_frees_its_stack, canary_is_named)
#endif
