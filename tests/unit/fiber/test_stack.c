#include "fiber/stack.h"

#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "unit.h"

/* The kinds of guard that can be had here; each test runs with each of them. */
static const enum stack_guard guards[] = {
    STACK_GUARD_AUTO,
    STACK_GUARD_MADVISE,
    STACK_GUARD_MPROTECT,
    STACK_GUARD_CANARY,
};

static struct stack_arena *new_arena(int kind)
{
    struct stack_arena *a = stack_arena_new(guards[kind]);

    ck_assert_ptr_nonnull(a);
    return a;
}

/* Before Linux 6.13 there is none. */
static bool has_guard(int kind)
{
    struct stack_arena *a = new_arena(kind);
    void *stack = stack_get(a);

    if (stack)
        stack_put(a, stack);
    stack_arena_free(a);
    ck_assert(stack != NULL || guards[kind] == STACK_GUARD_MADVISE);
    return stack != NULL;
}

static void *get(struct stack_arena *a)
{
    char *stack = stack_get(a);

    ck_assert_ptr_nonnull(stack);
    ck_assert_uint_eq((uintptr_t)stack % (size_t)sysconf(_SC_PAGESIZE), 0);
    return stack;
}

static size_t resident(void *stack)
{
    unsigned char pages[STACK_SIZE / 4096];
    size_t n = 0;

    ck_assert_int_eq(mincore(stack, stack_usable(), pages), 0);
    for (size_t i = 0; i < stack_usable() / (size_t)sysconf(_SC_PAGESIZE); i++)
        n += pages[i] & 1;
    return n;
}

START_TEST(every_byte_is_usable)
{
    struct stack_arena *a = new_arena(_i);
    enum { COUNT = 600 }; /* three mappings */
    char *stacks[COUNT];

    if (!has_guard(_i))
        return;
    for (int i = 0; i < COUNT; i++) {
        stacks[i] = get(a);
        memset(stacks[i], i, stack_usable());
    }
    for (int i = 0; i < COUNT; i++) {
        ck_assert_int_eq(stacks[i][0], (char)i);
        ck_assert_int_eq(memcmp(stacks[i], stacks[i] + 1, stack_usable() - 1), 0);
        ck_assert(stack_intact(a, stacks[i]));
        stack_put(a, stacks[i]);
    }
    struct stack_stats st;
    stack_stats(a, &st);
    ck_assert_uint_eq(st.used, 0);
    ck_assert_uint_eq(st.warm + st.cold, 3 * 256);
    ck_assert_uint_eq(st.mappings, 3);
    stack_arena_free(a);
}
END_TEST

START_TEST(the_last_one_is_reused_first)
{
    struct stack_arena *a = new_arena(_i);

    if (!has_guard(_i))
        return;
    void *first = get(a);
    void *second = get(a);
    stack_put(a, first);
    stack_put(a, second);
    ck_assert_ptr_eq(get(a), second);
    ck_assert_ptr_eq(get(a), first);
    stack_arena_free(a); /* with stacks in use */
}
END_TEST

/* --- the guard --------------------------------------------------------------------------- */

static bool write_faults(char *at)
{
    fflush(NULL);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        signal(SIGSEGV, SIG_DFL);
        *(volatile char *)at = 1;
        _exit(0);
    }
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV;
}

static void check_guard(struct stack_arena *a, char *stack, bool canary)
{
    ck_assert(stack_is_guard(a, stack - 1));
    ck_assert(!stack_is_guard(a, stack));
    ck_assert(!stack_is_guard(a, stack + stack_usable() - 1));
    ck_assert(!write_faults(stack));
    ck_assert_int_eq(write_faults(stack - 1), !canary);
}

START_TEST(guard_is_below_each_stack)
{
    struct stack_arena *a = new_arena(_i);
    bool canary = guards[_i] == STACK_GUARD_CANARY;
    char on_our_stack;

    if (!has_guard(_i))
        return;
    char *first = get(a);
    char *second = get(a);
    check_guard(a, first, canary);
    check_guard(a, second, canary);
    ck_assert(!stack_is_guard(a, &on_our_stack));
    ck_assert(!stack_is_guard(a, NULL));
    stack_arena_free(a);
}
END_TEST

