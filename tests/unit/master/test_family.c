#include "master/family.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/log.h"
#include "places.h"

static struct family family;
static struct snapshot *snapshot;

static void set_up(void)
{
    make_directory();
    clock_update();
    family_init(&family);
    ck_assert_int_eq(snapshot_take(NULL, &snapshot), 0);
}

static void tear_down(void)
{
    while (!list_empty(&family.processes))
        family_remove(container_of(family.processes.next, struct process, link));
    snapshot_unref(snapshot);
    remove_directory();
}

/* Make a program of a shell's commands. */
static const char *program(const char *commands)
{
    char text[1024];
    const char *path = path_of("program");
    snprintf(text, sizeof(text), "#!/bin/sh\ncd %s\n%s\n", directory, commands);
    write_file(path, text);
    ck_assert_int_eq(chmod(path, 0700), 0);
    return path;
}

static struct process *spawn(const char *binary, unsigned state)
{
    struct process *p = NULL;
    const struct spawn how = {.binary = binary, .state = state};
    ck_assert_int_eq(family_spawn(&family, &how, snapshot, &p), 0);
    return p;
}

static int exit_code(const struct process *p)
{
    int status;
    ck_assert_int_eq(waitpid(p->pid, &status, 0), p->pid);
    ck_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* --- starting one --------------------------------------------------------------------------- */

START_TEST(the_program_is_told_its_sockets)
{
    struct process *p = spawn(program("echo \"$*\" > said; exit 7"), 0);
    ck_assert_int_eq(p->stage, STAGE_STARTING);
    ck_assert_uint_eq(p->id, 1);
    ck_assert_ptr_eq(p->snapshot, snapshot);
    ck_assert_uint_eq(snapshot->references, 2);
    ck_assert_int_eq(exit_code(p), 7);
    int events, orders;
    ck_assert_int_eq(sscanf(content(path_of("said")), "--worker %d,%d\n", &events, &orders), 2);
    ck_assert_int_ne(events, orders);
    family_remove(p);
    ck_assert_uint_eq(snapshot->references, 1);
}
END_TEST

/* Its sockets, the state before an upgrade, and nothing else of the master's. */
START_TEST(the_program_inherits_what_it_is_told_of_alone)
{
    int state = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    int other = open("/dev/full", O_RDONLY | O_CLOEXEC);
    struct process *p =
        spawn(program("echo \"$*\" > said; readlink /proc/$$/fd/* > open; true"), (unsigned)state);
    ck_assert_int_eq(exit_code(p), 0);
    int numbers[3], *n = numbers;
    const char *said = content(path_of("said"));
    ck_assert_int_eq(sscanf(said, "--worker %d,%d --state %d\n", n, n + 1, n + 2), 3);
    ck_assert_int_eq(numbers[2], state);
    const char *open = content(path_of("open"));
    ck_assert_ptr_nonnull(strstr(open, "/dev/zero"));
    ck_assert_ptr_null(strstr(open, "/dev/full"));
    const char *first = strstr(open, "socket:");
    ck_assert_ptr_nonnull(first);
    const char *second = strstr(first + 1, "socket:");
    ck_assert_ptr_nonnull(second);
    ck_assert_ptr_null(strstr(second + 1, "socket:"));
    ck_assert_int_eq(fcntl(state, F_GETFD), FD_CLOEXEC);
    close(state);
    close(other);
}
END_TEST

START_TEST(what_systemd_says_to_the_master_is_not_for_the_program)
{
    setenv("NOTIFY_SOCKET", "/run/x", 1);
    setenv("WATCHDOG_USEC", "1", 1);
    setenv("WATCHDOG_PID", "1", 1);
    setenv("KEPT", "yes", 1);
    struct process *p =
        spawn(program("echo \"$NOTIFY_SOCKET,$WATCHDOG_USEC,$WATCHDOG_PID,$KEPT\" > said"), 0);
    ck_assert_int_eq(exit_code(p), 0);
    ck_assert_str_eq(content(path_of("said")), ",,,yes\n");
    ck_assert_str_eq(getenv("NOTIFY_SOCKET"), "/run/x");
}
END_TEST

/* A terminal's Ctrl-C goes to all of them, and the master sees to it. */
START_TEST(signals_that_the_master_takes_stay_blocked)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    struct process *p = spawn(program("exec grep SigBlk /proc/self/status > said"), 0);
    ck_assert_int_eq(exit_code(p), 0);
    unsigned long long blocked = strtoull(strchr(content(path_of("said")), '\t'), NULL, 16);
    ck_assert_uint_ne(blocked & (1ULL << (SIGINT - 1)), 0);
}
END_TEST

