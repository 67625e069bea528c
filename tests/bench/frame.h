/*
 * What the load and the backend say to each other: frames, each of which begins with this header
 * and is filled with a pattern that both ends know.
 *
 *      +-------------------+----------------------------------+
 *      | struct frame (32) | pattern ...                      |
 *      +-------------------+----------------------------------+
 *      0                   32                              size
 *
 * A frame with `answer` bytes wanted gets one frame of that size back with the same number. A
 * frame with FRAME_STREAM gets one after the other, until the asker sends any other frame: then
 * the backend ends its frame and sends one with FRAME_LAST, whose number is the count of bytes
 * before it. Both ends count, so no byte is lost or made unnoticed.
 */
#ifndef BENCH_FRAME_H
#define BENCH_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_MAX   (1u << 20) /* the largest frame [bytes] */
#define FRAME_CHUNK (1u << 18) /* the most that one call reads [bytes] */

enum frame_flag {
    FRAME_CLOSE = 1,   /* close behind the answer: the server's end is the first to */
    FRAME_STREAM = 2,  /* answer without end */
    FRAME_LAST = 4,    /* `number` is the count of all bytes before this frame */
    FRAME_CHECK = 8,   /* compare every byte with the pattern */
    FRAME_DISCARD = 16 /* let the kernel drop what comes, uncopied */
};

struct frame {
    uint32_t magic;
    uint32_t flags;  /* enum frame_flag, for both directions */
    uint32_t size;   /* of this frame [bytes], with this header */
    uint32_t answer; /* of the frame wanted back [bytes]; 0: none */
    uint64_t number; /* chosen by the asker, comes back in the answer */
    uint64_t zero;
};

/* Where a connection is within the frame that it is sending. */
struct frame_writer {
    struct frame frame;
    uint32_t sent; /* [bytes] */
};

/* Where a connection is within the frame that it is receiving. */
struct frame_reader {
    struct frame frame; /* whole once `got` has passed it */
    uint32_t got;       /* of this frame [bytes] */
    uint64_t before;    /* all frames that came before this one [bytes] */
};

/** Fill in a frame and forget what was sent of the one before. */
void frame_start(struct frame_writer *w, uint32_t size, uint32_t answer, uint32_t flags,
                 uint64_t number);

/**
 * Send what is left of a frame.
 *
 * Returns the bytes sent by this call, 0 when the socket takes none now, or a negative errno.
 */
int frame_write(struct frame_writer *w, int fd);

/** Whether the whole frame is sent. */
bool frame_written(const struct frame_writer *w);

/**
 * Receive what there is, up to the end of a frame at the most.
 *
 * Returns the bytes that came; -EAGAIN: none now; -EPIPE: the peer has closed, between two frames;
 * -ECONNABORTED: within one; -EBADMSG: something else than was sent; or the socket's negative
 * errno.
 */
int frame_read(struct frame_reader *r, int fd);

/** Whether the last frame_read() ended a frame, which is in `frame` until the next call. */
bool frame_complete(const struct frame_reader *r);

#endif
