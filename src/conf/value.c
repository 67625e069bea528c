#include "conf/value.h"

#include <inttypes.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

#define FRACTION_DIGITS 6 /* more are finer than any unit here goes, and would overflow */

struct unit {
    const char *name;
    int64_t scale; /* [ns] or [bytes] */
};

static const struct unit durations[] = {
    {"us", 1000}, {"ms", 1000000}, {"s", 1000000000}, {"m", 60000000000}, {"h", 3600000000000},
};

static const struct unit sizes[] = {
    {"B", 1},
    {"KiB", INT64_C(1) << 10},
    {"MiB", INT64_C(1) << 20},
    {"GiB", INT64_C(1) << 30},
};

static const struct unit periods[] = {
    {"s", 1000000000},
    {"m", 60000000000},
    {"h", 3600000000000},
};

static const char *const truths[] = {"true", "yes", "on"};
static const char *const falsehoods[] = {"false", "no", "off"};

_Static_assert(array_size(truths) == array_size(falsehoods), "read side by side");

enum value_verdict value_bool(const char *text, bool *ret)
{
    for (size_t i = 0; i < array_size(truths); i++) {
        bool truth = strcasecmp(text, truths[i]) == 0;
        if (!truth && strcasecmp(text, falsehoods[i]) != 0)
            continue;
        *ret = truth;
        return VALUE_OK;
    }
    return VALUE_MALFORMED;
}

bool value_is_off(const char *text)
{
    bool truth = true;
    return strcmp(text, "0") == 0 || (value_bool(text, &truth) == VALUE_OK && !truth);
}

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

/*
 * Read the digits at `*s` and step over them. A zero in front of others is refused: YAML 1.1 takes
 * such a number for an octal one.
 */
static enum value_verdict read_whole(const char **s, int64_t *ret)
{
    const char *p = *s;
    bool overflow = false;
    int64_t value = 0;
    if (!digit(*p) || (*p == '0' && digit(p[1])))
        return VALUE_MALFORMED;
    for (; digit(*p); p++)
        overflow |= __builtin_mul_overflow(value, 10, &value) ||
                    __builtin_add_overflow(value, *p - '0', &value);
    *s = p;
    *ret = value;
    return overflow ? VALUE_TOO_LARGE : VALUE_OK;
}

/* A number as it is written, before its unit is known: whole + fraction / parts. */
struct decimal {
    int64_t whole;
    int64_t fraction;
    int64_t parts; /* a power of ten */
};

static enum value_verdict read_decimal(const char **s, struct decimal *ret)
{
    struct decimal d = {.parts = 1};
    enum value_verdict verdict = read_whole(s, &d.whole);
    if (verdict == VALUE_MALFORMED)
        return verdict;
    if (**s == '.' && !digit((*s)[1]))
        return VALUE_MALFORMED;
    if (**s == '.')
        ++*s;
    for (int digits = 1; digit(**s); digits++, ++*s) {
        if (digits > FRACTION_DIGITS) {
            verdict = VALUE_TOO_FINE;
            continue;
        }
        d.fraction = d.fraction * 10 + (**s - '0');
        d.parts *= 10;
    }
    *ret = d;
    return verdict;
}

static enum value_verdict scale_decimal(const struct decimal *d, int64_t scale, int64_t least,
                                        int64_t *ret)
{
    int64_t value, fraction = d->fraction * scale;
    if (fraction % d->parts != 0 || fraction / d->parts % least != 0)
        return VALUE_TOO_FINE;
    if (__builtin_mul_overflow(d->whole, scale, &value) ||
        __builtin_add_overflow(value, fraction / d->parts, &value))
        return VALUE_TOO_LARGE;
    *ret = value;
    return VALUE_OK;
}

