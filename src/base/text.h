/*
 * A string that grows: the lines of logs, dumps and messages are put together in one.
 */
#ifndef WEFT_BASE_TEXT_H
#define WEFT_BASE_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

struct text {
    char *data;      /* owned; NUL-terminated once anything was added; NULL before */
    size_t length;   /* [bytes] without the NUL */
    size_t capacity; /* [bytes] */
    bool failed;     /* memory ran out at some time: the content is cut there */
};

void text_init(struct text *t);

/** Free the content and leave an empty text. */
void text_free(struct text *t);

/** Forget the content, keep the memory. */
void text_clear(struct text *t);

void text_add(struct text *t, const char *bytes, size_t n);
void text_add_string(struct text *t, const char *string);
void text_add_uint(struct text *t, uint64_t value);
void text_format(struct text *t, const char *format, ...) WEFT_PRINTF(2, 3);

/** Add a string as JSON, quotes and escapes included (RFC 8259 section 7); bytes that are not UTF-8
 * become U+FFFD. */
void text_add_json(struct text *t, const char *string);

/** Add a time as RFC 3339 in UTC with milliseconds. `wall`: [ns since 1970]. */
void text_add_time(struct text *t, int64_t wall);

/** Add a duration as decimal seconds with microseconds, 0.001500. `ns`: [ns]. */
void text_add_seconds(struct text *t, int64_t ns);

#endif
