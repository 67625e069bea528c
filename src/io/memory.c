#include "io/memory.h"

#include <errno.h>
#include <string.h>

#include "base/attr.h"

static struct memory_stream *memory_of(struct stream *s)
{
    return container_of(s, struct memory_stream, stream);
}

static ssize_t memory_readv(struct stream *s, const struct iovec *iov, int n)
{
    struct memory_stream *m = memory_of(s);
    size_t total = 0;
    for (int i = 0; i < n; i++) {
        size_t left = m->bytes.length - m->taken;
        size_t part = iov[i].iov_len < left ? iov[i].iov_len : left;
        if (part == 0)
            break;
        memcpy(iov[i].iov_base, m->bytes.data + m->taken, part);
        m->taken += part;
        total += part;
    }
    return (ssize_t)total;
}

static ssize_t memory_writev(struct stream *s, const struct iovec *iov, int n)
{
    struct memory_stream *m = memory_of(s);
    size_t total = 0;
    for (int i = 0; i < n; i++) {
        text_add(&m->bytes, iov[i].iov_base, iov[i].iov_len);
        total += iov[i].iov_len;
    }
    return m->bytes.failed ? -ENOMEM : (ssize_t)total;
}

static int memory_shutdown(struct stream *s)
{
    (void)s;
    return 0;
}

static void memory_close(struct stream *s)
{
    text_free(&memory_of(s)->bytes);
}

static const struct stream_ops memory_ops = {
    .readv = memory_readv,
    .writev = memory_writev,
    .shutdown = memory_shutdown,
    .close = memory_close,
};

void memory_stream_init(struct memory_stream *m, const void *bytes, size_t n)
{
    m->stream.ops = &memory_ops;
    m->taken = 0;
    text_init(&m->bytes);
    text_add(&m->bytes, bytes, n);
}
