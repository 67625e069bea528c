/* Changes, as the master goes through them; the worker processes only wait to be killed, and the
 * test says what they would. */
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "master/internal.h"
#include "places.h"

/* The program that is started is this one: it waits instead of running tests. */
__attribute__((constructor)) static void wait_as_worker(void)
{
    char arguments[256];
    int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, arguments, sizeof(arguments)) : 0;
    if (fd >= 0)
        close(fd);
    if (n > 0 && memmem(arguments, (size_t)n, "--worker", 8) != NULL) {
        pause();
        _exit(0);
    }
}

static char *arguments[] = {(char *)"weft", NULL};
static struct master_options options = {.argv = arguments, .resume = -1};
static struct master master;

static void set_up(void)
{
    make_directory();
    clock_update();
    write_file(path_of("weft.yaml"), "first");
    ck_assert_ptr_nonnull(freopen(path_of("log"), "a", stderr));
    options.config = strdup(path_of("weft.yaml"));
    master = (struct master){.options = &options, .signals = -1};
    master.binary = realpath("/proc/self/exe", NULL);
    family_init(&master.family);
    vault_init(&master.vault);
    orders_init(&master.orders, &master.vault);
}

static void tear_down(void)
{
    list_for_each_safe (l, &master.family.processes) {
        struct process *p = container_of(l, struct process, link);
        kill(p->pid, SIGKILL);
        waitpid(p->pid, NULL, 0);
        family_remove(p);
    }
    succession_abandon(&master);
    orders_close(&master.orders);
    vault_close(&master.vault);
    snapshot_unref(master.accepted);
    free(master.binary);
    remove_directory();
}

/* --- what processes say ----------------------------------------------------------------------- */

static void say_ready_with(struct process *p, json_t *body)
{
    struct message m = {.type = MESSAGE_READY, .body = body};
    succession_ready(&master, p, &m);
    message_free(&m);
}

static void say_ready(struct process *p)
{
    say_ready_with(p, json_pack("{s:I}", "drain_timeout", (json_int_t)(30 * NSEC_PER_SEC)));
}

static void say_verdict(struct process *p, json_t *body)
{
    struct message m = {.type = MESSAGE_VERDICT, .body = body};
    succession_verdict(&master, p, &m);
    message_free(&m);
}

static void die(struct process *p, int number)
{
    int status;
    kill(p->pid, number);
    ck_assert_int_eq(waitpid(p->pid, &status, 0), p->pid);
    succession_gone(&master, p, status);
}

/* --- going through it --------------------------------------------------------------------------
 */

static unsigned processes(void)
{
    unsigned count = 0;
    list_for_each (l, &master.family.processes)
        count++;
    return count;
}

static struct process *begun(enum change kind)
{
    succession_begin(&master);
    ck_assert_int_eq(master.now.kind, kind);
    if (master.now.newcomer != NULL)
        ck_assert_int_eq(master.now.newcomer->stage, STAGE_STARTING);
    return master.now.newcomer;
}

static struct process *start(void)
{
    struct process *p = begun(CHANGE_START);
    ck_assert_ptr_nonnull(p);
    say_ready(p);
    ck_assert_int_eq(master.now.kind, CHANGE_NONE);
    ck_assert_int_eq(p->stage, STAGE_SERVING);
    return p;
}

static bool logged(const char *what)
{
    return strstr(content(path_of("log")), what) != NULL;
}

static const char *accepted(void)
{
    return text_of(master.accepted->main.fd);
}

/* --- starting ----------------------------------------------------------------------------------
 */

START_TEST(the_first_process_makes_the_first_generation)
{
    struct process *p = start();
    ck_assert_uint_eq(p->id, 1);
    ck_assert_uint_eq(p->generation, 1);
    ck_assert_uint_eq(master.generation, 1);
    ck_assert_ptr_eq(master.accepted, p->snapshot);
    ck_assert_str_eq(accepted(), "first");
    ck_assert_int_eq(p->drain_timeout, 30 * NSEC_PER_SEC);
    succession_begin(&master);
    ck_assert_int_eq(master.now.kind, CHANGE_NONE);
    ck_assert_uint_eq(processes(), 1);
}
END_TEST

