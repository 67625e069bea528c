#include "base/crc32c.h"

#include <string.h>

#include "unit.h"

/* RFC 3720 appendix B.4, and the check value of the catalogues. */
START_TEST(agrees_with_the_standard)
{
    uint8_t bytes[32];
    memset(bytes, 0, sizeof(bytes));
    ck_assert_uint_eq(crc32c(0, bytes, sizeof(bytes)), 0x8a9136aa);
    memset(bytes, 0xff, sizeof(bytes));
    ck_assert_uint_eq(crc32c(0, bytes, sizeof(bytes)), 0x62a8ab43);
    for (unsigned i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)i;
    ck_assert_uint_eq(crc32c(0, bytes, sizeof(bytes)), 0x46dd794e);
    for (unsigned i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(31 - i);
    ck_assert_uint_eq(crc32c(0, bytes, sizeof(bytes)), 0x113fdb5c);
    ck_assert_uint_eq(crc32c(0, "123456789", 9), 0xe3069283);
    ck_assert_uint_eq(crc32c(0, NULL, 0), 0);
}
END_TEST

START_TEST(goes_on_from_any_byte)
{
    static const char text[] = "the quick brown fox jumps over the lazy dog";
    uint32_t whole = crc32c(0, text, sizeof(text));
    for (size_t cut = 0; cut <= sizeof(text); cut++)
        ck_assert_uint_eq(crc32c(crc32c(0, text, cut), text + cut, sizeof(text) - cut), whole);
}
END_TEST

UNIT_MAIN("crc32c", agrees_with_the_standard, goes_on_from_any_byte)
