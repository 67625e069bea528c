/*
 * What the kernel or the allocator refuses: each call of the room fails in its turn, by the
 * linker's --wrap.
 */
#include <errno.h>
#include <ev.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fiber/mailbox.h"
#include "fiber/netpoll.h"
#include "fiber/sched.h"
#include "fiber/stack.h"
#include "fibers.h"
#include "unit.h"

#define ADVICE_GUARD 102 /* MADV_GUARD_INSTALL */

static int countdown; /* the call that fails, from 1; 0: none */
static bool no_guard_advice;
static bool no_batches;
static bool no_mprotect;
static bool no_mmap;

/* clang links ThreadSanitizer's run-time statically, which calls these before it is ready. */
#ifdef __clang__
#define UNINSTRUMENTED __attribute__((disable_sanitizer_instrumentation))
#else
#define UNINSTRUMENTED
#endif

UNINSTRUMENTED static bool fails(void)
{
    return countdown > 0 && --countdown == 0;
}

#define REAL(type, name, ...)                                                                      \
    type __real_##name(__VA_ARGS__);                                                               \
    type __wrap_##name(__VA_ARGS__);                                                               \
    UNINSTRUMENTED type __wrap_##name(__VA_ARGS__)

#define FAIL(condition, error, result)                                                             \
    do {                                                                                           \
        if (condition) {                                                                           \
            errno = error;                                                                         \
            return result;                                                                         \
        }                                                                                          \
    } while (0)

REAL(void *, malloc, size_t size)
{
    FAIL(fails(), ENOMEM, NULL);
    return __real_malloc(size);
}

REAL(void *, calloc, size_t n, size_t size)
{
    FAIL(fails(), ENOMEM, NULL);
    return __real_calloc(n, size);
}

REAL(void *, realloc, void *old, size_t size)
{
    FAIL(fails(), ENOMEM, NULL);
    return __real_realloc(old, size);
}

REAL(void *, aligned_alloc, size_t alignment, size_t size)
{
    FAIL(fails(), ENOMEM, NULL);
    return __real_aligned_alloc(alignment, size);
}

REAL(struct ev_loop *, ev_loop_new, unsigned flags)
{
    FAIL(fails(), EMFILE, NULL);
    return __real_ev_loop_new(flags);
}

REAL(int, epoll_create1, int flags)
{
    FAIL(fails(), EMFILE, -1);
    return __real_epoll_create1(flags);
}

REAL(int, epoll_ctl, int fd, int op, int which, struct epoll_event *event)
{
    FAIL(fails(), ENOSPC, -1);
    return __real_epoll_ctl(fd, op, which, event);
}

REAL(void *, mmap, void *at, size_t size, int prot, int flags, int fd, off_t offset)
{
    FAIL(no_mmap || fails(), ENOMEM, MAP_FAILED);
    return __real_mmap(at, size, prot, flags, fd, offset);
}

REAL(int, mprotect, void *at, size_t size, int prot)
{
    FAIL(no_mprotect && prot == PROT_NONE, ENOMEM, -1);
    return __real_mprotect(at, size, prot);
}

REAL(int, madvise, void *at, size_t size, int advice)
{
    FAIL(no_guard_advice && advice == ADVICE_GUARD, EINVAL, -1);
    return __real_madvise(at, size, advice);
}

REAL(int, sigaction, int signal, const struct sigaction *new, struct sigaction *old)
{
    FAIL(fails(), EINVAL, -1);
    return __real_sigaction(signal, new, old);
}

REAL(int, sigaltstack, const stack_t *new, stack_t *old)
{
    FAIL(fails(), EPERM, -1);
    return __real_sigaltstack(new, old);
}

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);

/* process_madvise(2) is the only one. */
UNINSTRUMENTED long __wrap_syscall(long number, ...)
{
    va_list args;
    va_start(args, number);
    int pid = va_arg(args, int);
    void *iov = va_arg(args, void *);
    size_t n = va_arg(args, size_t);
    int advice = va_arg(args, int);
    va_end(args);
    FAIL(no_batches, EBADF, -1);
    FAIL(no_guard_advice && advice == ADVICE_GUARD, EINVAL, -1);
    return __real_syscall(number, pid, iov, n, advice, 0);
}

/* --- making things ------------------------------------------------------------------------- */

static const enum netpoll_kind kinds[] = {NETPOLL_EPOLL, NETPOLL_LIBEV};

START_TEST(sched_new_survives_every_fault)
{
    const struct sched_options o = {.netpoll = kinds[_i]};
    struct sched *s = NULL;
    int faults = 0;

    while (s == NULL) {
        countdown = ++faults;
        errno = 0;
        s = sched_new(&o);
        countdown = 0; /* Check allocates, too */
        ck_assert(s != NULL || errno != 0);
    }
    ck_assert_int_ge(faults, 4);
    sched_free(s);
}
END_TEST

