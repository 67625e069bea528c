#include "ctl/message.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "alloc.h"
#include "base/text.h"
#include "unit.h"

static int pair[2];

static void set_up(void)
{
    ck_assert_int_eq(message_pair(pair), 0);
}

static void tear_down(void)
{
    close(pair[0]);
    close(pair[1]);
}

/* --- what the tests send ------------------------------------------------------------------ */

static void send_raw(const void *bytes, size_t n, const int *fds, unsigned count)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(253 * sizeof(int))];
    } ancillary = {.bytes = {0}};
    struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = n};
    struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};
    if (count > 0) {
        h.msg_control = &ancillary;
        h.msg_controllen = CMSG_SPACE(count * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&h);
        *c = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        c->cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(c), fds, count * sizeof(int));
    }
    ck_assert_int_eq(sendmsg(pair[0], &h, MSG_NOSIGNAL), (ssize_t)n);
}

static int receive_text(const char *text)
{
    struct message m;
    send_raw(text, strlen(text), NULL, 0);
    int err = message_receive(pair[1], &m, false);
    if (err == 0)
        message_free(&m);
    return err;
}

static int send_with(unsigned count)
{
    int fds[MESSAGE_FDS_MAX + 1];
    for (unsigned i = 0; i < count; i++)
        fds[i] = STDERR_FILENO;
    return message_send(pair[0], MESSAGE_OPENED, json_object(), fds, count, false);
}

static unsigned open_descriptors(void)
{
    unsigned count = 0;
    DIR *d = opendir("/proc/self/fd");
    ck_assert_ptr_nonnull(d);
    while (readdir(d) != NULL)
        count++;
    closedir(d);
    return count;
}

/* --- there and back ----------------------------------------------------------------------- */

START_TEST(arrives_as_it_was_sent)
{
    struct message m;
    json_t *body = json_pack("{s:s, s:I, s:b}", "path", "/a", "number", (json_int_t)-5, "yes", 1);
    ck_assert_int_eq(message_send(pair[0], MESSAGE_OPEN_LOG, body, NULL, 0, false), 0);
    ck_assert_int_eq(message_receive(pair[1], &m, false), 0);
    ck_assert_int_eq(m.type, MESSAGE_OPEN_LOG);
    ck_assert_str_eq(message_string(&m, "path"), "/a");
    ck_assert_int_eq(message_integer(&m, "number"), -5);
    ck_assert(message_true(&m, "yes"));
    ck_assert_uint_eq(m.fd_count, 0);
    ck_assert_int_eq(message_take_fd(&m, 0), -1);
    message_free(&m);
    ck_assert_ptr_null(m.body);
    message_free(&m);
}
END_TEST

START_TEST(every_type_arrives_as_itself)
{
    for (int type = 0; type < MESSAGE_LAST; type++) {
        struct message m;
        enum message_type t = (enum message_type)type;
        ck_assert_str_ne(message_name(t), "");
        ck_assert_int_eq(message_send(pair[0], t, json_object(), NULL, 0, false), 0);
        ck_assert_int_eq(message_receive(pair[1], &m, false), 0);
        ck_assert_int_eq(m.type, t);
        message_free(&m);
    }
}
END_TEST

START_TEST(descriptors_come_with_it_and_close_themselves)
{
    struct message m;
    unsigned before = open_descriptors();
    ck_assert_int_eq(send_with(MESSAGE_FDS_MAX), 0);
    ck_assert_int_eq(message_receive(pair[1], &m, false), 0);
    ck_assert_uint_eq(m.fd_count, MESSAGE_FDS_MAX);
    ck_assert_uint_eq(open_descriptors(), before + MESSAGE_FDS_MAX);
    for (unsigned i = 0; i < m.fd_count; i++)
        ck_assert_int_eq(fcntl(m.fds[i], F_GETFD), FD_CLOEXEC);
    message_free(&m);
    ck_assert_uint_eq(open_descriptors(), before);
}
END_TEST

