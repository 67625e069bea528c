#include "proxy/queue.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>

#include "unit.h"

#define SERVERS 2

static struct queue queue;
static struct balancer balancer;
static struct balancer_position position;
static struct balancer_member members[SERVERS];

/* Two servers, with room for one connection each. */
static void begin(void)
{
    queue_init(&queue);
    for (size_t i = 0; i < SERVERS; i++) {
        members[i] = (struct balancer_member){.server = server_new(i), .weight = 1};
        server_rise(members[i].server, false, 0);
        const struct server_options o = {.weight = 1, .max_connections = 1};
        server_configure(members[i].server, &o);
    }
    const struct balancer_options o = {
        .limited = true, .members = members, .count = SERVERS, .position = &position};
    ck_assert_int_eq(balancer_init(&balancer, &o), 0);
}

static void end(void)
{
    ck_assert(!queue_busy(&queue));
    balancer_free(&balancer);
    for (size_t i = 0; i < SERVERS; i++)
        server_unref(members[i].server);
    queue_destroy(&queue);
}

struct client {
    struct queue_waiter waiter;
    struct pick pick;
    atomic_int wakes;
};

static void note_wake(struct queue_waiter *w)
{
    atomic_fetch_add(&container_of(w, struct client, waiter)->wakes, 1);
}

static struct client new_client(void)
{
    return (struct client){.waiter = {.balancer = &balancer, .patient = true, .wake = note_wake}};
}

static void join(struct client *c)
{
    c->waiter.pick = &c->pick;
    ck_assert(queue_join(&queue, &c->waiter, UINT_MAX));
    queue_serve(&queue, 0);
}

static void leave_server(int server)
{
    balancer_leave(&balancer, (size_t)server, 0);
    queue_serve(&queue, 0);
}

static void fill_up(void)
{
    struct client c[SERVERS];
    for (int i = 0; i < SERVERS; i++) {
        c[i] = new_client();
        join(&c[i]);
        ck_assert_int_eq(c[i].wakes, 1);
        ck_assert_int_eq(c[i].waiter.result, i);
    }
}

START_TEST(first_come_first_served)
{
    struct client c[4];
    fill_up();
    for (int i = 0; i < 4; i++) {
        c[i] = new_client();
        join(&c[i]);
    }
    ck_assert(queue_busy(&queue));
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(c[i].wakes, 0);
        leave_server(i % 2);
        ck_assert_int_eq(c[i].wakes, 1);
        ck_assert_int_eq(c[i].waiter.result, i % 2);
    }
    leave_server(0);
    leave_server(1);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(c[i].wakes, 1);
}
END_TEST

START_TEST(so_many_wait_and_no_more)
{
    struct client c[3];
    fill_up();
    for (int i = 0; i < 3; i++) {
        c[i] = new_client();
        c[i].waiter.pick = &c[i].pick;
        ck_assert_int_eq(queue_join(&queue, &c[i].waiter, 2), i < 2);
    }
    ck_assert(queue_leave(&queue, &c[0].waiter));
    ck_assert(queue_join(&queue, &c[2].waiter, 2));
    ck_assert(queue_leave(&queue, &c[1].waiter));
    ck_assert(queue_leave(&queue, &c[2].waiter));
}
END_TEST

START_TEST(who_has_left_is_not_served)
{
    struct client a = new_client(), b = new_client();
    fill_up();
    join(&a);
    join(&b);
    ck_assert(queue_leave(&queue, &a.waiter));
    leave_server(1);
    ck_assert_int_eq(a.wakes, 0);
    ck_assert_int_eq(b.wakes, 1);
    ck_assert(!queue_leave(&queue, &b.waiter)); /* too late: the place is his */
    ck_assert_int_eq(b.waiter.result, 1);
}
END_TEST

