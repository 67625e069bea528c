/*
 * Frames: how requests and replies stand on the control socket.
 *
 *      ┌──────────────────┬───────────────────────────────────┐
 *      │ length [4 bytes] │ body: a JSON object [length bytes]│ ...the next frame
 *      └──────────────────┴───────────────────────────────────┘
 *        most significant byte first
 *
 * Pure: bytes in, bytes out, however a stream has cut them.
 */
#ifndef WEFT_CTL_FRAME_H
#define WEFT_CTL_FRAME_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/attr.h"
#include "base/text.h"

#define FRAME_HEADER      4                                        /* [bytes] */
#define FRAME_REQUEST_MAX (64 * 1024)                              /* [bytes] of a request's body */
#define FRAME_JSON        (JSON_COMPACT | JSON_REAL_PRECISION(15)) /* how JSON is written */

#define FRAME_REPLY_MAX (1024 * 1024) /* [bytes] of the body of one of a reply's frames */

struct frame_decoder {
    size_t max;       /* [bytes] that a body may have */
    size_t header;    /* [bytes] of the header that have come */
    size_t length;    /* [bytes] of the body, as far as `header` has told */
    struct text body; /* owned; as far as it has come */
};

void frame_decoder_init(struct frame_decoder *d, size_t max);

/** Free what it holds. */
void frame_decoder_free(struct frame_decoder *d);

/**
 * Take the next bytes of a stream, up to the end of a frame at the most.
 *
 * Returns how many it took, none while a whole frame waits; -EMSGSIZE when the body is to be longer
 * than it may, -ENOMEM. After an error the stream is of no more use.
 */
ssize_t frame_decode(struct frame_decoder *d, const char *bytes, size_t n) WEFT_MUSTCHECK;

/** Whether `d->body` is a frame's whole body. */
bool frame_is_whole(const struct frame_decoder *d);

/** Whether no byte of a frame has come yet: the stream may well end here. */
bool frame_is_empty(const struct frame_decoder *d);

/** Forget the frame, and begin with the next. */
void frame_next(struct frame_decoder *d);

/**
 * Read a body.
 *
 * Returns the object, which the caller owns, or NULL with what is wrong with it added to `why`.
 * Objects in objects take stack: on a fiber, by fiber_call().
 */
json_t *frame_parse(const char *body, size_t n, struct text *why) WEFT_MUSTCHECK;

/**
 * Put the frame of an object in place of what `out` holds.
 *
 * Returns 0; -EMSGSIZE where the body would have more than `max` bytes, -ENOMEM: `out` is empty
 * then. Takes stack, as frame_parse().
 */
int frame_encode(const json_t *object, size_t max, struct text *out) WEFT_MUSTCHECK;

#endif
