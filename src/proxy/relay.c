#include "proxy/relay.h"

#include <errno.h>

#include "base/clock.h"
#include "io/buffers.h"

#define RELAY_MOVES 4 /* reads of a direction in one turn, at most 256 KiB each */

/* The sides of a direction, and what their failures are called. */
struct way {
    struct relay_half *half;
    struct conn *source;
    struct conn *sink;
    enum session_end source_closed;
    enum session_end source_reset;
    enum session_end sink_reset;
};

static void half_init(struct relay_half *h)
{
    ring_init(&h->ring, io_buffers(), false);
    h->received = h->sent = 0;
    h->phase = HALF_FLOWING;
    h->nodes = 1;
}

void relay_init(struct relay *r)
{
    half_init(&r->in);
    half_init(&r->out);
    r->activity = clock_now();
    r->end = r->first_fin = END_NONE;
}

void relay_reset(struct relay *r)
{
    ring_reset(&r->in.ring);
    ring_reset(&r->out.ring);
}

/* Offer more after a full read, less after one that needed under half of it. */
static void half_adapt(struct relay_half *h, size_t got)
{
    size_t offered = (size_t)h->nodes * RING_NODE_PAYLOAD;
    if (got == offered && h->nodes < RING_IOV_MAX)
        h->nodes *= 2;
    else if (got < offered / 2 && h->nodes > 1)
        h->nodes /= 2;
}

/* Read once from the source. Returns as conn_try_readv. */
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
    }
    return got;
}

/* Write all that waits to the sink. Returns 0 when all is out, -EAGAIN, or another -errno. */
static int half_drain(struct relay_half *h, struct conn *sink)
{
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
    if (ring_length(&w->half->ring) > 0 || w->half->phase == HALF_DRAINING)
        return RELAY_BUSY;
    ssize_t got = half_fill(w->half, w->source);
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
    for (int move = 0; move < RELAY_MOVES; move++) {
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
        r->first_fin = END_CLIENT_CLOSED;
    }
    return true;
}

int relay_first_write(struct relay *r, struct conn *server)
{
    if (ring_length(&r->in.ring) == 0)
        return 0;
    uint64_t before = r->in.sent;
    int err = half_drain(&r->in, server);
    return r->in.sent != before ? 0 : err;
}

bool relay_half_closed(const struct relay *r)
{
    return r->in.phase != HALF_FLOWING || r->out.phase != HALF_FLOWING;
}
