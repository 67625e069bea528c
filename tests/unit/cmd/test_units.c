#include "cmd/units.h"

#include "base/attr.h"
#include "unit.h"

static void expect(struct text *got, const char *want)
{
    ck_assert_str_eq(got->data, want);
    text_free(got);
}

START_TEST(bytes_have_three_digits_at_most)
{
    static const struct {
        uint64_t bytes;
        const char *text;
    } cases[] = {
        {0, "0 B"},
        {999, "999 B"},
        {1000, "1.0 KiB"},
        {1024, "1.0 KiB"},
        {1536, "1.5 KiB"},
        {102348, "99.9 KiB"},
        {102349, "100 KiB"},
        {1023487, "999 KiB"},
        {1023488, "1.0 MiB"},
        {1258291, "1.2 MiB"},
        {UINT64_C(3) << 40, "3.0 TiB"},
        {UINT64_MAX, "16.0 EiB"},
    };
    for (size_t i = 0; i < array_size(cases); i++) {
        struct text got;
        text_init(&got);
        units_write_bytes(cases[i].bytes, &got);
        expect(&got, cases[i].text);
    }
}
END_TEST

START_TEST(durations_have_two_units_at_most)
{
    static const struct {
        double seconds;
        const char *text;
    } cases[] = {
        {0, "0us"},          {0.00025, "250us"}, {0.000999, "999us"}, {0.001, "1ms"},
        {0.2504, "250ms"},   {0.9994, "999ms"},  {0.9996, "1.0s"},    {1.25, "1.2s"},
        {59.94, "59.9s"},    {59.96, "1m00s"},   {192, "3m12s"},      {3599.4, "59m59s"},
        {3599.6, "1h00m"},   {18180, "5h03m"},   {86399, "23h59m"},   {86400, "1d00h"},
        {1051200, "12d04h"}, {1e9, "11574d01h"},
    };
    for (size_t i = 0; i < array_size(cases); i++) {
        struct text got;
        text_init(&got);
        units_write_duration(cases[i].seconds, &got);
        expect(&got, cases[i].text);
    }
}
END_TEST

static void check(enum column_type type, const char *json, const char *want)
{
    struct text got;
    json_t *value = json_loads(json, JSON_DECODE_ANY, NULL);
    ck_assert_ptr_nonnull(value);
    text_init(&got);
    units_write(type, value, &got);
    json_decref(value);
    expect(&got, want);
}

START_TEST(values_are_written_by_their_type)
{
    check(COLUMN_TEXT, "\"web\"", "web");
    check(COLUMN_LIST, "[\"a\", \"b\"]", "a, b");
    check(COLUMN_LIST, "[]", "-");
    check(COLUMN_COUNT, "1234567", "1234567");
    check(COLUMN_BYTES, "1048576", "1.0 MiB");
    check(COLUMN_DURATION, "192", "3m12s");
    check(COLUMN_DURATION, "1.5", "1.5s");
    check(COLUMN_TIME, "\"2026-11-24T10:00:00.000Z\"", "2026-11-24T10:00:00.000Z");
    check(COLUMN_SHARE, "0.123", "12.3%");
    check(COLUMN_FLAG, "true", "yes");
    check(COLUMN_FLAG, "false", "no");
}
END_TEST

START_TEST(what_is_not_there_is_a_dash)
{
    static const char *const wrong[] = {"null", "{}", "\"x\"", "-1"};
    struct text got;
    text_init(&got);
    units_write(COLUMN_COUNT, NULL, &got);
    expect(&got, "-");
    for (size_t i = 0; i < array_size(wrong); i++) {
        check(COLUMN_COUNT, wrong[i], "-");
        check(COLUMN_BYTES, wrong[i], "-");
        check(COLUMN_DURATION, wrong[i], "-");
        check(COLUMN_SHARE, wrong[i], "-");
        check(COLUMN_LIST, wrong[i], "-");
        check(COLUMN_FLAG, wrong[i], "-");
    }
    check(COLUMN_TEXT, "1", "-");
    check(COLUMN_LIST, "[1, \"a\"]", "-, a");
}
END_TEST

START_TEST(a_terminal_is_told_nothing)
{
    check(COLUMN_TEXT, "\"a\\u001b[2Jb\\n\\u007f\\u009b1m\"", "a?[2Jb???1m");
    check(COLUMN_TEXT, "\"gr\\u00fc\\u00df\\u20ac\"", "gr\xc3\xbc\xc3\x9f\xe2\x82\xac");
    check(COLUMN_LIST, "[\"a\\rb\"]", "a?b");
}
END_TEST

UNIT_MAIN("units", bytes_have_three_digits_at_most, durations_have_two_units_at_most,
          values_are_written_by_their_type, what_is_not_there_is_a_dash, a_terminal_is_told_nothing)
