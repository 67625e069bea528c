#include "cmd/client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "ctl/endpoint.h"
#include "ctl/frame.h"
#include "ctl/request.h"

#define CONNECT_TRIES 100
#define CONNECT_PAUSE 50000000 /* [ns] between two tries, five seconds in all */
#define READ_SIZE     16384    /* [bytes] read at once */

static int make_blocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    return flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0 ? -errno : 0;
}

int client_connect(const char *path)
{
    const struct timespec pause = {.tv_nsec = CONNECT_PAUSE};
    int fd = endpoint_connect(path);
    for (int i = 0; fd == -EAGAIN && i < CONNECT_TRIES; i++) {
        nanosleep(&pause, NULL);
        fd = endpoint_connect(path);
    }
    int err = fd >= 0 ? make_blocking(fd) : 0;
    return err < 0 ? err : fd;
}

bool client_found_nobody(int err)
{
    return err == -ENOENT || err == -ECONNREFUSED || err == -ENOTDIR;
}

void client_explain(const char *path, int err, struct text *why)
{
    if (client_found_nobody(err))
        text_format(why, "no weft listens on %s: %s", path, error_text(err));
    else if (err == -EAGAIN)
        text_format(why, "cannot connect to %s: weft accepts nobody", path);
    else
        text_format(why, "cannot connect to %s: %s", path, error_text(err));
}

/* --- the request ------------------------------------------------------------------------- */

/* Send some bytes, and a copy of a descriptor, unless that is -1, along with the first of them. */
static ssize_t send_some(int fd, const char *bytes, size_t n, int passed)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {.bytes = {0}};
    struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = n};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    if (passed >= 0) {
        m.msg_control = &control;
        m.msg_controllen = sizeof(control);
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &passed, sizeof(int));
    }
    return TEMP_FAILURE_RETRY(sendmsg(fd, &m, MSG_NOSIGNAL));
}

/* A daemon that has closed the connection already may have said why: that is read all the same. */
static int send_all(int fd, const struct text *frame, int passed)
{
    size_t sent = 0;
    while (sent < frame->length) {
        ssize_t put =
            send_some(fd, frame->data + sent, frame->length - sent, sent == 0 ? passed : -1);
        if (put < 0)
            return errno == EPIPE || errno == ECONNRESET ? 0 : -errno;
        sent += (size_t)put;
    }
    return 0;
}

static int send_request(int fd, const json_t *request, int passed, struct text *why)
{
    struct text frame;
    text_init(&frame);
    int err = frame_encode(request, FRAME_REQUEST_MAX, &frame);
    if (err == 0)
        err = send_all(fd, &frame, passed);
    if (err < 0)
        text_format(why, "cannot send the request: %s", error_text(err));
    text_free(&frame);
    return err;
}

/* --- the answer -------------------------------------------------------------------------- */

static int add_items(json_t *to, const json_t *items)
{
    return items == NULL || json_array_extend(to, (json_t *)items) == 0 ? 0 : -EPROTO;
}

static int check_protocol(const json_t *frame, struct text *why)
{
    json_int_t protocol = json_integer_value(json_object_get(frame, "protocol"));
    if (protocol == REQUEST_PROTOCOL)
        return 0;
    const char *error = json_string_value(json_object_get(frame, "error"));
    if (error != NULL)
        text_add_string(why, error);
    else
        text_format(why,
                    "the daemon speaks protocol %lld and this weftctl %s protocol %d: use the "
                    "weftctl that came with it",
                    (long long)protocol, PACKAGE_VERSION, REQUEST_PROTOCOL);
    return -EPROTO;
}

/* Returns 0 where more is to come, 1 where that was all, or -EPROTO. */
static int take_frame(const json_t *frame, struct answer *a, struct text *why)
{
    int err = check_protocol(frame, why);
    if (err < 0)
        return err;
    err = add_items(a->rows, json_object_get(frame, "rows"));
    if (err == 0)
        err = add_items(a->faults, json_object_get(frame, "faults"));
    if (err < 0)
        return err;
    const char *error = json_string_value(json_object_get(frame, "error"));
    if (error != NULL)
        text_add_string(why, error);
    a->done = json_is_true(json_object_get(frame, "done"));
    return error != NULL || a->done;
}

static int take_body(const struct frame_decoder *d, struct answer *a, struct text *why)
{
    json_t *frame = frame_parse(d->body.data != NULL ? d->body.data : "", d->body.length, why);
    if (frame == NULL)
        return -EPROTO;
    int result = take_frame(frame, a, why);
    json_decref(frame);
    return result;
}

/* Take what was read, frame by frame. Returns as take_frame(). */
static int take_bytes(struct frame_decoder *d, const char *bytes, size_t n, struct answer *a,
                      struct text *why)
{
    int result = 0;
    while (n > 0 && result == 0) {
        ssize_t taken = frame_decode(d, bytes, n);
        if (taken < 0)
            return (int)taken;
        bytes += taken;
        n -= (size_t)taken;
        if (frame_is_whole(d)) {
            result = take_body(d, a, why);
            frame_next(d);
        }
    }
    return result;
}

static int receive(int fd, struct frame_decoder *d, struct answer *a, struct text *why)
{
    int result = 0;
    while (result == 0) {
        char bytes[READ_SIZE];
        ssize_t got = TEMP_FAILURE_RETRY(recv(fd, bytes, sizeof(bytes), 0));
        if (got == 0)
            return -ECONNRESET;
        result = got > 0 ? take_bytes(d, bytes, (size_t)got, a, why) : -errno;
    }
    return result > 0 ? 0 : result;
}

int client_ask(int fd, const json_t *request, int passed, struct answer *ret, struct text *why)
{
    *ret = (struct answer){.rows = json_array(), .faults = json_array()};
    int err = send_request(fd, request, passed, why);
    if (err < 0)
        return err;
    struct frame_decoder decoder;
    frame_decoder_init(&decoder, FRAME_REPLY_MAX);
    err = receive(fd, &decoder, ret, why);
    frame_decoder_free(&decoder);
    if (err == -ECONNRESET)
        text_add_string(why, "the daemon has closed the connection before it was done");
    else if (err < 0 && why->length == 0)
        text_format(why, "cannot read the answer: %s", error_text(err));
    return err;
}

void answer_free(struct answer *a)
{
    json_decref(a->rows);
    json_decref(a->faults);
    *a = (struct answer){.rows = NULL};
}
