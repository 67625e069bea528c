/* Orders of a process that is not ours any more. */
#include <sys/resource.h>

#include "ordering.h"

START_TEST(what_is_no_order_is_refused)
{
    for (int type = 0; type < MESSAGE_LAST; type++) {
        if (type < MESSAGE_OPEN_LISTEN || type > MESSAGE_FORGET)
            expect_refused((enum message_type)type, json_object(), -EPROTO);
    }
    expect_refused(MESSAGE_OPEN_LISTEN, json_object(), -EPROTO);
    expect_refused(MESSAGE_OPEN_LOG, json_pack("{s:i}", "path", 7), -ENOENT);
    expect_opened(MESSAGE_OPEN_INCLUDE, json_pack("{s:[s]}", "pattern", "/etc/passwd"), 0);
    json_t *order = listen_order(own_address(20001), 1);
    json_object_set_new(order, "key", json_string("127.0.0.1:443"));
    expect_refused(MESSAGE_OPEN_LISTEN, order, -EPROTO);
    ck_assert(list_empty(&vault.entries));
}
END_TEST

/* The configuration names all kinds of paths. */
START_TEST(what_is_no_log_is_not_written_to)
{
    char text[512];
    snprintf(text, sizeof(text),
             "include: %s/weft.yaml\nlog: {access: {output: %s/a.log}} # %s/comment\n"
             "pid_file: %s/pid\nbind: unix:%s/a.sock\n",
             directory, directory, directory, directory, directory);
    write_file(path_of("weft.yaml"), text);
    snapshot_unref(process->snapshot);
    ck_assert_int_eq(snapshot_take(path_of("weft.yaml"), &process->snapshot), 0);
    serve_as_root();
    static const char *const names[] = {"weft.yaml", "comment", "pid", "a.sock"};
    for (size_t i = 0; i < array_size(names); i++)
        expect_refused(MESSAGE_OPEN_LOG, log_order(path_of(names[i]), 0), -EPERM);
    expect_opened(MESSAGE_OPEN_LOG, log_order(path_of("a.log"), 0), 1);
    expect_refused(MESSAGE_OPEN_LISTEN, unix_order(path_of("pid")), -EPERM);
    expect_opened(MESSAGE_OPEN_LISTEN, unix_order(path_of("a.sock")), 1);
}
END_TEST

START_TEST(one_that_leaves_gets_no_more)
{
    process->stage = STAGE_LEAVING;
    expect_refused(MESSAGE_OPEN_LISTEN, listen_order(own_address(20001), 1), -EPERM);
    expect_refused(MESSAGE_OPEN_LOG, log_order(path_of("access"), 0), -EPERM);
    expect_refused(MESSAGE_OPEN_INCLUDE, include_order(path_of("weft.yaml")), -EPERM);
    forget(json_pack("{s:s}", "key", "any"));
    ck_assert(!is_there(path_of("access")));
}
END_TEST

START_TEST(descriptors_that_come_with_an_order_are_closed)
{
    int fds[3] = {STDERR_FILENO, STDERR_FILENO, STDERR_FILENO};
    struct message m;
    unsigned before = open_descriptors();
    ck_assert_int_eq(message_send(wants, MESSAGE_OPEN_LISTEN, json_object(), fds, 3, false), 0);
    orders_answer(&orders, process);
    ck_assert_int_eq(message_receive(wants, &m, false), 0);
    message_free(&m);
    ck_assert_uint_eq(open_descriptors(), before);
}
END_TEST

static void expect_killed(void)
{
    int status;
    ck_assert(process->killed);
    ck_assert_int_eq(process->orders, -1);
    ck_assert_int_eq(waitpid(process->pid, &status, 0), process->pid);
    ck_assert(WIFSIGNALED(status));
    process->pid = fork(); /* for tear_down() */
    if (process->pid == 0)
        _exit(0);
}

START_TEST(one_that_talks_nonsense_is_killed)
{
    ck_assert_int_eq(send(wants, "nonsense", 8, 0), 8);
    orders_answer(&orders, process);
    expect_killed();
    ck_assert_ptr_nonnull(strstr(content(path_of("log")), "orders what is no order"));
}
END_TEST

START_TEST(one_that_reads_no_answers_is_killed)
{
    for (int i = 0; i < 100000 && !process->killed; i++) {
        ck_assert_int_eq(message_send(wants, MESSAGE_OPEN_LISTEN, json_object(), NULL, 0, false),
                         0);
        orders_answer(&orders, process);
    }
    expect_killed();
    ck_assert_ptr_nonnull(strstr(content(path_of("log")), "takes no answer"));
}
END_TEST

START_TEST(one_that_has_hung_up_is_heard_no_more)
{
    ck_assert_int_eq(message_send(wants, MESSAGE_OPEN_LISTEN, json_object(), NULL, 0, false), 0);
    close(wants);
    orders_answer(&orders, process);
    ck_assert(!process->killed);
    orders_answer(&orders, process);
    ck_assert_int_eq(process->orders, -1);
    ck_assert(!process->killed);
}
END_TEST

START_TEST(one_that_wants_all_descriptors_leaves_some)
{
    struct rlimit r = {.rlim_cur = 256, .rlim_max = 256};
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &r), 0);
    expect_refused(MESSAGE_OPEN_LISTEN, listen_order(own_address(20001), 65535), -EMFILE);
    unsigned n = 1;
    for (struct message m; n < 400; n++) {
        m = ask(MESSAGE_OPEN_LISTEN, listen_order(own_address(20001 + n), 1));
        bool refused = m.type == MESSAGE_REFUSED;
        message_free(&m);
        if (refused)
            break;
    }
    ck_assert_uint_gt(n, 100);
    ck_assert_uint_lt(n, 256);
    struct process *next = NULL;
    const struct spawn how = {.binary = "/bin/true"};
    ck_assert_int_eq(family_spawn(&family, &how, process->snapshot, &next), 0);
}
END_TEST

UNIT_MAIN_AROUND("orders_hostile", set_up, tear_down, what_is_no_order_is_refused,
                 what_is_no_log_is_not_written_to, one_that_leaves_gets_no_more,
                 descriptors_that_come_with_an_order_are_closed, one_that_talks_nonsense_is_killed,
                 one_that_reads_no_answers_is_killed, one_that_has_hung_up_is_heard_no_more,
                 one_that_wants_all_descriptors_leaves_some)