START_TEST(a_first_process_that_fails_is_the_end)
{
    struct process *p = begun(CHANGE_START);
    ck_assert_ptr_nonnull(freopen(path_of("stderr"), "w", stderr));
    succession_failed(&master, p, "weft.yaml:1:1: error: nonsense\n");
    fflush(stderr);
    ck_assert_str_eq(content(path_of("stderr")), "weft.yaml:1:1: error: nonsense\n");
    ck_assert(master.failed);
    ck_assert_int_eq(master.now.kind, CHANGE_NONE);
    ck_assert_int_ne(p->deadline, CLOCK_NEVER);
    die(p, SIGKILL);
    ck_assert_uint_eq(processes(), 0);
}
END_TEST

START_TEST(a_missing_file_is_the_end)
{
    unlink(path_of("weft.yaml"));
    ck_assert_ptr_nonnull(freopen(path_of("stderr"), "w", stderr));
    ck_assert_ptr_null(begun(CHANGE_NONE));
    fflush(stderr);
    ck_assert(master.failed);
    ck_assert_ptr_nonnull(strstr(content(path_of("stderr")), "weft.yaml: error: No such file"));
}
END_TEST

START_TEST(what_a_process_says_of_its_drain_timeout_is_held_within_reason)
{
    static const json_int_t said[] = {-1, 0, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < array_size(said); i++) {
        struct process *p = begun(CHANGE_START);
        say_ready_with(p, json_pack("{s:I}", "drain_timeout", said[i]));
        ck_assert_int_ge(p->drain_timeout, 0);
        ck_assert_int_lt(p->drain_timeout, INT64_MAX / 2);
        process_drain(p, false);
        ck_assert_int_gt(p->deadline, clock_now());
        p->stage = STAGE_SERVING;
        die(p, SIGKILL);
        master.start_at = 0;
    }
}
END_TEST

/* --- crashes -----------------------------------------------------------------------------------
 */

START_TEST(one_that_dies_is_followed_by_one_of_what_was_accepted_last)
{
    struct process *p = start();
    write_file(path_of("weft.yaml"), "broken meanwhile");
    p->connections = 12;
    die(p, SIGABRT);
    ck_assert(logged("signal 6 (SIGABRT)"));
    ck_assert(logged("with 12 connections; starting another one in 0 ms"));
    ck_assert_uint_eq(master.restarts, 1);
    p = start();
    ck_assert_uint_eq(p->id, 2);
    ck_assert_uint_eq(p->generation, 1);
    ck_assert_str_eq(accepted(), "first");
}
END_TEST

static int64_t delay_after_death(struct process *p)
{
    die(p, SIGKILL);
    int64_t delay = master.start_at - clock_now();
    if (delay > 0) {
        ck_assert_ptr_null(begun(CHANGE_NONE)); /* not yet */
        master.start_at = 0;
    }
    return delay > 0 ? delay : 0;
}

START_TEST(those_that_die_young_follow_each_other_more_and_more_slowly)
{
    static const int64_t expected[] = {0, 100, 200, 400, 800, 1000, 1000, 1000}; /* [ms] */
    for (size_t i = 0; i < array_size(expected); i++) {
        struct process *p = start();
        ck_assert_int_eq(delay_after_death(p), expected[i] * NSEC_PER_MSEC);
    }
    struct process *old = start();
    old->served_since -= 60 * NSEC_PER_SEC;
    ck_assert_int_eq(delay_after_death(old), 0);
    ck_assert_int_eq(delay_after_death(start()), 100 * NSEC_PER_MSEC);
}
END_TEST

START_TEST(one_that_does_not_come_up_is_tried_again)
{
    die(start(), SIGKILL);
    for (int i = 0; i < 5; i++) {
        struct process *p = begun(CHANGE_START);
        succession_failed(&master, p, "error: no luck");
        ck_assert_int_eq(master.now.kind, CHANGE_NONE);
        ck_assert(!master.failed);
        die(p, SIGKILL);
        master.start_at = 0;
    }
    ck_assert(logged("worker process: no luck"));
    ck_assert_int_eq(begun(CHANGE_START)->stage, STAGE_STARTING);
    die(master.now.newcomer, SIGKILL);
    ck_assert(logged("at its start"));
    ck_assert_uint_eq(master.restarts, 1);
}
END_TEST

START_TEST(sockets_of_a_dead_process_wait_for_the_next)
{
    static const struct socket_listen_options o = {.backlog = 1, .reuse_port = true};
    struct vault_entry *e;
    struct text why;
    struct process *p = start();
    const struct vault_order order = {
        .key = own_address(20001), .addr = address(own_address(20001)), .count = 1, .options = &o};
    text_init(&why);
    ck_assert_int_eq(vault_open(&master.vault, &order, p->id, &e, &why), 0);
    die(p, SIGKILL);
    ck_assert(accepts(&order.addr));
    p = begun(CHANGE_START);
    succession_failed(&master, p, "error: not this time");
    die(p, SIGKILL);
    ck_assert(accepts(&order.addr));
    master.start_at = 0;
    start(); /* which does not want it */
    ck_assert(!accepts(&order.addr));
}
END_TEST

