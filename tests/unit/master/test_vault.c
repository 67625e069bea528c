#include "master/vault.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <sys/resource.h>

#include "alloc.h"
#include "ctl/listen_order.h"
#include "master/notify.h"
#include "places.h"

static struct vault vault;
static struct text why;

static void set_up(void)
{
    make_directory();
    text_init(&why);
    vault_init(&vault);
}

static void tear_down(void)
{
    vault_close(&vault);
    ck_assert(list_empty(&vault.entries));
    ck_assert_ptr_null(vault.index);
    text_free(&why);
    remove_directory();
}

/* --- ordering ------------------------------------------------------------------------------ */

static const struct socket_listen_options options = {
    .common = {.nodelay = true}, .backlog = 16, .reuse_port = true};

static char key[LISTEN_KEY_SIZE]; /* of the last order */

static int try_open_addr(const struct addr *a, bool any, unsigned count, uint64_t id,
                         struct vault_entry **ret)
{
    struct socket_listen_options o = options;
    o.dual_stack = any;
    listen_order_key(a, any, key);
    const struct vault_order order = {
        .key = key, .addr = *a, .any = any, .count = count, .options = &o};
    text_clear(&why);
    return vault_open(&vault, &order, id, ret, &why);
}

static int try_open(const char *text, unsigned count, uint64_t id, struct vault_entry **ret)
{
    struct addr_spec spec;
    const char *wrong = "?";
    ck_assert_msg(addr_parse(text, &spec, &wrong) == 0, "%s: %s", text, wrong);
    return try_open_addr(&spec.addr, spec.any, count, id, ret);
}

static struct vault_entry *open_for(const char *text, unsigned count, uint64_t id)
{
    struct vault_entry *e = NULL;
    int err = try_open(text, count, id, &e);
    ck_assert_msg(err == 0, "%s: %s", text, why.data);
    ck_assert_ptr_eq(vault_find(&vault, key), e);
    return e;
}

static struct vault_entry *open_path(const char *path, uint64_t id)
{
    char text[160];
    snprintf(text, sizeof(text), "unix:%s", path);
    return open_for(text, 1, id);
}

static int try_open_path(const char *path, uint64_t id)
{
    struct vault_entry *e;
    struct addr a = unix_address(path);
    return try_open_addr(&a, false, 1, id, &e);
}

static int try_open_control(const char *path, struct vault_entry **ret)
{
    struct addr a = unix_address(path);
    text_clear(&why);
    return vault_open_control(&vault, &a, getegid(), 1, ret, &why);
}

static unsigned entries(void)
{
    unsigned count = 0;
    list_for_each (l, &vault.entries)
        count++;
    return count;
}

static int option(int fd, int level, int name)
{
    int value = -1;
    socklen_t len = sizeof(value);
    ck_assert_int_eq(getsockopt(fd, level, name, &value, &len), 0);
    return value;
}

/* --- sockets of addresses ------------------------------------------------------------------ */

START_TEST(every_socket_listens_on_the_address)
{
    struct vault_entry *e = open_for(own_address(20001), 4, 1);
    ck_assert_uint_eq(e->count, 4);
    for (unsigned i = 0; i < e->count; i++) {
        struct addr local;
        socket_local(e->fds[i], &local);
        ck_assert(addr_equal(&local, &e->addr));
        ck_assert_int_eq(option(e->fds[i], SOL_SOCKET, SO_ACCEPTCONN), 1);
        ck_assert_int_eq(option(e->fds[i], SOL_SOCKET, SO_REUSEPORT), 1);
        ck_assert_int_eq(option(e->fds[i], IPPROTO_TCP, TCP_NODELAY), 1);
        ck_assert_int_eq(fcntl(e->fds[i], F_GETFD), FD_CLOEXEC);
    }
}
END_TEST

START_TEST(who_asks_next_gets_the_same_and_what_is_missing)
{
    struct vault_entry *e = open_for(own_address(20001), 2, 1);
    int first = e->fds[0], second = e->fds[1];
    ck_assert_ptr_eq(open_for(own_address(20001), 5, 2), e);
    ck_assert_uint_eq(e->count, 5);
    ck_assert_int_eq(e->fds[0], first);
    ck_assert_int_eq(e->fds[1], second);
    ck_assert_ptr_eq(open_for(own_address(20001), 1, 3), e);
    ck_assert_uint_eq(e->count, 5);
    ck_assert_uint_eq(entries(), 1);
}
END_TEST

START_TEST(one_address_has_hundreds_of_sockets)
{
    struct vault_entry *e = open_for(own_address(20001), 600, 1);
    ck_assert_uint_eq(e->count, 600);
    ck_assert(accepts(&e->addr));
}
END_TEST

