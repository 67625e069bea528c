#include "master/vault.h"

#include <netinet/tcp.h>
#include <sys/resource.h>

#include "alloc.h"
#include "vaulting.h"

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

/* The kernel gives a share of the connections to each that listens: also before there is anybody
 * who takes them, and for ever where the process that wants them does not come up. */
START_TEST(what_is_missing_takes_no_connection_yet)
{
    struct vault_entry *e = open_for(own_address(20001), 2, 1);
    open_for(own_address(20001), 8, 2);
    ck_assert_uint_eq(e->count, 8);
    for (unsigned i = 0; i < e->count; i++)
        ck_assert_int_eq(option(e->fds[i], SOL_SOCKET, SO_ACCEPTCONN), i < 2);
    int clients[16], served = 0; /* as many as one socket's backlog takes */
    for (size_t i = 0; i < array_size(clients); i++) {
        clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ck_assert_int_eq(connect(clients[i], &e->addr.sa, e->addr.len), 0);
    }
    for (int i = 0; i < 2; i++) {
        for (int fd; (fd = accept(e->fds[i], NULL, NULL)) >= 0; served++)
            close(fd);
    }
    ck_assert_int_eq(served, array_size(clients));
    ck_assert_int_eq(socket_listen_on(e->fds[2], 16), 0);
    ck_assert_int_eq(socket_listen_on(e->fds[0], 16), 0);
    ck_assert_int_eq(option(e->fds[2], SOL_SOCKET, SO_ACCEPTCONN), 1);
    for (size_t i = 0; i < array_size(clients); i++)
        close(clients[i]);
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

UNIT_MAIN_AROUND("vault", set_up, tear_down, every_socket_listens_on_the_address,
                 who_asks_next_gets_the_same_and_what_is_missing,
                 what_is_missing_takes_no_connection_yet, one_address_has_hundreds_of_sockets,
                 there_are_many_addresses, every_address_and_every_v6_address_are_two,
                 a_socket_stays_while_anybody_claims_it,
                 a_dead_process_leaves_its_claims_to_the_master,
                 two_dead_in_a_row_leave_one_claim_that_goes_at_once,
                 an_address_of_another_program_is_refused,
                 an_address_that_another_program_would_share_is_refused,
                 an_address_below_our_own_wildcard_is_not_another_programs,
                 the_last_descriptors_are_not_given_away, without_memory_everything_is_as_before)
