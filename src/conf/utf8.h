/*
 * Just enough of UTF-8 to keep out what would spoil a log line, a metric's label or a terminal.
 */
#ifndef WEFT_CONF_UTF8_H
#define WEFT_CONF_UTF8_H

#include <stdbool.h>
#include <stdint.h>

/**
 * The character at `*s`, which is not the end of the string, and step over it.
 *
 * Returns -1, one byte further, where the bytes are not UTF-8 (RFC 3629 section 4).
 */
int32_t utf8_next(const char **s);

/** Whether a character shows and stays in its line: no control, separator or writing direction. */
bool utf8_visible(int32_t c);

/** Whether a string is UTF-8 of visible characters and spaces alone. */
bool utf8_printable(const char *s);

#endif
