/*
 * The bytes of a file.
 */
#ifndef WEFT_CONF_CONTENT_H
#define WEFT_CONF_CONTENT_H

#include <stddef.h>

#include "base/attr.h"

struct content {
    char *bytes; /* owned */
    size_t size;
};

/**
 * Read to the end of what `fd` is at, but not much further than `max` bytes: a larger `ret->size`
 * says that there is more.
 *
 * Returns 0, or -errno with nothing in `ret` to free.
 */
int content_read(int fd, size_t max, struct content *ret) WEFT_MUSTCHECK;

void content_free(struct content *c);

#endif