static void expect_not_run(const char *binary, const char *why)
{
    struct message m;
    struct process *p = spawn(binary, 0);
    ck_assert_int_eq(exit_code(p), 1);
    ck_assert_int_eq(message_receive(p->events, &m, false), 0);
    ck_assert_int_eq(m.type, MESSAGE_FAILED);
    ck_assert_ptr_nonnull(strstr(message_string(&m, "text"), "error: cannot run "));
    ck_assert_ptr_nonnull(strstr(message_string(&m, "text"), why));
    message_free(&m);
    ck_assert_int_eq(message_receive(p->events, &m, false), -EPIPE);
}

START_TEST(what_can_not_be_run_says_why)
{
    expect_not_run(path_of("missing"), "No such file or directory");
    expect_not_run(directory, "Permission denied");
    write_file(path_of("garbage"), "\x7f not a program");
    ck_assert_int_eq(chmod(path_of("garbage"), 0700), 0);
    expect_not_run(path_of("garbage"), "Exec format error");
    expect_not_run(path_of("caf\xe9"), "No such file or directory");
}
END_TEST

START_TEST(no_descriptor_is_left_of_one_that_is_gone)
{
    unsigned before = open_descriptors();
    for (int i = 0; i < 20; i++) {
        struct process *p = spawn("/bin/true", 0);
        ck_assert_int_ge(exit_code(p), 0);
        ck_assert_int_eq(process_note_log(p, "/a"), 0);
        family_remove(p);
    }
    ck_assert_uint_eq(open_descriptors(), before);
    ck_assert(list_empty(&family.processes));
}
END_TEST

/* --- who is there --------------------------------------------------------------------------- */

START_TEST(no_number_is_used_twice)
{
    struct process *p = family_restore(&family, 41);
    ck_assert_uint_eq(p->id, 41);
    family_remove(p);
    struct process *a = spawn("/bin/true", 0), *b = spawn("/bin/true", 0);
    ck_assert_uint_eq(a->id, 42);
    ck_assert_uint_eq(b->id, 43);
    family_remove(b);
    ck_assert_uint_eq(spawn("/bin/true", 0)->id, 44);
}
END_TEST

START_TEST(they_are_found_by_stage_and_by_pid)
{
    struct process *a = family_restore(&family, 1), *b = family_restore(&family, 2);
    a->pid = 1001;
    b->pid = 1002;
    b->stage = STAGE_SERVING;
    ck_assert_ptr_eq(family_at(&family, STAGE_STARTING), a);
    ck_assert_ptr_eq(family_at(&family, STAGE_SERVING), b);
    ck_assert_ptr_null(family_at(&family, STAGE_LEAVING));
    ck_assert_ptr_eq(family_find(&family, 1002), b);
    ck_assert_ptr_null(family_find(&family, 1003));
    ck_assert_int_eq(a->deadline, CLOCK_NEVER);
    ck_assert_int_eq(a->events, -1);
}
END_TEST

/* --- dealing with one ------------------------------------------------------------------------ */

static int other_end; /* of its events */

static struct process *make(void)
{
    int pair[2];
    struct process *p = family_restore(&family, family.last_id + 1);
    ck_assert_int_eq(message_pair(pair), 0);
    p->events = pair[0];
    other_end = pair[1];
    p->stage = STAGE_SERVING;
    p->drain_timeout = 30 * NSEC_PER_SEC;
    return p;
}

static struct message told(enum message_type type)
{
    struct message m;
    ck_assert_int_eq(message_receive(other_end, &m, false), 0);
    ck_assert_int_eq(m.type, type);
    return m;
}

