/* UNIX paths in the vault, the control socket, and what systemd has passed. */
#include "master/notify.h"
#include "vaulting.h"

/* --- UNIX paths ---------------------------------------------------------------------------- */

START_TEST(a_path_goes_with_its_socket)
{
    struct vault_entry *e = open_path(path_of("a.sock"), 1);
    ck_assert_uint_eq(e->count, 1);
    ck_assert_ptr_eq(open_path(path_of("a.sock"), 2), e);
    ck_assert_uint_eq(e->count, 1);
    vault_forget_all(&vault, 1);
    vault_sweep(&vault);
    ck_assert(is_there(path_of("a.sock")));
    vault_forget_all(&vault, 2);
    vault_sweep(&vault);
    ck_assert(!is_there(path_of("a.sock")));
}
END_TEST

START_TEST(a_path_left_by_a_crash_is_taken)
{
    struct addr a = unix_address(path_of("a.sock"));
    close(listen_as_another(&a, false));
    ck_assert(is_there(path_of("a.sock")));
    open_path(path_of("a.sock"), 1);
    ck_assert(accepts(&a));
}
END_TEST

START_TEST(a_path_of_a_program_that_lives_is_left_alone)
{
    struct addr a = unix_address(path_of("a.sock"));
    int other = listen_as_another(&a, false);
    ck_assert_int_eq(try_open_path(path_of("a.sock"), 1), -EADDRINUSE);
    ck_assert(accepts(&a));
    ck_assert_uint_eq(entries(), 0);
    close(other);
}
END_TEST

START_TEST(a_file_at_a_path_is_left_alone)
{
    write_file(path_of("a.sock"), "precious");
    ck_assert_int_eq(try_open_path(path_of("a.sock"), 1), -EADDRINUSE);
    ck_assert_str_eq(content(path_of("a.sock")), "precious");
    ck_assert_int_eq(try_open_path(path_of("no/a.sock"), 1), -ENOENT);
}
END_TEST

/* A new weft has it by now, or somebody has cleaned up. */
START_TEST(what_has_taken_the_place_of_our_socket_stays)
{
    struct addr a = unix_address(path_of("a.sock"));
    open_path(path_of("a.sock"), 1);
    open_path(path_of("b.sock"), 1);
    open_path(path_of("c.sock"), 1);
    unlink(path_of("a.sock"));
    int other = listen_as_another(&a, false);
    unlink(path_of("b.sock"));
    write_file(path_of("b.sock"), "precious");
    unlink(path_of("c.sock"));
    vault_close(&vault);
    ck_assert(accepts(&a));
    ck_assert_str_eq(content(path_of("b.sock")), "precious");
    close(other);
}
END_TEST

/* Who may write to the directory must not have us remove files elsewhere. */
START_TEST(a_path_that_leads_elsewhere_by_now_removes_nothing)
{
    ck_assert_int_eq(mkdir(path_of("ours"), 0700), 0);
    ck_assert_int_eq(mkdir(path_of("elsewhere"), 0700), 0);
    struct addr a = unix_address(path_of("elsewhere/a.sock"));
    int other = listen_as_another(&a, false);
    open_path(path_of("ours/a.sock"), 1);
    ck_assert_int_eq(rename(path_of("ours"), path_of("moved")), 0);
    ck_assert_int_eq(symlink(path_of("elsewhere"), path_of("ours")), 0);
    vault_close(&vault);
    ck_assert(accepts(&a));
    ck_assert(is_there(path_of("moved/a.sock")));
    close(other);
}
END_TEST

START_TEST(an_abstract_name_has_no_path)
{
    char text[64];
    snprintf(text, sizeof(text), "unix:@weft-vault-%d", (int)getpid());
    struct vault_entry *e = open_for(text, 3, 1);
    ck_assert_uint_eq(e->count, 1);
    struct addr a = e->addr;
    ck_assert(accepts(&a));
    vault_close(&vault);
    ck_assert(!accepts(&a));
}
END_TEST

/* --- the control socket -------------------------------------------------------------------- */

START_TEST(the_control_socket_has_its_directory_made)
{
    struct vault_entry *e, *again;
    struct stat st;
    ck_assert_int_eq(try_open_control(path_of("run/control.sock"), &e), 0);
    ck_assert(e->control);
    ck_assert_int_eq(stat(path_of("run/control.sock"), &st), 0);
    ck_assert_int_eq(st.st_mode & 07777, 0660);
    ck_assert_int_eq(try_open_control(path_of("run/control.sock"), &again), 0);
    ck_assert_ptr_eq(e, again);
    vault_close(&vault);
    ck_assert(!is_there(path_of("run")));
    ck_assert_int_eq(mkdir(path_of("run"), 0700), 0);
    ck_assert_int_eq(try_open_control(path_of("run/control.sock"), &e), 0);
    vault_close(&vault);
    ck_assert(!is_there(path_of("run/control.sock")));
    ck_assert(is_there(path_of("run")));
}
END_TEST

START_TEST(the_control_socket_of_another_weft_is_left_alone)
{
    struct vault_entry *e;
    struct addr a = unix_address(path_of("control.sock"));
    int other = listen_as_another(&a, false);
    ck_assert_int_eq(try_open_control(path_of("control.sock"), &e), -EADDRINUSE);
    ck_assert_ptr_nonnull(strstr(why.data, "weft is already running: pid "));
    ck_assert(accepts(&a));
    ck_assert_uint_eq(entries(), 0);
    close(other);
}
END_TEST

