#include "worker/sockets.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/socket.h"
#include "unit.h"

static struct conf_address binds[2];
static struct conf_pool pool = {.name = "p"};
static struct conf_listener listener = {
    .name = "web", .binds = binds, .pool = &pool, .backlog = 16};
static struct conf conf = {.process = {.workers = 3}, .listeners = &listener, .listener_count = 1};
static struct text why;

static struct conf_address loopback(in_port_t port)
{
    struct conf_address a = {.text = "127.0.0.1",
                             .mark = {.file = "f.yaml", .line = 3, .column = 9}};
    a.addr.in.sin_family = AF_INET;
    a.addr.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    a.addr.in.sin_port = port;
    a.addr.len = sizeof(a.addr.in);
    return a;
}

/* A port that nobody listens on: the kernel's choice, given back. */
static in_port_t free_port(void)
{
    struct conf_address any = loopback(0);
    struct socket_listen_options o = {.backlog = 1};
    int fd = socket_listen(&any.addr, &o);
    ck_assert_int_ge(fd, 0);
    struct addr bound;
    socket_local(fd, &bound);
    close(fd);
    return bound.in.sin_port;
}

static struct conf_address unix_path(char *path, size_t size)
{
    snprintf(path, size, "/tmp/weft-test-sockets-%d", (int)getpid());
    struct conf_address a = {.text = path};
    a.addr.un.sun_family = AF_UNIX;
    strcpy(a.addr.un.sun_path, path);
    a.addr.len = sizeof(a.addr.un);
    return a;
}

START_TEST(every_worker_has_a_socket_of_every_address)
{
    char path[64];
    binds[0] = loopback(free_port());
    binds[1] = unix_path(path, sizeof(path));
    listener.bind_count = 2;
    struct sockets s;
    ck_assert_uint_eq(sockets_needed(&conf), 6);
    ck_assert_int_eq(sockets_open(&s, &conf, &why), 0);
    ck_assert_uint_eq(s.count, 6);
    unsigned of_worker[3] = {0};
    for (size_t i = 0; i < s.count; i++)
        of_worker[s.all[i].worker]++;
    for (int i = 0; i < 3; i++)
        ck_assert_uint_eq(of_worker[i], 2);
    ck_assert_int_eq(access(path, F_OK), 0);
    sockets_close(&s);
    ck_assert_int_ne(access(path, F_OK), 0);
}
END_TEST

START_TEST(an_address_in_use_is_named_with_its_place)
{
    binds[0] = loopback(free_port());
    listener.bind_count = 1;
    struct socket_listen_options o = {.backlog = 1, .reuse_port = true};
    int taken = socket_listen(&binds[0].addr, &o);
    ck_assert_int_ge(taken, 0);
    struct sockets s;
    ck_assert_int_eq(sockets_open(&s, &conf, &why), -EADDRINUSE);
    ck_assert_str_eq(why.data, "f.yaml:3:9: error: listener web: cannot listen on 127.0.0.1: "
                               "Address already in use");
    close(taken);
}
END_TEST

START_TEST(a_failed_open_leaves_nothing)
{
    char path[64];
    binds[0] = unix_path(path, sizeof(path));
    binds[1] = loopback(free_port());
    listener.bind_count = 2;
    struct socket_listen_options o = {.backlog = 1};
    int taken = socket_listen(&binds[1].addr, &o);
    ck_assert_int_ge(taken, 0);
    struct sockets s;
    ck_assert_int_eq(sockets_open(&s, &conf, &why), -EADDRINUSE);
    ck_assert_int_ne(access(path, F_OK), 0);
    int next = dup(taken);
    ck_assert_int_eq(next, taken + 1);
    close(next);
    close(taken);
}
END_TEST

static void set_up(void)
{
    text_init(&why);
}

static void tear_down(void)
{
    text_free(&why);
}

UNIT_MAIN_AROUND("sockets", set_up, tear_down, every_worker_has_a_socket_of_every_address,
                 an_address_in_use_is_named_with_its_place, a_failed_open_leaves_nothing)
