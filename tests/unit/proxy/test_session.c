/*
 * The whole way of a connection on one thread: shards with an acceptor, and clients and a
 * backend that are fibers beside them.
 */
#include "proxy/session.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fiber/sync.h"
#include "fibers.h"
#include "io/buffers.h"
#include "io/copy.h"
#include "proxy/acceptor.h"
#include "unit.h"

#define SOON (10 * NSEC_PER_SEC)

/* Everything one test is about. */
static struct {
    const struct conf *conf;
    struct proxy *proxy;
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

static struct addr loopback(void)
{
    struct addr a = {.len = sizeof(a.in)};
    a.in.sin_family = AF_INET;
    a.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return a;
}

static int listen_anywhere(struct addr *ret)
{
    struct addr a = loopback();
    struct socket_listen_options o = {.backlog = 64};
    int fd = socket_listen(&a, &o);
    ck_assert_int_ge(fd, 0);
    socket_local(fd, ret);
    return fd;
}

static void echo_one(void *arg)
{
    struct conn *c = arg;
    (void)!io_copy(&c->stream, &c->stream, NULL);
    conn_close(c);
    free(c);
}

static void echo_run(void *arg)
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

static void shard_main(void *arg)
{
    shard_run(arg);
}

/* A port of nobody's; with `ret` one where a backend that echoes listens. */
static unsigned port_of(struct conn *ret)
{
    struct addr a;
    int fd = listen_anywhere(&a);
    if (ret == NULL)
        close(fd);
    else
        conn_init(ret, fd, AF_INET);
    return addr_port(&a);
}

static void load(const char *yaml)
{
    char path[] = "/tmp/weft-test-session-XXXXXX";
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, yaml, strlen(yaml)), (ssize_t)strlen(yaml));
    close(fd);
    struct conf_faults *faults = NULL;
    ck_assert_int_eq(conf_load(path, &world.conf, &faults), 0);
    unlink(path);
}

/* Serve as `listener` says, with `dead` servers that are not there and one that echoes as a backup.
 */
static void begin_with(unsigned shards, const char *listener, unsigned dead, bool alive)
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
    load(yaml);
    world.sessions = session_pool_new();
    world.shards[0] = &world.shard;
    world.shards[1] = &world.other;
    world.group = (struct shard_group){.shards = world.shards, .count = shards};
    world.proxy = proxy_new(world.conf, 1, 100);
    ck_assert_int_eq(shard_init(&world.shard, 0, &world.group, sched_self(), world.sessions), 0);
    int fd = listen_anywhere(&world.front);
    ck_assert_ptr_nonnull(acceptor_start(&world.shard, &world.proxy->listeners[0], fd));
    world.main = fiber_spawn("shard", shard_main, &world.shard, true);
    if (shards < 2)
        return;
    ck_assert_int_eq(shard_init(&world.other, 1, &world.group, sched_self(), world.sessions), 0);
    world.other_main = fiber_spawn("other shard", shard_main, &world.other, true);
}

static void begin(const char *listener, unsigned dead, bool alive)
{
    begin_with(1, listener, dead, alive);
}

static void end_other(void)
{
    shard_drain(&world.other);
    ck_assert_int_eq(fiber_join(world.other_main), 0);
    ck_assert_uint_eq(shard_active(&world.other), 0);
    shard_destroy(&world.other);
}

static void end(void)
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
    ck_assert_uint_eq(gate_active(&world.proxy->gate), 0);
    shard_destroy(&world.shard);
    proxy_free(world.proxy);
    conf_unref(world.conf);
    struct pool_stats st;
    pool_stats(world.sessions, &st);
    ck_assert_uint_eq(st.taken, 0);
    pool_free(world.sessions);
}

static void open_client(struct conn *c)
{
    struct socket_options o = {.nodelay = true};
    ck_assert_int_eq(conn_connect(c, &world.front, &o, clock_now() + SOON), 0);
    stream_deadline(&c->stream, clock_now() + SOON, clock_now() + SOON);
}

static void expect_echo(struct conn *c)
{
    char buf[5];
    ck_assert_int_eq(stream_write(&c->stream, "hello", 5), 0);
    ck_assert_int_eq(stream_read_full(&c->stream, buf, 5), 0);
    ck_assert_mem_eq(buf, "hello", 5);
}

/* What the listener has counted, all shards together. */
static void expect_counted(uint64_t connections, uint64_t received, uint64_t sent)
{
    struct counters_sum sum;
    counters_sum(world.proxy->listeners[0].counters, world.group.count, &sum);
    ck_assert_uint_eq(sum.connections, connections);
    ck_assert_uint_eq(sum.received, received);
    ck_assert_uint_eq(sum.sent, sent);
}

static void proxied(void *arg)
{
    (void)arg;
    begin("", 0, true);
    struct conn c;
    open_client(&c);
    expect_echo(&c);
    expect_counted(1, 5, 5);
    expect_echo(&c);
    expect_counted(1, 10, 10);
    ck_assert_uint_eq(shard_active(&world.shard), 1);
    ck_assert_int_eq(conn_shutdown(&c), 0);
    char byte;
    ck_assert_int_eq(stream_read(&c.stream, &byte, 1), 0);
    conn_close(&c);
    end();
}

