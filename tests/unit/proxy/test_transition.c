#include "proxy/transition.h"

#include <errno.h>

#include "world.h"

static struct transition transition;
static struct proxy *next;
static struct list generations; /* those that are not freed */
static bool entered;
static unsigned acceptors_closed;

#define UNTIL(condition)                                                                           \
    for (int64_t give_up = clock_now() + SOON; !(condition);) {                                    \
        unit_assert(clock_now() < give_up);                                                        \
        unit_assert(fiber_sleep(clock_now() + NSEC_PER_MSEC) == 0);                                \
    }

static void note_entered(struct transition *t)
{
    (void)t;
    entered = true;
}

static void note_closed(struct notice *n)
{
    acceptor_free(container_of(n, struct acceptor, closed));
    acceptors_closed++;
}

static void begin_generations(unsigned shards, const char *listener)
{
    begin_with(shards, listener, 0, true);
    list_init(&generations);
    list_push_back(&generations, &world.proxy->link);
    acceptors_closed = 0;
}

/* Make the next generation, of these listeners, and the way to it for so many addresses. */
static void prepare(const char *listeners, size_t addresses)
{
    char yaml[1024];
    struct addr backend;
    socket_local(world.backend.poll.fd, &backend);
    snprintf(yaml, sizeof(yaml),
             "log: {access: {output: off}}\n"
             "listeners: {%s}\n"
             "pools: {p: {servers: ['127.0.0.1:%u']}}\n",
             listeners, addr_port(&backend));
    const struct conf *conf = load(yaml);
    const struct proxy_options o = {
        .conf = conf,
        .generation = world.proxy->generation + 1,
        .max_connections = 100,
        .shards = world.group.count,
        .previous = world.proxy,
    };
    next = proxy_new(&o);
    ck_assert_ptr_nonnull(next);
    conf_unref(conf);
    ck_assert_int_eq(transition_init(&transition, next, &world.group, addresses), 0);
    transition.done = note_entered;
    entered = false;
}

/* Go over to it, and retire the one before. */
static void go_over(void)
{
    list_push_back(&generations, &next->link);
    proxy_apply_limits(next);
    transition_begin(&transition);
    UNTIL(entered);
    transition_destroy(&transition);
    proxy_retire(world.proxy, &world.group);
    world.proxy = next;
}

static bool one_generation_left(void)
{
    return !list_empty(&generations) && generations.next == generations.prev;
}

static void expect_generation(uint64_t generation, unsigned sessions)
{
    unsigned found = 0;
    list_for_each (l, &world.shard.live) {
        const struct session *s = container_of(l, struct session, link);
        found += s->listener->proxy->generation == generation;
    }
    ck_assert_uint_eq(found, sessions);
}

static void kept(void *arg)
{
    (void)arg;
    begin_generations(1, "");
    struct conn old, new;
    open_client(&old);
    expect_echo(&old);
    prepare("other: {bind: ':3', pool: p}, front: {bind: ':1', pool: p, idle_timeout: 1s}", 1);
    ck_assert_ptr_eq(next->listeners[1].state, world.proxy->listeners[0].state);
    ck_assert_ptr_ne(next->listeners[0].state, world.proxy->listeners[0].state);
    ck_assert_ptr_eq(next->pools[0].state, world.proxy->pools[0].state);
    transition.listeners[0] = 1;
    go_over();
    open_client(&new);
    expect_echo(&new);
    expect_echo(&old);
    expect_generation(1, 1);
    expect_generation(2, 1);
    ck_assert_uint_eq(gate_active(&next->listeners[1].state->gate), 2);
    ck_assert(!one_generation_left());
    conn_reset(&old);
    UNTIL(one_generation_left());
    expect_echo(&new);
    conn_reset(&new);
    end();
}

START_TEST(a_session_keeps_its_generation_and_the_generation_stays_with_it)
{
    in_fiber(kept, NULL);
}
END_TEST

/* The n-th generation is retired while the sessions of all before it live. */
static void many(void *arg)
{
    (void)arg;
    begin_generations(1, "");
    struct conn c[8];
    for (size_t i = 0; i < array_size(c); i++) {
        open_client(&c[i]);
        expect_echo(&c[i]);
        prepare("front: {bind: ':1', pool: p}", 1);
        transition.listeners[0] = 0;
        go_over();
    }
    for (size_t i = 0; i < array_size(c); i++) {
        expect_echo(&c[i]);
        expect_generation(i + 1, 1);
        conn_reset(&c[i]);
    }
    UNTIL(one_generation_left());
    end();
}

START_TEST(generations_pile_up_only_as_long_as_sessions_live)
{
    in_fiber(many, NULL);
}
END_TEST

static void dropped(void *arg)
{
    (void)arg;
    begin_generations(1, "");
    struct conn live, queued;
    open_client(&live);
    expect_echo(&live);
    struct addr front;
    int fd = listen_anywhere(&front);
    prepare("other: {bind: ':3', pool: p}", 2);
    struct acceptor *a = acceptor_new(&next->listeners[0], 1, fd, note_closed);
    ck_assert_ptr_nonnull(a);
    transition.listeners[1] = 0;
    transition_add(&transition, 0, a);
    struct socket_options o = {.nodelay = true};
    ck_assert_int_eq(conn_connect(&queued, &world.front, &o, clock_now() + SOON), 0);
    go_over();
    expect_echo(&queued); /* it was in the backlog when its listener was dropped */
    expect_echo(&live);
    struct conn refused;
    ck_assert_int_eq(conn_connect(&refused, &world.front, &o, clock_now() + SOON), -ECONNREFUSED);
    world.front = front;
    struct conn c;
    open_client(&c);
    expect_echo(&c);
    conn_reset(&live);
    conn_reset(&queued);
    UNTIL(one_generation_left());
    prepare("front: {bind: ':1', pool: p}", 2);
    go_over();
    UNTIL(acceptors_closed == 1);
    expect_echo(&c);
    conn_reset(&c);
    end();
}

