/* What a client of the control socket may send, and what it gets to hear. */
#include "worker/control_client.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "fiber/sync.h"
#include "fibers.h"
#include "unit.h"
#include "worker/control.h"

#define SOON (10 * NSEC_PER_SEC)

static struct control no_workers; /* to list */
static const struct control_server_options server = {.control = &no_workers};
static struct conn peer; /* the client's end */
static struct control_client *client;
static unsigned ended;

static void client_ended(struct control_client *c)
{
    ck_assert_ptr_eq(c, client);
    control_client_free(c);
    ended++;
}

static void begin(int64_t patience, const char *refusal)
{
    int fds[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    conn_init(&peer, fds[0], AF_UNIX);
    stream_deadline(&peer.stream, clock_now() + SOON, clock_now() + SOON);
    const struct control_client_options o = {
        .fd = fds[1],
        .about = {.about = &server},
        .refusal = refusal,
        .patience = patience,
        .ended = client_ended,
    };
    client = control_client_start(&o);
    ck_assert_ptr_nonnull(client);
}

static void send_bytes(const void *bytes, size_t n)
{
    ck_assert_int_eq(stream_write(&peer.stream, bytes, n), 0);
}

static void send_body(const char *body)
{
    size_t n = strlen(body);
    const char header[] = {(char)(n >> 24), (char)(n >> 16), (char)(n >> 8), (char)n};
    send_bytes(header, sizeof(header));
    send_bytes(body, n);
}

struct reading {
    const char *bytes;
    size_t n;
    json_t *ret;
};

static void parse(void *arg)
{
    struct reading *r = arg;
    r->ret = json_loadb(r->bytes, r->n, 0, NULL);
}

/* The next frame of the reply. The caller owns it. */
static json_t *next_frame(void)
{
    unsigned char header[FRAME_HEADER];
    ck_assert_int_eq(stream_read_full(&peer.stream, header, sizeof(header)), 0);
    size_t n = (size_t)header[2] << 8 | header[3];
    char *bytes = malloc(n);
    ck_assert_int_eq(stream_read_full(&peer.stream, bytes, n), 0);
    struct reading r = {.bytes = bytes, .n = n};
    fiber_call(parse, &r);
    free(bytes);
    ck_assert_ptr_nonnull(r.ret);
    return r.ret;
}

static void expect_done(void)
{
    json_t *frame = next_frame();
    ck_assert(json_is_true(json_object_get(frame, "done")));
    json_decref(frame);
}

static void expect_error(const char *what)
{
    json_t *frame = next_frame();
    const char *error = json_string_value(json_object_get(frame, "error"));
    ck_assert_ptr_nonnull(error);
    ck_assert_msg(strstr(error, what) != NULL, "%s", error);
    json_decref(frame);
}

/* The end may be an error: the client's last bytes were not read. */
static void expect_end(void)
{
    char byte;
    ssize_t got = stream_read(&peer.stream, &byte, 1);
    ck_assert_msg(got == 0 || got == -ECONNRESET, "%zd", got);
    while (ended == 0)
        fiber_yield();
    conn_close(&peer);
}

static void asked(void *arg)
{
    (void)arg;
    begin(SOON, NULL);
    for (int i = 0; i < 3; i++) {
        send_body("{\"protocol\":1,\"command\":\"workers\"}");
        expect_done();
    }
    ck_assert_int_eq(conn_shutdown(&peer), 0);
    expect_end();
}

START_TEST(one_request_follows_another)
{
    in_fiber(asked, NULL);
}
END_TEST

static void trickled(void *arg)
{
    (void)arg;
    static const char frame[] = "\0\0\0\x22{\"protocol\":1,\"command\":\"workers\"}";
    begin(SOON, NULL);
    for (size_t i = 0; i < sizeof(frame) - 1; i++) {
        send_bytes(&frame[i], 1);
        fiber_yield();
    }
    expect_done();
    conn_close(&peer);
    while (ended == 0)
        fiber_yield();
}

START_TEST(a_request_may_come_byte_by_byte)
{
    in_fiber(trickled, NULL);
}
END_TEST

static void queued(void *arg)
{
    (void)arg;
    begin(SOON, NULL);
    for (int i = 0; i < 100; i++)
        send_body("{\"protocol\":1,\"command\":\"workers\"}");
    for (int i = 0; i < 100; i++)
        expect_done();
    conn_close(&peer);
    while (ended == 0)
        fiber_yield();
}

START_TEST(requests_may_come_ahead_of_their_replies)
{
    in_fiber(queued, NULL);
}
END_TEST

static void wrong(void *arg)
{
    const char *const *body_and_error = arg;
    begin(SOON, NULL);
    send_body(body_and_error[0]);
    expect_error(body_and_error[1]);
    expect_end();
}

START_TEST(what_is_no_request_ends_it)
{
    static const char *const cases[][2] = {
        {"", "not JSON"},
        {"GET / HTTP/1.1\r\n", "not JSON"},
        {"[]", "not a JSON object"},
        {"{\"command\":\"workers\"}", "names no protocol"},
        {"{\"protocol\":99,\"command\":\"workers\"}", "use the weftctl that came with it"},
        {"{\"protocol\":1,\"command\":\"dance\"}", "there is no command 'dance'"},
        {"{\"protocol\":1,\"command\":\"workers\",\"arguments\":{\"a\":\"b\"}}", "no argument 'a'"},
    };
    for (size_t i = 0; i < array_size(cases); i++) {
        ended = 0;
        in_fiber(wrong, (void *)cases[i]);
    }
}
END_TEST

static void overlong(void *arg)
{
    (void)arg;
    begin(SOON, NULL);
    send_bytes("SSH-2.0-OpenSSH_9.2\r\n", 21);
    expect_error("64 KiB");
    expect_end();
}

START_TEST(what_is_no_frame_ends_it)
{
    in_fiber(overlong, NULL);
}
END_TEST

static void refused(void *arg)
{
    (void)arg;
    begin(SOON, "not permitted");
    expect_error("not permitted");
    expect_end();
}

START_TEST(who_is_refused_is_told)
{
    in_fiber(refused, NULL);
}
END_TEST

static void silent(void *arg)
{
    (void)arg;
    begin(20 * NSEC_PER_MSEC, NULL);
    send_body("{\"protocol\":1,\"command\":\"workers\"}");
    expect_done();
    send_bytes("\0\0", 2);
    expect_end();
}

START_TEST(who_says_nothing_is_dropped)
{
    in_fiber(silent, NULL);
}
END_TEST

/* Asks on and on, and takes no answer: what it does not take must not be kept. */
static void deaf(void *arg)
{
    (void)arg;
    begin(20 * NSEC_PER_MSEC, NULL);
    static const char body[] = "{\"protocol\":1,\"command\":\"workers\"}";
    const char header[] = {0, 0, 0, (char)strlen(body)};
    int err = 0;
    while (err == 0) {
        err = stream_write(&peer.stream, header, sizeof(header));
        if (err == 0)
            err = stream_write(&peer.stream, body, strlen(body));
    }
    ck_assert_msg(err == -EPIPE || err == -ECONNRESET, "%d", err);
    conn_close(&peer);
    while (ended == 0)
        fiber_yield();
}

START_TEST(who_takes_no_answer_is_dropped)
{
    in_fiber(deaf, NULL);
}
END_TEST

static void cancelled(void *arg)
{
    (void)arg;
    begin(SOON, NULL);
    send_body("{\"protocol\":1,\"command\":\"workers\"}");
    expect_done();
    fiber_cancel(&client->fiber);
    expect_end();
}

START_TEST(the_server_can_end_it)
{
    in_fiber(cancelled, NULL);
}
END_TEST

UNIT_MAIN("control_client", one_request_follows_another, a_request_may_come_byte_by_byte,
          requests_may_come_ahead_of_their_replies, what_is_no_request_ends_it,
          what_is_no_frame_ends_it, who_is_refused_is_told, who_says_nothing_is_dropped,
          who_takes_no_answer_is_dropped, the_server_can_end_it)