START_TEST(a_client_reaches_its_server)
{
    in_fiber(proxied, NULL);
}
END_TEST

static void retried(void *arg)
{
    (void)arg;
    begin("", 2, true);
    for (int i = 0; i < 4; i++) {
        struct conn c;
        open_client(&c);
        expect_echo(&c);
        conn_reset(&c);
    }
    end();
}

START_TEST(dead_servers_are_passed_over)
{
    in_fiber(retried, NULL);
}
END_TEST

static void nobody(void *arg)
{
    (void)arg;
    begin("", 2, false);
    struct conn c;
    open_client(&c);
    char byte;
    ck_assert_int_eq(stream_read(&c.stream, &byte, 1), -ECONNRESET);
    conn_close(&c);
    expect_counted(1, 0, 0);
    end();
}

START_TEST(no_server_left_is_told_at_once)
{
    in_fiber(nobody, NULL);
}
END_TEST

static void idle(void *arg)
{
    (void)arg;
    begin("idle_timeout: 50ms", 0, true);
    struct conn c;
    open_client(&c);
    expect_echo(&c);
    char byte;
    ck_assert_int_eq(stream_read(&c.stream, &byte, 1), 0);
    conn_close(&c);
    end();
}

START_TEST(an_idle_connection_is_closed)
{
    in_fiber(idle, NULL);
}
END_TEST

static void ended(void *arg)
{
    (void)arg;
    begin("", 0, true);
    struct conn c[10];
    for (int i = 0; i < 10; i++) {
        open_client(&c[i]);
        expect_echo(&c[i]);
    }
    shard_drain(&world.shard);
    shard_end_sessions(&world.shard, END_DRAINED);
    for (int i = 0; i < 10; i++) {
        char byte;
        ck_assert_int_eq(stream_read(&c[i].stream, &byte, 1), 0);
        conn_close(&c[i]);
    }
    end();
}

START_TEST(live_sessions_can_be_ended)
{
    in_fiber(ended, NULL);
}
END_TEST

static void limited(void *arg)
{
    (void)arg;
    begin("max_connections: 2", 0, true);
    struct conn c[3];
    for (int i = 0; i < 3; i++)
        open_client(&c[i]); /* the third one's connect is the kernel's backlog speaking */
    expect_echo(&c[0]);
    expect_echo(&c[1]);
    ck_assert_uint_eq(shard_active(&world.shard), 2);
    conn_reset(&c[0]);
    expect_echo(&c[2]);
    conn_reset(&c[1]);
    conn_reset(&c[2]);
    end();
}

START_TEST(over_the_limit_waits_its_turn)
{
    in_fiber(limited, NULL);
}
END_TEST

static void unfair(void *arg)
{
    (void)arg;
    begin_with(2, "", 0, true);
    struct conn c[24];
    for (size_t i = 0; i < array_size(c); i++) {
        open_client(&c[i]);
        expect_echo(&c[i]);
    }
    uint64_t kept = shard_active(&world.shard), given = shard_active(&world.other);
    ck_assert_uint_eq(kept + given, array_size(c));
    ck_assert_uint_le(kept, given + 2 + given / 4);
    ck_assert_uint_eq(counters_read(&world.shard.handed_over), given);
    ck_assert_uint_eq(counters_read(&world.shard.started), kept);
    ck_assert_uint_eq(counters_read(&world.other.started), given);
    expect_counted(array_size(c), 5 * array_size(c), 5 * array_size(c));
    for (size_t i = 0; i < array_size(c); i++)
        conn_reset(&c[i]);
    end();
}

START_TEST(a_shard_with_more_than_its_share_hands_over)
{
    in_fiber(unfair, NULL);
}
END_TEST

/* Sessions on their way to a shard that drains are not lost, or not given. */
static void draining(void *arg)
{
    (void)arg;
    begin_with(2, "", 0, true);
    struct conn c[24];
    for (size_t i = 0; i < array_size(c); i++)
        open_client(&c[i]);
    shard_drain(&world.other);
    for (size_t i = 0; i < array_size(c); i++)
        expect_echo(&c[i]);
    for (size_t i = 0; i < array_size(c); i++)
        conn_reset(&c[i]);
    end();
}

START_TEST(nothing_is_lost_on_the_way_to_a_shard_that_drains)
{
    in_fiber(draining, NULL);
}
END_TEST

static void set_up(void)
{
    ck_assert_int_eq(io_buffers_init(), 0);
}

static void tear_down(void)
{
    struct pool_stats st;
    pool_stats(io_buffers(), &st);
    ck_assert_uint_eq(st.taken, 0);
    io_buffers_free();
}

UNIT_MAIN_AROUND("session", set_up, tear_down, a_client_reaches_its_server,
                 dead_servers_are_passed_over, no_server_left_is_told_at_once,
                 an_idle_connection_is_closed, live_sessions_can_be_ended,
                 over_the_limit_waits_its_turn, a_shard_with_more_than_its_share_hands_over,
                 nothing_is_lost_on_the_way_to_a_shard_that_drains)
