#include "worker/control_client.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"

#define READER_SIZE 4096 /* [bytes] read at once */

/* --- to the client ----------------------------------------------------------------------- */

struct encoding {
    const json_t *object;
    struct text *out;
    int err;
};

static void encode(void *arg)
{
    struct encoding *e = arg;
    e->err = frame_encode(e->object, FRAME_REPLY_MAX, e->out);
}

static int send_frame(struct reply *r, const json_t *object)
{
    struct control_client *c = container_of(r, struct control_client, reply);
    struct encoding e = {.object = object, .out = &c->frame};
    fiber_call(encode, &e);
    if (e.err < 0)
        return e.err;
    stream_deadline(&c->conn.stream, CLOCK_NEVER, clock_now() + c->options.patience);
    return stream_write(&c->conn.stream, c->frame.data, c->frame.length);
}

/* --- from the client --------------------------------------------------------------------- */

static void close_passed(struct control_client *c)
{
    if (c->passed >= 0)
        close(c->passed);
    c->passed = -1;
}

/* A request has one at most: the last that came. */
static void take_passed(struct control_client *c, struct msghdr *m)
{
    struct cmsghdr *header = CMSG_FIRSTHDR(m);
    if (header == NULL || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS ||
        header->cmsg_len != CMSG_LEN(sizeof(int)))
        return;
    close_passed(c);
    memcpy(&c->passed, CMSG_DATA(header), sizeof(int));
}

static ssize_t receive(struct control_client *c, const struct iovec *iov, int n)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct msghdr m = {
        .msg_iov = (struct iovec *)(uintptr_t)iov,
        .msg_iovlen = (size_t)n,
        .msg_control = &control,
        .msg_controllen = sizeof(control),
    };
    c->conn.poll.ready &= (uint8_t)~NETPOLL_READ;
    ssize_t got = TEMP_FAILURE_RETRY(recvmsg(c->conn.poll.fd, &m, MSG_CMSG_CLOEXEC));
    if (got < 0)
        return -errno;
    take_passed(c, &m);
    return got;
}

static ssize_t input_readv(struct stream *s, const struct iovec *iov, int n)
{
    struct control_client *c = container_of(s, struct control_client, input);
    ssize_t got;
    while ((got = receive(c, iov, n)) == -EAGAIN) {
        int err = conn_watch(&c->conn);
        if (err == 0)
            err = netpoll_wait(&c->conn.poll, NETPOLL_READ, c->conn.read_deadline);
        if (err < 0)
            return err;
    }
    return got;
}

static const struct stream_ops input_ops = {.readv = input_readv};

/* Decode what the reader has. Returns 0, or a -errno with what is wrong said in `why`. */
static int take_bytes(struct control_client *c, const char *bytes, size_t n)
{
    ssize_t taken = frame_decode(&c->decoder, bytes, n);
    if (taken >= 0)
        reader_skip(&c->reader, (size_t)taken);
    else if (taken == -EMSGSIZE)
        text_add_string(&c->why, "the request is too large: 64 KiB are allowed");
    return taken < 0 ? (int)taken : 0;
}

/* Returns 0 with a whole frame in the decoder, -ENODATA at the end of the stream, or a -errno. */
static int read_frame(struct control_client *c)
{
    frame_next(&c->decoder);
    stream_deadline(&c->conn.stream, clock_now() + c->options.patience, CLOCK_NEVER);
    int err = 0;
    while (err == 0 && !frame_is_whole(&c->decoder)) {
        const char *bytes;
        ssize_t waiting = reader_peek(&c->reader, 1, &bytes);
        if (waiting <= 0)
            return waiting < 0 ? (int)waiting : -ENODATA;
        err = take_bytes(c, bytes, (size_t)waiting);
    }
    return err;
}

struct parsing {
    struct control_client *client;
    struct request *ret;
    int err;
};

static void parse(void *arg)
{
    struct parsing *p = arg;
    struct control_client *c = p->client;
    json_t *body = frame_parse(c->decoder.body.data, c->decoder.body.length, &c->why);
    p->err = body != NULL ? request_read(p->ret, body, &c->why) : -EPROTO;
    if (p->err < 0)
        json_decref(body);
}

static int read_request(struct control_client *c, struct request *ret)
{
    text_clear(&c->why);
    int err = read_frame(c);
    if (err < 0)
        return err;
    struct parsing p = {.client = c, .ret = ret};
    fiber_call(parse, &p);
    return p.err;
}

/* --- the conversation -------------------------------------------------------------------- */

static const char *reason(const struct control_client *c, int err)
{
    return c->why.length > 0 ? c->why.data : error_text(err);
}

static int serve(struct control_client *c, const struct request *request)
{
    command_fn *handler = command_handler((enum command_id)(request->command - commands));
    reply_init(&c->reply, request->command, send_frame);
    c->options.about.request = request;
    int err = handler(&c->options.about);
    close_passed(c);
    err = err == 0 ? reply_done(&c->reply) : reply_failed(&c->reply, reason(c, err));
    reply_destroy(&c->reply);
    return err;
}

/* Say why, as the last thing; whether it can be said does not matter any more. */
static void refuse(struct control_client *c, const char *why)
{
    reply_init(&c->reply, NULL, send_frame);
    (void)!reply_failed(&c->reply, why);
    reply_destroy(&c->reply);
}

static void converse(struct control_client *c)
{
    int err = 0;
    while (err == 0) {
        struct request request;
        err = read_request(c, &request);
        if (err < 0)
            break;
        err = serve(c, &request);
        request_free(&request);
        fiber_yield(); /* who asks without a pause must not have the thread for itself */
    }
    if (c->why.length > 0 && (err == -EPROTO || err == -EMSGSIZE))
        refuse(c, c->why.data);
}

static void client_run(void *arg)
{
    struct control_client *c = arg;
    if (c->options.refusal != NULL)
        refuse(c, c->options.refusal);
    else
        converse(c);
    conn_close(&c->conn);
}

static void client_done(struct fiber *f)
{
    struct control_client *c = container_of(f, struct control_client, fiber);
    c->options.ended(c);
}

struct control_client *control_client_start(const struct control_client_options *o)
{
    struct control_client *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return NULL;
    if (reader_init(&c->reader, &c->input, READER_SIZE) < 0) {
        free(c);
        return NULL;
    }
    c->options = *o;
    c->options.about.reply = &c->reply;
    c->options.about.why = &c->why;
    c->options.about.passed = &c->passed;
    c->input.ops = &input_ops;
    c->passed = -1;
    conn_init(&c->conn, o->fd, AF_UNIX);
    frame_decoder_init(&c->decoder, FRAME_REQUEST_MAX);
    text_init(&c->frame);
    text_init(&c->why);
    list_init(&c->link);
    fiber_create(&c->fiber, "control client", client_run, c, client_done);
    fiber_start(&c->fiber);
    return c;
}

void control_client_free(struct control_client *c)
{
    list_remove(&c->link);
    close_passed(c);
    text_free(&c->why);
    text_free(&c->frame);
    frame_decoder_free(&c->decoder);
    reader_free(&c->reader);
    free(c);
}
