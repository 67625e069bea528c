/*
 * The whole way of a connection on one thread: shards with an acceptor, and clients and a backend
 * that are fibers beside them. To be included once.
 */
#ifndef WEFT_UNIT_WORLD_H
#define WEFT_UNIT_WORLD_H

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fiber/sync.h"
#include "fibers.h"
#include "io/buffers.h"
#include "io/copy.h"
#include "proxy/acceptor.h"
#include "proxy/proxy.h"
#include "proxy/session.h"
#include "unit.h"

#define SOON (10 * NSEC_PER_SEC)

/* Everything one test is about. */
static struct {
    const struct conf *conf;
    struct proxy *proxy;
    struct mailbox *control; /* what the control thread has otherwise */
    struct fiber *controller;
    struct pool *sessions;
    struct shard shard;
    struct shard other; /* one that has no acceptor */
    struct shard *shards[2];
    struct shard_group group;
    struct addr front; /* where weft listens */
    struct conn backend;
    struct fiber *echo;
    struct fiber *main;
    struct fiber *other_main;
} world;

static inline struct addr loopback(void)
{
    struct addr a = {.len = sizeof(a.in)};
    a.in.sin_family = AF_INET;
    a.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return a;
}

static inline int listen_anywhere(struct addr *ret)
{
    struct addr a = loopback();
    struct socket_listen_options o = {.backlog = 64};
    int fd = socket_listen(&a, &o);
    ck_assert_int_ge(fd, 0);
    socket_local(fd, ret);
    return fd;
}

static inline void echo_one(void *arg)
{
    struct conn *c = arg;
    (void)!io_copy(&c->stream, &c->stream, NULL);
    conn_close(c);
    free(c);
}

static inline void echo_run(void *arg)
{
    (void)arg;
    for (;;) {
        struct conn *c = malloc(sizeof(*c));
        struct addr peer;
        if (conn_accept(&world.backend, c, &peer) < 0) {
            free(c);
            return;
        }
        ck_assert_ptr_nonnull(fiber_spawn("echo one", echo_one, c, false));
    }
}

static inline void shard_main(void *arg)
{
    shard_run(arg);
}

static inline void receive_notices(int64_t deadline)
{
    struct mail *mail;
    while (mailbox_receive(world.control, &mail, deadline) == 0) {
        struct notice *n = container_of(mail, struct notice, mail);
        n->deliver(n);
    }
}

static inline void controller_run(void *arg)
{
    (void)arg;
    receive_notices(CLOCK_NEVER);
}

static inline void acceptor_closed(struct notice *n)
{
    acceptor_free(container_of(n, struct acceptor, closed));
}

/* A port of nobody's; with `ret` one where a backend that echoes listens. */
static inline unsigned port_of(struct conn *ret)
{
    struct addr a;
    int fd = listen_anywhere(&a);
    if (ret == NULL)
        close(fd);
    else
        conn_init(ret, fd, AF_INET);
    return addr_port(&a);
}

static inline const struct conf *load(const char *yaml)
{
    char path[] = "/tmp/weft-test-session-XXXXXX";
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, yaml, strlen(yaml)), (ssize_t)strlen(yaml));
    close(fd);
    struct conf_faults *faults = NULL;
    const struct conf *conf = NULL;
    ck_assert_int_eq(conf_load(path, &conf, &faults), 0);
    unlink(path);
    return conf;
}

/* Serve as `listener` says, with `dead` servers that are not there and one that echoes as a backup.
 */
