#include "worker/sockets.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "answering.h"
#include "unit.h"

static struct conf_address binds[2];
static struct conf_pool pool = {.name = "p"};
static struct conf_listener listener = {
    .name = "web", .binds = binds, .pool = &pool, .backlog = 16};
static struct conf conf = {.process = {.workers = 3}, .listeners = &listener, .listener_count = 1};
static struct text why;
static struct answering master;
static struct addresses known;

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

static struct conf_address unix_path(void)
{
    struct conf_address a = {.text = (char *)"unix:/nowhere"};
    a.addr.un.sun_family = AF_UNIX;
    strcpy(a.addr.un.sun_path, "/nowhere");
    a.addr.len = sizeof(a.addr.un);
    return a;
}

static unsigned extra; /* sockets that the master has beyond those asked for */

static void open_tcp(int socket, const struct listen_order *want)
{
    int fds[16] = {-1};
    unsigned count = want->addr.sa.sa_family == AF_UNIX ? 1 : want->count + extra;
    for (unsigned i = 0; i < count; i++)
        fds[i] = dup(STDERR_FILENO);
    answer_with(socket, NULL, fds, count);
    for (unsigned i = 0; i < count; i++)
        close(fds[i]);
}

static void grant(int socket, struct message *order)
{
    struct listen_order want;
    ck_assert_int_eq(order->type, MESSAGE_OPEN_LISTEN);
    ck_assert(listen_order_read(order->body, &want));
    open_tcp(socket, &want);
}

static void grant_unix_only(int socket, struct message *order)
{
    struct listen_order want;
    ck_assert(listen_order_read(order->body, &want));
    if (want.addr.sa.sa_family == AF_UNIX)
        open_tcp(socket, &want);
    else
        answer_no(socket, EADDRINUSE, "Address already in use");
}

static void expect_of_each_worker(const struct sockets *s, const unsigned *expected)
{
    unsigned of_worker[3] = {0};
    for (size_t i = 0; i < s->count; i++)
        of_worker[s->all[i].worker]++;
    for (int i = 0; i < 3; i++)
        ck_assert_uint_eq(of_worker[i], expected[i]);
}

START_TEST(every_worker_has_a_socket_of_every_address)
{
    binds[0] = loopback(htons(80));
    binds[1] = unix_path();
    listener.bind_count = 2;
    struct sockets s;
    answering_start(&master, grant);
    ck_assert_uint_eq(sockets_needed(&conf), 6);
    ck_assert_int_eq(sockets_open(&s, &conf, &known, &master.opener, &why), 0);
    ck_assert_uint_eq(s.count, 6);
    expect_of_each_worker(&s, (const unsigned[]){2, 2, 2});
    sockets_close(&s);
}
END_TEST

/* Left over from a time with more workers: what has queued up on them is to be served. */
START_TEST(sockets_beyond_the_workers_are_served_too)
{
    binds[0] = loopback(htons(80));
    listener.bind_count = 1;
    extra = 2;
    struct sockets s;
    answering_start(&master, grant);
    ck_assert_int_eq(sockets_open(&s, &conf, &known, &master.opener, &why), 0);
    ck_assert_uint_eq(s.count, 5);
    expect_of_each_worker(&s, (const unsigned[]){2, 2, 1});
    sockets_close(&s);
}
END_TEST

START_TEST(an_address_in_use_is_named_with_its_place)
{
    binds[0] = loopback(htons(80));
    listener.bind_count = 1;
    struct sockets s;
    answering_start(&master, grant_unix_only);
    ck_assert_int_eq(sockets_open(&s, &conf, &known, &master.opener, &why), -EADDRINUSE);
    ck_assert_str_eq(why.data, "f.yaml:3:9: error: listener web: cannot listen on 127.0.0.1: "
                               "Address already in use");
    sockets_close(&s);
}
END_TEST

START_TEST(every_address_that_fails_is_told_of)
{
    binds[0] = loopback(htons(80));
    binds[1] = loopback(htons(81));
    listener.bind_count = 2;
    struct sockets s;
    answering_start(&master, grant_unix_only);
    ck_assert_int_eq(sockets_open(&s, &conf, &known, &master.opener, &why), -EADDRINUSE);
    ck_assert_str_eq(why.data, "f.yaml:3:9: error: listener web: cannot listen on 127.0.0.1: "
                               "Address already in use\n"
                               "f.yaml:3:9: error: listener web: cannot listen on 127.0.0.1: "
                               "Address already in use");
    sockets_close(&s);
}
END_TEST