static void nothing(void *arg)
{
    (void)arg;
}

static void make_main(void *arg)
{
    struct netpoll_desc d;
    int fds[2];

    (void)arg;
    countdown = 1;
    struct fiber *f = fiber_spawn("none", nothing, NULL, false);
    ck_assert_ptr_null(f);
    countdown = 1;
    struct mailbox *m = mailbox_new(sched_self());
    ck_assert_ptr_null(m);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    countdown = 1;
    int r = netpoll_open(&d, fds[0]);
    ck_assert_int_eq(r, -ENOSPC);
    ck_assert_int_eq(d.fd, -1);
    ck_assert_int_eq(netpoll_open(&d, fds[0]), 0);
    netpoll_close(&d);
    close(fds[0]);
    close(fds[1]);
}

START_TEST(makers_say_what_failed)
{
    in_fiber(make_main, NULL);
}
END_TEST

#define SIGNALS_CAUGHT 5 /* once, by as many calls of sigaction(2) */

START_TEST(catching_crashes_can_fail)
{
#ifndef FIBER_ASAN
    for (int i = 0; i < 2; i++) { /* mmap(2), then sigaltstack(2) */
        countdown = i == 0 ? SIGNALS_CAUGHT + 1 : 2;
        int r = sched_catch_crash();
        countdown = 0;
        ck_assert_int_lt(r, 0);
    }
#endif
    ck_assert_int_eq(sched_catch_crash(), 0);
}
END_TEST

/* --- stacks --------------------------------------------------------------------------------- */

START_TEST(stack_get_survives_every_fault)
{
    struct stack_arena *a = stack_arena_new(STACK_GUARD_AUTO);
    void *stack = NULL;
    int faults = 0;

    while (stack == NULL) {
        countdown = ++faults;
        stack = stack_get(a);
        countdown = 0;
    }
    ck_assert_int_ge(faults, 4); /* two lists, the mapping; then it works */
    stack_put(a, stack);
    stack_arena_free(a);
}
END_TEST

static bool is_canary(struct stack_arena *a)
{
    char *stack = stack_get(a);

    ck_assert_ptr_nonnull(stack);
    ck_assert(stack_is_guard(a, stack - 1));
    pid_t pid = fork();
    if (pid == 0) {
        signal(SIGSEGV, SIG_DFL);
        *(volatile char *)(stack - 1) = 1;
        _exit(stack_intact(a, stack) ? 1 : 0);
    }
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
    stack_put(a, stack);
    stack_arena_free(a);
    return !WIFSIGNALED(status);
}

START_TEST(guards_fall_back)
{
    no_batches = true;
    ck_assert(!is_canary(stack_arena_new(STACK_GUARD_AUTO)));
    no_guard_advice = true;
    ck_assert(!is_canary(stack_arena_new(STACK_GUARD_AUTO)));
    no_mprotect = true;
    ck_assert(is_canary(stack_arena_new(STACK_GUARD_AUTO)));
    struct stack_arena *a = stack_arena_new(STACK_GUARD_MADVISE);
    ck_assert_ptr_null(stack_get(a)); /* asked for by name: nothing else will do */
    stack_arena_free(a);
}
END_TEST

static unsigned fed;

static void hungry(void *arg)
{
    (void)arg;
    ck_assert_int_eq(fiber_sleep(clock_now() + NSEC_PER_MSEC), 0);
    fed++;
}

static void starve_main(void *arg)
{
    struct sched_stats st;

    (void)arg;
    no_mmap = true;
    for (int i = 0; i < 1000; i++) /* the main fiber's slab has room for a quarter */
        ck_assert_ptr_nonnull(fiber_spawn("hungry", hungry, NULL, false));
    do {
        ck_assert_int_eq(fiber_sleep(clock_now() + NSEC_PER_MSEC), 0);
        sched_stats(sched_self(), &st);
    } while (st.fibers > 1);
    no_mmap = false;
}

START_TEST(fibers_wait_for_a_stack)
{
    in_fiber(starve_main, NULL);
    ck_assert_uint_eq(fed, 1000);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("faults");
    TCase *tc = tcase_create("faults");

    tcase_set_timeout(tc, UNIT_TIMEOUT);
    tcase_add_loop_test(tc, sched_new_survives_every_fault, 0, array_size(kinds));
    tcase_add_test(tc, makers_say_what_failed);
    tcase_add_test(tc, catching_crashes_can_fail);
    tcase_add_test(tc, stack_get_survives_every_fault);
    tcase_add_test(tc, guards_fall_back);
    tcase_add_test(tc, fibers_wait_for_a_stack);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
