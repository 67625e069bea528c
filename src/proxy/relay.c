#include "proxy/relay.h"

#include <errno.h>

#include "base/clock.h"
#include "io/buffers.h"
#include "io/splice.h"

#define RELAY_MOVES 4         /* reads of a direction in one turn, at most 256 KiB each ... */
#define RELAY_BYTES (1 << 20) /* [bytes] ... and none after so many: a pipe takes more at once */

#define RELAY_CALM 4 /* reads in a row that make the offer smaller */

/*
 * Where splicing begins to pay, and where copying is no worse: measured, with room between the two
 * so that a direction does not waver.
 */
#define SPLICE_FROM  (32 << 10) /* [bytes] a read that speaks for splicing */
#define SPLICE_AFTER 4          /* such reads in a row */
#define COPY_BELOW   (8 << 10)  /* [bytes] a read that speaks for copying */
#define COPY_AFTER   8          /* such reads in a row */

/* The sides of a direction, and what their failures are called. */
struct way {
    struct relay_half *half;
    struct conn *source;
    struct conn *sink;
    enum session_end source_closed;
    enum session_end source_reset;
    enum session_end sink_reset;
};

static void half_init(struct relay_half *h, enum conf_splice mode)
{
    *h = (struct relay_half){
        .phase = HALF_FLOWING,
        .nodes = 1,
        .mode = (uint8_t)mode,
        .splicing = mode == CONF_SPLICE_ON,
    };
    ring_init(&h->ring, io_buffers(), false);
}

void relay_init(struct relay *r, enum conf_splice mode)
{
    half_init(&r->in, mode);
    half_init(&r->out, mode);
    r->activity = clock_now();
    r->end = r->first_fin = END_NONE;
}

static void half_reset(struct relay_half *h)
{
    ring_reset(&h->ring);
    if (h->pipe != NULL)
        pipes_put(h->pipe);
    h->pipe = NULL;
}

void relay_reset(struct relay *r)
{
    half_reset(&r->in);
    half_reset(&r->out);
}

static bool half_is_empty(const struct relay_half *h)
{
    return h->pipe == NULL && ring_length(&h->ring) == 0;
}

/* Change between ring and pipe once enough reads in a row have spoken for it. */
static void half_judge(struct relay_half *h, bool for_change, unsigned enough)
{
    if (h->mode != CONF_SPLICE_AUTO)
        return;
    h->streak = for_change ? (uint8_t)(h->streak + 1) : 0;
    if (h->streak == enough) {
        h->splicing = !h->splicing;
        h->streak = 0;
    }
}

/* Offer more after a full read, less after some in a row that needed under half of it. */
static void half_adapt(struct relay_half *h, size_t got)
{
    size_t offered = (size_t)h->nodes * RING_NODE_PAYLOAD;
    if (got >= offered / 2) {
        h->calm = 0;
        if (got == offered && h->nodes < RING_IOV_MAX)
            h->nodes *= 2;
    } else if (h->nodes > 1 && ++h->calm == RELAY_CALM) {
        h->calm = 0;
        h->nodes /= 2;
    }
}

/* Read once into the ring. Returns as conn_try_readv. */
static ssize_t half_fill(struct relay_half *h, struct conn *source)
{
    if (!conn_readable(source))
        return -EAGAIN;
    struct iovec iov[RING_IOV_MAX];
    int n = ring_reserve(&h->ring, (size_t)h->nodes * RING_NODE_PAYLOAD, iov, RING_IOV_MAX);
    if (n < 0)
        return n;
    ssize_t got = conn_try_readv(source, iov, n);
    ring_commit(&h->ring, got > 0 ? (size_t)got : 0);
    if (got > 0) {
        h->received += (uint64_t)got;
        half_adapt(h, (size_t)got);
        if (!h->splicing)
            half_judge(h, got >= SPLICE_FROM, SPLICE_AFTER);
    }
    return got;
}

/* Read once into a pipe. Returns as splice_fill, and -ENOBUFS where there is no pipe. */
static ssize_t half_splice(struct relay_half *h, struct conn *source)
{
    if (!conn_readable(source))
        return -EAGAIN;
    struct pipe *p = pipes_get();
    if (p == NULL)
        return -ENOBUFS;
    ssize_t got = splice_fill(p, source, UINT64_MAX);
    if (got <= 0) {
        pipes_put(p);
        return got;
    }
    h->pipe = p;
    h->received += (uint64_t)got;
    h->spliced = true;
    half_judge(h, got < COPY_BELOW, COPY_AFTER);
    return got;
}

