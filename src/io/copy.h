/* Copying between streams, and streams made of streams, as Go's io package has them. */
#ifndef WEFT_IO_COPY_H
#define WEFT_IO_COPY_H

#include <stdint.h>

#include "base/attr.h"
#include "io/stream.h"

/**
 * Copy from `from` to `to` until `from` ends; bulk between connections goes through pipes.
 *
 * Yields. Returns 0 or the first -errno; `*ret_bytes` (may be NULL) is what was written in either
 * case.
 */
int io_copy(struct stream *to, struct stream *from, uint64_t *ret_bytes) WEFT_MUSTCHECK;

/** Copy exactly `n` bytes. Returns as io_copy, and -ENODATA when `from` ends before. */
int io_copy_n(struct stream *to, struct stream *from, uint64_t n,
              uint64_t *ret_bytes) WEFT_MUSTCHECK;

/* A reader that ends after so many bytes of another. Owns nothing. */
struct limited_stream {
    struct stream stream;
    struct stream *from;
    uint64_t left; /* [bytes] */
};

void limited_stream_init(struct limited_stream *l, struct stream *from, uint64_t limit);

/* A reader that writes all it reads to a third. Owns nothing. */
struct tee_stream {
    struct stream stream;
    struct stream *from;
    struct stream *to;
};

void tee_stream_init(struct tee_stream *t, struct stream *from, struct stream *to);

#endif
