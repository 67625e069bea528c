#include "client.h"

#include <errno.h>
#include <sys/epoll.h>

#include "net.h"

static void finish(struct client *c, int err)
{
    c->asking = c->connecting = false;
    if (err < 0)
        loop_drop(&c->source);
    c->done(c, err);
}

/* Returns 0 once all is sent, -EAGAIN when the rest has to wait, or a negative errno. */
static int send_rest(struct client *c)
{
    int n = frame_write(&c->out, c->source.fd);
    if (n < 0)
        return n;
    return frame_written(&c->out) ? 0 : -EAGAIN;
}

static bool answer_fits(const struct client *c)
{
    return c->in.frame.number == c->out.frame.number && c->in.frame.size == c->out.frame.answer;
}

/* Returns 0 once the answer is whole, -EAGAIN when more has to come, or a negative errno. */
static int receive(struct client *c)
{
    bool last = c->out.frame.flags & FRAME_CLOSE;
    int n = frame_read(&c->in, c->source.fd);
    if (n == -EPIPE && last && c->in.before == c->out.frame.answer)
        return 0;
    if (n < 0)
        return n;
    if (!frame_complete(&c->in))
        return -EAGAIN;
    if (!answer_fits(c))
        return -EBADMSG;
    return last ? -EAGAIN : 0;
}

static int serve_exchange(struct client *c)
{
    if (frame_written(&c->out))
        return receive(c);
    int err = send_rest(c);
    if (err == 0)
        err = loop_want(&c->load->loop, &c->source, EPOLLIN);
    return err == 0 ? -EAGAIN : err;
}

/* Nothing may come on a connection that waits for no answer, its end neither. */
static int serve_silence(struct client *c)
{
    int n = frame_read(&c->in, c->source.fd);
    return n > 0 ? -EBADMSG : n;
}

static int serve_connecting(struct client *c)
{
    int err = net_error(c->source.fd);
    return err == 0 ? loop_want(&c->load->loop, &c->source, EPOLLIN) : err;
}

static void client_ready(struct source *s, uint32_t events)
{
    struct client *c = (struct client *)s;
    int err;
    (void)events;
    if (c->error < 0)
        err = c->error;
    else if (c->asking)
        err = serve_exchange(c);
    else if (c->connecting)
        err = serve_connecting(c);
    else
        err = serve_silence(c);
    if (err != -EAGAIN)
        finish(c, err);
}

int client_connect(struct client *c, struct load *l)
{
    int fd = net_connect(l->options->port);
    if (fd < 0)
        return fd;
    c->source = (struct source){.fd = fd, .ready = client_ready};
    c->load = l;
    c->in = (struct frame_reader){.got = 0};
    c->asking = c->connecting = false;
    c->error = 0;
    return 0;
}

void client_await_connected(struct client *c)
{
    c->connecting = true;
    loop_want(&c->load->loop, &c->source, EPOLLOUT);
}

/* An error is left to the loop to report, so that done() is never called from within its caller. */
void client_ask(struct client *c, uint32_t size, uint32_t flags, uint64_t number)
{
    frame_start(&c->out, size, size, flags | load_flags(c->load), number);
    c->asking = true;
    int err = send_rest(c);
    c->error = err == -EAGAIN ? 0 : err;
    loop_want(&c->load->loop, &c->source, err == 0 ? EPOLLIN : EPOLLIN | EPOLLOUT);
}

void client_close(struct client *c)
{
    loop_drop(&c->source);
}

void client_reset(struct client *c)
{
    if (c->source.fd >= 0)
        net_reset_on_close(c->source.fd);
    loop_drop(&c->source);
}