/* Read once from the source, the way it is done at present. Returns as conn_try_readv. */
static ssize_t half_read(struct relay_half *h, struct conn *source)
{
    if (!h->splicing)
        return half_fill(h, source);
    ssize_t got = half_splice(h, source);
    if (got == -EINVAL) {
        h->mode = CONF_SPLICE_OFF;
        h->splicing = false;
    }
    bool by_copy = got == -EINVAL || got == -ENOBUFS ||
                   (got == -EAGAIN && (source->poll.ready & NETPOLL_HANGUP) != 0);
    return by_copy ? half_fill(h, source) : got;
}

static int half_drain_pipe(struct relay_half *h, struct conn *sink)
{
    while (h->pipe->length > 0) {
        ssize_t put = splice_drain(h->pipe, sink);
        if (put < 0)
            return (int)put;
        h->sent += (uint64_t)put;
    }
    pipes_put(h->pipe);
    h->pipe = NULL;
    return 0;
}

/* Write all that waits to the sink. Returns 0 when all is out, -EAGAIN, or another -errno. */
static int half_drain(struct relay_half *h, struct conn *sink)
{
    if (h->pipe != NULL)
        return half_drain_pipe(h, sink);
    struct iovec iov[RING_IOV_MAX];
    int n;
    while ((n = ring_peek(&h->ring, iov, RING_IOV_MAX)) > 0) {
        ssize_t put = conn_try_writev(sink, iov, n);
        if (put < 0)
            return (int)put;
        ring_consume(&h->ring, (size_t)put);
        h->sent += (uint64_t)put;
    }
    return 0;
}

static enum session_end end_of_error(int err, enum session_end reset)
{
    return err == -ECONNRESET || err == -EPIPE ? reset : END_ERROR;
}

/* The source's FIN has been read. */
static void way_source_closed(struct relay *r, const struct way *w)
{
    w->half->phase = HALF_DRAINING;
    w->half->over = true;
    r->activity = clock_now();
    if (r->first_fin == END_NONE)
        r->first_fin = w->source_closed;
}

/* Pass the FIN on; where the other direction is through too, the coming close does it. */
static void way_forward_fin(struct relay *r, const struct way *w)
{
    w->half->phase = HALF_CLOSED;
    if (r->in.phase == HALF_CLOSED && r->out.phase == HALF_CLOSED) {
        r->end = r->first_fin;
        return;
    }
    int err = conn_shutdown(w->sink);
    if (err < 0) /* ENOTCONN: an RST came before the FIN could go */
        r->end = w->sink_reset;
}

/*
 * A sink that takes nothing may be blocked for long: a source that is gone meanwhile is noticed
 * by its pending error, since nobody reads it.
 */
static enum relay_state way_blocked(struct relay *r, const struct way *w)
{
    if ((w->source->poll.ready & NETPOLL_ERROR) != 0 && socket_error(w->source->poll.fd) < 0) {
        r->end = w->source_reset;
        return RELAY_DONE;
    }
    return RELAY_WAITING;
}

/* Read once, unless something waits already. Returns RELAY_BUSY when there is something to write.
 */
static enum relay_state way_read(struct relay *r, const struct way *w)
{
    if (!half_is_empty(w->half) || w->half->phase == HALF_DRAINING)
        return RELAY_BUSY;
    ssize_t got = half_read(w->half, w->source);
    if (got > 0)
        return RELAY_BUSY;
    if (got == -EAGAIN)
        return RELAY_WAITING;
    if (got == 0) {
        way_source_closed(r, w);
        return RELAY_BUSY;
    }
    r->end = end_of_error((int)got, w->source_reset);
    return RELAY_DONE;
}

static enum relay_state way_write(struct relay *r, const struct way *w)
{
    uint64_t before = w->half->sent;
    int err = half_drain(w->half, w->sink);
    if (w->half->sent != before)
        r->activity = clock_now();
    if (err == -EAGAIN)
        return way_blocked(r, w);
    if (err < 0) {
        r->end = end_of_error(err, w->sink_reset);
        return RELAY_DONE;
    }
    if (w->half->phase == HALF_DRAINING)
        way_forward_fin(r, w);
    return r->end != END_NONE ? RELAY_DONE : RELAY_BUSY;
}

