#include "io/reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static size_t reader_waiting(const struct reader *r)
{
    return r->end - r->start;
}

/* Read once more behind what waits; there must be room. Returns as stream_read. */
static ssize_t reader_more(struct reader *r)
{
    if (r->start > 0) {
        memmove(r->buffer, r->buffer + r->start, reader_waiting(r));
        r->end -= r->start;
        r->start = 0;
    }
    ssize_t got = stream_read(r->from, r->buffer + r->end, r->capacity - r->end);
    if (got > 0)
        r->end += (size_t)got;
    return got;
}

static ssize_t reader_readv(struct stream *s, const struct iovec *iov, int n)
{
    struct reader *r = container_of(s, struct reader, stream);
    if (reader_waiting(r) == 0) {
        if (iov->iov_len >= r->capacity)
            return stream_readv(r->from, iov, n);
        ssize_t got = reader_more(r);
        if (got <= 0)
            return got;
    }
    size_t part = reader_waiting(r) < iov->iov_len ? reader_waiting(r) : iov->iov_len;
    memcpy(iov->iov_base, r->buffer + r->start, part);
    r->start += part;
    return (ssize_t)part;
}

static const struct stream_ops reader_ops = {.readv = reader_readv};

int reader_init(struct reader *r, struct stream *from, size_t capacity)
{
    char *buffer = malloc(capacity);
    if (buffer == NULL)
        return -ENOMEM;
    *r = (struct reader){
        .stream.ops = &reader_ops, .from = from, .buffer = buffer, .capacity = capacity};
    return 0;
}

void reader_free(struct reader *r)
{
    free(r->buffer);
    r->buffer = NULL;
}

ssize_t reader_peek(struct reader *r, size_t n, const char **ret)
{
    if (n > r->capacity)
        return -ENOBUFS;
    while (reader_waiting(r) < n) {
        ssize_t got = reader_more(r);
        if (got < 0)
            return got;
        if (got == 0)
            break;
    }
    *ret = r->buffer + r->start;
    return (ssize_t)reader_waiting(r);
}

void reader_skip(struct reader *r, size_t n)
{
    r->start += n;
}

ssize_t reader_until(struct reader *r, char delimiter, const char **ret)
{
    size_t searched = 0;
    for (;;) {
        const char *from = r->buffer + r->start;
        const char *found = memchr(from + searched, delimiter, reader_waiting(r) - searched);
        if (found != NULL) {
            *ret = from;
            r->start += (size_t)(found - from) + 1;
            return found - from + 1;
        }
        searched = reader_waiting(r);
        if (searched == r->capacity)
            return -ENOBUFS;
        ssize_t got = reader_more(r);
        if (got < 0)
            return got;
        if (got == 0)
            return searched == 0 ? 0 : -ENODATA;
    }
}
