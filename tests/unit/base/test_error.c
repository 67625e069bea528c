#include "base/error.h"

#include <errno.h>

#include "unit.h"

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

UNIT_MAIN("error", every_own_error_has_a_text, system_errors_speak_as_the_system_does)