/* One direction's share of a turn. */
static enum relay_state way_turn(struct relay *r, const struct way *w)
{
    uint64_t enough = w->half->sent + RELAY_BYTES;
    for (int move = 0; move < RELAY_MOVES && w->half->sent < enough; move++) {
        if (w->half->phase == HALF_CLOSED)
            return RELAY_WAITING;
        enum relay_state state = way_read(r, w);
        if (state == RELAY_BUSY)
            state = way_write(r, w);
        if (state != RELAY_BUSY)
            return state;
    }
    return RELAY_BUSY;
}

enum relay_state relay_turn(struct relay *r, struct conn *client, struct conn *server)
{
    const struct way in = {
        .half = &r->in,
        .source = client,
        .sink = server,
        .source_closed = END_CLIENT_CLOSED,
        .source_reset = END_CLIENT_RESET,
        .sink_reset = END_SERVER_RESET,
    };
    const struct way out = {
        .half = &r->out,
        .source = server,
        .sink = client,
        .source_closed = END_SERVER_CLOSED,
        .source_reset = END_SERVER_RESET,
        .sink_reset = END_CLIENT_RESET,
    };
    enum relay_state first = way_turn(r, &in);
    if (first == RELAY_DONE)
        return RELAY_DONE;
    enum relay_state second = way_turn(r, &out);
    if (second == RELAY_DONE)
        return RELAY_DONE;
    return first == RELAY_BUSY || second == RELAY_BUSY ? RELAY_BUSY : RELAY_WAITING;
}

bool relay_prefetch(struct relay *r, struct conn *client)
{
    ssize_t got = half_fill(&r->in, client);
    if (got < 0 && got != -EAGAIN) {
        r->end = end_of_error((int)got, END_CLIENT_RESET);
        return false;
    }
    if (got == 0) {
        r->in.phase = HALF_DRAINING;
        r->in.over = true;
        r->first_fin = END_CLIENT_CLOSED;
    }
    return true;
}

void relay_skip(struct relay *r, size_t n)
{
    ring_consume(&r->in.ring, n);
    r->in.received -= n;
}

/* Write other bytes, and with them what was read ahead. Returns as relay_first_write(). */
static int write_behind(struct relay *r, struct conn *server, struct iovec *front)
{
    struct iovec iov[RING_IOV_MAX] = {*front};
    int n = 1 + ring_peek(&r->in.ring, iov + 1, RING_IOV_MAX - 1);
    ssize_t put = conn_try_writev(server, iov, n);
    if (put < 0)
        return (int)put;
    size_t taken = (size_t)put < front->iov_len ? (size_t)put : front->iov_len;
    front->iov_base = (char *)front->iov_base + taken;
    front->iov_len -= taken;
    ring_consume(&r->in.ring, (size_t)put - taken);
    r->in.sent += (size_t)put - taken;
    return 0;
}

int relay_first_write(struct relay *r, struct conn *server, struct iovec *front)
{
    if (front != NULL)
        return write_behind(r, server, front);
    if (ring_length(&r->in.ring) == 0)
        return 0;
    uint64_t before = r->in.sent;
    int err = half_drain(&r->in, server);
    return r->in.sent != before ? 0 : err;
}

static void half_stop(struct relay_half *h)
{
    if (h->phase == HALF_FLOWING)
        h->phase = HALF_DRAINING;
}

void relay_stop(struct relay *r)
{
    half_stop(&r->in);
    half_stop(&r->out);
    if (r->first_fin == END_NONE)
        r->first_fin = END_DRAINED;
}

void relay_pending(const struct relay *r, bool *ret_in, bool *ret_out)
{
    *ret_in = !half_is_empty(&r->in);
    *ret_out = !half_is_empty(&r->out);
}

/* Returns whether there may be more at once. */
static bool half_discard(struct relay_half *h, struct conn *source)
{
    uint64_t received = h->received;
    for (int move = 0; move < RELAY_MOVES && !h->over; move++) {
        ssize_t got = half_fill(h, source);
        ring_reset(&h->ring);
        h->received = received;
        if (got == -EAGAIN)
            return false;
        h->over = got <= 0;
    }
    return !h->over;
}

enum relay_state relay_discard(struct relay *r, struct conn *client, struct conn *server)
{
    bool more = half_discard(&r->in, client);
    more |= half_discard(&r->out, server);
    if (more)
        return RELAY_BUSY;
    return r->in.over && r->out.over ? RELAY_DONE : RELAY_WAITING;
}

bool relay_half_closed(const struct relay *r)
{
    return r->in.phase != HALF_FLOWING || r->out.phase != HALF_FLOWING;
}