/* A listener at its path does not get it: who may talk to that one is everybody. */
START_TEST(the_control_socket_is_nobodys_listener)
{
    struct vault_entry *e;
    ck_assert_int_eq(try_open_control(path_of("a.sock"), &e), 0);
    ck_assert_int_eq(try_open_path(path_of("a.sock"), 1), -EADDRINUSE);
    ck_assert(is_there(path_of("a.sock")));
    open_path(path_of("b.sock"), 1);
    ck_assert_int_eq(try_open_control(path_of("b.sock"), &e), -EADDRINUSE);
    ck_assert(is_there(path_of("b.sock")));
}
END_TEST

START_TEST(the_control_socket_outlasts_the_listeners)
{
    struct vault_entry *e;
    struct addr a = unix_address(path_of("control.sock"));
    ck_assert_int_eq(try_open_control(path_of("control.sock"), &e), 0);
    open_path(path_of("a.sock"), 1);
    open_for(own_address(20001), 2, 1);
    vault_close_listeners(&vault);
    ck_assert_uint_eq(entries(), 1);
    ck_assert(!is_there(path_of("a.sock")));
    ck_assert(accepts(&a));
}
END_TEST

/* --- what systemd has passed ---------------------------------------------------------------- */

static int handed_first = -1, handed_count;
static const char *handed_names[8];

/* The linker sends the vault's call here, see --wrap in Makefile.inc. */
int __wrap_notify_handed(int *ret_first, char ***ret_names);
int __wrap_notify_handed(int *ret_first, char ***ret_names)
{
    *ret_first = handed_first;
    *ret_names = calloc((size_t)handed_count + 1, sizeof(**ret_names));
    for (int i = 0; i < handed_count; i++)
        (*ret_names)[i] = strdup(handed_names[i]);
    return handed_count;
}

static void hand(const char *name, const struct addr *a, bool reuse_port)
{
    if (handed_count == 0)
        handed_first = 200;
    int fd = listen_as_another(a, reuse_port);
    ck_assert_int_eq(dup2(fd, handed_first + handed_count), handed_first + handed_count);
    close(fd);
    handed_names[handed_count++] = name;
}

START_TEST(sockets_of_a_unit_are_found_by_their_name)
{
    struct addr a = address(own_address(20001)), b = address(own_address(20002));
    hand("web", &a, false);
    hand("web", &b, false);
    ck_assert_int_eq(vault_adopt(&vault), 0);
    const struct vault_order order = {.key = "systemd:web", .count = 4, .options = &options};
    struct vault_entry *e;
    ck_assert_int_eq(vault_open(&vault, &order, 1, &e, &why), 0);
    ck_assert_uint_eq(e->count, 2);
    vault_forget_all(&vault, 1);
    vault_sweep(&vault);
    ck_assert(accepts(&a)); /* they are not ours to close */
    const struct vault_order wrong = {.key = "systemd:other", .count = 4, .options = &options};
    ck_assert_int_eq(vault_open(&vault, &wrong, 1, &e, &why), -ENOENT);
    ck_assert_ptr_nonnull(strstr(why.data, "systemd:web"));
}
END_TEST

START_TEST(sockets_of_an_earlier_master_are_served_on)
{
    char name[64] = "weft=", path_name[160], control_name[160];
    struct addr a = address(own_address(20001));
    struct addr b = unix_address(path_of("b.sock")), c = unix_address(path_of("c.sock"));
    strcat(name, own_address(20001));
    *strchr(name, ':') = ';';
    snprintf(path_name, sizeof(path_name), "weft=unix;%s", path_of("b.sock"));
    snprintf(control_name, sizeof(control_name), "weft=control;%s", path_of("c.sock"));
    hand(name, &a, true);
    hand(name, &a, true);
    hand(path_name, &b, false);
    hand(control_name, &c, false);
    ck_assert_int_eq(vault_adopt(&vault), 0);
    struct vault_entry *e = open_for(own_address(20001), 3, 1), *control;
    ck_assert_uint_eq(e->count, 3);
    ck_assert_int_eq(e->fds[0], handed_first);
    ck_assert_int_eq(open_path(path_of("b.sock"), 1)->fds[0], handed_first + 2);
    ck_assert_int_eq(try_open_control(path_of("c.sock"), &control), 0);
    ck_assert_int_eq(control->fds[0], handed_first + 3);
    vault_close(&vault);
    ck_assert(!is_there(path_of("b.sock")));
    ck_assert(!is_there(path_of("c.sock")));
}
END_TEST

START_TEST(what_is_stored_under_a_wrong_name_is_closed)
{
    struct addr a = address(own_address(20001)), b = unix_address(path_of("b.sock"));
    hand("weft=127.0.0.1;80", &a, false);
    hand("weft=unix;/elsewhere", &b, false);
    struct addr c = unix_address(path_of("c.sock"));
    hand("weft=", &c, false);
    ck_assert_int_eq(vault_adopt(&vault), 0);
    ck_assert_uint_eq(entries(), 0);
    ck_assert(!accepts(&a));
}
END_TEST

UNIT_MAIN_AROUND("vault_paths", set_up, tear_down, a_path_goes_with_its_socket,
                 a_path_left_by_a_crash_is_taken, a_path_of_a_program_that_lives_is_left_alone,
                 a_file_at_a_path_is_left_alone, what_has_taken_the_place_of_our_socket_stays,
                 a_path_that_leads_elsewhere_by_now_removes_nothing, an_abstract_name_has_no_path,
                 the_control_socket_has_its_directory_made,
                 the_control_socket_of_another_weft_is_left_alone,
                 the_control_socket_is_nobodys_listener, the_control_socket_outlasts_the_listeners,
                 sockets_of_a_unit_are_found_by_their_name,
                 sockets_of_an_earlier_master_are_served_on,
                 what_is_stored_under_a_wrong_name_is_closed)