/* --- reloads -----------------------------------------------------------------------------------
 */

static struct process *begin_reload(const char *text)
{
    write_file(path_of("weft.yaml"), text);
    master.reload_wanted = true;
    ck_assert_ptr_null(begun(CHANGE_RELOAD));
    return family_at(&master.family, STAGE_SERVING);
}

START_TEST(a_reload_that_is_accepted_is_what_the_next_process_gets)
{
    start();
    struct process *p = begin_reload("second");
    ck_assert_str_eq(text_of(p->snapshot->main.fd), "second");
    say_verdict(p, json_pack("{s:b, s:I}", "accepted", 1, "drain_timeout", (json_int_t)5));
    ck_assert_int_eq(master.now.kind, CHANGE_NONE);
    ck_assert_uint_eq(master.generation, 2);
    ck_assert_uint_eq(p->generation, 2);
    ck_assert_int_eq(p->drain_timeout, 5);
    ck_assert_str_eq(accepted(), "second");
    die(p, SIGKILL);
    ck_assert_uint_eq(start()->generation, 2);
    ck_assert_str_eq(accepted(), "second");
}
END_TEST

START_TEST(a_reload_that_is_rejected_changes_nothing)
{
    start();
    struct process *p = begin_reload("second");
    say_verdict(p, json_pack("{s:b, s:s}", "accepted", 0, "text", "no"));
    ck_assert_uint_eq(master.generation, 1);
    ck_assert_str_eq(accepted(), "first");
    ck_assert_ptr_eq(p->snapshot, master.accepted);
    unlink(path_of("weft.yaml"));
    master.reload_wanted = true;
    ck_assert_ptr_null(begun(CHANGE_NONE));
    ck_assert(logged("weft.yaml: error: No such file"));
    ck_assert(logged("reload rejected: generation 1 stays in effect"));
}
END_TEST

START_TEST(a_reload_that_wants_a_new_process_gets_one)
{
    struct process *old = start();
    begin_reload("second");
    say_verdict(old, json_pack("{s:b}", "restart", 1));
    ck_assert_uint_eq(processes(), 1); /* none comes while they are gone through */
    ck_assert_str_eq(text_of(old->snapshot->main.fd), "first");
    struct process *p = begun(CHANGE_REPLACE);
    ck_assert_ptr_ne(p, old);
    ck_assert_str_eq(text_of(p->snapshot->main.fd), "second");
    ck_assert_int_eq(old->stage, STAGE_SERVING);
    say_ready(p);
    ck_assert_int_eq(old->stage, STAGE_LEAVING);
    ck_assert_int_eq(p->stage, STAGE_SERVING);
    ck_assert_uint_eq(master.generation, 2);
    ck_assert_str_eq(accepted(), "second");
    die(old, SIGKILL);
    ck_assert_uint_eq(processes(), 1);
}
END_TEST

START_TEST(a_new_process_that_does_not_come_up_leaves_the_old_one_serving)
{
    struct process *old = start();
    begin_reload("second");
    say_verdict(old, json_pack("{s:b}", "restart", 1));
    struct process *p = begun(CHANGE_REPLACE);
    succession_failed(&master, p, "error: no such user");
    ck_assert(logged(" error: no such user"));
    ck_assert(!logged("error: error:"));
    ck_assert(logged("reload rejected: generation 1 stays in effect"));
    ck_assert_int_eq(old->stage, STAGE_SERVING);
    ck_assert_uint_eq(master.generation, 1);
    say_ready(p); /* too late */
    ck_assert_int_eq(p->stage, STAGE_LEAVING);
    ck_assert_int_ne(p->deadline, CLOCK_NEVER);
    die(p, SIGKILL);
    ck_assert_int_eq(old->stage, STAGE_SERVING);
}
END_TEST

START_TEST(one_that_dies_while_it_loads_is_followed_by_one_of_what_was_in_effect)
{
    start();
    struct process *p = begin_reload("second");
    die(p, SIGABRT);
    ck_assert(logged("ended while it loaded the configuration"));
    ck_assert_uint_eq(start()->generation, 1);
    ck_assert_str_eq(accepted(), "first");
}
END_TEST