START_TEST(a_taken_descriptor_is_not_closed)
{
    struct message m;
    ck_assert_int_eq(send_with(2), 0);
    ck_assert_int_eq(message_receive(pair[1], &m, false), 0);
    int taken = message_take_fd(&m, 1);
    ck_assert_int_ge(taken, 0);
    ck_assert_int_eq(message_take_fd(&m, 1), -1);
    ck_assert_int_eq(message_take_fd(&m, 2), -1);
    ck_assert_int_eq(message_take_fd(&m, UINT_MAX), -1);
    message_free(&m);
    ck_assert_int_eq(close(taken), 0);
}
END_TEST

/* Messages are records: none runs into the next, and none is read in pieces. */
START_TEST(several_wait_in_order)
{
    for (json_int_t i = 0; i < 20; i++) {
        json_t *body = json_pack("{s:I}", "n", i);
        ck_assert_int_eq(message_send(pair[0], MESSAGE_ALIVE, body, NULL, 0, false), 0);
    }
    for (json_int_t i = 0; i < 20; i++) {
        struct message m;
        ck_assert_int_eq(message_receive(pair[1], &m, false), 0);
        ck_assert_int_eq(message_integer(&m, "n"), i);
        message_free(&m);
    }
}
END_TEST

START_TEST(waits_for_none_unless_asked)
{
    struct message m;
    ck_assert_int_eq(message_receive(pair[1], &m, false), -EAGAIN);
    ck_assert_int_eq(send_with(0), 0);
    ck_assert_int_eq(message_receive(pair[1], &m, true), 0);
    message_free(&m);
    int err;
    while ((err = send_with(0)) == 0)
        continue;
    ck_assert_int_eq(err, -EAGAIN);
}
END_TEST

START_TEST(the_other_sides_end_is_told)
{
    struct message m;
    ck_assert_int_eq(send_with(0), 0);
    close(pair[0]);
    ck_assert_int_eq(message_receive(pair[1], &m, true), 0);
    message_free(&m);
    ck_assert_int_eq(message_receive(pair[1], &m, true), -EPIPE);
    pair[0] = pair[1];
    ck_assert_int_eq(send_with(1), -EPIPE);
    pair[0] = -1;
}
END_TEST

/* The kernel tells of it as of an error, and before the messages. */
START_TEST(what_was_said_is_heard_though_the_other_side_did_not_listen)
{
    struct message m;
    ck_assert_int_eq(send_with(0), 0);
    json_t *body = json_object();
    ck_assert_int_eq(message_send(pair[1], MESSAGE_ALIVE, body, NULL, 0, false), 0);
    close(pair[0]);
    pair[0] = -1;
    ck_assert_int_eq(message_receive(pair[1], &m, false), 0);
    message_free(&m);
    ck_assert_int_eq(message_receive(pair[1], &m, false), -EPIPE);
}
END_TEST

/* --- what is not sent --------------------------------------------------------------------- */

START_TEST(too_much_is_not_sent)
{
    struct message m;
    ck_assert_int_eq(send_with(MESSAGE_FDS_MAX + 1), -EMSGSIZE);
    char *text = malloc(MESSAGE_SIZE_MAX + 1);
    memset(text, 'a', MESSAGE_SIZE_MAX);
    text[MESSAGE_SIZE_MAX] = '\0';
    json_t *body = json_pack("{s:s}", "text", text);
    ck_assert_int_eq(message_send(pair[0], MESSAGE_FAILED, body, NULL, 0, false), -EMSGSIZE);
    text[MESSAGE_SIZE_MAX - 64] = '\0';
    body = json_pack("{s:s}", "text", text);
    ck_assert_int_eq(message_send(pair[0], MESSAGE_FAILED, body, NULL, 0, false), 0);
    ck_assert_int_eq(message_receive(pair[1], &m, false), 0);
    ck_assert_str_eq(message_string(&m, "text"), text);
    message_free(&m);
    free(text);
}
END_TEST

