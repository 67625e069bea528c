#include "conf/value.h"

#include <inttypes.h>

#include "unit.h"

#define US INT64_C(1000)
#define MS (1000 * US)
#define S  (1000 * MS)

struct amount {
    const char *text;
    enum value_verdict verdict;
    int64_t value;
};

static void check_amounts(const struct amount *cases, size_t count,
                          enum value_verdict (*read)(const char *text, int64_t *ret))
{
    for (size_t i = 0; i < count; i++) {
        int64_t value = -77;
        enum value_verdict verdict = read(cases[i].text, &value);
        ck_assert_msg(verdict == cases[i].verdict, "'%s': %d", cases[i].text, verdict);
        int64_t expected = verdict == VALUE_OK ? cases[i].value : -77;
        ck_assert_msg(value == expected, "'%s': %" PRId64, cases[i].text, value);
    }
}

START_TEST(durations)
{
    static const struct amount cases[] = {
        {"250us", VALUE_OK, 250 * US},
        {"100ms", VALUE_OK, 100 * MS},
        {"30s", VALUE_OK, 30 * S},
        {"10m", VALUE_OK, 600 * S},
        {"1h", VALUE_OK, 3600 * S},
        {"1.5s", VALUE_OK, 1500 * MS},
        {"0.25h", VALUE_OK, 900 * S},
        {"0.000001s", VALUE_OK, US},
        {"1.500000s", VALUE_OK, 1500 * MS},
        {"0s", VALUE_OK, 0},
        {"-5s", VALUE_OK, -5 * S},
        {"2562047h", VALUE_OK, 3600 * S * 2562047},
        {"2562048h", VALUE_TOO_LARGE, 0},
        {"9223372036854775807us", VALUE_TOO_LARGE, 0},
        {"9223372036854775808us", VALUE_TOO_LARGE, 0},
        {"99999999999999999999999999h", VALUE_TOO_LARGE, 0},
        {"1.5us", VALUE_TOO_FINE, 0},
        {"0.0000001s", VALUE_TOO_FINE, 0},
        {"0.0000001h", VALUE_TOO_FINE, 0},
        {"30", VALUE_NO_UNIT, 0},
        {"1.5", VALUE_NO_UNIT, 0},
        {"0", VALUE_NO_UNIT, 0},
        {"30x", VALUE_BAD_UNIT, 0},
        {"30S", VALUE_BAD_UNIT, 0},
        {"30sec", VALUE_BAD_UNIT, 0},
        {"30KiB", VALUE_BAD_UNIT, 0},
        {"", VALUE_MALFORMED, 0},
        {"s", VALUE_MALFORMED, 0},
        {"-", VALUE_MALFORMED, 0},
        {"--1s", VALUE_MALFORMED, 0},
        {"+1s", VALUE_MALFORMED, 0},
        {"30 s", VALUE_MALFORMED, 0},
        {" 30s", VALUE_MALFORMED, 0},
        {"30s ", VALUE_MALFORMED, 0},
        {".5s", VALUE_MALFORMED, 0},
        {"1.s", VALUE_MALFORMED, 0},
        {"1.5.5s", VALUE_MALFORMED, 0},
        {"1m30s", VALUE_MALFORMED, 0},
        {"030s", VALUE_MALFORMED, 0},
        {"0x1s", VALUE_MALFORMED, 0},
        {"1e3s", VALUE_MALFORMED, 0},
        {"1_000s", VALUE_MALFORMED, 0},
    };
    check_amounts(cases, array_size(cases), value_duration);
}
END_TEST

START_TEST(sizes)
{
    static const struct amount cases[] = {
        {"1B", VALUE_OK, 1},
        {"16KiB", VALUE_OK, 16384},
        {"1MiB", VALUE_OK, 1048576},
        {"1.5MiB", VALUE_OK, 1572864},
        {"1GiB", VALUE_OK, 1073741824},
        {"8589934591GiB", VALUE_OK, INT64_C(8589934591) << 30},
        {"8589934592GiB", VALUE_TOO_LARGE, 0},
        {"0.5B", VALUE_TOO_FINE, 0},
        {"0.1KiB", VALUE_TOO_FINE, 0},
        {"16", VALUE_NO_UNIT, 0},
        {"16K", VALUE_BAD_UNIT, 0},
        {"16KB", VALUE_BAD_UNIT, 0},
        {"16kib", VALUE_BAD_UNIT, 0},
        {"KiB", VALUE_MALFORMED, 0},
        {"16 KiB", VALUE_MALFORMED, 0},
    };
    check_amounts(cases, array_size(cases), value_size);
}
END_TEST