START_TEST(there_are_many_addresses)
{
    for (unsigned i = 0; i < 300; i++)
        open_for(own_address(20001 + i), 1, 1 + i % 3);
    ck_assert_uint_eq(entries(), 300);
    for (unsigned i = 0; i < 300; i++)
        ck_assert_ptr_nonnull(vault_find(&vault, own_address(20001 + i)));
    ck_assert_ptr_null(vault_find(&vault, own_address(20000)));
    vault_forget_all(&vault, 2);
    vault_sweep(&vault);
    ck_assert_uint_eq(entries(), 200);
}
END_TEST

START_TEST(every_address_and_every_v6_address_are_two)
{
    char any[16], v6[16];
    unsigned port = 10240 + (unsigned)getpid() % 16384;
    snprintf(any, sizeof(any), ":%u", port);
    snprintf(v6, sizeof(v6), "[::]:%u", port);
    struct vault_entry *both = open_for(any, 1, 1);
    if (both->addr.sa.sa_family != AF_INET6 ||
        option(both->fds[0], SOL_SOCKET, SO_DOMAIN) != AF_INET6)
        return; /* no IPv6 here */
    struct vault_entry *one = open_for(v6, 1, 1);
    ck_assert_ptr_ne(both, one);
    ck_assert_int_eq(option(both->fds[0], IPPROTO_IPV6, IPV6_V6ONLY), 0);
    ck_assert_int_eq(option(one->fds[0], IPPROTO_IPV6, IPV6_V6ONLY), 1);
    struct addr v4 = address("127.0.0.1:1");
    v4.in.sin_port = htons((uint16_t)port);
    ck_assert(accepts(&v4));
}
END_TEST

/* --- claims -------------------------------------------------------------------------------- */

START_TEST(a_socket_stays_while_anybody_claims_it)
{
    unsigned before = open_descriptors();
    struct addr a = open_for(own_address(20001), 2, 1)->addr;
    open_for(own_address(20001), 2, 1);
    open_for(own_address(20001), 2, 2);
    vault_forget(&vault, own_address(20001), 1);
    vault_forget(&vault, own_address(20001), 7);
    vault_forget(&vault, "nobody's", 1);
    vault_sweep(&vault);
    ck_assert(accepts(&a));
    vault_forget(&vault, own_address(20001), 2);
    ck_assert(accepts(&a));
    vault_sweep(&vault);
    ck_assert(!accepts(&a));
    ck_assert_ptr_null(vault_find(&vault, own_address(20001)));
    ck_assert_uint_eq(open_descriptors(), before);
}
END_TEST

START_TEST(a_dead_process_leaves_its_claims_to_the_master)
{
    struct vault_entry *e = open_for(own_address(20001), 1, 1);
    open_for(own_address(20002), 1, 1);
    open_for(own_address(20002), 1, 2);
    struct addr kept = e->addr;
    vault_inherit(&vault, 1);
    vault_forget_all(&vault, 1);
    vault_sweep(&vault);
    ck_assert(accepts(&kept));
    open_for(own_address(20002), 1, 3);
    vault_forget_all(&vault, 0);
    vault_sweep(&vault);
    ck_assert(!accepts(&kept));
    ck_assert_uint_eq(entries(), 1);
    vault_forget_all(&vault, 2);
    vault_sweep(&vault);
    ck_assert_uint_eq(entries(), 1);
    vault_forget_all(&vault, 3);
    vault_sweep(&vault);
    ck_assert_uint_eq(entries(), 0);
}
END_TEST

START_TEST(two_dead_in_a_row_leave_one_claim_that_goes_at_once)
{
    open_for(own_address(20001), 1, 1);
    open_for(own_address(20001), 1, 2);
    vault_inherit(&vault, 1);
    vault_inherit(&vault, 2);
    vault_forget_all(&vault, 0);
    vault_sweep(&vault);
    ck_assert_uint_eq(entries(), 0);
}
END_TEST

/* --- other programs ------------------------------------------------------------------------ */

static void expect_taken(bool reuse_port)
{
    struct vault_entry *e;
    struct addr a = address(own_address(20001));
    int other = listen_as_another(&a, reuse_port);
    unsigned before = open_descriptors();
    ck_assert_int_eq(try_open(own_address(20001), 3, 1, &e), -EADDRINUSE);
    ck_assert_str_eq(why.data, "Address already in use");
    ck_assert_uint_eq(entries(), 0);
    ck_assert_uint_eq(open_descriptors(), before);
    close(other);
    open_for(own_address(20001), 3, 1);
}

