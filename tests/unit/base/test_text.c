#include "base/text.h"

#include <limits.h>
#include <string.h>
#include <time.h>

#include "alloc.h"
#include "base/clock.h"
#include "unit.h"

/* What a text has become; it is emptied for the next. */
static void expect(struct text *t, const char *want)
{
    ck_assert(!t->failed);
    ck_assert_str_eq(t->data, want);
    ck_assert_uint_eq(t->length, strlen(want));
    text_clear(t);
}

START_TEST(grows)
{
    struct text t;
    text_init(&t);
    ck_assert_ptr_null(t.data);
    for (int i = 0; i < 10000; i++)
        text_add(&t, "0123456789", 10);
    ck_assert_uint_eq(t.length, 100000);
    ck_assert_uint_eq(strlen(t.data), 100000);
    ck_assert_mem_eq(t.data + 99990, "0123456789", 10);
    text_clear(&t);
    expect(&t, "");
    text_free(&t);
    text_free(&t);
    ck_assert_ptr_null(t.data);
}
END_TEST

START_TEST(adds_what_it_is_given)
{
    struct text t;
    text_init(&t);
    text_add_string(&t, "a");
    text_add(&t, NULL, 0);
    text_add_uint(&t, 0);
    text_add_uint(&t, UINT64_MAX);
    text_format(&t, " %s%d", "x", -3);
    expect(&t, "a018446744073709551615 x-3");
    text_format(&t, "%0500d", 7);
    ck_assert_uint_eq(t.length, 500);
    text_free(&t);
}
END_TEST

/* No memory for so much: what is there stays, and nothing more is added. */
START_TEST(fails_without_harm)
{
    struct text t;
    text_init(&t);
    text_add_string(&t, "kept");
    text_add(&t, "x", SIZE_MAX / 2);
    ck_assert(t.failed);
    text_add_string(&t, "not added");
    ck_assert_str_eq(t.data, "kept");
    text_clear(&t);
    alloc_limit(0);
    text_format(&t, "%0200d", 1);
    text_add_json(&t, "not added");
    alloc_limit(-1);
    ck_assert(t.failed);
    ck_assert_str_eq(t.data, "");
    text_clear(&t);
    text_add_string(&t, "again");
    expect(&t, "again");
    text_free(&t);
}
END_TEST

START_TEST(json_escapes)
{
    struct text t;
    text_init(&t);
    text_add_json(&t, "");
    expect(&t, "\"\"");
    text_add_json(&t, "plain /text/");
    expect(&t, "\"plain /text/\"");
    text_add_json(&t, "q\" b\\ \b\f\n\r\t \x01\x1f\x7f");
    expect(&t, "\"q\\\" b\\\\ \\b\\f\\n\\r\\t \\u0001\\u001f\\u007f\"");
    text_free(&t);
}
END_TEST

/* Valid and invalid sequences from RFC 3629 and from Kuhn's UTF-8 stress test. R: U+FFFD. */
#define R "\xef\xbf\xbd"
START_TEST(json_is_strict_utf8)
{
    static const char *const cases[][2] = {
        {"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"},
        {"\xc2\x80|\xdf\xbf", "\xc2\x80|\xdf\xbf"},
        {"\xe0\xa0\x80|\xed\x9f\xbf|\xee\x80\x80", "\xe0\xa0\x80|\xed\x9f\xbf|\xee\x80\x80"},
        {"\xf0\x90\x80\x80|\xf4\x8f\xbf\xbf", "\xf0\x90\x80\x80|\xf4\x8f\xbf\xbf"},
        {"\x80", R},                          /* a continuation alone */
        {"a\xff\xfe", "a" R R},               /* never in UTF-8 */
        {"\xc0\xaf", R R},                    /* overlong */
        {"\xc1\xbf", R R},                    /* overlong */
        {"\xe0\x9f\xbf", R R R},              /* overlong */
        {"\xf0\x8f\xbf\xbf", R R R R},        /* overlong */
        {"\xed\xa0\x80", R R R},              /* surrogate */
        {"\xf4\x90\x80\x80", R R R R},        /* past U+10FFFF */
        {"\xf5\x80\x80\x80", R R R R},        /* past U+10FFFF */
        {"\xe2\x82", R R},                    /* ends too early */
        {"\xf0\x9f\x98", R R R},              /* ends too early */
        {"\xc3(", R "("},                     /* interrupted */
        {"\xe2\x82\xc3\xa4", R R "\xc3\xa4"}, /* interrupted */
    };
    struct text t;
    text_init(&t);
    for (size_t i = 0; i < array_size(cases); i++) {
        struct text want;
        text_init(&want);
        text_format(&want, "\"%s\"", cases[i][1]);
        text_add_json(&t, cases[i][0]);
        expect(&t, want.data);
        text_free(&want);
    }
    text_free(&t);
}
END_TEST

static void expect_time(int64_t wall, const char *want)
{
    struct text t;
    text_init(&t);
    text_add_time(&t, wall);
    expect(&t, want);
    text_free(&t);
}

START_TEST(times)
{
    expect_time(0, "1970-01-01T00:00:00.000Z");
    expect_time(951782399 * NSEC_PER_SEC + 999999999, "2000-02-28T23:59:59.999Z");
    expect_time(951782400 * NSEC_PER_SEC, "2000-02-29T00:00:00.000Z");
    expect_time(1795470382 * NSEC_PER_SEC + 123 * NSEC_PER_MSEC, "2026-11-23T21:46:22.123Z");
    expect_time(-1, "1969-12-31T23:59:59.999Z");
    expect_time(INT64_MAX, "2262-04-11T23:47:16.854Z");
    expect_time(INT64_MIN, "1677-09-21T00:12:43.145Z");
}
END_TEST

/* Every day for a few centuries, against the C library. */
START_TEST(times_as_the_library_has_them)
{
    for (int64_t day = -40000; day < 100000; day += 13) {
        time_t sec = day * 86400 + (day * 7919) % 86400;
        struct tm tm;
        char want[40];
        gmtime_r(&sec, &tm);
        strftime(want, sizeof(want), "%Y-%m-%dT%H:%M:%S.000Z", &tm);
        expect_time(sec * NSEC_PER_SEC, want);
    }
}
END_TEST

START_TEST(seconds)
{
    struct text t;
    text_init(&t);
    text_add_seconds(&t, 0);
    expect(&t, "0.000000");
    text_add_seconds(&t, 1500 * NSEC_PER_USEC);
    expect(&t, "0.001500");
    text_add_seconds(&t, 61 * NSEC_PER_SEC + 999);
    expect(&t, "61.000000");
    text_add_seconds(&t, -2500 * NSEC_PER_MSEC);
    expect(&t, "-2.500000");
    text_add_seconds(&t, -1);
    expect(&t, "0.000000");
    text_add_seconds(&t, INT64_MIN);
    expect(&t, "-9223372036.854775");
    text_free(&t);
}
END_TEST

UNIT_MAIN("text", grows, adds_what_it_is_given, fails_without_harm, json_escapes,
          json_is_strict_utf8, times, times_as_the_library_has_them, seconds)