START_TEST(shares)
{
    static const struct {
        const char *text;
        enum value_verdict verdict;
        int64_t share;
    } cases[] = {
        {"50%", VALUE_OK, 50},
        {"0%", VALUE_OK, 0},
        {"100%", VALUE_OK, 100},
        {"-1%", VALUE_OK, -1},
        {"99999999999999999999%", VALUE_TOO_LARGE, 0},
        {"50", VALUE_NO_UNIT, 0},
        {"0.5", VALUE_MALFORMED, 0},
        {"12.5%", VALUE_MALFORMED, 0},
        {"050%", VALUE_MALFORMED, 0},
        {"50 %", VALUE_MALFORMED, 0},
        {"50%%", VALUE_MALFORMED, 0},
        {"%", VALUE_MALFORMED, 0},
        {"", VALUE_MALFORMED, 0},
        {"half", VALUE_MALFORMED, 0},
    };
    for (size_t i = 0; i < array_size(cases); i++) {
        int64_t share = -77;
        enum value_verdict verdict = value_share(cases[i].text, &share);
        ck_assert_msg(verdict == cases[i].verdict, "%s: %d", cases[i].text, (int)verdict);
        if (verdict != VALUE_OK)
            continue;
        ck_assert_int_eq(share, cases[i].share);
        struct text out;
        text_init(&out);
        value_write_share(&out, share);
        ck_assert_str_eq(out.data, cases[i].text);
        text_free(&out);
    }
}
END_TEST

START_TEST(rates)
{
    static const struct {
        const char *text;
        enum value_verdict verdict;
        int64_t count, period;
    } cases[] = {
        {"50/s", VALUE_OK, 50, S},
        {"20/m", VALUE_OK, 20, 60 * S},
        {"1/h", VALUE_OK, 1, 3600 * S},
        {"0/s", VALUE_OK, 0, S},
        {"-5/s", VALUE_OK, -5, S},
        {"9223372036854775807/s", VALUE_OK, INT64_MAX, S},
        {"9223372036854775808/s", VALUE_TOO_LARGE, 0, 0},
        {"50", VALUE_NO_UNIT, 0, 0},
        {"50/", VALUE_BAD_UNIT, 0, 0},
        {"50/d", VALUE_BAD_UNIT, 0, 0},
        {"50/S", VALUE_BAD_UNIT, 0, 0},
        {"50/s/s", VALUE_BAD_UNIT, 0, 0},
        {"50/min", VALUE_BAD_UNIT, 0, 0},
        {"", VALUE_MALFORMED, 0, 0},
        {"/s", VALUE_MALFORMED, 0, 0},
        {"050/s", VALUE_MALFORMED, 0, 0},
        {"1.5/s", VALUE_MALFORMED, 0, 0},
        {"50 /s", VALUE_MALFORMED, 0, 0},
        {"50s", VALUE_MALFORMED, 0, 0},
        {"fast", VALUE_MALFORMED, 0, 0},
    };
    for (size_t i = 0; i < array_size(cases); i++) {
        int64_t count = -77, period = -77;
        enum value_verdict verdict = value_rate(cases[i].text, &count, &period);
        ck_assert_msg(verdict == cases[i].verdict, "'%s': %d", cases[i].text, verdict);
        if (verdict == VALUE_OK)
            ck_assert(count == cases[i].count && period == cases[i].period);
    }
    struct text out;
    text_init(&out);
    value_write_rate(&out, 50, S);
    value_write_rate(&out, 1, 60 * S);
    value_write_rate(&out, 7, 3600 * S);
    ck_assert_str_eq(out.data, "50/s1/m7/h");
    text_free(&out);
}
END_TEST

