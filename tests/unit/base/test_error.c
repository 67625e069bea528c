#include "base/error.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>

START_TEST(every_own_error_has_a_text)
{
    for (int e = WEFT_EFIRST; e < WEFT_ELAST; e++) {
        ck_assert_str_ne(error_text(-e), "unknown error");
        ck_assert_str_eq(error_text(-e), error_text(e));
    }
}
END_TEST

START_TEST(system_errors_speak_as_the_system_does)
{
    ck_assert_str_eq(error_text(-ECONNREFUSED), "Connection refused");
    ck_assert_str_eq(error_text(WEFT_ELAST), "unknown error");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("error");
    TCase *tc = tcase_create("texts");
    tcase_add_test(tc, every_own_error_has_a_text);
    tcase_add_test(tc, system_errors_speak_as_the_system_does);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
