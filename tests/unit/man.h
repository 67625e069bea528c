/* Reading a page of the manual, to hold it against a table; for programs with UNIT_SRCDIR. */
#ifndef WEFT_TESTS_MAN_H
#define WEFT_TESTS_MAN_H

#include <check.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

/** The source of a page, with a newline before its first line. The caller frees it. */
static inline void man_read(const char *path, struct text *ret)
{
    char buf[4096];
    FILE *f = fopen(path, "r");
    ck_assert_ptr_nonnull(f);
    text_init(ret);
    text_add_string(ret, "\n");
    for (size_t n; (n = fread(buf, 1, sizeof(buf), f)) > 0;)
        text_add(ret, buf, n);
    fclose(f);
}

/** The text after a line, up to the next line that begins with one of two requests; NULL where
 * there is no such line. The caller frees it. */
static inline char *man_part_after(const char *text, const char *line, const char *request,
                                   const char *other)
{
    struct text wanted;
    text_init(&wanted);
    text_format(&wanted, "\n%s\n", line);
    const char *at = strstr(text, wanted.data);
    if (at != NULL)
        at += wanted.length - 1;
    text_free(&wanted);
    if (at == NULL)
        return NULL;
    const char *end = at + strlen(at);
    const char *ends[] = {strstr(at, request), strstr(at, other)};
    for (size_t i = 0; i < 2; i++)
        if (ends[i] != NULL && ends[i] < end)
            end = ends[i];
    struct text part;
    text_init(&part);
    text_add(&part, at, (size_t)(end - at));
    text_add_string(&part, "\n");
    return part.data;
}

/** Fail unless an entry, of `key`, has a line. */
static inline void man_has_line(const char *entry, const char *key, const char *format,
                                const char *value)
{
    struct text line;
    text_init(&line);
    text_add_string(&line, "\n");
    text_format(&line, format, value);
    text_add_string(&line, "\n");
    ck_assert_msg(strstr(entry, line.data) != NULL, "%s: no line%sin%s", key, line.data, entry);
    text_free(&line);
}

#endif
