/*
 * A reader that reads ahead: looks at bytes before taking them, finds lines, and serves small
 * reads from few large ones. It is a stream itself.
 */
#ifndef WEFT_IO_READER_H
#define WEFT_IO_READER_H

#include <stddef.h>

#include "base/attr.h"
#include "io/stream.h"

struct reader {
    struct stream stream;
    struct stream *from; /* not owned */
    char *buffer;        /* owned */
    size_t capacity;     /* [bytes] */
    size_t start;        /* bytes wait in buffer[start .. end) */
    size_t end;
};

/** Read ahead up to `capacity` bytes of `from`. Returns 0 or -ENOMEM. */
int reader_init(struct reader *r, struct stream *from, size_t capacity) WEFT_MUSTCHECK;

/** Free the buffer; `from` is left as it is. */
void reader_free(struct reader *r);

/**
 * Look at the next bytes without taking them, at least `n` of them.
 *
 * Yields. Returns how many wait at `*ret` until the next call, which is fewer than `n` only at the
 * end of the stream; -ENOBUFS when `n` is over the capacity; or as stream_read.
 */
ssize_t reader_peek(struct reader *r, size_t n, const char **ret) WEFT_MUSTCHECK;

/** Take `n` bytes that were looked at. */
void reader_skip(struct reader *r, size_t n);

/**
 * Take bytes up to and with the first `delimiter`.
 *
 * Yields. Returns how many, at `*ret` until the next call; 0 at the end of the stream; -ENODATA
 * when it ends without a delimiter, -ENOBUFS when none comes within the capacity; or as
 * stream_read.
 */
ssize_t reader_until(struct reader *r, char delimiter, const char **ret) WEFT_MUSTCHECK;

#endif
