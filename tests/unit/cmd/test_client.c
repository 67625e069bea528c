/* The daemon is a socket pair's other end here, and has answered before it is asked. */
#include "cmd/client.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ctl/frame.h"
#include "ctl/request.h"
#include "unit.h"

static int ends[2]; /* ours, the daemon's */
static struct answer answer;
static struct text why;

static void set_up(void)
{
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    text_init(&why);
}

static void tear_down(void)
{
    answer_free(&answer);
    text_free(&why);
    close(ends[0]);
    close(ends[1]);
}

static void say(const char *json)
{
    struct text frame;
    text_init(&frame);
    json_t *object = json_loads(json, 0, NULL);
    ck_assert_ptr_nonnull(object);
    ck_assert_int_eq(frame_encode(object, FRAME_REPLY_MAX, &frame), 0);
    ck_assert_int_eq(write(ends[1], frame.data, frame.length), (ssize_t)frame.length);
    json_decref(object);
    text_free(&frame);
}

/* Ask, with nothing more to come than was said. */
static int ask(void)
{
    ck_assert_int_eq(shutdown(ends[1], SHUT_WR), 0);
    json_t *request = request_new("info", NULL);
    int err = client_ask(ends[0], request, -1, &answer, &why);
    json_decref(request);
    return err;
}

START_TEST(rows_of_all_frames_are_one_answer)
{
    say("{\"protocol\":1,\"rows\":[{\"a\":1},{\"a\":2}]}");
    say("{\"protocol\":1,\"rows\":[{\"a\":3}]}");
    say("{\"protocol\":1,\"done\":true}");
    ck_assert_int_eq(ask(), 0);
    ck_assert(answer.done);
    ck_assert_uint_eq(json_array_size(answer.rows), 3);
    ck_assert_uint_eq(why.length, 0);
}
END_TEST

START_TEST(the_request_is_what_the_daemon_reads)
{
    say("{\"protocol\":1,\"done\":true}");
    ck_assert_int_eq(ask(), 0);
    char bytes[256];
    ssize_t n = read(ends[1], bytes, sizeof(bytes));
    ck_assert_int_gt(n, FRAME_HEADER);
    json_t *body = frame_parse(bytes + FRAME_HEADER, (size_t)n - FRAME_HEADER, &why);
    struct request r;
    ck_assert_int_eq(request_read(&r, body, &why), 0);
    ck_assert_str_eq(r.command->name, "info");
    request_free(&r);
}
END_TEST

START_TEST(a_descriptor_goes_with_it)
{
    say("{\"protocol\":1,\"done\":true}");
    int fds[2];
    ck_assert_int_eq(pipe(fds), 0);
    json_t *request = request_new("diff", NULL);
    ck_assert_int_eq(client_ask(ends[0], request, fds[0], &answer, &why), 0);
    json_decref(request);
    char bytes[256], control[64], byte;
    struct iovec iov = {.iov_base = bytes, .iov_len = sizeof(bytes)};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control,
                       .msg_controllen = sizeof(control)};
    ck_assert_int_gt(recvmsg(ends[1], &m, 0), FRAME_HEADER);
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    ck_assert_ptr_nonnull(c);
    ck_assert_int_eq(c->cmsg_type, SCM_RIGHTS);
    int passed;
    memcpy(&passed, CMSG_DATA(c), sizeof(passed));
    ck_assert_int_eq(write(fds[1], "x", 1), 1);
    ck_assert_int_eq(read(passed, &byte, 1), 1);
    close(passed);
    close(fds[0]);
    close(fds[1]);
}
END_TEST

START_TEST(a_refusal_brings_its_reason)
{
    say("{\"protocol\":1,\"faults\":[\"f.yaml:1:1: error: a\"]}");
    say("{\"protocol\":1,\"error\":\"rejected\"}");
    ck_assert_int_eq(ask(), 0);
    ck_assert(!answer.done);
    ck_assert_str_eq(why.data, "rejected");
    ck_assert_uint_eq(json_array_size(answer.faults), 1);
}
END_TEST

START_TEST(a_daemon_that_has_closed_already_is_heard)
{
    say("{\"protocol\":1,\"error\":\"not permitted\"}");
    close(ends[1]);
    json_t *request = request_new("info", NULL);
    ck_assert_int_eq(client_ask(ends[0], request, -1, &answer, &why), 0);
    json_decref(request);
    ck_assert_str_eq(why.data, "not permitted");
    ends[1] = -1;
}
END_TEST

START_TEST(an_end_too_early_is_told)
{
    say("{\"protocol\":1,\"rows\":[{\"a\":1}]}");
    ck_assert_int_eq(ask(), -ECONNRESET);
    ck_assert(!answer.done);
    ck_assert_str_eq(why.data, "the daemon has closed the connection before it was done");
}
END_TEST

START_TEST(another_protocol_is_told)
{
    say("{\"protocol\":7,\"rows\":[]}");
    ck_assert_int_eq(ask(), -EPROTO);
    ck_assert_str_eq(why.data, "the daemon speaks protocol 7 and this weftctl " PACKAGE_VERSION
                               " protocol 1: use the weftctl that came with it");
}
END_TEST

START_TEST(what_a_daemon_of_another_protocol_says_goes_before)
{
    say("{\"protocol\":7,\"error\":\"use another one\"}");
    ck_assert_int_eq(ask(), -EPROTO);
    ck_assert_str_eq(why.data, "use another one");
}
END_TEST

START_TEST(garbage_is_no_answer)
{
    ck_assert_int_eq(write(ends[1], "SSH-2.0-OpenSSH", 15), 15);
    ck_assert_int_eq(ask(), -EMSGSIZE);
    ck_assert_ptr_nonnull(strstr(why.data, "cannot read the answer"));
}
END_TEST

START_TEST(what_is_no_array_is_no_answer)
{
    say("{\"protocol\":1,\"rows\":7}");
    ck_assert_int_eq(ask(), -EPROTO);
    ck_assert_uint_gt(why.length, 0);
}
END_TEST

START_TEST(nobody_there_is_an_error)
{
    ck_assert_int_eq(client_connect("/nonexistent/control.sock"), -ENOENT);
}
END_TEST

UNIT_MAIN_AROUND("client", set_up, tear_down, rows_of_all_frames_are_one_answer,
                 the_request_is_what_the_daemon_reads, a_descriptor_goes_with_it,
                 a_refusal_brings_its_reason, a_daemon_that_has_closed_already_is_heard,
                 an_end_too_early_is_told, another_protocol_is_told,
                 what_a_daemon_of_another_protocol_says_goes_before, garbage_is_no_answer,
                 what_is_no_array_is_no_answer, nobody_there_is_an_error)
