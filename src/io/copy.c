#include "io/copy.h"

#include <errno.h>
#include <stddef.h>

#include "base/ring.h"
#include "io/buffers.h"
#include "io/splice.h"

#define COPY_NODES 4                                         /* ring nodes a read: 64 KiB */
#define COPY_FULL  ((ssize_t)COPY_NODES * RING_NODE_PAYLOAD) /* [bytes] of a read that is full */

/* Read once into the ring, at most `limit` bytes. Returns as stream_readv. */
static ssize_t fill(struct ring *ring, struct stream *from, uint64_t limit)
{
    struct iovec iov[COPY_NODES];
    size_t want = (size_t)COPY_NODES * RING_NODE_PAYLOAD;
    int n = ring_reserve(ring, limit < want ? (size_t)limit : want, iov, COPY_NODES);
    if (n < 0)
        return n;
    ssize_t got = stream_readv(from, iov, n);
    ring_commit(ring, got > 0 ? (size_t)got : 0);
    return got;
}

static int drain(struct ring *ring, struct stream *to, uint64_t *written)
{
    struct iovec iov[COPY_NODES];
    int n;
    while ((n = ring_peek(ring, iov, COPY_NODES)) > 0) {
        ssize_t put = stream_writev(to, iov, n);
        if (put < 0)
            return (int)put;
        ring_consume(ring, (size_t)put);
        *written += (uint64_t)put;
    }
    return 0;
}

static int wait_writable(struct conn *c)
{
    int err = conn_watch(c);
    return err < 0 ? err : netpoll_wait(&c->poll, NETPOLL_WRITE, c->write_deadline);
}

static int drain_pipe(struct pipe *p, struct conn *to, uint64_t *written)
{
    while (p->length > 0) {
        ssize_t put = splice_drain(p, to);
        if (put == -EAGAIN)
            put = wait_writable(to);
        if (put < 0)
            return (int)put;
        *written += (uint64_t)put;
    }
    return 0;
}

/*
 * Move what is there already from a connection to a connection, through a pipe that is held only
 * meanwhile. Returns > 0, 0 at the end of the stream, -EAGAIN when only a read can go on: it waits,
 * and needs no pipe; or another -errno.
 */
static ssize_t move(struct conn *to, struct conn *from, uint64_t limit, uint64_t *written)
{
    struct pipe *p = pipes_get();
    if (p == NULL)
        return -EAGAIN;
    ssize_t got = splice_fill(p, from, limit);
    int err = got > 0 ? drain_pipe(p, to, written) : 0;
    pipes_put(p);
    if (got == -EINVAL)
        return -EAGAIN;
    return err < 0 ? err : got;
}

/* Copy at most `limit` bytes. Between connections, what is behind a full read goes by pipe. */
static int copy(struct stream *to, struct stream *from, uint64_t limit, uint64_t *ret_bytes)
{
    struct ring ring;
    ring_init(&ring, io_buffers(), false);
    struct conn *source = conn_of_stream(from), *sink = conn_of_stream(to);
    uint64_t written = 0;
    ssize_t got = -EAGAIN;
    int err = 0;
    while (err == 0 && got != 0 && written < limit) {
        bool bulk = source != NULL && sink != NULL && got >= COPY_FULL;
        if (bulk)
            got = move(sink, source, limit - written, &written);
        if (!bulk || got == -EAGAIN)
            got = fill(&ring, from, limit - written);
        err = got < 0 ? (int)got : drain(&ring, to, &written);
    }
    ring_reset(&ring);
    if (ret_bytes != NULL)
        *ret_bytes = written;
    return err;
}

int io_copy(struct stream *to, struct stream *from, uint64_t *ret_bytes)
{
    return copy(to, from, UINT64_MAX, ret_bytes);
}

int io_copy_n(struct stream *to, struct stream *from, uint64_t n, uint64_t *ret_bytes)
{
    uint64_t written = 0;
    int err = copy(to, from, n, &written);
    if (ret_bytes != NULL)
        *ret_bytes = written;
    return err == 0 && written < n ? -ENODATA : err;
}

static ssize_t limited_readv(struct stream *s, const struct iovec *iov, int n)
{
    struct limited_stream *l = container_of(s, struct limited_stream, stream);
    if (l->left == 0)
        return 0;
    struct iovec first = iov[0];
    if (first.iov_len >= l->left) {
        first.iov_len = (size_t)l->left;
        iov = &first;
        n = 1;
    }
    uint64_t total = 0;
    int whole = 0;
    while (whole < n && total + iov[whole].iov_len <= l->left)
        total += iov[whole++].iov_len;
    ssize_t got = stream_readv(l->from, iov, whole);
    if (got > 0)
        l->left -= (uint64_t)got;
    return got;
}

static const struct stream_ops limited_ops = {.readv = limited_readv};

void limited_stream_init(struct limited_stream *l, struct stream *from, uint64_t limit)
{
    *l = (struct limited_stream){.stream.ops = &limited_ops, .from = from, .left = limit};
}

/* Write the first `bytes` of `iov`. */
static int write_prefix(struct stream *to, const struct iovec *iov, size_t bytes)
{
    int err = 0;
    while (err == 0 && bytes > 0) {
        size_t part = iov->iov_len < bytes ? iov->iov_len : bytes;
        err = stream_write(to, iov->iov_base, part);
        bytes -= part;
        iov++;
    }
    return err;
}

static ssize_t tee_readv(struct stream *s, const struct iovec *iov, int n)
{
    struct tee_stream *t = container_of(s, struct tee_stream, stream);
    ssize_t got = stream_readv(t->from, iov, n);
    if (got <= 0)
        return got;
    int err = write_prefix(t->to, iov, (size_t)got);
    return err < 0 ? err : got;
}

static const struct stream_ops tee_ops = {.readv = tee_readv};

void tee_stream_init(struct tee_stream *t, struct stream *from, struct stream *to)
{
    *t = (struct tee_stream){.stream.ops = &tee_ops, .from = from, .to = to};
}
