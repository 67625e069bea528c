#include "worker/opener.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "answering.h"

static struct answering master;
static struct text why;
static struct opened got;

static void set_up(void)
{
    text_init(&why);
    got = (struct opened){.fds = NULL};
}

static void tear_down(void)
{
    opened_free(&got);
    answering_stop(&master);
    text_free(&why);
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

static struct listen_order loopback(void)
{
    struct listen_order o = {.key = "127.0.0.1:80", .count = 4, .addr.len = sizeof(o.addr.in)};
    o.addr.in.sin_family = AF_INET;
    o.addr.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    o.addr.in.sin_port = htons(80);
    o.options.backlog = 16;
    return o;
}

static int listen_here(void)
{
    const struct listen_order o = loopback();
    return opener_listen(&master.opener, &o, &got, &why);
}

static void answer_many(int socket, json_t *body, unsigned count)
{
    int fds[MESSAGE_FDS_MAX];
    for (unsigned i = 0; i < count; i++)
        fds[i] = STDERR_FILENO;
    answer_with(socket, body, fds, count);
}

/* --- sockets --------------------------------------------------------------------------------- */

static void check_listen(int socket, struct message *order)
{
    struct listen_order o;
    ck_assert_int_eq(order->type, MESSAGE_OPEN_LISTEN);
    ck_assert(listen_order_read(order->body, &o));
    ck_assert_str_eq(o.key, "127.0.0.1:80");
    ck_assert_uint_eq(o.count, 4);
    ck_assert_int_eq(o.options.backlog, 16);
    answer_many(socket, NULL, 4);
}

START_TEST(sockets_are_passed_on)
{
    answering_start(&master, check_listen);
    ck_assert_int_eq(listen_here(), 0);
    ck_assert_uint_eq(got.count, 4);
    for (unsigned i = 0; i < 4; i++)
        ck_assert_int_eq(fcntl(got.fds[i], F_GETFD), FD_CLOEXEC);
}
END_TEST

static void pass_in_three(int socket, struct message *order)
{
    (void)order;
    answer_many(socket, json_pack("{s:b}", "more", 1), 250);
    answer_many(socket, json_pack("{s:b}", "more", 1), 250);
    answer_many(socket, json_pack("{s:b}", "more", 0), 100);
}

START_TEST(more_than_a_message_holds_come_in_several)
{
    answering_start(&master, pass_in_three);
    ck_assert_int_eq(listen_here(), 0);
    ck_assert_uint_eq(got.count, 600);
}
END_TEST

static void refuse(int socket, struct message *order)
{
    (void)order;
    answer_no(socket, EADDRINUSE, "somebody is there");
}

START_TEST(a_refusal_comes_with_its_reason)
{
    answering_start(&master, refuse);
    ck_assert_int_eq(listen_here(), -EADDRINUSE);
    ck_assert_str_eq(why.data, "somebody is there");
    ck_assert_uint_eq(got.count, 0);
    ck_assert_int_eq(opener_log(&master.opener, "/a", false), -EADDRINUSE);
    ck_assert_int_eq(opener_write_pid(&master.opener, "/a"), -EADDRINUSE);
}
END_TEST

static void refuse_halfway(int socket, struct message *order)
{
    (void)order;
    answer_many(socket, json_pack("{s:b}", "more", 1), 250);
    answer_no(socket, EMFILE, "");
}

START_TEST(a_refusal_halfway_leaves_nothing)
{
    answering_start(&master, refuse_halfway);
    unsigned before = open_descriptors();
    ck_assert_int_eq(listen_here(), -EMFILE);
    ck_assert_str_eq(why.data, "Too many open files");
    ck_assert_uint_eq(open_descriptors(), before);
}
END_TEST

static void refuse_for_no_reason(int socket, struct message *order)
{
    static int turn;
    static const int errors[] = {0, -5, 4096, 1 << 30};
    (void)order;
    answer_no(socket, errors[turn++ % 4], "");
}

START_TEST(a_refusal_without_a_reason_is_an_error_all_the_same)
{
    answering_start(&master, refuse_for_no_reason);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(listen_here(), -EPROTO);
}
END_TEST

static void answer_something_else(int socket, struct message *order)
{
    (void)order;
    json_t *body = json_object();
    ck_assert_int_eq(message_send(socket, MESSAGE_HELLO, body, NULL, 0, true), 0);
}

START_TEST(what_is_no_answer_is_an_error)
{
    answering_start(&master, answer_something_else);
    ck_assert_int_eq(listen_here(), -EPROTO);
    ck_assert_str_ne(why.data, "");
}
END_TEST

static void hang_up(int socket, struct message *order)
{
    (void)order;
    shutdown(socket, SHUT_RDWR);
}

static void refuse_for_now(int socket, struct message *order)
{
    if (order->type == MESSAGE_OPEN_LOG)
        answer_no(socket, EPERM, "a new process may");
    else
        answer_no(socket, ENOENT, "there is none");
}

START_TEST(what_only_a_new_process_gets_is_remembered)
{
    answering_start(&master, refuse_for_now);
    ck_assert_int_eq(listen_here(), -ENOENT);
    ck_assert(!opener_take_refused(&master.opener));
    ck_assert_int_eq(opener_log(&master.opener, "/a", false), -EPERM);
    ck_assert_int_eq(opener_write_pid(&master.opener, "/a"), -ENOENT);
    ck_assert(opener_take_refused(&master.opener));
    ck_assert(!opener_take_refused(&master.opener));
}
END_TEST

START_TEST(without_a_master_nothing_is_opened)
{
    answering_start(&master, hang_up);
    ck_assert_int_eq(listen_here(), -EPIPE);
    ck_assert_int_eq(listen_here(), -EPIPE);
    ck_assert_int_eq(opener_log(&master.opener, "/a", false), -EPIPE);
    ck_assert_int_eq(opener_write_pid(&master.opener, "/a"), -EPIPE);
    ck_assert_int_eq(opener_forget(&master.opener, "127.0.0.1:80"), 0);
}
END_TEST

/* --- other orders ------------------------------------------------------------------------------
 */

static void check_others(int socket, struct message *order)
{
    switch (order->type) {
    case MESSAGE_OPEN_LOG:
        ck_assert_str_eq(message_string(order, "path"), "/var/log/a");
        answer_many(socket, NULL, message_true(order, "errors") ? 1 : 0);
        break;
    case MESSAGE_OPEN_CONTROL:
        ck_assert_int_eq(message_integer(order, "group"), 7);
        answer_many(socket, NULL, 1);
        break;
    case MESSAGE_WRITE_PID:
        ck_assert_str_eq(message_string(order, "path"), "/run/pid");
        answer_many(socket, NULL, 0);
        break;
    case MESSAGE_FORGET:
        ck_assert_str_eq(message_string(order, "key"), ":80");
        break;
    default:
        ck_abort_msg("%s", message_name(order->type));
    }
}

START_TEST(every_order_says_what_it_is_about)
{
    answering_start(&master, check_others);
    int fd = opener_log(&master.opener, "/var/log/a", true);
    ck_assert_int_ge(fd, 0);
    close(fd);
    ck_assert_int_eq(opener_log(&master.opener, "/var/log/a", false), -EPROTO); /* none came */
    ck_assert_int_eq(opener_write_pid(&master.opener, "/run/pid"), 0);
    ck_assert_int_eq(opener_forget(&master.opener, ":80"), 0);
    const struct listen_order o = loopback();
    ck_assert_int_eq(opener_control(&master.opener, &o.addr, 7, &got, &why), 0);
    ck_assert_uint_eq(got.count, 1);
}
END_TEST

START_TEST(a_path_that_is_not_utf8_is_an_error)
{
    answering_start(&master, check_others);
    ck_assert_int_eq(opener_log(&master.opener, "/caf\xe9", false), -ENOMEM);
    ck_assert_int_eq(opener_write_pid(&master.opener, "/run/pid"), 0);
}
END_TEST

/* --- includes ----------------------------------------------------------------------------------
 */

struct taken {
    char said[256];
    unsigned count;
    int stop_at; /* the file that ends it; 0: none */
};

static int take(void *arg, const char *path, int fd)
{
    struct taken *t = arg;
    if (fd >= 0)
        close(fd);
    if (t->count < 8)
        snprintf(t->said + strlen(t->said), sizeof(t->said) - strlen(t->said), "%s:%s ", path,
                 fd >= 0 ? "open" : strerrorname_np(-fd));
    return (int)++t->count == t->stop_at ? -ECANCELED : 0;
}

static json_t *files(unsigned first, unsigned count)
{
    json_t *array = json_array();
    for (unsigned i = 0; i < count; i++)
        json_array_append_new(array, json_pack("{s:o, s:i}", "path", json_sprintf("f%u", first + i),
                                               "error", (first + i) % 3 == 2 ? EACCES : 0));
    return array;
}

static void pass_files(int socket, struct message *order)
{
    ck_assert_str_eq(message_string(order, "pattern"), "/etc/*.inc");
    answer_many(socket, json_pack("{s:o, s:b}", "files", files(0, 3), "more", 1), 2);
    answer_many(socket, json_pack("{s:o}", "files", files(3, 3)), 2);
}

START_TEST(files_of_all_messages_are_handed_out_in_order)
{
    struct taken t = {.said = ""};
    answering_start(&master, pass_files);
    unsigned before = open_descriptors();
    ck_assert_int_eq(opener_include(&master.opener, "/etc/*.inc", take, &t), 0);
    ck_assert_str_eq(t.said, "f0:open f1:open f2:EACCES f3:open f4:open f5:EACCES ");
    ck_assert_uint_eq(open_descriptors(), before);
}
END_TEST

START_TEST(who_takes_files_may_end_it)
{
    struct taken t = {.stop_at = 2};
    answering_start(&master, pass_files);
    unsigned before = open_descriptors();
    ck_assert_int_eq(opener_include(&master.opener, "/etc/*.inc", take, &t), -ECANCELED);
    ck_assert_uint_eq(t.count, 2);
    ck_assert_uint_eq(open_descriptors(), before);
}
END_TEST

static void pass_too_few(int socket, struct message *order)
{
    (void)order;
    answer_many(socket, json_pack("{s:o}", "files", files(0, 3)), 1);
}

START_TEST(a_file_without_its_descriptor_is_an_error)
{
    struct taken t = {.said = ""};
    answering_start(&master, pass_too_few);
    ck_assert_int_eq(opener_include(&master.opener, "x", take, &t), -EPROTO);
    ck_assert_str_eq(t.said, "f0:open ");
}
END_TEST

static void pass_none(int socket, struct message *order)
{
    (void)order;
    answer_many(socket, NULL, 2);
}

START_TEST(an_include_without_files_stands_for_nothing)
{
    struct taken t = {.said = ""};
    answering_start(&master, pass_none);
    unsigned before = open_descriptors();
    ck_assert_int_eq(opener_include(&master.opener, "x", take, &t), 0);
    ck_assert_uint_eq(t.count, 0);
    ck_assert_uint_eq(open_descriptors(), before);
}
END_TEST

/* --- several threads ----------------------------------------------------------------------------
 */

static void echo_path(int socket, struct message *order)
{
    answer_many(socket, NULL, strcmp(message_string(order, "path"), "/one") == 0);
}

static void *order_logs(void *arg)
{
    const char *path = arg;
    for (int i = 0; i < 200; i++) {
        int fd = opener_log(&master.opener, path, false);
        unit_assert(strcmp(path, "/one") == 0 ? fd >= 0 : fd == -EPROTO);
        if (fd >= 0)
            close(fd);
    }
    return NULL;
}

START_TEST(each_thread_gets_its_own_answers)
{
    static const char *const paths[] = {"/one", "/none", "/one", "/none"};
    pthread_t threads[4];
    answering_start(&master, echo_path);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, order_logs, (void *)(uintptr_t)paths[i]),
                         0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
}
END_TEST

UNIT_MAIN_AROUND("opener", set_up, tear_down, sockets_are_passed_on,
                 more_than_a_message_holds_come_in_several, a_refusal_comes_with_its_reason,
                 a_refusal_halfway_leaves_nothing,
                 a_refusal_without_a_reason_is_an_error_all_the_same, what_is_no_answer_is_an_error,
                 what_only_a_new_process_gets_is_remembered, without_a_master_nothing_is_opened,
                 every_order_says_what_it_is_about, a_path_that_is_not_utf8_is_an_error,
                 files_of_all_messages_are_handed_out_in_order, who_takes_files_may_end_it,
                 a_file_without_its_descriptor_is_an_error,
                 an_include_without_files_stands_for_nothing, each_thread_gets_its_own_answers)
