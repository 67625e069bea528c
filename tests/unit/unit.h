/* What every unit test program has in common. */
#ifndef WEFT_UNIT_H
#define WEFT_UNIT_H

#include <check.h>
#include <stddef.h>
#include <stdlib.h>

/* clang says it in another way than gcc. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#if __has_feature(thread_sanitizer)
#define __SANITIZE_THREAD__ 1
#endif
#endif

/* Work to do: `n` in a plain build, less where checks make it ten times slower. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || defined(WEFT_DEBUG)
#define UNIT_WORK(n) ((n) / 16)
#else
#define UNIT_WORK(n) (n)
#endif

/* As ck_assert(), which costs a system call and an allocation each time: for inner loops. */
#define unit_assert(condition)                                                                     \
    do {                                                                                           \
        if (!(condition))                                                                          \
            ck_abort_msg("%s", #condition);                                                        \
    } while (0)

#define UNIT_TIMEOUT 120 /* [s] for one test; what hangs must not hang for ever */

/*
 * Run the tests of one suite, each in a process of its own, between `set_up` and `tear_down` (both
 * may be NULL). Returns main()'s exit code.
 */
static inline int unit_run(const char *name, void (*set_up)(void), void (*tear_down)(void),
                           const TTest *const *tests, size_t count)
{
    Suite *suite = suite_create(name);
    TCase *tc = tcase_create(name);
    tcase_set_timeout(tc, UNIT_TIMEOUT);
    tcase_add_checked_fixture(tc, set_up, tear_down);
    for (size_t i = 0; i < count; i++)
        tcase_add_test(tc, tests[i]);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* The main() of a test program: UNIT_MAIN("ring", test_of_this, test_of_that) */
#define UNIT_MAIN(name, ...) UNIT_MAIN_AROUND(name, NULL, NULL, __VA_ARGS__)

/* The same with something to be done before and after each test. */
#define UNIT_MAIN_AROUND(name, set_up, tear_down, ...)                                             \
    int main(void)                                                                                 \
    {                                                                                              \
        const TTest *const tests[] = {__VA_ARGS__};                                                \
        return unit_run(name, set_up, tear_down, tests, sizeof(tests) / sizeof(tests[0]));         \
    }

#endif
