#include "master/orders.h"

#include "ordering.h"

/* --- sockets ------------------------------------------------------------------------------- */

START_TEST(sockets_come_in_as_many_messages_as_it_takes)
{
    unsigned sum = 0, messages = 0;
    bool more = true;
    struct message m = ask(MESSAGE_OPEN_LISTEN, listen_order(own_address(20001), 600));
    for (;; messages++) {
        ck_assert_int_eq(m.type, MESSAGE_OPENED);
        sum += m.fd_count;
        more = message_true(&m, "more");
        message_free(&m);
        if (!more)
            break;
        ck_assert_int_eq(message_receive(wants, &m, false), 0);
    }
    ck_assert_uint_eq(sum, 600);
    ck_assert_uint_eq(messages, 2);
    ck_assert_int_eq(message_receive(wants, &m, false), -EAGAIN);
}
END_TEST

START_TEST(a_claim_is_entered_and_forgotten)
{
    struct addr a = address(own_address(20001));
    expect_opened(MESSAGE_OPEN_LISTEN, listen_order(own_address(20001), 1), 1);
    ck_assert(accepts(&a));
    struct vault_entry *e = vault_find(&vault, own_address(20001));
    ck_assert_uint_eq(e->claim_count, 1);
    ck_assert_uint_eq(e->claims[0], process->id);
    forget(json_pack("{s:s}", "key", "nobody's"));
    ck_assert(accepts(&a));
    forget(json_pack("{s:s}", "key", own_address(20001)));
    ck_assert(!accepts(&a));
    forget(json_object());
}
END_TEST

START_TEST(an_address_that_is_not_to_be_had_is_refused_with_the_reason)
{
    struct addr a = address(own_address(20001));
    int other = listen_as_another(&a, false);
    expect_refused(MESSAGE_OPEN_LISTEN, listen_order(own_address(20001), 1), -EADDRINUSE);
    close(other);
    expect_refused(MESSAGE_OPEN_LISTEN, listen_order("192.0.2.1:80", 1), -EADDRNOTAVAIL);
}
END_TEST

START_TEST(a_unix_path_wants_a_new_process_where_the_master_is_root)
{
    expect_opened(MESSAGE_OPEN_LISTEN, unix_order(path_of("a.sock")), 1);
    serve_as_root();
    expect_opened(MESSAGE_OPEN_LISTEN, unix_order(path_of("a.sock")), 1); /* it has that one */
    expect_refused(MESSAGE_OPEN_LISTEN, unix_order(path_of("b.sock")), -EPERM);
    ck_assert(!is_there(path_of("b.sock")));
    expect_opened(MESSAGE_OPEN_LISTEN, listen_order(own_address(20001), 1), 1);
    process->stage = STAGE_STARTING;
    expect_opened(MESSAGE_OPEN_LISTEN, unix_order(path_of("b.sock")), 1);
}
END_TEST

START_TEST(the_control_socket_wants_a_new_process_where_the_master_is_root)
{
    expect_opened(MESSAGE_OPEN_CONTROL, control_order(path_of("a.sock")), 1);
    process->stage = STAGE_SERVING;
    expect_opened(MESSAGE_OPEN_CONTROL, control_order(path_of("b.sock")), 1);
    serve_as_root();
    expect_refused(MESSAGE_OPEN_CONTROL, control_order(path_of("c.sock")), -EPERM);
    ck_assert(!is_there(path_of("c.sock")));
}
END_TEST

START_TEST(the_control_socket_is_at_a_path)
{
    struct addr v4 = address("127.0.0.1:80"), abstract = address("unix:@weft");
    expect_refused(MESSAGE_OPEN_CONTROL,
                   json_pack("{s:o}", "address", listen_order_write_addr(&v4)), -EPROTO);
    expect_refused(MESSAGE_OPEN_CONTROL,
                   json_pack("{s:o}", "address", listen_order_write_addr(&abstract)), -EPROTO);
    expect_refused(MESSAGE_OPEN_CONTROL, json_pack("{s:s}", "address", ""), -EPROTO);
    expect_refused(MESSAGE_OPEN_CONTROL, json_object(), -EPROTO);
}
END_TEST

/* --- log files ----------------------------------------------------------------------------- */

