/* A stream over memory: what is written is appended, what is read comes from the start. */
#ifndef WEFT_IO_MEMORY_H
#define WEFT_IO_MEMORY_H

#include "base/text.h"
#include "io/stream.h"

struct memory_stream {
    struct stream stream;
    struct text bytes; /* owned */
    size_t taken;      /* [bytes] read so far */
};

/** Begin with a copy of `n` bytes. A read past them is the end of the stream. */
void memory_stream_init(struct memory_stream *m, const void *bytes, size_t n);

#endif
