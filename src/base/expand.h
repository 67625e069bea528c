/*
 * The files that a path or a pattern of a user's stands for, opened one by one.
 */
#ifndef WEFT_BASE_EXPAND_H
#define WEFT_BASE_EXPAND_H

#include <stdbool.h>

#include "base/attr.h"
#include "base/text.h"

/**
 * Take a file. `fd` is read-only and from now on the callee's, or the -errno of opening the file.
 *
 * Returns 0, or a -errno that ends the expansion.
 */
typedef int expand_fn(void *arg, const char *path, int fd);

/**
 * Open what `pattern` stands for and hand each file to `take`, in the order of their paths.
 *
 * What expand_is_pattern() may stand for any number of files, none included; anything else is the
 * path of one, which `take` hears of even where it is missing.
 * Returns 0; what `take` returned; -errno of a directory that could not be read; -ENOMEM.
 */
int expand_open(const char *pattern, expand_fn *take, void *arg) WEFT_MUSTCHECK;

/** Whether there is a `*`, `?` or `[` in it. A backslash there takes a character's meaning away. */
bool expand_is_pattern(const char *text);

/** Add `literal` to a pattern, so that it stands for itself. */
void expand_quote(struct text *pattern, const char *literal);

#endif