START_TEST(a_log_file_is_opened_for_appending)
{
    write_file(path_of("access"), "old\n");
    struct message m = ask(MESSAGE_OPEN_LOG, log_order(path_of("access"), 0));
    ck_assert_int_eq(m.type, MESSAGE_OPENED);
    ck_assert_int_eq(write(m.fds[0], "new\n", 4), 4);
    ck_assert_str_eq(content(path_of("access")), "old\nnew\n");
    message_free(&m);
    expect_refused(MESSAGE_OPEN_LOG, log_order(path_of("no/access"), 0), -ENOENT);
    expect_refused(MESSAGE_OPEN_LOG, json_object(), -ENOENT);
    serve_as_root();
    expect_refused(MESSAGE_OPEN_LOG, log_order(path_of("access"), 0), -EPERM);
}
END_TEST

START_TEST(the_masters_lines_go_to_the_error_log_once_that_is_in_effect)
{
    expect_opened(MESSAGE_OPEN_LOG, log_order(path_of("error"), 1), 1);
    log_line(LOG_LEVEL_NOTICE, "before");
    orders_commit(&orders, true);
    log_line(LOG_LEVEL_NOTICE, "while");
    ck_assert_ptr_nonnull(strstr(content(path_of("log")), "before"));
    ck_assert_ptr_nonnull(strstr(content(path_of("error")), "while"));
    expect_opened(MESSAGE_OPEN_LOG, log_order(path_of("error2"), 1), 1);
    orders_abandon(&orders);
    log_line(LOG_LEVEL_NOTICE, "still");
    ck_assert_ptr_nonnull(strstr(content(path_of("error")), "still"));
    ck_assert_str_eq(content(path_of("error2")), "");
    ck_assert_ptr_null(strstr(content(path_of("error")), "before"));
}
END_TEST

/* As one that is reloaded orders only what has changed, and a new process orders everything. */
START_TEST(a_new_process_without_an_error_file_ends_the_old_one)
{
    expect_opened(MESSAGE_OPEN_LOG, log_order(path_of("error"), 1), 1);
    expect_opened(MESSAGE_WRITE_PID, path_order(path_of("pid")), 0);
    orders_commit(&orders, true);
    orders_commit(&orders, false);
    ck_assert_int_ge(orders.now.error_log, 0);
    ck_assert(is_there(path_of("pid")));
    orders_commit(&orders, true);
    ck_assert_int_eq(orders.now.error_log, -1);
    ck_assert_ptr_null(orders.now.error_path);
    ck_assert(!is_there(path_of("pid")));
}
END_TEST

static void expect_reopened(const char *path)
{
    struct message m;
    ck_assert_int_eq(message_receive(events, &m, false), 0);
    ck_assert_int_eq(m.type, MESSAGE_REOPEN);
    ck_assert_str_eq(message_string(&m, "path"), path);
    ck_assert_uint_eq(m.fd_count, 1);
    ck_assert_int_eq(write(m.fds[0], "new\n", 4), 4);
    message_free(&m);
}

START_TEST(renamed_logs_are_opened_anew)
{
    expect_opened(MESSAGE_OPEN_LOG, log_order(path_of("access"), 0), 1);
    expect_opened(MESSAGE_OPEN_LOG, log_order(path_of("error"), 1), 1);
    orders_commit(&orders, true);
    ck_assert_int_eq(rename(path_of("access"), path_of("access.1")), 0);
    ck_assert_int_eq(rename(path_of("error"), path_of("error.1")), 0);
    orders_reopen_logs(&orders, &family);
    expect_reopened(path_of("access"));
    expect_reopened(path_of("error"));
    log_line(LOG_LEVEL_NOTICE, "the master's");
    ck_assert_str_eq(content(path_of("access")), "new\n");
    ck_assert_ptr_nonnull(strstr(content(path_of("error")), "the master's"));
    ck_assert_str_eq(content(path_of("error.1")), "");
}
END_TEST

