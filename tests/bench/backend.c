/*
 * The server behind the proxy: answers frames as frame.h says, and counts what was no such thing.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "frame.h"
#include "loop.h"
#include "net.h"

#define STOP_CHECK_NS 100000000

enum outcome { OPEN, CLOSE }; /* of serving a connection, or a negative errno */

struct server {
    struct source listener;
    struct loop loop;
    uint64_t connections;
    uint64_t frames;
    uint64_t faults; /* connections that brought other bytes than frames */
};

struct conn {
    struct source source;
    struct server *server;
    struct frame_reader in;
    struct frame_writer out;
    bool streaming;    /* `out` is one of many */
    bool stopping;     /* that was asked to end */
    bool closing;      /* `out` is the last */
    uint64_t streamed; /* [bytes] */
};

static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
    (void)number;
    stopped = 1;
}

/* Follow a frame of a stream that has been sent with the next, or with the count. */
static void next_frame(struct conn *c)
{
    c->streamed += c->out.frame.size;
    if (c->stopping) {
        c->streaming = false;
        c->closing = true;
        frame_start(&c->out, sizeof(struct frame), 0, FRAME_LAST, c->streamed);
        return;
    }
    frame_start(&c->out, c->out.frame.size, 0, c->out.frame.flags, 0);
}

static int send_out(struct conn *c)
{
    int n = frame_write(&c->out, c->source.fd);
    if (n < 0)
        return n;
    if (frame_written(&c->out) && c->streaming)
        next_frame(c);
    else if (frame_written(&c->out))
        return c->closing ? CLOSE : loop_want(&c->server->loop, &c->source, EPOLLIN);
    uint32_t events = c->streaming ? EPOLLIN | EPOLLOUT : EPOLLOUT;
    return loop_want(&c->server->loop, &c->source, events);
}

static int answer(struct conn *c)
{
    const struct frame *asked = &c->in.frame;
    uint32_t kept = asked->flags & (FRAME_CHECK | FRAME_DISCARD | FRAME_LAST);
    c->server->frames++;
    if (c->streaming) {
        c->stopping = true;
        return OPEN;
    }
    if (asked->answer == 0)
        return loop_want(&c->server->loop, &c->source, EPOLLIN);
    c->streaming = asked->flags & FRAME_STREAM;
    c->closing = asked->flags & FRAME_CLOSE;
    frame_start(&c->out, asked->answer, 0, kept,
                asked->flags & FRAME_LAST ? c->in.before : asked->number);
    return send_out(c);
}

static int read_in(struct conn *c)
{
    int n = frame_read(&c->in, c->source.fd);
    if (n == -EAGAIN || (n >= 0 && !frame_complete(&c->in)))
        return c->source.events != 0 ? OPEN : loop_want(&c->server->loop, &c->source, EPOLLIN);
    return n < 0 ? n : answer(c);
}

static void end(struct conn *c, int err)
{
    if (err == -EBADMSG || err == -ECONNABORTED)
        c->server->faults++;
    if (err == -EBADMSG)
        net_reset_on_close(c->source.fd);
    loop_drop(&c->source);
    free(c);
}

static void conn_ready(struct source *s, uint32_t events)
{
    struct conn *c = (struct conn *)s;
    int err = OPEN;
    if (events & EPOLLOUT)
        err = send_out(c);
    if (err == OPEN && (events & ~(uint32_t)EPOLLOUT))
        err = read_in(c);
    if (err != OPEN)
        end(c, err);
}

/*
 * One connection a turn: the loop would be asked for more anyway, and so no accept finds nothing.
 * The request has often come before, and is read at once.
 */
static void accept_ready(struct source *s, uint32_t events)
{
    struct server *server = (struct server *)s;
    int fd = net_accept(s->fd);
    (void)events;
    if (fd < 0)
        return;
    struct conn *c = calloc(1, sizeof(*c));
    if (c == NULL)
        abort();
    c->source = (struct source){.fd = fd, .ready = conn_ready};
    c->server = server;
    server->connections++;
    int err = read_in(c);
    if (err != OPEN)
        end(c, err);
}

static int serve(struct server *s, uint16_t port)
{
    int err = loop_open(&s->loop);
    if (err < 0)
        return err;
    int fd = net_listen(port, false);
    if (fd < 0)
        return fd;
    s->listener = (struct source){.fd = fd, .ready = accept_ready};
    err = loop_want(&s->loop, &s->listener, EPOLLIN);
    while (err == 0 && !stopped)
        loop_turn(&s->loop, clock_now() + STOP_CHECK_NS);
    loop_drop(&s->listener);
    loop_close(&s->loop);
    return err;
}

int main(int argc, char **argv)
{
    static struct server server;
    if (argc != 2 || atoi(argv[1]) <= 0) {
        fprintf(stderr, "usage: backend PORT\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    net_raise_limit();
    int err = serve(&server, (uint16_t)atoi(argv[1]));
    if (err < 0) {
        fprintf(stderr, "backend: %s\n", strerror(-err));
        return EXIT_FAILURE;
    }
    printf("{\"connections\": %" PRIu64 ", \"frames\": %" PRIu64 ", \"faults\": %" PRIu64 "}\n",
           server.connections, server.frames, server.faults);
    return EXIT_SUCCESS;
}