/* Whether it has loaded it nobody knows. */
START_TEST(one_that_gives_no_verdict_is_replaced)
{
    struct process *old = start();
    begin_reload("second");
    succession_expire(&master, clock_now());
    ck_assert_int_eq(master.now.kind, CHANGE_RELOAD);
    succession_expire(&master, clock_now() + 3600 * NSEC_PER_SEC);
    ck_assert_int_eq(master.now.kind, CHANGE_NONE);
    ck_assert(logged("has not answered in time"));
    say_verdict(old, json_pack("{s:b}", "accepted", 1));
    ck_assert_uint_eq(master.generation, 1);
    struct process *p = begun(CHANGE_REPLACE);
    say_ready(p);
    ck_assert_uint_eq(master.generation, 1);
    ck_assert_str_eq(accepted(), "first");
    ck_assert_int_eq(old->stage, STAGE_LEAVING);
}
END_TEST

START_TEST(a_verdict_that_nobody_waits_for_is_none)
{
    struct process *p = start();
    say_verdict(p, json_pack("{s:b}", "accepted", 1));
    say_verdict(p, json_pack("{s:b}", "restart", 1));
    ck_assert_int_eq(master.now.kind, CHANGE_NONE);
    ck_assert_uint_eq(master.generation, 1);
    say_ready(p);
    succession_failed(&master, p, "what?");
    ck_assert_int_eq(p->stage, STAGE_SERVING);
    begin_reload("second");
    say_verdict(p, json_object());
    ck_assert_uint_eq(master.generation, 1);
}
END_TEST

/* The file, or the program, may be what helps. */
START_TEST(where_none_comes_up_a_reload_is_tried_at_once)
{
    die(start(), SIGKILL);
    succession_failed(&master, begun(CHANGE_START), "error: no such directory");
    master.failures = 10;
    master.start_at = clock_now() + 3600 * NSEC_PER_SEC;
    write_file(path_of("weft.yaml"), "second");
    master.reload_wanted = true;
    struct process *p = begun(CHANGE_REPLACE);
    ck_assert_str_eq(text_of(p->snapshot->main.fd), "second");
    say_ready(p);
    ck_assert_uint_eq(master.generation, 2);
    ck_assert_str_eq(accepted(), "second");
}
END_TEST

/* --- upgrades -----------------------------------------------------------------------------------
 */

START_TEST(an_upgrade_is_of_the_program_at_the_path)
{
    struct process *old = start();
    write_file(path_of("weft.yaml"), "second");
    master.upgrade_wanted = true;
    struct process *p = begun(CHANGE_UPGRADE);
    ck_assert(logged("upgrading: starting "));
    say_ready(p);
    ck_assert_int_eq(old->stage, STAGE_LEAVING);
    ck_assert(master.become_wanted);
    ck_assert_uint_eq(master.generation, 2);
    ck_assert_str_eq(accepted(), "second");
    free(master.binary);
    master.binary = strdup(path_of("missing"));
    succession_become(&master); /* which does not work out: this one goes on */
    ck_assert(logged("the master is not"));
    ck_assert(!master.become_wanted);
    ck_assert_int_eq(p->stage, STAGE_SERVING);
}
END_TEST

START_TEST(an_upgrade_that_takes_too_long_has_failed)
{
    struct process *old = start();
    master.upgrade_wanted = true;
    struct process *p = begun(CHANGE_UPGRADE);
    succession_expire(&master, clock_now() + 80 * NSEC_PER_SEC);
    ck_assert_int_eq(master.now.kind, CHANGE_UPGRADE);
    succession_expire(&master, clock_now() + 100 * NSEC_PER_SEC);
    ck_assert_int_eq(master.now.kind, CHANGE_NONE);
    ck_assert(p->killed);
    ck_assert(logged("has not become ready in time"));
    ck_assert(logged("upgrade rejected: generation 1 stays in effect"));
    ck_assert_int_eq(old->stage, STAGE_SERVING);
    ck_assert(!master.become_wanted);
    die(p, SIGKILL);
    ck_assert_uint_eq(processes(), 1);
}
END_TEST

START_TEST(an_old_process_that_dies_during_an_upgrade_is_followed_by_the_new_one)
{
    struct process *old = start();
    master.upgrade_wanted = true;
    struct process *p = begun(CHANGE_UPGRADE);
    die(old, SIGKILL);
    succession_begin(&master);
    ck_assert_uint_eq(processes(), 1);
    say_ready(p);
    ck_assert_int_eq(p->stage, STAGE_SERVING);
    ck_assert_ptr_null(begun(CHANGE_NONE));
}
END_TEST

