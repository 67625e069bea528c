#include "proxy/end.h"

#include <string.h>

#include "unit.h"

START_TEST(every_end_has_a_name_of_its_own)
{
    for (int i = 0; i < END_LAST; i++) {
        ck_assert_ptr_nonnull(end_name((enum session_end)i));
        for (int j = 0; j < i; j++)
            ck_assert_str_ne(end_name((enum session_end)i), end_name((enum session_end)j));
    }
}
END_TEST

UNIT_MAIN("end", every_end_has_a_name_of_its_own)