START_TEST(a_log_that_can_not_be_opened_anew_goes_on)
{
    struct message m;
    ck_assert_int_eq(mkdir(path_of("d"), 0700), 0);
    expect_opened(MESSAGE_OPEN_LOG, log_order(path_of("d/error"), 1), 1);
    orders_commit(&orders, true);
    ck_assert_int_eq(rename(path_of("d"), path_of("d2")), 0);
    orders_reopen_logs(&orders, &family);
    ck_assert_ptr_nonnull(strstr(content(path_of("d2/error")), "cannot reopen"));
    ck_assert_int_eq(message_receive(events, &m, false), -EAGAIN);
    close(process->events);
    process->events = -1;
    orders_reopen_logs(&orders, &family);
}
END_TEST

/* --- the pid file -------------------------------------------------------------------------- */

static const char *own_pid(void)
{
    static char text[16];
    snprintf(text, sizeof(text), "%d\n", (int)getpid());
    return text;
}

START_TEST(the_pid_file_is_written_and_removed)
{
    write_file(path_of("pid"), "4194304 and more that was there before\n");
    expect_opened(MESSAGE_WRITE_PID, path_order(path_of("pid")), 0);
    ck_assert_str_eq(content(path_of("pid")), own_pid());
    orders_commit(&orders, true);
    orders_close(&orders);
    ck_assert(!is_there(path_of("pid")));
}
END_TEST

START_TEST(a_pid_file_of_what_is_not_in_effect_is_removed)
{
    expect_opened(MESSAGE_WRITE_PID, path_order(path_of("pid")), 0);
    orders_abandon(&orders);
    ck_assert(!is_there(path_of("pid")));
    expect_opened(MESSAGE_WRITE_PID, path_order(path_of("pid")), 0);
    orders_commit(&orders, true);
    expect_opened(MESSAGE_WRITE_PID, path_order(path_of("pid2")), 0);
    orders_abandon(&orders);
    ck_assert(!is_there(path_of("pid2")));
    expect_opened(MESSAGE_WRITE_PID, path_order(path_of("pid")), 0);
    orders_abandon(&orders);
    ck_assert_str_eq(content(path_of("pid")), own_pid());
    expect_opened(MESSAGE_WRITE_PID, path_order(path_of("pid2")), 0);
    orders_commit(&orders, true);
    ck_assert(!is_there(path_of("pid")));
    ck_assert(is_there(path_of("pid2")));
}
END_TEST

/* Whoever the directory belongs to must not have root write elsewhere. */
START_TEST(a_pid_file_that_is_a_link_is_refused)
{
    write_file(path_of("precious"), "precious");
    ck_assert_int_eq(symlink(path_of("precious"), path_of("pid")), 0);
    expect_refused(MESSAGE_WRITE_PID, path_order(path_of("pid")), -ELOOP);
    ck_assert_str_eq(content(path_of("precious")), "precious");
    ck_assert_int_eq(mkfifo(path_of("fifo"), 0600), 0);
    expect_refused(MESSAGE_WRITE_PID, path_order(path_of("fifo")), -ENXIO);
    expect_refused(MESSAGE_WRITE_PID, path_order(directory), -EISDIR);
    expect_refused(MESSAGE_WRITE_PID, json_object(), -ENOENT);
    serve_as_root();
    expect_refused(MESSAGE_WRITE_PID, path_order(path_of("other")), -EPERM);
    ck_assert(!is_there(path_of("other")));
}
END_TEST

/* --- includes ------------------------------------------------------------------------------ */

START_TEST(an_include_comes_with_the_files_that_can_be_read)
{
    write_file(path_of("a.inc"), "a");
    ck_assert_int_eq(mkdir(path_of("b.inc"), 0700), 0);
    write_file(path_of("c.inc"), "c");
    struct message m = ask(MESSAGE_OPEN_INCLUDE, include_order(path_of("*.inc")));
    ck_assert_int_eq(m.type, MESSAGE_OPENED);
    const json_t *files = json_object_get(m.body, "files");
    ck_assert_uint_eq(json_array_size(files), 3);
    ck_assert_uint_eq(m.fd_count, 2);
    ck_assert_str_eq(text_of(m.fds[0]), "a");
    ck_assert_str_eq(text_of(m.fds[1]), "c");
    static const int errors[] = {0, EISDIR, 0};
    for (size_t i = 0; i < 3; i++) {
        const json_t *file = json_array_get(files, i);
        char name[] = {"abc"[i], '.', 'i', 'n', 'c', '\0'};
        ck_assert_str_eq(json_string_value(json_object_get(file, "path")), path_of(name));
        ck_assert_int_eq(json_integer_value(json_object_get(file, "error")), errors[i]);
    }
    message_free(&m);
    expect_opened(MESSAGE_OPEN_INCLUDE, include_order(path_of("none*")), 0);
}
END_TEST