static inline void begin_with(unsigned shards, const char *listener, unsigned dead, bool alive)
{
    char yaml[1024];
    memset(&world, 0, sizeof(world));
    int n = snprintf(yaml, sizeof(yaml),
                     "weft: {workers: %u}\n"
                     "log: {access: {output: off}}\n"
                     "listeners: {front: {bind: '127.0.0.1:1', pool: p%s%s}}\n"
                     "pools: {p: {connect_timeout: 10s, servers: [",
                     shards, *listener != '\0' ? ", " : "", listener);
    for (unsigned i = 0; i < dead; i++)
        n += snprintf(yaml + n, sizeof(yaml) - (size_t)n, "'127.0.0.1:%u', ", port_of(NULL));
    if (alive) {
        n += snprintf(yaml + n, sizeof(yaml) - (size_t)n, "{address: '127.0.0.1:%u', backup: %s}",
                      port_of(&world.backend), dead > 0 ? "true" : "false");
        world.echo = fiber_spawn("echo", echo_run, NULL, true);
    }
    snprintf(yaml + n, sizeof(yaml) - (size_t)n, "]}}\n");
    world.conf = load(yaml);
    world.sessions = session_pool_new();
    world.shards[0] = &world.shard;
    world.shards[1] = &world.other;
    world.control = mailbox_new(sched_self());
    world.controller = fiber_spawn("controller", controller_run, NULL, true);
    world.group =
        (struct shard_group){.shards = world.shards, .count = shards, .control = world.control};
    const struct proxy_options o = {
        .conf = world.conf, .generation = 1, .max_connections = 100, .shards = shards};
    world.proxy = proxy_new(&o);
    ck_assert_ptr_nonnull(world.proxy);
    proxy_apply_limits(world.proxy);
    ck_assert_int_eq(shard_init(&world.shard, 0, &world.group, sched_self(), world.sessions), 0);
    int fd = listen_anywhere(&world.front);
    struct acceptor *a = acceptor_new(&world.proxy->listeners[0], 0, fd, acceptor_closed);
    ck_assert_ptr_nonnull(a);
    acceptor_start(a, &world.shard);
    world.main = fiber_spawn("shard", shard_main, &world.shard, true);
    if (shards < 2)
        return;
    ck_assert_int_eq(shard_init(&world.other, 1, &world.group, sched_self(), world.sessions), 0);
    world.other_main = fiber_spawn("other shard", shard_main, &world.other, true);
}

static inline void begin(const char *listener, unsigned dead, bool alive)
{
    begin_with(1, listener, dead, alive);
}

static inline void end_other(void)
{
    shard_drain(&world.other);
    ck_assert_int_eq(fiber_join(world.other_main), 0);
    ck_assert_uint_eq(shard_active(&world.other), 0);
    shard_destroy(&world.other);
}

static inline void end(void)
{
    shard_drain(&world.shard);
    ck_assert_int_eq(fiber_join(world.main), 0);
    if (world.other_main != NULL)
        end_other();
    ck_assert_uint_eq(shard_active(&world.shard), 0);
    if (world.echo != NULL) {
        fiber_cancel(world.echo);
        ck_assert_int_eq(fiber_join(world.echo), 0);
        conn_close(&world.backend);
    }
    fiber_cancel(world.controller);
    ck_assert_int_eq(fiber_join(world.controller), 0);
    receive_notices(clock_now());
    mailbox_free(world.control);
    ck_assert_uint_eq(gate_active(&world.proxy->state->gate), 0);
    shard_destroy(&world.shard);
    proxy_free(world.proxy);
    conf_unref(world.conf);
    struct pool_stats st;
    pool_stats(world.sessions, &st);
    ck_assert_uint_eq(st.taken, 0);
    pool_free(world.sessions);
}

static inline void open_client(struct conn *c)
{
    struct socket_options o = {.nodelay = true};
    ck_assert_int_eq(conn_connect(c, &world.front, &o, clock_now() + SOON), 0);
    stream_deadline(&c->stream, clock_now() + SOON, clock_now() + SOON);
}

static inline void expect_echo(struct conn *c)
{
    char buf[5];
    ck_assert_int_eq(stream_write(&c->stream, "hello", 5), 0);
    ck_assert_int_eq(stream_read_full(&c->stream, buf, 5), 0);
    ck_assert_mem_eq(buf, "hello", 5);
}

static inline void world_set_up(void)
{
    ck_assert_int_eq(io_buffers_init(), 0);
}

static inline void world_tear_down(void)
{
    struct pool_stats st;
    pool_stats(io_buffers(), &st);
    ck_assert_uint_eq(st.taken, 0);
    io_buffers_free();
}

#endif
