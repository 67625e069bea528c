#include "io/stream.h"

#include <errno.h>

ssize_t stream_readv(struct stream *s, const struct iovec *iov, int n)
{
    return s->ops->readv != NULL ? s->ops->readv(s, iov, n) : -EOPNOTSUPP;
}

ssize_t stream_read(struct stream *s, void *buf, size_t n)
{
    struct iovec iov = {.iov_base = buf, .iov_len = n};
    return stream_readv(s, &iov, 1);
}

int stream_read_full(struct stream *s, void *buf, size_t n)
{
    char *at = buf;
    while (n > 0) {
        ssize_t got = stream_read(s, at, n);
        if (got <= 0)
            return got < 0 ? (int)got : -ENODATA;
        at += got;
        n -= (size_t)got;
    }
    return 0;
}

ssize_t stream_writev(struct stream *s, const struct iovec *iov, int n)
{
    return s->ops->writev != NULL ? s->ops->writev(s, iov, n) : -EOPNOTSUPP;
}

int stream_write(struct stream *s, const void *buf, size_t n)
{
    const char *at = buf;
    while (n > 0) {
        struct iovec iov = {.iov_base = (void *)at, .iov_len = n};
        ssize_t put = stream_writev(s, &iov, 1);
        if (put < 0)
            return (int)put;
        at += put;
        n -= (size_t)put;
    }
    return 0;
}

int stream_shutdown(struct stream *s)
{
    return s->ops->shutdown != NULL ? s->ops->shutdown(s) : -EOPNOTSUPP;
}

void stream_close(struct stream *s)
{
    if (s->ops->close != NULL)
        s->ops->close(s);
}

void stream_deadline(struct stream *s, int64_t read, int64_t write)
{
    if (s->ops->deadline != NULL)
        s->ops->deadline(s, read, write);
}