static bool letters(const char *s)
{
    while ((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z'))
        s++;
    return *s == '\0';
}

/* The first unit of the table is the least there is. */
static enum value_verdict read_with_unit(const char *text, const struct unit *units, size_t n,
                                         int64_t *ret)
{
    struct decimal d;
    const char *s = text + (*text == '-');
    enum value_verdict verdict = read_decimal(&s, &d);
    if (verdict == VALUE_MALFORMED)
        return verdict;
    if (verdict == VALUE_OK && *s == '\0')
        return VALUE_NO_UNIT;
    if (!letters(s))
        return VALUE_MALFORMED;
    if (verdict != VALUE_OK)
        return verdict;
    for (size_t i = 0; i < n; i++) {
        if (strcmp(s, units[i].name) != 0)
            continue;
        verdict = scale_decimal(&d, units[i].scale, units[0].scale, ret);
        if (verdict == VALUE_OK && *text == '-')
            *ret = -*ret;
        return verdict;
    }
    return VALUE_BAD_UNIT;
}

enum value_verdict value_number(const char *text, int64_t *ret)
{
    int64_t value;
    const char *s = text + (*text == '-');
    enum value_verdict verdict = read_whole(&s, &value);
    if (*s != '\0')
        return VALUE_MALFORMED;
    if (verdict == VALUE_OK)
        *ret = *text == '-' ? -value : value;
    return verdict;
}

enum value_verdict value_share(const char *text, int64_t *ret)
{
    int64_t value;
    const char *s = text + (*text == '-');
    enum value_verdict verdict = read_whole(&s, &value);
    if (verdict == VALUE_MALFORMED)
        return verdict;
    if (verdict == VALUE_OK && *s == '\0')
        return VALUE_NO_UNIT;
    if (strcmp(s, "%") != 0)
        return VALUE_MALFORMED;
    if (verdict == VALUE_OK)
        *ret = *text == '-' ? -value : value;
    return verdict;
}

void value_write_share(struct text *out, int64_t share)
{
    text_format(out, "%" PRId64 "%%", share);
}

enum value_verdict value_duration(const char *text, int64_t *ret)
{
    return read_with_unit(text, durations, array_size(durations), ret);
}

enum value_verdict value_size(const char *text, int64_t *ret)
{
    return read_with_unit(text, sizes, array_size(sizes), ret);
}

enum value_verdict value_rate(const char *text, int64_t *ret_count, int64_t *ret_period)
{
    int64_t count;
    const char *s = text + (*text == '-');
    enum value_verdict verdict = read_whole(&s, &count);
    if (verdict == VALUE_MALFORMED || (*s != '\0' && *s != '/'))
        return VALUE_MALFORMED;
    if (*s == '\0')
        return VALUE_NO_UNIT;
    for (size_t i = 0; i < array_size(periods); i++) {
        if (strcmp(s + 1, periods[i].name) != 0)
            continue;
        if (verdict == VALUE_OK)
            *ret_count = *text == '-' ? -count : count;
        *ret_period = periods[i].scale;
        return verdict;
    }
    return VALUE_BAD_UNIT;
}

static void write_with_unit(struct text *out, int64_t value, const struct unit *units, size_t n)
{
    size_t i = n - 1;
    while (i > 0 && value % units[i].scale != 0)
        i--;
    text_format(out, "%" PRId64 "%s", value / units[i].scale, units[i].name);
}

void value_write_duration(struct text *out, int64_t ns)
{
    write_with_unit(out, ns, durations, array_size(durations));
}

void value_write_size(struct text *out, int64_t bytes)
{
    write_with_unit(out, bytes, sizes, array_size(sizes));
}

void value_write_rate(struct text *out, int64_t count, int64_t period)
{
    size_t i = 0;
    while (i < array_size(periods) - 1 && periods[i].scale != period)
        i++;
    text_format(out, "%" PRId64 "/%s", count, periods[i].name);
}

static bool reserved_word(const char *s)
{
    bool ignored;
    return value_bool(s, &ignored) == VALUE_OK || strcasecmp(s, "null") == 0 ||
           strcasecmp(s, "y") == 0 || strcasecmp(s, "n") == 0;
}

/*
 * A string needs no quotes if it begins with a letter or a slash, so that it is no number, date or
 * indicator, and has nothing in it that ends a scalar anywhere, in a flow collection or before a
 * comment.
 */
static bool plain(const char *s)
{
    size_t n = strlen(s);
    if (n == 0 || (!letters((char[]){s[0], '\0'}) && s[0] != '/') || s[n - 1] == ':')
        return false;
    for (; *s != '\0'; s++)
        if (!digit(*s) && !letters((char[]){*s, '\0'}) && strchr("_-./:@+", *s) == NULL)
            return false;
    return true;
}

void value_write_string(struct text *out, const char *string)
{
    if (plain(string) && !reserved_word(string))
        text_add_string(out, string);
    else
        text_add_json(out, string);
}