/* As where no memory was left for it, or a string is not UTF-8: that is not an empty message. */
START_TEST(a_body_that_could_not_be_made_is_not_sent)
{
    struct message m;
    json_t *body = json_pack("{s:s}", "text", "\xff");
    ck_assert_ptr_null(body);
    ck_assert_int_eq(message_send(pair[0], MESSAGE_FAILED, body, NULL, 0, false), -ENOMEM);
    ck_assert_int_eq(message_receive(pair[1], &m, false), -EAGAIN);
}
END_TEST

START_TEST(a_text_of_any_bytes_can_be_sent)
{
    struct message m;
    json_t *body = json_pack("{s:o, s:o}", "plain", message_text("a\"b\n"), "other",
                             message_text("caf\xe9: \x01\xff\xc3\xa9"));
    ck_assert_int_eq(message_send(pair[0], MESSAGE_FAILED, body, NULL, 0, false), 0);
    ck_assert_int_eq(message_receive(pair[1], &m, false), 0);
    ck_assert_str_eq(message_string(&m, "plain"), "a\"b\n");
    ck_assert_str_eq(message_string(&m, "other"), "caf\xef\xbf\xbd: \x01\xef\xbf\xbd\xc3\xa9");
    message_free(&m);
}
END_TEST

START_TEST(a_text_that_is_too_long_is_cut_between_lines)
{
    struct message m;
    struct text text;
    text_init(&text);
    while (text.length < MESSAGE_SIZE_MAX)
        text_add_string(&text, "\"a line\"\n");
    json_t *body = json_pack("{s:o}", "text", message_text(text.data));
    ck_assert_int_eq(message_send(pair[0], MESSAGE_FAILED, body, NULL, 0, false), 0);
    ck_assert_int_eq(message_receive(pair[1], &m, false), 0);
    const char *got = message_string(&m, "text");
    size_t lines = strlen(got) - strlen("... and more\n");
    ck_assert_uint_gt(lines, MESSAGE_TEXT_MAX - 9);
    ck_assert_uint_le(lines, MESSAGE_TEXT_MAX);
    ck_assert_int_eq(strncmp(got, text.data, lines), 0);
    ck_assert_str_eq(got + lines, "... and more\n");
    message_free(&m);
    text_free(&text);
}
END_TEST

/* --- what a process that is not ours any more may send ------------------------------------- */

START_TEST(what_is_no_message_is_refused)
{
    static const char *const wrong[] = {
        "x",
        "{",
        "[]",
        "\"hello\"",
        "null",
        "{}",
        "{\"type\":null}",
        "{\"type\":3}",
        "{\"type\":\"\"}",
        "{\"type\":\"HELLO\"}",
        "{\"type\":\"hello \"}",
        "{\"type\":[\"hello\"]}",
        "{\"type\":\"hello\",\"type\":\"ready\"}",
        "{\"type\":\"hello\"}{}",
        "{\"type\":\"hello\",\"n\":123456789012345678901234567890}",
        "{\"type\":\"hello\",\"s\":\"\xff\"}",
        "{\"type\":\"hello\",\"s\":\"\\u0000\"}",
    };
    for (size_t i = 0; i < array_size(wrong); i++)
        ck_assert_msg(receive_text(wrong[i]) == -EPROTO, "%s", wrong[i]);
    ck_assert_int_eq(receive_text("{\"type\":\"hello\"}"), 0);
}
END_TEST

START_TEST(nesting_without_end_is_refused)
{
    char text[MESSAGE_SIZE_MAX];
    memset(text, '[', sizeof(text));
    memcpy(text, "{\"type\":", 8);
    send_raw(text, sizeof(text), NULL, 0);
    struct message m;
    ck_assert_int_eq(message_receive(pair[1], &m, false), -EPROTO);
}
END_TEST