START_TEST(one_that_drains_has_its_drain_timeout)
{
    struct process *p = make();
    process_drain(p, true);
    ck_assert_int_eq(p->stage, STAGE_LEAVING);
    ck_assert_int_ge(p->deadline, clock_now() + 30 * NSEC_PER_SEC);
    ck_assert_int_le(p->deadline, clock_now() + 40 * NSEC_PER_SEC);
    struct message m = told(MESSAGE_DRAIN);
    ck_assert(message_true(&m, "stop"));
    message_free(&m);
}
END_TEST

/* drain_timeout: 0 */
START_TEST(one_that_drains_for_as_long_as_it_takes_has_no_deadline)
{
    struct process *p = make();
    p->drain_timeout = 0;
    process_drain(p, false);
    ck_assert_int_eq(p->deadline, CLOCK_NEVER);
    struct message m = told(MESSAGE_DRAIN);
    ck_assert(!message_true(&m, "stop"));
    message_free(&m);
}
END_TEST

START_TEST(a_deadline_only_comes_nearer)
{
    struct process *p = make();
    process_end(p);
    int64_t deadline = p->deadline;
    ck_assert_int_le(deadline, clock_now() + 10 * NSEC_PER_SEC);
    process_drain(p, true);
    ck_assert_int_eq(p->deadline, deadline);
    process_end(p);
    ck_assert_int_eq(p->deadline, deadline);
    struct message m = told(MESSAGE_END);
    message_free(&m);
}
END_TEST

START_TEST(one_that_has_hung_up_or_is_dead_can_be_told_anything)
{
    struct process *p = make();
    close(other_end);
    process_tell(p, MESSAGE_FAMILY, json_object());
    close(p->events);
    p->events = -1;
    process_tell(p, MESSAGE_FAMILY, json_object());
    process_tell(p, MESSAGE_FAMILY, NULL);
    process_drain(p, true);
    process_end(p);
}
END_TEST

START_TEST(one_that_does_not_listen_holds_nobody_up)
{
    struct process *p = make();
    log_direct_to(open("/dev/null", O_WRONLY));
    for (int i = 0; i < 10000; i++)
        process_tell(p, MESSAGE_FAMILY, json_pack("{s:i}", "restarts", i));
    struct message m = told(MESSAGE_FAMILY);
    ck_assert_int_eq(message_integer(&m, "restarts"), 0);
    message_free(&m);
}
END_TEST

START_TEST(a_killed_one_is_not_heard_any_more)
{
    struct process *p = spawn(program("exec sleep 100"), 0);
    int status;
    process_kill(p);
    ck_assert(p->killed);
    ck_assert_int_eq(p->events, -1);
    ck_assert_int_eq(p->orders, -1);
    ck_assert_int_eq(p->deadline, CLOCK_NEVER);
    ck_assert_int_eq(waitpid(p->pid, &status, 0), p->pid);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}
END_TEST

START_TEST(a_log_is_noted_once)
{
    struct process *p = make();
    unsigned count = 0;
    ck_assert_int_eq(process_note_log(p, "/a"), 0);
    ck_assert_int_eq(process_note_log(p, "/b"), 0);
    ck_assert_int_eq(process_note_log(p, "/a"), 0);
    list_for_each (l, &p->logs) {
        const struct log_path *log = container_of(l, struct log_path, link);
        ck_assert_str_eq(log->path, count++ == 0 ? "/a" : "/b");
    }
    ck_assert_uint_eq(count, 2);
}
END_TEST

UNIT_MAIN_AROUND("family", set_up, tear_down, the_program_is_told_its_sockets,
                 the_program_inherits_what_it_is_told_of_alone,
                 what_systemd_says_to_the_master_is_not_for_the_program,
                 signals_that_the_master_takes_stay_blocked, what_can_not_be_run_says_why,
                 no_descriptor_is_left_of_one_that_is_gone, no_number_is_used_twice,
                 they_are_found_by_stage_and_by_pid, one_that_drains_has_its_drain_timeout,
                 one_that_drains_for_as_long_as_it_takes_has_no_deadline,
                 a_deadline_only_comes_nearer, one_that_has_hung_up_or_is_dead_can_be_told_anything,
                 one_that_does_not_listen_holds_nobody_up, a_killed_one_is_not_heard_any_more,
                 a_log_is_noted_once)
