#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "frame.h"
#include "load.h"
#include "net.h"

#define REST_NS 20000000000 /* for what is in the buffers when the window closes */
#define REQUEST sizeof(struct frame)

/*
 * A flow down asks for a stream, and at the end says stop; a flow up sends frames, and at the end
 * asks for the count of what came. Either way the server says how many bytes there were, and
 * they must be as many as were seen here.
 */
struct flow {
    struct source source;
    struct load *load;
    unsigned *open; /* flows that are still to end, of all */
    bool up;
    bool stopping;  /* the last frame is on its way */
    uint64_t moved; /* before the frame that is on its way [bytes] */
    struct frame_writer out;
    struct frame_reader in;
};

static void end(struct flow *f, int err)
{
    if (err < 0)
        meter_fault(&f->load->meter, err);
    loop_drop(&f->source);
    (*f->open)--;
}

static int want(struct flow *f, uint32_t events)
{
    return loop_want(&f->load->loop, &f->source, events);
}

/* Bytes that are to be compared have to be copied. */
static uint32_t flags(const struct flow *f)
{
    const struct options *o = f->load->options;
    return o->check ? FRAME_CHECK : o->discard ? FRAME_DISCARD : 0;
}

/* Choose what to send behind a frame of data, or of nothing yet. */
static void next_up(struct flow *f)
{
    f->stopping = f->load->meter.state == METER_CLOSED;
    if (f->stopping)
        frame_start(&f->out, REQUEST, REQUEST, FRAME_LAST, f->moved);
    else
        frame_start(&f->out, FRAME_MAX, 0, flags(f), 0);
}

static int write_up(struct flow *f)
{
    int n = frame_write(&f->out, f->source.fd);
    if (n < 0)
        return n;
    if (!f->stopping)
        meter_bytes(&f->load->meter, (uint64_t)n);
    if (!frame_written(&f->out))
        return want(f, EPOLLIN | EPOLLOUT);
    if (f->stopping)
        return want(f, EPOLLIN);
    f->moved += f->out.frame.size;
    next_up(f);
    return want(f, EPOLLIN | EPOLLOUT);
}

static int write_down(struct flow *f)
{
    int n = frame_write(&f->out, f->source.fd);
    if (n < 0)
        return n;
    return want(f, frame_written(&f->out) ? EPOLLIN : EPOLLIN | EPOLLOUT);
}

/* Returns 1 once the server's count has come and is right, 0 before, or a negative errno. */
static int read_flow(struct flow *f)
{
    int n = frame_read(&f->in, f->source.fd);
    if (n < 0)
        return n;
    if (!f->up && !(f->in.frame.flags & FRAME_LAST))
        meter_bytes(&f->load->meter, (uint64_t)n);
    if (!frame_complete(&f->in) || !(f->in.frame.flags & FRAME_LAST))
        return 0;
    uint64_t seen = f->up ? f->moved : f->in.before;
    return f->stopping && f->in.frame.number == seen ? 1 : -EBADMSG;
}

static void flow_ready(struct source *s, uint32_t events)
{
    struct flow *f = (struct flow *)s;
    int err = 0;
    if (events & EPOLLOUT)
        err = f->up ? write_up(f) : write_down(f);
    if (err == 0 && (events & ~(uint32_t)EPOLLOUT))
        err = read_flow(f);
    if (err != 0 && err != -EAGAIN)
        end(f, err);
}

static int begin(struct flow *f)
{
    int fd = net_connect(f->load->options->port);
    if (fd < 0)
        return fd;
    f->source = (struct source){.fd = fd, .ready = flow_ready};
    if (f->up)
        next_up(f);
    else
        frame_start(&f->out, REQUEST, FRAME_MAX, FRAME_STREAM | flags(f), 0);
    return want(f, EPOLLIN | EPOLLOUT);
}

/* A flow up stops by itself behind its frame; a flow down has to ask for it. */
static void stop(struct flow *f)
{
    if (f->source.fd < 0 || f->up)
        return;
    f->stopping = true;
    frame_start(&f->out, REQUEST, 0, 0, 0);
    want(f, EPOLLIN | EPOLLOUT);
}

static unsigned begin_all(struct load *l, struct flow *flows, unsigned *open, bool up)
{
    for (unsigned i = 0; i < l->options->connections; i++) {
        flows[i] = (struct flow){.source.fd = -1, .load = l, .open = open, .up = up};
        ++*open;
        int err = begin(&flows[i]);
        if (err < 0)
            end(&flows[i], err);
    }
    return *open;
}

static int run(struct load *l, bool up)
{
    const struct options *o = l->options;
    unsigned open = 0;
    struct flow *flows = calloc(o->connections, sizeof(*flows));
    if (flows == NULL)
        return -ENOMEM;
    meter_begin(&l->meter, o->warmup, o->seconds);
    begin_all(l, flows, &open, up);
    while (open > 0 && meter_running(&l->meter, clock_now()))
        loop_turn(&l->loop, meter_next(&l->meter));
    for (unsigned i = 0; i < o->connections; i++)
        stop(&flows[i]);
    int64_t deadline = clock_now() + REST_NS;
    while (open > 0 && clock_now() < deadline)
        loop_turn(&l->loop, deadline);
    meter_stuck(&l->meter, open);
    for (unsigned i = 0; i < o->connections; i++)
        loop_drop(&flows[i].source);
    free(flows);
    return 0;
}

int shape_down(struct load *l)
{
    return run(l, false);
}

int shape_up(struct load *l)
{
    return run(l, true);
}
