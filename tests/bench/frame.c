#include "frame.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define FRAME_MAGIC 0x77656674u

/*
 * One image of the largest frame serves every sender: a smaller frame is its beginning. Only the
 * header differs from call to call.
 */
static char image[FRAME_MAX];
static char scratch[FRAME_CHUNK];

static void image_fill(void)
{
    if (image[sizeof(struct frame)] != 0)
        return;
    uint32_t x = 1;
    for (size_t i = sizeof(struct frame); i < sizeof(image); i++) {
        x = x * 1664525 + 1013904223;
        image[i] = (char)(x >> 24 | 1);
    }
}

void frame_start(struct frame_writer *w, uint32_t size, uint32_t answer, uint32_t flags,
                 uint64_t number)
{
    assert(size >= sizeof(struct frame) && size <= FRAME_MAX);
    w->frame = (struct frame){
        .magic = FRAME_MAGIC, .flags = flags, .size = size, .answer = answer, .number = number};
    w->sent = 0;
}

int frame_write(struct frame_writer *w, int fd)
{
    image_fill();
    memcpy(image, &w->frame, sizeof(w->frame));
    ssize_t n = send(fd, image + w->sent, w->frame.size - w->sent, MSG_NOSIGNAL);
    if (n < 0)
        return errno == EAGAIN ? 0 : -errno;
    w->sent += (uint32_t)n;
    return (int)n;
}

bool frame_written(const struct frame_writer *w)
{
    return w->sent == w->frame.size;
}

static bool header_valid(const struct frame *f)
{
    return f->magic == FRAME_MAGIC && f->zero == 0 && f->size >= sizeof(*f) &&
           f->size <= FRAME_MAX && f->answer <= FRAME_MAX &&
           (f->answer == 0 || f->answer >= sizeof(*f));
}

/* Take the part of `n` received bytes that belongs to the header. Returns its length. */
static uint32_t take_header(struct frame_reader *r, const char *data, uint32_t n)
{
    if (r->got >= sizeof(r->frame))
        return 0;
    uint32_t part = sizeof(r->frame) - r->got;
    if (part > n)
        part = n;
    memcpy((char *)&r->frame + r->got, data, part);
    return part;
}

/*
 * Take `n` bytes of one frame.
 * Returns 0, or -EBADMSG when they are not what was sent or go beyond the frame's end.
 */
static int take(struct frame_reader *r, const char *data, uint32_t n)
{
    uint32_t part = take_header(r, data, n);
    r->got += part;
    if (r->got < sizeof(r->frame))
        return 0;
    if (!header_valid(&r->frame) || n - part > r->frame.size - r->got)
        return -EBADMSG;
    if ((r->frame.flags & FRAME_CHECK) && memcmp(image + r->got, data + part, n - part) != 0)
        return -EBADMSG;
    r->got += n - part;
    return 0;
}

/* Begin the next frame when the one before has been seen whole. */
static void next_frame(struct frame_reader *r)
{
    if (frame_complete(r)) {
        r->before += r->got;
        r->got = 0;
    }
}

static int end_of_stream(const struct frame_reader *r)
{
    return r->got == 0 ? -EPIPE : -ECONNABORTED;
}

static int read_body(struct frame_reader *r, int fd)
{
    uint32_t rest = r->frame.size - r->got;
    size_t most = rest < sizeof(scratch) ? rest : sizeof(scratch);
    bool discard = r->frame.flags & FRAME_DISCARD;
    ssize_t n = discard ? recv(fd, NULL, rest, MSG_TRUNC) : recv(fd, scratch, most, 0);
    if (n <= 0)
        return n < 0 ? -errno : end_of_stream(r);
    if (discard)
        r->got += (uint32_t)n;
    else if (take(r, scratch, (uint32_t)n) < 0)
        return -EBADMSG;
    return (int)n;
}

/*
 * A frame that one call can take comes alone, as nothing follows it unasked. Behind a longer one
 * there may be more of its kind, whose bodies are for read_body() to copy or drop.
 */
static int read_header(struct frame_reader *r, int fd)
{
    bool among_long = r->before > 0 && r->frame.size > sizeof(scratch);
    size_t most = among_long ? sizeof(struct frame) - r->got : sizeof(scratch);
    ssize_t n = recv(fd, scratch, most, 0);
    if (n <= 0)
        return n < 0 ? -errno : end_of_stream(r);
    return take(r, scratch, (uint32_t)n) < 0 ? -EBADMSG : (int)n;
}

int frame_read(struct frame_reader *r, int fd)
{
    image_fill();
    next_frame(r);
    return r->got < sizeof(struct frame) ? read_header(r, fd) : read_body(r, fd);
}

bool frame_complete(const struct frame_reader *r)
{
    return r->got >= sizeof(struct frame) && r->got == r->frame.size;
}
