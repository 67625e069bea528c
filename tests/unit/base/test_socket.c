#include "base/socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "unit.h"

static const struct socket_listen_options plain = {.backlog = 16};
static const struct socket_options no_options;

static struct addr loopback(void)
{
    struct addr a = {.len = sizeof(struct sockaddr_in)};
    a.in = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    return a;
}

static struct addr any6(void)
{
    struct addr a = {.len = sizeof(struct sockaddr_in6)};
    a.in6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_addr = in6addr_any};
    return a;
}

static struct addr unix_path(const char *path)
{
    struct addr a = {0};
    a.un.sun_family = AF_UNIX;
    strcpy(a.un.sun_path, path);
    a.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path) + 1);
    return a;
}

static int option(int fd, int level, int name)
{
    int value = -1;
    socklen_t len = sizeof(value);
    ck_assert_int_eq(getsockopt(fd, level, name, &value, &len), 0);
    return value;
}

/* Listen; `a` becomes the address with the port that the kernel chose. */
static int listen_on(struct addr *a, const struct socket_listen_options *o)
{
    int fd = socket_listen(a, o);
    if (fd < 0)
        ck_abort_msg("listen: %s", strerror(-fd));
    socket_local(fd, a);
    return fd;
}

static void wait_until(int fd, short events)
{
    struct pollfd p = {.fd = fd, .events = events};
    ck_assert_int_eq(poll(&p, 1, 10000), 1);
}

static int accept_one(int fd, struct addr *ret_peer)
{
    wait_until(fd, POLLIN);
    int conn = socket_accept(fd, ret_peer);
    ck_assert_int_ge(conn, 0);
    return conn;
}

static int connect_to(const struct addr *a)
{
    bool pending = true;
    int fd = socket_connect(a, &no_options, &pending);
    ck_assert_int_ge(fd, 0);
    if (pending)
        wait_until(fd, POLLOUT);
    ck_assert_int_eq(socket_error(fd), 0);
    return fd;
}