/* What is listened on stays as it is; what was dropped and is wanted again is asked for again. */
START_TEST(only_what_is_new_is_opened)
{
    struct sockets s;
    binds[0] = loopback(htons(80));
    binds[1] = loopback(htons(81));
    listener.bind_count = 2;
    answering_start(&master, grant);
    ck_assert_int_eq(sockets_open(&s, &conf, &known, &master.opener, &why), 0);
    ck_assert_uint_eq(s.addresses, 2);
    ck_assert_int_eq(addresses_reserve(&known, s.addresses), 0);
    sockets_enter(&s, &known);
    sockets_close(&s);
    ck_assert_uint_eq(known.all[1].acceptors, 3);
    known.all[1].wanted = false;
    binds[0] = loopback(htons(79));
    binds[1] = loopback(htons(81));
    ck_assert_int_eq(sockets_open(&s, &conf, &known, &master.opener, &why), 0);
    ck_assert_uint_eq(s.count, 6);
    ck_assert_uint_eq(s.addresses, 3);
    ck_assert_uint_eq(s.bindings[0].address, 2);
    ck_assert_uint_eq(s.bindings[1].address, 1);
    ck_assert(s.bindings[0].claimed && s.bindings[1].claimed);
    sockets_close(&s);
    known.all[1].wanted = true;
    binds[0] = loopback(htons(80));
    ck_assert_int_eq(sockets_open(&s, &conf, &known, &master.opener, &why), 0);
    ck_assert_uint_eq(s.count, 0);
    ck_assert_uint_eq(s.bindings[0].address, 0);
    ck_assert(!s.bindings[0].claimed);
    sockets_close(&s);
}
END_TEST

START_TEST(every_address_is_not_the_v6_one_of_the_same_port)
{
    struct sockets s;
    binds[0] = loopback(0);
    binds[0].addr = (struct addr){.len = sizeof(struct sockaddr_in6)};
    binds[0].addr.in6.sin6_family = AF_INET6;
    binds[0].addr.in6.sin6_port = htons(80);
    listener.bind_count = 1;
    answering_start(&master, grant);
    ck_assert_int_eq(sockets_open(&s, &conf, &known, &master.opener, &why), 0);
    ck_assert_str_eq(s.bindings[0].key, "[::]:80");
    sockets_close(&s);
    binds[0].any = true;
    ck_assert_int_eq(sockets_open(&s, &conf, &known, &master.opener, &why), 0);
    ck_assert_str_eq(s.bindings[0].key, ":80");
    sockets_close(&s);
}
END_TEST

START_TEST(a_failed_open_leaves_nothing)
{
    binds[0] = unix_path();
    binds[1] = loopback(htons(80));
    listener.bind_count = 2;
    struct sockets s;
    answering_start(&master, grant_unix_only);
    int before = dup(STDERR_FILENO);
    ck_assert_int_eq(sockets_open(&s, &conf, &known, &master.opener, &why), -EADDRINUSE);
    ck_assert(s.bindings[0].claimed && !s.bindings[1].claimed);
    sockets_close(&s);
    int next = dup(STDERR_FILENO);
    ck_assert_int_eq(next, before + 1);
    close(next);
    close(before);
}
END_TEST

/* Two of that name. */
static void grant_named(int socket, struct message *order)
{
    struct listen_order want;
    ck_assert(listen_order_read(order->body, &want));
    ck_assert_str_eq(want.key, "systemd:web");
    ck_assert_uint_eq(want.addr.len, 0);
    int fds[] = {STDERR_FILENO, STDOUT_FILENO};
    answer_with(socket, NULL, fds, 2);
}

START_TEST(sockets_of_systemd_go_by_their_name)
{
    binds[0] = (struct conf_address){.text = (char *)"systemd:web", .systemd = "web"};
    listener.bind_count = 1;
    struct sockets s;
    answering_start(&master, grant_named);
    ck_assert_int_eq(sockets_open(&s, &conf, &known, &master.opener, &why), 0);
    expect_of_each_worker(&s, (const unsigned[]){1, 1, 1});
    sockets_close(&s);
}
END_TEST

static void set_up(void)
{
    text_init(&why);
    extra = 0;
}

static void tear_down(void)
{
    answering_stop(&master);
    addresses_destroy(&known);
    text_free(&why);
}

UNIT_MAIN_AROUND("sockets", set_up, tear_down, every_worker_has_a_socket_of_every_address,
                 sockets_beyond_the_workers_are_served_too,
                 an_address_in_use_is_named_with_its_place, every_address_that_fails_is_told_of,
                 only_what_is_new_is_opened, every_address_is_not_the_v6_one_of_the_same_port,
                 a_failed_open_leaves_nothing, sockets_of_systemd_go_by_their_name)
