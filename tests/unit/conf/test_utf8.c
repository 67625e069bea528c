#include "conf/utf8.h"

#include <stddef.h>

#include "base/attr.h"
#include "unit.h"

START_TEST(characters_of_every_length)
{
    const char *s = "a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80";
    ck_assert_int_eq(utf8_next(&s), 'a');
    ck_assert_int_eq(utf8_next(&s), 0xe4);
    ck_assert_int_eq(utf8_next(&s), 0x20ac);
    ck_assert_int_eq(utf8_next(&s), 0x1f600);
    ck_assert_int_eq(*s, '\0');
}
END_TEST

START_TEST(what_is_not_utf8_costs_one_byte)
{
    static const char *const wrong[] = {
        "\x80",             /* a continuation alone */
        "\xc0\xaf",         /* overlong */
        "\xe0\x80\xaf",     /* overlong */
        "\xf0\x80\x80\xaf", /* overlong */
        "\xed\xa0\x80",     /* a surrogate */
        "\xf4\x90\x80\x80", /* beyond the last */
        "\xf8\x88\x80\x80", /* no such first byte */
        "\xc3",             /* cut off */
        "\xe2\x82",         /* cut off */
        "\xc3(",
    };
    for (size_t i = 0; i < array_size(wrong); i++) {
        const char *s = wrong[i];
        ck_assert_int_eq(utf8_next(&s), -1);
        ck_assert_ptr_eq(s, wrong[i] + 1);
        ck_assert(!utf8_printable(wrong[i]));
    }
}
END_TEST

START_TEST(what_does_not_show_is_not_printable)
{
    static const char *const hidden[] = {
        "a\nb",         "a\tb", "\x1b[31m", "\x7f", "\xc2\x85", /* next line */
        "\xe2\x80\xa8",                                         /* line separator */
        "\xe2\x80\xae",                                         /* right-to-left override */
        "\xe2\x80\x8b",                                         /* zero width */
        "\xef\xbb\xbf",                                         /* byte order mark */
    };
    static const char *const shown[] = {"", "web 1", "k\xc3\xa4se", "\xe6\x97\xa5", "!~\xc2\xa0"};
    for (size_t i = 0; i < array_size(hidden); i++)
        ck_assert_msg(!utf8_printable(hidden[i]), "hidden %zu", i);
    for (size_t i = 0; i < array_size(shown); i++)
        ck_assert_msg(utf8_printable(shown[i]), "shown %zu", i);
}
END_TEST

UNIT_MAIN("utf8", characters_of_every_length, what_is_not_utf8_costs_one_byte,
          what_does_not_show_is_not_printable)