static void expect_many(unsigned expected)
{
    unsigned fds = 0, files = 0;
    bool more = true;
    struct message m = ask(MESSAGE_OPEN_INCLUDE, include_order(path_of("*.inc")));
    while (true) {
        ck_assert_msg(m.type == MESSAGE_OPENED, "%s", message_string(&m, "text"));
        fds += m.fd_count;
        files += (unsigned)json_array_size(json_object_get(m.body, "files"));
        more = message_true(&m, "more");
        message_free(&m);
        if (!more)
            break;
        ck_assert_int_eq(message_receive(wants, &m, false), 0);
    }
    ck_assert_uint_eq(files, expected);
    ck_assert_uint_eq(fds, expected);
}

START_TEST(a_directory_may_have_hundreds_of_files)
{
    for (int i = 0; i < 600; i++) {
        char name[32];
        snprintf(name, sizeof(name), "%03d.inc", i);
        write_file(path_of(name), name);
    }
    expect_many(600);
    expect_many(600);
}
END_TEST

/* A name may have 255 bytes, each of which JSON makes six of. */
START_TEST(long_and_strange_names_of_files_fit_into_messages)
{
    for (int i = 0; i < 90; i++) {
        char path[512];
        int n = snprintf(path, sizeof(path), "%s/%03d", directory, i);
        memset(path + n, '\x01', 240);
        strcpy(path + n + 240, ".inc");
        write_file(path, "x");
    }
    expect_many(90);
}
END_TEST

START_TEST(what_is_elsewhere_is_not_included_for_one_that_serves_where_the_master_is_root)
{
    write_file(path_of("a.inc"), "a");
    ck_assert_int_eq(symlink("/etc/passwd", path_of("passwd")), 0);
    serve_as_root();
    expect_opened(MESSAGE_OPEN_INCLUDE, include_order(path_of("*.inc")), 1);
    expect_refused(MESSAGE_OPEN_INCLUDE, include_order("/etc/passwd"), -EPERM);
    expect_refused(MESSAGE_OPEN_INCLUDE, include_order(path_of("../../etc/passwd")), -EPERM);
    expect_refused(MESSAGE_OPEN_INCLUDE, include_order(path_of("pass*")), -EPERM);
    expect_refused(MESSAGE_OPEN_INCLUDE, json_object(), -EPERM);
    user = 1000;
    expect_opened(MESSAGE_OPEN_INCLUDE, include_order("/etc/passwd"), 1);
    user = 0;
    process->stage = STAGE_STARTING;
    expect_opened(MESSAGE_OPEN_INCLUDE, include_order(path_of("pass*")), 1);
}
END_TEST

UNIT_MAIN_AROUND("orders", set_up, tear_down, sockets_come_in_as_many_messages_as_it_takes,
                 a_claim_is_entered_and_forgotten,
                 an_address_that_is_not_to_be_had_is_refused_with_the_reason,
                 a_unix_path_wants_a_new_process_where_the_master_is_root,
                 the_control_socket_wants_a_new_process_where_the_master_is_root,
                 the_control_socket_is_at_a_path, a_log_file_is_opened_for_appending,
                 the_masters_lines_go_to_the_error_log_once_that_is_in_effect,
                 a_new_process_without_an_error_file_ends_the_old_one, renamed_logs_are_opened_anew,
                 a_log_that_can_not_be_opened_anew_goes_on, the_pid_file_is_written_and_removed,
                 a_pid_file_of_what_is_not_in_effect_is_removed,
                 a_pid_file_that_is_a_link_is_refused,
                 an_include_comes_with_the_files_that_can_be_read,
                 a_directory_may_have_hundreds_of_files,
                 long_and_strange_names_of_files_fit_into_messages,
                 what_is_elsewhere_is_not_included_for_one_that_serves_where_the_master_is_root)