START_TEST(wishes_wait_for_each_other)
{
    start();
    struct process *p = begin_reload("second");
    master.upgrade_wanted = master.reload_wanted = true;
    ck_assert_ptr_null(begun(CHANGE_RELOAD));
    say_verdict(p, json_pack("{s:b}", "accepted", 1));
    p = begun(CHANGE_UPGRADE);
    say_ready(p);
    master.become_wanted = false;
    ck_assert_ptr_null(begun(CHANGE_RELOAD));
    ck_assert(!master.reload_wanted);
}
END_TEST

START_TEST(who_asks_during_a_change_is_not_answered_by_it)
{
    struct message m;
    int pair[2];
    struct process *p = start();
    close(p->events);
    ck_assert_int_eq(message_pair(pair), 0);
    p->events = pair[0];
    p->ticket = 3;
    begin_reload("second");
    p->ticket = 4;
    say_verdict(p, json_pack("{s:b, s:s}", "accepted", 1, "text", "fine"));
    do {
        ck_assert_int_eq(message_receive(pair[1], &m, false), 0);
        if (m.type == MESSAGE_VERDICT)
            break;
        message_free(&m);
    } while (true);
    ck_assert_int_eq(message_integer(&m, "ticket"), 3);
    ck_assert_int_eq(message_integer(&m, "generation"), 2);
    ck_assert_str_eq(message_string(&m, "what"), "reload");
    ck_assert_str_eq(message_string(&m, "text"), "fine");
    message_free(&m);
    close(pair[1]);
}
END_TEST

/* --- one that is stuck ---------------------------------------------------------------------------
 */

START_TEST(a_replacement_changes_no_generation)
{
    struct process *old = start();
    write_file(path_of("weft.yaml"), "second");
    master.replace_wanted = true;
    struct process *p = begun(CHANGE_REPLACE);
    ck_assert_str_eq(text_of(p->snapshot->main.fd), "first");
    master.replace_wanted = true; /* it says so once more */
    say_ready(p);
    ck_assert_uint_eq(master.generation, 1);
    ck_assert_int_eq(old->stage, STAGE_LEAVING);
    ck_assert_ptr_null(begun(CHANGE_NONE));
}
END_TEST

/* --- stopping ------------------------------------------------------------------------------------
 */

START_TEST(a_stop_gives_up_what_is_under_way)
{
    struct process *old = start();
    master.upgrade_wanted = true;
    struct process *p = begun(CHANGE_UPGRADE);
    master.stopping = true;
    succession_abandon(&master);
    ck_assert_int_eq(master.now.kind, CHANGE_NONE);
    ck_assert(p->killed);
    say_ready(p);
    ck_assert_int_eq(p->stage, STAGE_LEAVING);
    ck_assert(!master.become_wanted);
    die(p, SIGKILL);
    master.reload_wanted = true;
    ck_assert_ptr_null(begun(CHANGE_NONE));
    die(old, SIGKILL);
    ck_assert_ptr_null(begun(CHANGE_NONE));
    ck_assert_uint_eq(processes(), 0);
}
END_TEST

UNIT_MAIN_AROUND("succession", set_up, tear_down, the_first_process_makes_the_first_generation,
                 a_first_process_that_fails_is_the_end, a_missing_file_is_the_end,
                 what_a_process_says_of_its_drain_timeout_is_held_within_reason,
                 one_that_dies_is_followed_by_one_of_what_was_accepted_last,
                 those_that_die_young_follow_each_other_more_and_more_slowly,
                 one_that_does_not_come_up_is_tried_again,
                 sockets_of_a_dead_process_wait_for_the_next,
                 a_reload_that_is_accepted_is_what_the_next_process_gets,
                 a_reload_that_is_rejected_changes_nothing,
                 a_reload_that_wants_a_new_process_gets_one,
                 a_new_process_that_does_not_come_up_leaves_the_old_one_serving,
                 one_that_dies_while_it_loads_is_followed_by_one_of_what_was_in_effect,
                 one_that_gives_no_verdict_is_replaced, a_verdict_that_nobody_waits_for_is_none,
                 where_none_comes_up_a_reload_is_tried_at_once,
                 an_upgrade_is_of_the_program_at_the_path,
                 an_upgrade_that_takes_too_long_has_failed,
                 an_old_process_that_dies_during_an_upgrade_is_followed_by_the_new_one,
                 wishes_wait_for_each_other, who_asks_during_a_change_is_not_answered_by_it,
                 a_replacement_changes_no_generation, a_stop_gives_up_what_is_under_way)