START_TEST(one_who_is_choosy_holds_nobody_up)
{
    struct client choosy = new_client(), other = new_client();
    fill_up();
    choosy.pick.tried_count = 1;
    choosy.pick.tried[0] = 0;
    join(&choosy);
    join(&other);
    leave_server(0);
    ck_assert_int_eq(choosy.wakes, 0);
    ck_assert_int_eq(other.waiter.result, 0);
    leave_server(1);
    ck_assert_int_eq(choosy.waiter.result, 1);
}
END_TEST

START_TEST(all_are_told_when_no_server_is_left)
{
    struct client c[3];
    fill_up();
    for (int i = 0; i < 3; i++) {
        c[i] = new_client();
        join(&c[i]);
    }
    for (size_t i = 0; i < SERVERS; i++)
        server_set(members[i].server, SERVER_DOWN, true);
    queue_serve(&queue, 0);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(c[i].wakes, 1);
        ck_assert_int_eq(c[i].waiter.result, -ENOENT);
    }
}
END_TEST

/* New servers are waited for by those too who would not wait for room. */
START_TEST(one_who_only_waits_for_checks)
{
    for (size_t i = 0; i < SERVERS; i++)
        server_set(members[i].server, SERVER_UNCHECKED, true);
    struct client a = new_client(), b = new_client(), c = new_client();
    a.waiter.patient = b.waiter.patient = c.waiter.patient = false;
    join(&a);
    join(&b);
    join(&c);
    ck_assert_int_eq(a.wakes + b.wakes + c.wakes, 0);
    server_set(members[0].server, SERVER_UNCHECKED, false);
    queue_serve(&queue, 0);
    ck_assert_int_eq(a.waiter.result, 0);
    ck_assert_int_eq(b.wakes + c.wakes, 0); /* the second one may come up yet */
    server_set(members[1].server, SERVER_UNCHECKED, false);
    queue_serve(&queue, 0);
    ck_assert_int_eq(b.waiter.result, 1);
    ck_assert_int_eq(c.waiter.result, -EBUSY);
}
END_TEST

/* --- threads ---------------------------------------------------------------------------------- */

#define THREADS 4
#define ROUNDS  UNIT_WORK(32000)

static atomic_uint inside[SERVERS];
static atomic_uint too_many;

/* A connection as the proxy makes it: picked at once, or waited for. */
static int get_server(struct client *c)
{
    uint32_t random = 1;
    c->pick = (struct pick){.random = &random};
    if (!queue_busy(&queue)) {
        int server = balancer_pick(&balancer, &c->pick);
        if (server >= 0)
            return server;
    }
    int before = atomic_load(&c->wakes);
    c->waiter.pick = &c->pick;
    unit_assert(queue_join(&queue, &c->waiter, UINT_MAX));
    queue_serve(&queue, 0);
    while (atomic_load(&c->wakes) == before)
        sched_yield(); /* hangs here when a turn is lost */
    return c->waiter.result;
}

static void *visitor(void *arg)
{
    (void)arg;
    struct client c = new_client();
    for (unsigned i = 0; i < ROUNDS; i++) {
        int server = get_server(&c);
        if (atomic_fetch_add(&inside[server], 1) > 0)
            atomic_fetch_add(&too_many, 1);
        atomic_fetch_sub(&inside[server], 1);
        balancer_leave(&balancer, (size_t)server, 0);
        if (queue_busy(&queue))
            queue_serve(&queue, 0);
    }
    return NULL;
}

START_TEST(no_turn_is_lost_between_threads)
{
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, visitor, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    ck_assert_uint_eq(too_many, 0);
    for (size_t i = 0; i < SERVERS; i++)
        ck_assert_uint_eq(members[i].server->active, 0);
}
END_TEST

UNIT_MAIN_AROUND("queue", begin, end, first_come_first_served, so_many_wait_and_no_more,
                 who_has_left_is_not_served, one_who_is_choosy_holds_nobody_up,
                 all_are_told_when_no_server_is_left, one_who_only_waits_for_checks,
                 no_turn_is_lost_between_threads)
