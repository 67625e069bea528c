#include "cmd/units.h"

#include <inttypes.h>

#include "base/attr.h"

/* No unit shows more than three digits before the point: 1000 KiB is 1.0 MiB. */
void units_write_bytes(uint64_t bytes, struct text *out)
{
    static const char *const names[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    if (bytes < 1000) {
        text_format(out, "%" PRIu64 " B", bytes);
        return;
    }
    double value = (double)bytes / 1024;
    size_t unit = 0;
    while (value >= 999.5 && unit + 1 < array_size(names)) {
        value /= 1024;
        unit++;
    }
    text_format(out, "%.*f %s", value < 99.95 ? 1 : 0, value, names[unit]);
}

static void write_two(uint64_t large, const char *large_name, uint64_t small,
                      const char *small_name, struct text *out)
{
    text_format(out, "%" PRIu64 "%s%02" PRIu64 "%s", large, large_name, small, small_name);
}

void units_write_duration(double seconds, struct text *out)
{
    uint64_t whole = seconds > 0 ? (uint64_t)(seconds + 0.5) : 0;
    if (seconds < 0.0009995)
        text_format(out, "%.0fus", seconds * 1e6);
    else if (seconds < 0.9995)
        text_format(out, "%.0fms", seconds * 1e3);
    else if (seconds < 59.95)
        text_format(out, "%.1fs", seconds);
    else if (whole < 3600)
        write_two(whole / 60, "m", whole % 60, "s", out);
    else if (whole < 86400)
        write_two(whole / 3600, "h", whole / 60 % 60, "m", out);
    else
        write_two(whole / 86400, "d", whole / 3600 % 24, "h", out);
}

/* C0, DEL and C1: the latter are two bytes of UTF-8. */
static size_t control_length(const unsigned char *s)
{
    if (*s < 0x20 || *s == 0x7f)
        return 1;
    return *s == 0xc2 && s[1] >= 0x80 && s[1] < 0xa0 ? 2 : 0;
}

void units_write_string(const char *string, struct text *out)
{
    for (const unsigned char *s = (const unsigned char *)string; *s != '\0';) {
        size_t n = control_length(s);
        text_add(out, n > 0 ? "?" : (const char *)s, 1);
        s += n > 0 ? n : 1;
    }
}

static void write_list(const json_t *list, struct text *out)
{
    size_t i;
    json_t *item;
    if (json_array_size(list) == 0)
        text_add_string(out, "-");
    json_array_foreach(list, i, item)
    {
        const char *string = json_string_value(item);
        text_add_string(out, i > 0 ? ", " : "");
        units_write_string(string != NULL ? string : "-", out);
    }
}

static bool is_of_type(enum column_type type, const json_t *value)
{
    switch (type) {
    case COLUMN_TEXT:
    case COLUMN_TIME:
        return json_is_string(value);
    case COLUMN_LIST:
        return json_is_array(value);
    case COLUMN_COUNT:
    case COLUMN_BYTES:
        return json_is_integer(value) && json_integer_value(value) >= 0;
    case COLUMN_DURATION:
    case COLUMN_SHARE:
        return json_is_number(value) && json_number_value(value) >= 0;
    case COLUMN_FLAG:
        return json_is_boolean(value);
    }
    return false;
}

void units_write(enum column_type type, const json_t *value, struct text *out)
{
    if (!is_of_type(type, value)) {
        text_add_string(out, "-");
        return;
    }
    switch (type) {
    case COLUMN_TEXT:
    case COLUMN_TIME:
        units_write_string(json_string_value(value), out);
        break;
    case COLUMN_LIST:
        write_list(value, out);
        break;
    case COLUMN_COUNT:
        text_add_uint(out, (uint64_t)json_integer_value(value));
        break;
    case COLUMN_BYTES:
        units_write_bytes((uint64_t)json_integer_value(value), out);
        break;
    case COLUMN_DURATION:
        units_write_duration(json_number_value(value), out);
        break;
    case COLUMN_SHARE:
        text_format(out, "%.1f%%", json_number_value(value) * 100);
        break;
    case COLUMN_FLAG:
        text_add_string(out, json_is_true(value) ? "yes" : "no");
        break;
    }
}