START_TEST(an_address_of_another_program_is_refused)
{
    expect_taken(false);
}
END_TEST

/* Without a look first the kernel would have both share it. */
START_TEST(an_address_that_another_program_would_share_is_refused)
{
    expect_taken(true);
}
END_TEST

START_TEST(an_address_below_our_own_wildcard_is_not_another_programs)
{
    char any[32], one[32];
    unsigned port = 10240 + (unsigned)getpid() % 16384;
    snprintf(any, sizeof(any), "0.0.0.0:%u", port);
    snprintf(one, sizeof(one), "127.0.0.1:%u", port);
    open_for(any, 1, 1);
    open_for(one, 2, 2);
    ck_assert_uint_eq(entries(), 2);
}
END_TEST

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

/* --- what there is not enough of ------------------------------------------------------------ */

START_TEST(the_last_descriptors_are_not_given_away)
{
    struct vault_entry *e;
    struct rlimit r = {.rlim_cur = 256, .rlim_max = 256};
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &r), 0);
    struct vault_entry *before = open_for(own_address(20001), 2, 1);
    unsigned open = open_descriptors();
    ck_assert_int_eq(try_open(own_address(20001), 300, 2, &e), -EMFILE);
    ck_assert_uint_eq(before->count, 2);
    ck_assert_int_eq(try_open(own_address(20002), 300, 2, &e), -EMFILE);
    ck_assert_uint_eq(entries(), 1);
    ck_assert_uint_eq(open_descriptors(), open);
    open_for(own_address(20002), 150, 2);
    int pair[2];
    ck_assert_int_eq(try_open(own_address(20003), 100, 2, &e), -EMFILE);
    for (int i = 0; i < 16; i++) /* enough to start a process */
        ck_assert_int_eq(pipe(pair), 0);
}
END_TEST

/* Each allocation fails once; what was there stays, and nothing half-made is left. */
START_TEST(without_memory_everything_is_as_before)
{
    struct vault_entry *e;
    struct addr a = address(own_address(20002)), c = unix_address(path_of("run/control.sock"));
    int err = -ENOMEM;
    open_for(own_address(20001), 1, 1);
    for (long budget = 0; err < 0; budget++) {
        unsigned open = open_descriptors();
        text_free(&why);
        alloc_limit(budget);
        err = try_open_addr(&a, false, 3, 2, &e);
        alloc_limit(-1);
        ck_assert(err == 0 || err == -ENOMEM);
        ck_assert_uint_eq(entries(), err == 0 ? 2 : 1);
        ck_assert_uint_eq(open_descriptors(), err == 0 ? open + 3 : open);
    }
    err = -ENOMEM;
    for (long budget = 0; err < 0; budget++) {
        unsigned open = open_descriptors();
        text_free(&why);
        alloc_limit(budget);
        err = vault_open_control(&vault, &c, getegid(), 1, &e, &why);
        alloc_limit(-1);
        ck_assert(err == 0 || err == -ENOMEM);
        ck_assert_int_eq(is_there(path_of("run/control.sock")), err == 0);
        ck_assert_uint_eq(open_descriptors(), err == 0 ? open + 1 : open);
    }
}
END_TEST

UNIT_MAIN_AROUND(
    "vault", set_up, tear_down, every_socket_listens_on_the_address,
    who_asks_next_gets_the_same_and_what_is_missing, one_address_has_hundreds_of_sockets,
    there_are_many_addresses, every_address_and_every_v6_address_are_two,
    a_socket_stays_while_anybody_claims_it, a_dead_process_leaves_its_claims_to_the_master,
    two_dead_in_a_row_leave_one_claim_that_goes_at_once, an_address_of_another_program_is_refused,
    an_address_that_another_program_would_share_is_refused,
    an_address_below_our_own_wildcard_is_not_another_programs, a_path_goes_with_its_socket,
    a_path_left_by_a_crash_is_taken, a_path_of_a_program_that_lives_is_left_alone,
    a_file_at_a_path_is_left_alone, what_has_taken_the_place_of_our_socket_stays,
    a_path_that_leads_elsewhere_by_now_removes_nothing, an_abstract_name_has_no_path,
    the_control_socket_has_its_directory_made, the_control_socket_of_another_weft_is_left_alone,
    the_control_socket_is_nobodys_listener, the_control_socket_outlasts_the_listeners,
    sockets_of_a_unit_are_found_by_their_name, sockets_of_an_earlier_master_are_served_on,
    what_is_stored_under_a_wrong_name_is_closed, the_last_descriptors_are_not_given_away,
    without_memory_everything_is_as_before)