START_TEST(accepts_what_connects)
{
    struct addr a = loopback(), peer, local;
    int listener = listen_on(&a, &plain);
    ck_assert_int_eq(socket_accept(listener, &peer), -EAGAIN);
    int client = connect_to(&a);
    int server = accept_one(listener, &peer);
    socket_local(client, &local);
    ck_assert(addr_equal(&peer, &local));
    for (int i = 0; i < 3; i++) {
        int fd = (int[]){listener, client, server}[i];
        ck_assert_int_ne(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
        ck_assert_int_ne(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
    }
    close(client);
    close(server);
    close(listener);
}
END_TEST

/* What is set on the listener is on what it accepts. */
START_TEST(options_are_handed_on)
{
    struct addr a = loopback(), peer;
    struct socket_listen_options o = {
        .common = {.nodelay = true,
                   .keepalive = {.idle = 61500 * NSEC_PER_MSEC,
                                 .interval = 7 * NSEC_PER_SEC,
                                 .count = 4},
                   .receive_buffer = 65536,
                   .send_buffer = 32768},
        .backlog = 16,
        .fastopen = 5,
    };
    int listener = listen_on(&a, &o);
    int client = connect_to(&a);
    int server = accept_one(listener, &peer);
    ck_assert_int_ne(option(server, IPPROTO_TCP, TCP_NODELAY), 0);
    ck_assert_int_ne(option(server, SOL_SOCKET, SO_KEEPALIVE), 0);
    ck_assert_int_eq(option(server, IPPROTO_TCP, TCP_KEEPIDLE), 62);
    ck_assert_int_eq(option(server, IPPROTO_TCP, TCP_KEEPINTVL), 7);
    ck_assert_int_eq(option(server, IPPROTO_TCP, TCP_KEEPCNT), 4);
    ck_assert_int_eq(option(server, SOL_SOCKET, SO_RCVBUF), 2 * 65536); /* socket(7): doubled */
    ck_assert_int_eq(option(server, SOL_SOCKET, SO_SNDBUF), 2 * 32768);
    ck_assert_int_eq(option(listener, IPPROTO_TCP, TCP_FASTOPEN), 5);
    close(client);
    close(server);
    close(listener);
}
END_TEST

START_TEST(options_of_a_connection)
{
    struct addr a = loopback();
    bool pending;
    int listener = listen_on(&a, &plain);
    struct socket_options o = {.nodelay = true, .keepalive = {.idle = 1}};
    int client = socket_connect(&a, &o, &pending);
    ck_assert_int_ge(client, 0);
    ck_assert_int_ne(option(client, IPPROTO_TCP, TCP_NODELAY), 0);
    ck_assert_int_eq(option(client, IPPROTO_TCP, TCP_KEEPIDLE), 1);
    close(client);
    o.keepalive.idle = INT64_MAX; /* as long as the kernel has it */
    client = socket_connect(&a, &o, &pending);
    ck_assert_int_ge(client, 0);
    ck_assert_int_eq(option(client, IPPROTO_TCP, TCP_KEEPIDLE), 32767);
    close(client);
    client = connect_to(&a);
    ck_assert_int_eq(option(client, IPPROTO_TCP, TCP_NODELAY), 0);
    ck_assert_int_eq(option(client, SOL_SOCKET, SO_KEEPALIVE), 0);
    close(client);
    close(listener);
}
END_TEST

/* Half a second becomes one, never none; the kernel keeps it as a number of retransmits. */
START_TEST(deferred_accept_is_rounded_up)
{
    struct addr a = loopback();
    struct socket_listen_options o = {.backlog = 16, .defer_accept = NSEC_PER_SEC / 2};
    int listener = listen_on(&a, &o);
    ck_assert_int_ge(option(listener, IPPROTO_TCP, TCP_DEFER_ACCEPT), 1);
    close(listener);
}
END_TEST

START_TEST(both_families_on_one_socket)
{
    struct socket_listen_options o = {.backlog = 16, .dual_stack = true};
    struct addr a = any6(), peer;
    int listener = socket_listen(&a, &o);
    if (listener == -EAFNOSUPPORT)
        return; /* a kernel without IPv6 */
    ck_assert_int_ge(listener, 0);
    socket_local(listener, &a);
    struct addr v4 = loopback();
    v4.in.sin_port = a.in6.sin6_port;
    int client = connect_to(&v4);
    int server = accept_one(listener, &peer);
    char text[ADDR_TEXT_SIZE];
    addr_format(&peer, text);
    ck_assert_int_eq(strncmp(text, "127.0.0.1:", 10), 0);
    close(client);
    close(server);
    close(listener);

    struct addr six = any6();
    listener = listen_on(&six, &plain);
    ck_assert_int_eq(option(listener, IPPROTO_IPV6, IPV6_V6ONLY), 1);
    close(listener);
}
END_TEST

START_TEST(an_address_in_use_is_told)
{
    struct addr a = loopback();
    struct socket_listen_options shared = {.backlog = 16, .reuse_port = true};
    int first = listen_on(&a, &shared);
    ck_assert_int_eq(socket_listen(&a, &plain), -EADDRINUSE);
    ck_assert_int_eq(socket_probe(&a, false), -EADDRINUSE);
    int second = socket_listen(&a, &shared);
    ck_assert_int_ge(second, 0);
    close(first);
    ck_assert_int_eq(socket_probe(&a, false), -EADDRINUSE);
    close(second);
    ck_assert_int_eq(socket_probe(&a, false), 0);
}
END_TEST

/* Beside one that listens, it takes nothing before it is told to. */
START_TEST(a_bound_socket_listens_when_it_is_told_to)
{
    struct addr a = loopback(), peer;
    struct socket_listen_options shared = {.backlog = 16, .reuse_port = true};
    int first = listen_on(&a, &shared);
    int second = socket_bind(&a, &shared);
    ck_assert_int_ge(second, 0);
    ck_assert_int_eq(socket_probe(&a, false), -EADDRINUSE);
    for (int i = 0; i < 8; i++) {
        int client = connect_to(&a);
        close(accept_one(first, &peer));
        close(client);
    }
    close(first);
    ck_assert_int_eq(option(second, SOL_SOCKET, SO_ACCEPTCONN), 0);
    ck_assert_int_eq(socket_listen_on(second, 16), 0);
    ck_assert_int_eq(socket_listen_on(second, 1), 0);
    int client = connect_to(&a);
    close(accept_one(second, &peer));
    close(client);
    close(second);
    ck_assert_int_eq(socket_listen_on(second, 16), -EBADF);
}
END_TEST

/* Connections that are still closing must not keep a restart from binding. */
START_TEST(time_wait_is_no_use)
{
    struct addr a = loopback(), peer;
    int listener = listen_on(&a, &plain);
    int client = connect_to(&a);
    int server = accept_one(listener, &peer);
    close(server); /* first: TIME_WAIT is on this side */
    wait_until(client, POLLIN);
    close(client);
    close(listener);
    ck_assert_int_eq(socket_probe(&a, false), 0);
    listener = socket_listen(&a, &plain);
    ck_assert_int_ge(listener, 0);
    close(listener);
}
END_TEST

START_TEST(a_refused_connect_is_told)
{
    struct addr a = loopback();
    bool pending = false;
    close(listen_on(&a, &plain)); /* nobody is there now */
    int fd = socket_connect(&a, &no_options, &pending);
    if (fd >= 0) {
        ck_assert(pending);
        wait_until(fd, POLLOUT);
        int rc = socket_error(fd);
        close(fd);
        fd = rc;
    }
    ck_assert_int_eq(fd, -ECONNREFUSED);
    struct addr nowhere = unix_path("/nonexistent/socket");
    ck_assert_int_eq(socket_connect(&nowhere, &no_options, &pending), -ENOENT);
}
END_TEST

START_TEST(a_reset_is_a_reset)
{
    struct addr a = loopback(), peer;
    int listener = listen_on(&a, &plain);
    int client = connect_to(&a);
    socket_reset(accept_one(listener, &peer));
    wait_until(client, POLLIN);
    ck_assert_int_eq(socket_error(client), -ECONNRESET);
    ck_assert_int_eq(socket_error(client), 0);
    close(client);
    close(listener);
    ck_assert_int_eq(socket_error(-1), -EBADF);
    socket_local(-1, &peer);
    ck_assert_uint_eq(peer.len, 0);
}
END_TEST

/* --- UNIX sockets ------------------------------------------------------------------------ */

static char dir[32];
static char path[64];

static void make_dir(void)
{
    strcpy(dir, "/tmp/weft-socket-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/s", dir);
}

static void remove_dir(void)
{
    unlink(path);
    rmdir(dir);
}

START_TEST(unix_sockets_work)
{
    make_dir();
    struct addr a = unix_path(path), peer;
    struct socket_listen_options o = {.common = {.nodelay = true, .keepalive = {.idle = 1}},
                                      .backlog = 16,
                                      .reuse_port = true,
                                      .fastopen = 1,
                                      .defer_accept = 1};
    int listener = listen_on(&a, &o); /* what only TCP has is left out */
    int client = connect_to(&a);
    int server = accept_one(listener, &peer);
    char text[ADDR_TEXT_SIZE];
    addr_format(&peer, text);
    ck_assert_str_eq(text, "unix:");
    close(client);
    close(server);
    close(listener);
    remove_dir();
}
END_TEST

START_TEST(everyone_may_connect_to_a_path)
{
    make_dir();
    struct addr a = unix_path(path);
    struct stat st;
    mode_t before = umask(0077);
    int listener = listen_on(&a, &plain);
    ck_assert_int_eq(umask(before), 0077);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(st.st_mode & 0777, 0666);
    close(listener);
    remove_dir();
}
END_TEST

START_TEST(a_stale_path_is_taken_over)
{
    make_dir();
    struct addr a = unix_path(path);
    close(listen_on(&a, &plain));
    ck_assert_int_eq(access(path, F_OK), 0);
    int listener = socket_listen(&a, &plain);
    ck_assert_int_ge(listener, 0);
    ck_assert_int_eq(socket_listen(&a, &plain), -EADDRINUSE);
    close(connect_to(&a));
    close(listener);
    remove_dir();
}
END_TEST

/* A server that is only slow must not lose its address. */
START_TEST(a_full_queue_is_not_stale)
{
    make_dir();
    struct addr a = unix_path(path);
    struct socket_listen_options o = {.backlog = 0};
    int listener = listen_on(&a, &o), clients[8], n = 0, fd;
    bool pending = false;
    while (n < 8 && (fd = socket_connect(&a, &no_options, &pending)) >= 0)
        clients[n++] = fd;
    ck_assert_int_lt(n, 8);
    ck_assert_int_eq(fd, -EAGAIN);
    ck_assert_int_eq(socket_listen(&a, &o), -EADDRINUSE);
    while (n > 0)
        close(clients[--n]);
    close(listener);
    remove_dir();
}
END_TEST

START_TEST(a_file_is_never_removed)
{
    make_dir();
    struct addr a = unix_path(path);
    struct stat st;
    close(open(path, O_CREAT | O_WRONLY, 0600));
    ck_assert_int_eq(socket_listen(&a, &plain), -EADDRINUSE);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert(S_ISREG(st.st_mode));
    remove_dir();
}
END_TEST

START_TEST(abstract_names_work)
{
    struct addr_spec spec;
    const char *why;
    char text[64];
    snprintf(text, sizeof(text), "unix:@weft-test-%d", (int)getpid());
    ck_assert_int_eq(addr_parse(text, &spec, &why), 0);
    int listener = listen_on(&spec.addr, &plain);
    ck_assert_int_eq(socket_listen(&spec.addr, &plain), -EADDRINUSE);
    close(connect_to(&spec.addr));
    close(listener);
}
END_TEST

static void expect_options(int fd, const struct socket_listen_options *o)
{
    ck_assert_int_eq(option(fd, IPPROTO_TCP, TCP_NODELAY) != 0, o->common.nodelay);
    ck_assert_int_eq(option(fd, SOL_SOCKET, SO_KEEPALIVE), o->common.keepalive.idle > 0);
    ck_assert_int_eq(option(fd, IPPROTO_TCP, TCP_FASTOPEN), o->fastopen);
    ck_assert_int_eq(option(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT) > 0, o->defer_accept > 0);
}

START_TEST(one_that_listens_can_be_changed)
{
    const struct socket_listen_options all = {
        .common = {.nodelay = true,
                   .keepalive = {.idle = 9 * NSEC_PER_SEC},
                   .receive_buffer = 20000,
                   .send_buffer = 30000},
        .backlog = 16,
        .defer_accept = NSEC_PER_SEC,
        .fastopen = 5,
    };
    struct addr a = loopback();
    int fd = listen_on(&a, &plain);
    int receive = option(fd, SOL_SOCKET, SO_RCVBUF), send = option(fd, SOL_SOCKET, SO_SNDBUF);
    for (int turn = 0; turn < 2; turn++) {
        ck_assert_int_eq(socket_listen_change(fd, &all), 0);
        expect_options(fd, &all);
        ck_assert_int_eq(option(fd, IPPROTO_TCP, TCP_KEEPIDLE), 9);
        ck_assert_int_eq(option(fd, SOL_SOCKET, SO_RCVBUF), 40000);
        ck_assert_int_eq(option(fd, SOL_SOCKET, SO_SNDBUF), 60000);
        ck_assert_int_eq(socket_listen_change(fd, &plain), 0);
        expect_options(fd, &plain);
        ck_assert_int_eq(option(fd, SOL_SOCKET, SO_RCVBUF), receive);
        ck_assert_int_eq(option(fd, SOL_SOCKET, SO_SNDBUF), send);
    }
    close(fd);
}
END_TEST

START_TEST(a_longer_backlog_is_in_effect_at_once)
{
    struct addr a = loopback();
    struct socket_listen_options o = {.backlog = 1};
    int fd = listen_on(&a, &o);
    o.backlog = 64;
    ck_assert_int_eq(socket_listen_change(fd, &o), 0);
    int clients[20];
    for (size_t i = 0; i < array_size(clients); i++) {
        bool pending = false;
        clients[i] = socket_connect(&a, &no_options, &pending);
        ck_assert_int_ge(clients[i], 0);
    }
    for (size_t i = 0; i < array_size(clients); i++) {
        struct addr peer;
        struct pollfd p = {.fd = fd, .events = POLLIN};
        ck_assert_int_eq(poll(&p, 1, 500), 1); /* a dropped SYN comes again after a second */
        close(socket_accept(fd, &peer));
        close(clients[i]);
    }
    close(fd);
}
END_TEST

START_TEST(options_are_compared_one_by_one)
{
    const struct socket_listen_options plain_again = {.backlog = 16, .reuse_port = true};
    const struct socket_listen_options others[] = {
        {.backlog = 17},
        {.backlog = 16, .common.nodelay = true},
        {.backlog = 16, .common.keepalive.idle = 1},
        {.backlog = 16, .common.keepalive.interval = 1},
        {.backlog = 16, .common.keepalive.count = 1},
        {.backlog = 16, .common.receive_buffer = 1},
        {.backlog = 16, .common.send_buffer = 1},
        {.backlog = 16, .defer_accept = 1},
        {.backlog = 16, .fastopen = 1},
    };
    ck_assert(socket_listen_same(&plain, &plain_again));
    for (size_t i = 0; i < array_size(others); i++)
        ck_assert(!socket_listen_same(&plain, &others[i]));
}
END_TEST

/* --- sockets that others have opened ----------------------------------------------------- */

static void is_unfit(int fd, const char *expected)
{
    const char *why;
    ck_assert_int_eq(socket_adopt(fd, &no_options, &why), -EINVAL);
    ck_assert_str_eq(why, expected);
    if (fd >= 0)
        close(fd);
}

START_TEST(what_is_not_to_be_accepted_from)
{
    int pipes[2];
    ck_assert_int_eq(pipe(pipes), 0);
    is_unfit(pipes[0], "it is no socket");
    is_unfit(-1, "it is no socket");
    is_unfit(socket(AF_INET, SOCK_DGRAM, 0), "it is not a stream socket");
    is_unfit(socket(AF_UNIX, SOCK_SEQPACKET, 0), "it is not a stream socket");
    is_unfit(socket(AF_NETLINK, SOCK_RAW, 0), "it is neither a TCP nor a UNIX socket");
    is_unfit(socket(AF_INET, SOCK_STREAM, 0), "it does not listen");
    close(pipes[1]);
}
END_TEST

/* As somebody else's: it blocks, and what is executed inherits it. */
static int foreign_listener(struct addr *a)
{
    int fd = socket(a->sa.sa_family, SOCK_STREAM, 0);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(bind(fd, &a->sa, a->len), 0);
    ck_assert_int_eq(listen(fd, 1), 0);
    return fd;
}

START_TEST(one_of_ours_from_now_on)
{
    struct addr unnamed = {.un.sun_family = AF_UNIX, .len = sizeof(sa_family_t)};
    struct addr all[] = {loopback(), any6(), unnamed};
    const struct socket_options o = {.nodelay = true, .keepalive.idle = NSEC_PER_SEC};
    for (size_t i = 0; i < array_size(all); i++) {
        const char *why;
        struct addr peer;
        int fd = foreign_listener(&all[i]);
        ck_assert_int_eq(socket_adopt(fd, &o, &why), 0);
        ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
        ck_assert_int_eq(socket_accept(fd, &peer), -EAGAIN);
        if (all[i].sa.sa_family != AF_UNIX) {
            ck_assert_int_ne(option(fd, IPPROTO_TCP, TCP_NODELAY), 0);
            ck_assert_int_eq(option(fd, IPPROTO_TCP, TCP_KEEPIDLE), 1);
        }
        close(fd);
    }
}
END_TEST

UNIT_MAIN("socket", accepts_what_connects, options_are_handed_on, options_of_a_connection,
          deferred_accept_is_rounded_up, both_families_on_one_socket, an_address_in_use_is_told,
          a_bound_socket_listens_when_it_is_told_to, time_wait_is_no_use, a_refused_connect_is_told,
          a_reset_is_a_reset, unix_sockets_work, everyone_may_connect_to_a_path,
          a_stale_path_is_taken_over, a_full_queue_is_not_stale, a_file_is_never_removed,
          abstract_names_work, one_that_listens_can_be_changed,
          a_longer_backlog_is_in_effect_at_once, options_are_compared_one_by_one,
          what_is_not_to_be_accepted_from, one_of_ours_from_now_on)