START_TEST(canary_dies_when_written)
{
    struct stack_arena *a = stack_arena_new(STACK_GUARD_CANARY);
    size_t page = (size_t)sysconf(_SC_PAGESIZE);

    for (size_t at = 1; at <= page; at += page - 1) {
        char *stack = get(a);
        char *other = get(a);
        ck_assert(stack_intact(a, stack));
        stack[-(ptrdiff_t)at] = 1;
        ck_assert(!stack_intact(a, stack));
        ck_assert(stack_intact(a, other));
    }
    char *filled = get(a);
    memset(filled - page, 0xff, page);
    ck_assert(!stack_intact(a, filled));
    stack_arena_free(a);
}
END_TEST

START_TEST(mprotect_stops_at_its_cap)
{
    struct stack_arena *a = stack_arena_new(STACK_GUARD_MPROTECT);
    struct stack_arena *b = stack_arena_new(STACK_GUARD_MPROTECT);
    enum { CAP = 16000 / 256 * 256 };

    for (int i = 0; i < CAP; i++)
        (void)get(a);
    char *beyond = get(b); /* of another thread's arena: the cap is the process' */
    ck_assert(stack_intact(b, beyond));
    beyond[-1] = 1;
    ck_assert(!stack_intact(b, beyond));
    stack_arena_free(a);
    stack_arena_free(b);
    a = stack_arena_new(STACK_GUARD_MPROTECT);
    check_guard(a, get(a), false); /* there is room under the cap again */
    stack_arena_free(a);
}
END_TEST

/* --- trimming ---------------------------------------------------------------------------- */

static int64_t trim_all(struct stack_arena *a)
{
    int64_t next;

    do
        next = stack_trim(a);
    while (next < NSEC_PER_SEC);
    return next;
}

START_TEST(trim_frees_what_was_not_used)
{
    struct stack_arena *a = new_arena(_i);
    enum { COUNT = 500, WARM_MIN = 16 };
    char *stacks[COUNT];
    struct stack_stats st;

    if (!has_guard(_i))
        return;
    for (int i = 0; i < COUNT; i++) {
        stacks[i] = get(a);
        memset(stacks[i], 1, stack_usable());
    }
    for (int i = 0; i < COUNT; i++)
        stack_put(a, stacks[i]);
    ck_assert_int_eq(trim_all(a), NSEC_PER_SEC); /* all were used since the last one */
    ck_assert_uint_gt(resident(stacks[0]), 10);

    char *again[100];
    for (int i = 0; i < 100; i++)
        again[i] = get(a);
    for (int i = 0; i < 100; i++)
        stack_put(a, again[i]);
    ck_assert_int_eq(trim_all(a), NSEC_PER_SEC);
    stack_stats(a, &st);
    ck_assert_uint_eq(st.warm, 100);
    ck_assert_uint_eq(resident(stacks[0]), 0);
    ck_assert_uint_gt(resident(again[99]), 10);

    ck_assert_int_eq(trim_all(a), CLOCK_NEVER);
    stack_stats(a, &st);
    ck_assert_uint_eq(st.warm, WARM_MIN);
    check_guard(a, stacks[0], guards[_i] == STACK_GUARD_CANARY); /* it has survived */
    memset(stacks[0], 1, stack_usable());
    stack_arena_free(a);
}
END_TEST

START_TEST(trim_of_nothing)
{
    struct stack_arena *a = stack_arena_new(STACK_GUARD_AUTO);

    ck_assert_int_eq(stack_trim(a), CLOCK_NEVER);
    void *stack = get(a);
    ck_assert_int_eq(stack_trim(a), CLOCK_NEVER);
    stack_put(a, stack);
    ck_assert_int_eq(stack_trim(a), CLOCK_NEVER);
    stack_arena_free(a);
    stack_arena_free(NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("stack");
    TCase *tc = tcase_create("stack");
    int kinds = sizeof(guards) / sizeof(guards[0]);

    tcase_set_timeout(tc, UNIT_TIMEOUT);
    tcase_add_loop_test(tc, every_byte_is_usable, 0, kinds);
    tcase_add_loop_test(tc, the_last_one_is_reused_first, 0, kinds);
    tcase_add_loop_test(tc, guard_is_below_each_stack, 0, kinds);
    tcase_add_test(tc, canary_dies_when_written);
    tcase_add_test(tc, mprotect_stops_at_its_cap);
    tcase_add_loop_test(tc, trim_frees_what_was_not_used, 0, kinds);
    tcase_add_test(tc, trim_of_nothing);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
