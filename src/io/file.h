/*
 * A stream over a file. The kernel has no waiting for regular files: a read from a slow disk
 * holds up the thread. For configuration, dumps and tests, not for the way of a connection.
 */
#ifndef WEFT_IO_FILE_H
#define WEFT_IO_FILE_H

#include "base/attr.h"
#include "io/stream.h"

struct file_stream {
    struct stream stream;
    int fd; /* owned */
};

/** Open `path` with open(2)'s `flags`, and mode 0640 where it is created. Returns 0 or -errno. */
int file_stream_open(struct file_stream *f, const char *path, int flags) WEFT_MUSTCHECK;

#endif
