/*
 * Single values as users write them, without a word of where they stand or what they may be.
 */
#ifndef WEFT_CONF_VALUE_H
#define WEFT_CONF_VALUE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/text.h"

enum value_verdict {
    VALUE_OK,
    VALUE_MALFORMED, /* not of this kind at all */
    VALUE_NO_UNIT,
    VALUE_BAD_UNIT,
    VALUE_TOO_LARGE, /* for any range */
    VALUE_TOO_FINE,  /* a fraction of the least unit */
};

/** true yes on, false no off, in any case of letters (YAML 1.1). */
enum value_verdict value_bool(const char *text, bool *ret) WEFT_MUSTCHECK;

/** Whether a text means off: `0`, or a false boolean. */
bool value_is_off(const char *text);

/** A whole number in decimal digits; a minus gives a negative one, for the range check to refuse.
 */
enum value_verdict value_number(const char *text, int64_t *ret) WEFT_MUSTCHECK;

/** 250us, 100ms, 1.5s, 10m, 1h. `ret`: [ns], in whole microseconds. */
enum value_verdict value_duration(const char *text, int64_t *ret) WEFT_MUSTCHECK;

/** 512B, 16KiB, 1.5MiB, 1GiB. `ret`: [bytes] */
enum value_verdict value_size(const char *text, int64_t *ret) WEFT_MUSTCHECK;

/** 50/s, 20/m, 100/h. `ret_period`: [ns] */
enum value_verdict value_rate(const char *text, int64_t *ret_count,
                              int64_t *ret_period) WEFT_MUSTCHECK;

/** 50%. `ret`: [per cent] */
enum value_verdict value_share(const char *text, int64_t *ret) WEFT_MUSTCHECK;

/** Write a duration [ns] in the largest unit that takes no fraction. */
void value_write_duration(struct text *out, int64_t ns);

/** Write a size [bytes] in the largest unit that takes no fraction. */
void value_write_size(struct text *out, int64_t bytes);

/** Write a rate as value_rate() takes it; the period is one of its units [ns]. */
void value_write_rate(struct text *out, int64_t count, int64_t period);

/** Write a share [per cent]. */
void value_write_share(struct text *out, int64_t share);

/** Write a string as a YAML scalar, in quotes where YAML would take it for something else. */
void value_write_string(struct text *out, const char *string);

#endif
