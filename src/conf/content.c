#include "conf/content.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static int read_some(int fd, char *to, size_t n, size_t *ret)
{
    ssize_t got;
    do
        got = read(fd, to, n);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return -errno;
    *ret = (size_t)got;
    return 0;
}

static int grow(struct content *c, size_t *capacity)
{
    size_t more = *capacity > 0 ? *capacity * 2 : 1 << 14;
    char *bytes = realloc(c->bytes, more);
    if (bytes == NULL)
        return -ENOMEM;
    c->bytes = bytes;
    *capacity = more;
    return 0;
}

int content_read(int fd, size_t max, struct content *ret)
{
    struct content c = {.bytes = NULL};
    size_t capacity = 0, got = 1;
    int rc = 0;
    while (rc == 0 && got > 0 && c.size <= max) {
        if (c.size == capacity)
            rc = grow(&c, &capacity);
        if (rc == 0)
            rc = read_some(fd, c.bytes + c.size, capacity - c.size, &got);
        if (rc == 0)
            c.size += got;
    }
    if (rc == 0)
        *ret = c;
    else
        content_free(&c);
    return rc;
}

void content_free(struct content *c)
{
    free(c->bytes);
    *c = (struct content){.bytes = NULL};
}
