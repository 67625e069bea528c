/*
 * Streams: one Reader/Writer for memory, files and connections, as Go's io.Reader and io.Writer.
 *
 * A stream is embedded first in what implements it (struct conn, struct memory_stream ...).
 */
#ifndef WEFT_IO_STREAM_H
#define WEFT_IO_STREAM_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/attr.h"

struct stream;

/* What an implementation provides; a NULL operation fails with -EOPNOTSUPP. */
struct stream_ops {
    ssize_t (*readv)(struct stream *s, const struct iovec *iov,
                     int n); /* > 0, 0 at the end, -errno */
    ssize_t (*writev)(struct stream *s, const struct iovec *iov,
                      int n); /* > 0 and maybe short, -errno */
    int (*shutdown)(struct stream *s);
    void (*close)(struct stream *s);
    void (*deadline)(struct stream *s, int64_t read, int64_t write);
};

struct stream {
    const struct stream_ops *ops;
};

/**
 * Read at least one byte.
 *
 * Yields where the stream has to wait. Returns the number of bytes, 0 at the end of the stream,
 * -ETIMEDOUT at the read deadline, -ECANCELED or another -errno.
 */
ssize_t stream_read(struct stream *s, void *buf, size_t n) WEFT_MUSTCHECK;
ssize_t stream_readv(struct stream *s, const struct iovec *iov, int n) WEFT_MUSTCHECK;

/** Read exactly `n` bytes. Returns 0, or -ENODATA when the stream ends before, or as stream_read.
 */
int stream_read_full(struct stream *s, void *buf, size_t n) WEFT_MUSTCHECK;

/**
 * Write all of `n` bytes.
 *
 * Yields where the stream has to wait. Returns 0, -ETIMEDOUT at the write deadline, -ECANCELED or
 * another -errno; how much had been written by then is not known.
 */
int stream_write(struct stream *s, const void *buf, size_t n) WEFT_MUSTCHECK;

/** As readv's counterpart: write at least one byte. Returns the number written, or -errno. */
ssize_t stream_writev(struct stream *s, const struct iovec *iov, int n) WEFT_MUSTCHECK;

/** Half-close: the other side reads the end of the stream, reading goes on. */
int stream_shutdown(struct stream *s) WEFT_MUSTCHECK;

/** Close both directions and give back what the implementation holds. */
void stream_close(struct stream *s);

/** Deadlines of all later reads and writes [monotonic ns, CLOCK_NEVER]. */
void stream_deadline(struct stream *s, int64_t read, int64_t write);

#endif