START_TEST(a_record_that_is_too_long_is_refused)
{
    struct message m;
    char *text = malloc(MESSAGE_SIZE_MAX + 1);
    memset(text, ' ', MESSAGE_SIZE_MAX + 1);
    memcpy(text, "{\"type\":\"ready\"}", 16);
    send_raw(text, MESSAGE_SIZE_MAX, NULL, 0);
    ck_assert_int_eq(message_receive(pair[1], &m, false), 0);
    message_free(&m);
    send_raw(text, MESSAGE_SIZE_MAX + 1, NULL, 0);
    ck_assert_int_eq(message_receive(pair[1], &m, false), -EPROTO);
    free(text);
}
END_TEST

START_TEST(descriptors_of_what_is_refused_are_closed)
{
    int fds[253];
    struct message m;
    unsigned before = open_descriptors();
    for (unsigned i = 0; i < 253; i++)
        fds[i] = STDERR_FILENO;
    send_raw("{\"type\":\"ready\"}", 16, fds, 253);
    ck_assert_int_eq(message_receive(pair[1], &m, false), -EPROTO);
    send_raw("nonsense", 8, fds, 20);
    ck_assert_int_eq(message_receive(pair[1], &m, false), -EPROTO);
    send_raw("", 0, fds, 1);
    ck_assert_int_eq(message_receive(pair[1], &m, false), -EPIPE);
    ck_assert_uint_eq(open_descriptors(), before);
}
END_TEST

START_TEST(a_value_of_another_type_is_none)
{
    struct message m = {.body = json_pack("{s:i, s:s, s:f, s:[i], s:n}", "int", 7, "string", "7",
                                          "real", 7.5, "list", 7, "null")};
    static const char *const keys[] = {"int", "string", "real", "list", "null", "missing"};
    for (size_t i = 0; i < array_size(keys); i++) {
        ck_assert_str_eq(message_string(&m, keys[i]), i == 1 ? "7" : "");
        ck_assert_int_eq(message_integer(&m, keys[i]), i == 0 ? 7 : 0);
        ck_assert(!message_true(&m, keys[i]));
    }
    message_free(&m);
}
END_TEST

/* --- no memory ---------------------------------------------------------------------------- */

START_TEST(without_memory_nothing_is_left_open)
{
    struct message m;
    unsigned before = open_descriptors();
    int err = -ENOMEM;
    long budget = 0;
    for (; err < 0; budget++) {
        ck_assert_int_eq(send_with(3), 0);
        long live = atomic_load(&alloc_live);
        alloc_limit(budget);
        err = message_receive(pair[1], &m, false);
        alloc_limit(-1);
        if (err == 0)
            message_free(&m);
        ck_assert_int_eq(atomic_load(&alloc_live), live);
        ck_assert(err == 0 || err == -ENOMEM);
        ck_assert_uint_eq(open_descriptors(), before);
    }
    ck_assert_int_ge(budget, 3); /* the bytes and the descriptors take one each */
}
END_TEST

UNIT_MAIN_AROUND("message", set_up, tear_down, arrives_as_it_was_sent, every_type_arrives_as_itself,
                 descriptors_come_with_it_and_close_themselves, a_taken_descriptor_is_not_closed,
                 several_wait_in_order, waits_for_none_unless_asked, the_other_sides_end_is_told,
                 what_was_said_is_heard_though_the_other_side_did_not_listen, too_much_is_not_sent,
                 a_body_that_could_not_be_made_is_not_sent, a_text_of_any_bytes_can_be_sent,
                 a_text_that_is_too_long_is_cut_between_lines, what_is_no_message_is_refused,
                 nesting_without_end_is_refused, a_record_that_is_too_long_is_refused,
                 descriptors_of_what_is_refused_are_closed, a_value_of_another_type_is_none,
                 without_memory_nothing_is_left_open)