START_TEST(addresses_come_and_go)
{
    in_fiber(dropped, NULL);
}
END_TEST

static void moved(void *arg)
{
    (void)arg;
    begin_generations(1, "max_connections: 1");
    struct conn first, waiting;
    open_client(&first);
    expect_echo(&first);
    open_client(&waiting); /* and its acceptor waits for a place */
    UNTIL(atomic_load(&world.proxy->listeners[0].state->gate.waiting) == 1);
    prepare("other: {bind: ':1', pool: p, max_connections: 1}", 1);
    transition.listeners[0] = 0;
    struct listener_state *before = listener_state_ref(world.proxy->listeners[0].state);
    go_over();
    expect_echo(&waiting);
    expect_generation(2, 1);
    ck_assert_uint_eq(gate_active(&before->gate), 1);
    ck_assert_uint_eq(atomic_load(&before->gate.waiting), 0);
    conn_reset(&first);
    UNTIL(one_generation_left());
    ck_assert_uint_eq(gate_active(&before->gate), 0);
    listener_state_unref(before);
    conn_reset(&waiting);
    end();
}

START_TEST(who_waits_goes_over_to_the_new_listener_s_gate)
{
    in_fiber(moved, NULL);
}
END_TEST

/* It has a place at its listener's gate, and waits for one at the process's. */
static void moved_between_gates(void *arg)
{
    (void)arg;
    begin_generations(1, "");
    struct conn first, waiting;
    open_client(&first);
    expect_echo(&first);
    gate_set_max(&world.proxy->state->gate, 1);
    open_client(&waiting);
    UNTIL(atomic_load(&world.proxy->state->gate.waiting) == 1);
    prepare("other: {bind: ':1', pool: p}", 1);
    next->max_connections = 1;
    transition.listeners[0] = 0;
    struct listener_state *before = listener_state_ref(world.proxy->listeners[0].state);
    go_over();
    UNTIL(gate_active(&before->gate) == 1); /* the place is given back */
    UNTIL(gate_active(&next->listeners[0].state->gate) == 1);
    conn_reset(&first);
    expect_echo(&waiting);
    UNTIL(one_generation_left());
    listener_state_unref(before);
    conn_reset(&waiting);
    end();
}

START_TEST(a_place_at_the_old_gate_is_given_back)
{
    in_fiber(moved_between_gates, NULL);
}
END_TEST

static void widened(void *arg)
{
    (void)arg;
    begin_generations(1, "max_connections: 1");
    struct conn c[3];
    for (size_t i = 0; i < array_size(c); i++)
        open_client(&c[i]);
    expect_echo(&c[0]);
    UNTIL(atomic_load(&world.proxy->listeners[0].state->gate.waiting) == 1);
    prepare("front: {bind: ':1', pool: p, max_connections: 2}", 1);
    transition.listeners[0] = 0;
    go_over();
    expect_echo(&c[1]);
    ck_assert_uint_eq(gate_active(&next->listeners[0].state->gate), 2);
    conn_reset(&c[0]);
    expect_echo(&c[2]);
    conn_reset(&c[1]);
    conn_reset(&c[2]);
    end();
}

START_TEST(a_wider_gate_lets_in_who_waits)
{
    in_fiber(widened, NULL);
}
END_TEST

/* Connections handed over go with the generation they were accepted in, wherever they are. */
static void handed_over(void *arg)
{
    (void)arg;
    begin_generations(2, "");
    struct conn c[24];
    for (size_t i = 0; i < array_size(c); i++) {
        open_client(&c[i]);
        prepare("front: {bind: ':1', pool: p}", 1);
        transition.listeners[0] = 0;
        go_over();
    }
    for (size_t i = 0; i < array_size(c); i++)
        expect_echo(&c[i]);
    ck_assert_uint_gt(shard_active(&world.other), 0);
    for (size_t i = 0; i < array_size(c); i++)
        conn_reset(&c[i]);
    UNTIL(one_generation_left());
    end();
}

START_TEST(connections_between_shards_keep_their_generation)
{
    in_fiber(handed_over, NULL);
}
END_TEST

static void given_up(void *arg)
{
    (void)arg;
    begin_generations(1, "");
    struct addr front;
    int fd = listen_anywhere(&front);
    prepare("other: {bind: ':3', pool: p, max_connections: 3}", 2);
    struct acceptor *a = acceptor_new(&next->listeners[0], 1, fd, note_closed);
    ck_assert_ptr_nonnull(a);
    transition_add(&transition, 0, a);
    transition_destroy(&transition);
    proxy_free(next);
    struct conn c;
    struct socket_options o = {.nodelay = true};
    ck_assert_int_eq(conn_connect(&c, &front, &o, clock_now() + SOON), -ECONNREFUSED);
    open_client(&c);
    expect_echo(&c);
    conn_reset(&c);
    end();
}

START_TEST(one_that_does_not_begin_changes_nothing)
{
    in_fiber(given_up, NULL);
}
END_TEST

UNIT_MAIN_AROUND("transition", world_set_up, world_tear_down,
                 a_session_keeps_its_generation_and_the_generation_stays_with_it,
                 generations_pile_up_only_as_long_as_sessions_live, addresses_come_and_go,
                 who_waits_goes_over_to_the_new_listener_s_gate,
                 a_place_at_the_old_gate_is_given_back, a_wider_gate_lets_in_who_waits,
                 connections_between_shards_keep_their_generation,
                 one_that_does_not_begin_changes_nothing)