START_TEST(numbers)
{
    static const struct amount cases[] = {
        {"0", VALUE_OK, 0},
        {"42", VALUE_OK, 42},
        {"-1", VALUE_OK, -1},
        {"9223372036854775807", VALUE_OK, INT64_MAX},
        {"9223372036854775808", VALUE_TOO_LARGE, 0},
        {"", VALUE_MALFORMED, 0},
        {"010", VALUE_MALFORMED, 0},
        {"1.5", VALUE_MALFORMED, 0},
        {"1k", VALUE_MALFORMED, 0},
        {"99999999999999999999x", VALUE_MALFORMED, 0},
        {"four", VALUE_MALFORMED, 0},
    };
    check_amounts(cases, array_size(cases), value_number);
}
END_TEST

START_TEST(booleans)
{
    static const char *const truths[] = {"true", "True", "TRUE", "yes", "Yes", "on", "ON"};
    static const char *const falsehoods[] = {"false", "False", "no", "NO", "off", "Off"};
    static const char *const neither[] = {"", "1", "0", "y", "truee", "of", "null"};
    bool value;
    for (size_t i = 0; i < array_size(truths); i++)
        ck_assert(value_bool(truths[i], &value) == VALUE_OK && value);
    for (size_t i = 0; i < array_size(falsehoods); i++)
        ck_assert(value_bool(falsehoods[i], &value) == VALUE_OK && !value);
    for (size_t i = 0; i < array_size(neither); i++)
        ck_assert(value_bool(neither[i], &value) == VALUE_MALFORMED);
    ck_assert(value_is_off("0") && value_is_off("off") && value_is_off("No"));
    ck_assert(!value_is_off("on") && !value_is_off("") && !value_is_off("00"));
}
END_TEST

START_TEST(writing_takes_the_largest_whole_unit)
{
    static const struct {
        void (*write)(struct text *out, int64_t value);
        int64_t value;
        const char *text;
    } cases[] = {
        {value_write_duration, US, "1us"},
        {value_write_duration, 1500 * MS, "1500ms"},
        {value_write_duration, 90 * S, "90s"},
        {value_write_duration, 600 * S, "10m"},
        {value_write_duration, 7200 * S, "2h"},
        {value_write_size, 1, "1B"},
        {value_write_size, 1025, "1025B"},
        {value_write_size, 1536 * 1024, "1536KiB"},
        {value_write_size, INT64_C(3) << 30, "3GiB"},
    };
    for (size_t i = 0; i < array_size(cases); i++) {
        struct text out;
        text_init(&out);
        cases[i].write(&out, cases[i].value);
        ck_assert_str_eq(out.data, cases[i].text);
        text_free(&out);
    }
}
END_TEST

START_TEST(strings_get_quotes_where_yaml_would_take_them_for_something_else)
{
    static const struct {
        const char *string, *written;
    } cases[] = {
        {"web", "web"},
        {"web-1.example.org:80", "web-1.example.org:80"},
        {"/run/x.sock", "/run/x.sock"},
        {"unix:@name", "unix:@name"},
        {"", "\"\""},
        {"8080", "\"8080\""},
        {"10.0.0.1:80", "\"10.0.0.1:80\""},
        {":80", "\":80\""},
        {"[::]:80", "\"[::]:80\""},
        {"on", "\"on\""},
        {"No", "\"No\""},
        {"null", "\"null\""},
        {"y", "\"y\""},
        {"~", "\"~\""},
        {"a b", "\"a b\""},
        {"a:", "\"a:\""},
        {"a#b", "\"a#b\""},
        {"a\"b\\", "\"a\\\"b\\\\\""},
        {"<<", "\"<<\""},
        {"- a", "\"- a\""},
        {"k\xc3\xa4se", "\"k\xc3\xa4se\""},
    };
    for (size_t i = 0; i < array_size(cases); i++) {
        struct text out;
        text_init(&out);
        value_write_string(&out, cases[i].string);
        ck_assert_str_eq(out.data, cases[i].written);
        text_free(&out);
    }
}
END_TEST

UNIT_MAIN("value", durations, sizes, shares, rates, numbers, booleans,
          writing_takes_the_largest_whole_unit,
          strings_get_quotes_where_yaml_would_take_them_for_something_else)
