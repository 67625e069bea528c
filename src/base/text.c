#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#define TEXT_MIN 128 /* [bytes] the first allocation */

void text_init(struct text *t)
{
    *t = (struct text){0};
}

void text_free(struct text *t)
{
    free(t->data);
    text_init(t);
}

void text_clear(struct text *t)
{
    t->length = 0;
    t->failed = false;
    if (t->data != NULL)
        t->data[0] = '\0';
}

/* Make room for `n` more bytes and a NUL. */
static bool grow(struct text *t, size_t n)
{
    if (t->failed || n >= SIZE_MAX / 2 - t->length) {
        t->failed = true;
        return false;
    }
    size_t need = t->length + n + 1;
    if (likely(need <= t->capacity))
        return true;
    size_t capacity = t->capacity != 0 ? t->capacity : TEXT_MIN;
    while (capacity < need)
        capacity *= 2;
    char *data = realloc(t->data, capacity);
    if (data == NULL) {
        t->failed = true;
        return false;
    }
    t->data = data;
    t->capacity = capacity;
    return true;
}

void text_add(struct text *t, const char *bytes, size_t n)
{
    if (!grow(t, n))
        return;
    if (n > 0)
        memcpy(t->data + t->length, bytes, n);
    t->length += n;
    t->data[t->length] = '\0';
}

void text_add_string(struct text *t, const char *string)
{
    text_add(t, string, strlen(string));
}

/* Write `value` with at least `digits` digits so that it ends before `end`; returns its start. */
static char *put_digits(char *end, uint64_t value, int digits)
{
    do {
        *--end = (char)('0' + value % 10);
        value /= 10;
    } while (--digits > 0 || value > 0);
    return end;
}

static void add_digits(struct text *t, uint64_t value, int digits)
{
    char buf[24];
    char *end = buf + sizeof(buf);
    char *start = put_digits(end, value, digits);
    text_add(t, start, (size_t)(end - start));
}

void text_add_uint(struct text *t, uint64_t value)
{
    add_digits(t, value, 1);
}

void text_format(struct text *t, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n < 0)
        t->failed = true;
    else if (grow(t, (size_t)n)) {
        vsnprintf(t->data + t->length, (size_t)n + 1, format, again);
        t->length += (size_t)n;
    }
    va_end(again);
}

/*
 * The length of the character at `s`, 0 where the bytes are not UTF-8. The bounds of the second
 * byte keep out overlong forms, surrogates and what is beyond U+10FFFF (RFC 3629 section 4).
 * A NUL is never a continuation, so nothing past the end is read.
 */
static size_t utf8_length(const unsigned char *s)
{
    unsigned char low = 0x80, high = 0xbf;
    size_t n;
    if (s[0] < 0x80)
        return 1;
    if (s[0] >= 0xc2 && s[0] <= 0xdf) {
        n = 2;
    } else if ((s[0] & 0xf0) == 0xe0) {
        n = 3;
        low = s[0] == 0xe0 ? 0xa0 : 0x80;
        high = s[0] == 0xed ? 0x9f : 0xbf;
    } else if (s[0] >= 0xf0 && s[0] <= 0xf4) {
        n = 4;
        low = s[0] == 0xf0 ? 0x90 : 0x80;
        high = s[0] == 0xf4 ? 0x8f : 0xbf;
    } else {
        return 0;
    }
    if (s[1] < low || s[1] > high)
        return 0;
    for (size_t i = 2; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    return n;
}

static bool json_plain(unsigned char c)
{
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

static void add_json_escape(struct text *t, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    static const char names[] = "b\bf\fn\nr\rt\t\"\"\\\\"; /* letter, then what it stands for */
    for (size_t i = 0; i + 1 < sizeof(names); i += 2) {
        if ((unsigned char)names[i + 1] == c) {
            text_add(t, (char[]){'\\', names[i]}, 2);
            return;
        }
    }
    text_add(t, (char[]){'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]}, 6);
}

void text_add_json(struct text *t, const char *string)
{
    const unsigned char *s = (const unsigned char *)string;
    text_add(t, "\"", 1);
    while (*s != '\0') {
        size_t plain = 0;
        while (json_plain(s[plain]))
            plain++;
        text_add(t, (const char *)s, plain);
        s += plain;
        if (*s == '\0')
            break;
        size_t n = utf8_length(s);
        if (n == 0)
            text_add_string(t, "\xef\xbf\xbd");
        else if (n == 1)
            add_json_escape(t, *s);
        else
            text_add(t, (const char *)s, n);
        s += n > 0 ? n : 1;
    }
    text_add(t, "\"", 1);
}

/*
 * Year, month and day of a day number counted from 1970-01-01, in the proleptic Gregorian calendar:
 * "civil_from_days" of Howard Hinnant, chrono-Compatible Low-Level Date Algorithms. Not gmtime_r():
 * that takes a lock and may open the time zone's file.
 */
static void date_of_day(int64_t day, unsigned *year, unsigned *month, unsigned *mday)
{
    day += 719468; /* days from 0000-03-01 to 1970-01-01 */
    int64_t era = day / 146097;
    unsigned doe = (unsigned)(day - era * 146097);                        /* day of era */
    unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365; /* year of era */
    unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);               /* from 1 March */
    unsigned m = (5 * doy + 2) / 153;                                     /* 0: March */
    *mday = doy - (153 * m + 2) / 5 + 1;
    *month = m < 10 ? m + 3 : m - 9;
    *year = yoe + (unsigned)era * 400 + (*month <= 2);
}

/* Overwrite two digits of a template. */
static void put_two(char *at, unsigned value)
{
    put_digits(at + 2, value, 2);
}

void text_add_time(struct text *t, int64_t wall)
{
    int64_t ms = wall / NSEC_PER_MSEC - (wall % NSEC_PER_MSEC < 0);
    int64_t sec = ms / 1000 - (ms % 1000 < 0);
    int64_t day = sec / 86400 - (sec % 86400 < 0);
    unsigned rest = (unsigned)(sec - day * 86400);
    unsigned year, month, mday;
    date_of_day(day, &year, &month, &mday);

    char buf[] = "YYYY-MM-DDThh:mm:ss.mmmZ";
    put_digits(buf + 4, year, 4);
    put_two(buf + 5, month);
    put_two(buf + 8, mday);
    put_two(buf + 11, rest / 3600);
    put_two(buf + 14, rest / 60 % 60);
    put_two(buf + 17, rest % 60);
    put_digits(buf + 23, (uint64_t)(ms - sec * 1000), 3);
    text_add(t, buf, sizeof(buf) - 1);
}

void text_add_seconds(struct text *t, int64_t ns)
{
    uint64_t us = (ns < 0 ? -(uint64_t)ns : (uint64_t)ns) / 1000;
    if (ns < 0 && us > 0)
        text_add(t, "-", 1);
    add_digits(t, us / 1000000, 1);
    text_add(t, ".", 1);
    add_digits(t, us % 1000000, 6);
}
