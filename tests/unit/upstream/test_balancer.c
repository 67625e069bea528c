#include "upstream/balancer.h"

#include <errno.h>
#include <pthread.h>

#include "alloc.h"
#include "unit.h"

#define MOST 8 /* servers */

static struct balancer_member members[MOST];
static struct balancer_position position;
static struct balancer_options options;
static struct balancer balancer;
static uint32_t random_state;

/* Servers that are up and primaries of weight 1, unless a test has another idea before begin(). */
static void make(void)
{
    random_state = 1;
    position = (struct balancer_position){.cursors = {0}};
    options = (struct balancer_options){.members = members, .position = &position};
    for (size_t i = 0; i < MOST; i++) {
        members[i] = (struct balancer_member){.server = server_new(i + 1), .weight = 1};
        ck_assert_ptr_nonnull(members[i].server);
        server_rise(members[i].server, false, 0);
    }
}

static void end(void)
{
    balancer_free(&balancer);
    for (size_t i = 0; i < MOST; i++)
        server_unref(members[i].server);
}

static void begin(size_t count)
{
    options.count = count;
    ck_assert_int_eq(balancer_init(&balancer, &options), 0);
}

static struct server *server(size_t i)
{
    return members[i].server;
}

static struct pick new_pick(void)
{
    return (struct pick){.random = &random_state};
}

static int pick_first(void)
{
    struct pick p = new_pick();
    return balancer_pick(&balancer, &p);
}

START_TEST(weights_hold_over_a_cycle)
{
    members[0].weight = 3;
    begin(2);
    int first = 0;
    for (int i = 0; i < 400; i++)
        first += pick_first() == 0;
    ck_assert_int_eq(first, 300);
}
END_TEST

START_TEST(a_retry_takes_another_server_and_backups_come_last)
{
    members[1].backup = true;
    begin(4);
    struct pick p = new_pick();
    unsigned seen = 0;
    for (int i = 0; i < 3; i++) {
        int picked = balancer_pick(&balancer, &p);
        ck_assert_int_ne(picked, 1);
        ck_assert_uint_eq(seen & 1u << picked, 0);
        seen |= 1u << picked;
    }
    ck_assert_int_eq(balancer_pick(&balancer, &p), 1);
    ck_assert_int_eq(balancer_pick(&balancer, &p), -ENOENT);
}
END_TEST

START_TEST(backups_alone_serve)
{
    members[0].backup = members[1].backup = true;
    begin(2);
    ck_assert_int_eq(pick_first(), 0);
    ck_assert_int_eq(pick_first(), 1);
    ck_assert_int_eq(pick_first(), 0);
}
END_TEST

START_TEST(backups_serve_while_no_primary_can)
{
    members[2].backup = true;
    begin(3);
    server_set(server(0), SERVER_DOWN, true);
    ck_assert_int_eq(pick_first(), 1);
    server_set(server(1), SERVER_DRAINED, true);
    ck_assert_int_eq(pick_first(), 2);
    server_set(server(0), SERVER_DOWN, false);
    ck_assert_int_eq(pick_first(), 0);
}
END_TEST

START_TEST(backups_serve_while_all_primaries_are_full)
{
    members[1].backup = true;
    options.limited = true;
    server_configure(server(0), &(struct server_options){.weight = 1, .max_connections = 1});
    begin(2);
    ck_assert_int_eq(pick_first(), 0);
    ck_assert_int_eq(pick_first(), 1);
    balancer_leave(&balancer, 0, 0);
    ck_assert_int_eq(pick_first(), 0);
    ck_assert_uint_eq(server(1)->active, 1);
    balancer_leave(&balancer, 1, 0);
    ck_assert_uint_eq(server(1)->active, 0);
}
END_TEST

/* What two primaries and a backup are, and what a pick is to return. */
enum state { UP, FULL, NEW, DOWN, OUT, TRIED };

static const struct reason {
    enum state states[3];
    int result;
} reasons[] = {
    {{DOWN, DOWN, DOWN}, -ENOENT}, {{DOWN, OUT, DOWN}, -ENOENT}, {{TRIED, TRIED, TRIED}, -ENOENT},
    {{FULL, DOWN, DOWN}, -EBUSY},  {{FULL, FULL, FULL}, -EBUSY}, {{DOWN, DOWN, FULL}, -EBUSY},
    {{DOWN, TRIED, FULL}, -EBUSY}, {{FULL, NEW, DOWN}, -EAGAIN}, {{NEW, NEW, NEW}, -EAGAIN},
    {{DOWN, NEW, UP}, -EAGAIN}, /* the backup has to wait for what the primary turns out to be */
    {{DOWN, FULL, NEW}, -EAGAIN},  {{DOWN, DOWN, NEW}, -EAGAIN}, {{NEW, UP, UP}, 1},
    {{DOWN, FULL, UP}, 2},         {{TRIED, DOWN, UP}, 2},       {{OUT, OUT, UP}, 2},
};

static void be(size_t i, enum state state, struct pick *p)
{
    static const unsigned flags[] = {[NEW] = SERVER_UNCHECKED,
                                     [DOWN] = SERVER_DOWN,
                                     [OUT] = SERVER_DISABLED | SERVER_UNCHECKED,
                                     [TRIED] = 0};
    server(i)->flags = SERVER_LIMITED | flags[state];
    server(i)->active = state == FULL;
    if (state == TRIED)
        p->tried[p->tried_count++] = (uint16_t)i;
}

START_TEST(why_there_is_none)
{
    static const enum conf_balance methods[] = {CONF_ROUND_ROBIN, CONF_LEAST_CONN, CONF_RANDOM,
                                                CONF_SOURCE_HASH, CONF_MAGLEV};
    members[2].backup = true;
    options.limited = true;
    for (size_t i = 0; i < 3; i++)
        server_configure(server(i), &(struct server_options){.weight = 1, .max_connections = 1});
    for (size_t m = 0; m < array_size(methods); m++) {
        options.method = methods[m];
        begin(3);
        for (size_t i = 0; i < array_size(reasons); i++) {
            struct pick p = new_pick();
            for (size_t k = 0; k < 3; k++)
                be(k, reasons[i].states[k], &p);
            int got = balancer_pick(&balancer, &p);
            ck_assert_msg(got == reasons[i].result, "row %zu, method %zu: %d", i, m, got);
        }
        balancer_free(&balancer);
    }
}
END_TEST

START_TEST(so_many_tries_and_no_more)
{
    begin(1);
    struct pick p = new_pick();
    for (; p.tried_count < PICK_TRIES_MAX; p.tried_count++)
        p.tried[p.tried_count] = 7;
    ck_assert_int_eq(balancer_pick(&balancer, &p), -ENOENT);
}
END_TEST

START_TEST(counted_where_the_method_or_a_limit_needs_it)
{
    static const struct {
        enum conf_balance method;
        bool limited, counted;
    } rows[] = {
        {CONF_ROUND_ROBIN, false, false}, {CONF_ROUND_ROBIN, true, true},
        {CONF_LEAST_CONN, false, true},   {CONF_RANDOM, false, true},
        {CONF_SOURCE_HASH, false, false}, {CONF_MAGLEV, true, true},
    };
    for (size_t i = 0; i < array_size(rows); i++) {
        options.method = rows[i].method;
        options.limited = rows[i].limited;
        begin(1);
        ck_assert_int_eq(balancer.counted, rows[i].counted);
        ck_assert_int_eq(pick_first(), 0);
        ck_assert_uint_eq(server(0)->active, rows[i].counted);
        if (balancer.counted)
            balancer_leave(&balancer, 0, 0);
        balancer_free(&balancer);
    }
}
END_TEST

/* The next generation of a pool: its turns go on, and its servers have what they had. */
START_TEST(another_one_of_the_same_servers_goes_on)
{
    options.method = CONF_LEAST_CONN;
    begin(3);
    ck_assert_int_eq(pick_first(), 0);
    struct balancer next;
    options.count = 4;
    ck_assert_int_eq(balancer_init(&next, &options), 0);
    struct pick p = new_pick();
    ck_assert_int_eq(balancer_pick(&next, &p), 1);
    balancer_leave(&balancer, 0, 0);
    for (int i = 0; i < 3; i++) {
        struct pick other = new_pick();
        ck_assert_int_ne(balancer_pick(&next, &other), 1);
    }
    for (size_t i = 0; i < 4; i++)
        ck_assert_uint_eq(server(i)->active, 1);
    balancer_free(&next);
}
END_TEST

START_TEST(other_weights)
{
    begin(2);
    server(1)->weight = 3;
    ck_assert_int_eq(balancer_reweigh(&balancer), 0);
    int second = 0;
    for (int i = 0; i < 400; i++)
        second += pick_first() == 1;
    ck_assert_int_eq(second, 300);
}
END_TEST

#define SEC INT64_C(1000000000) /* [ns] */

static const struct outlier_limits limits = {
    .failures = 3, .window = 10 * SEC, .eject = 20 * SEC, .max_ejected = 50};

/* As many failures of a server at a time. Returns what the last one comes to; no other comes to
 * anything. */
static int64_t fail_often(size_t failing, int times, int64_t now)
{
    for (int i = 1; i < times; i++)
        ck_assert_int_eq(balancer_fail(&balancer, failing, now), 0);
    return balancer_fail(&balancer, failing, now);
}

START_TEST(a_server_that_fails_is_left_alone)
{
    options.outlier = limits;
    begin(4);
    ck_assert_int_eq(fail_often(1, 3, 100 * SEC), 20 * SEC);
    ck_assert(!server_usable(server(1), 120 * SEC - 1));
    ck_assert(server_usable(server(1), 120 * SEC));
    ck_assert_int_eq(fail_often(1, 10, 110 * SEC), 0); /* stragglers */
    ck_assert(!balancer_tend(&balancer, 1, 120 * SEC - 1));
    ck_assert(balancer_tend(&balancer, 1, 120 * SEC));
    ck_assert(!balancer_tend(&balancer, 1, 120 * SEC));
    ck_assert_uint_eq(server(1)->flags, 0);
    ck_assert_int_eq(fail_often(1, 3, 121 * SEC), 40 * SEC);
}
END_TEST

START_TEST(never_more_than_a_share_of_the_servers)
{
    options.outlier = limits;
    begin(5);
    ck_assert_int_eq(fail_often(0, 3, 100 * SEC), 20 * SEC);
    ck_assert_int_eq(fail_often(1, 3, 105 * SEC), 20 * SEC);
    ck_assert_int_eq(fail_often(2, 3, 110 * SEC), 0);
    ck_assert(server_usable(server(2), 110 * SEC));
    ck_assert_int_eq(fail_often(2, 3, 119 * SEC), 0);
    ck_assert_int_eq(fail_often(2, 3, 120 * SEC), 20 * SEC); /* the first one is back */
    ck_assert_int_eq(fail_often(3, 3, 121 * SEC), 0);
}
END_TEST

START_TEST(the_last_one_that_can_be_used_stays)
{
    options.outlier = limits;
    options.outlier.max_ejected = 100;
    begin(3);
    server_set(server(0), SERVER_DOWN, true);
    ck_assert_int_eq(fail_often(1, 3, 100 * SEC), 20 * SEC);
    ck_assert_int_eq(fail_often(2, 9, 100 * SEC), 0);
    ck_assert(server_usable(server(2), 100 * SEC));
}
END_TEST

START_TEST(nobody_is_left_alone_when_it_is_off)
{
    begin(4);
    ck_assert_int_eq(fail_often(1, 100, SEC), 0);
    ck_assert(server_usable(server(1), SEC));
}
END_TEST

static atomic_uint ejected;

static void *fail_all(void *arg)
{
    (void)arg;
    for (int i = 0; i < 3; i++) {
        for (size_t s = 0; s < MOST; s++)
            atomic_fetch_add(&ejected, balancer_fail(&balancer, s, SEC) > 0);
    }
    return NULL;
}

START_TEST(threads_together_keep_to_the_share)
{
    options.outlier = limits;
    begin(MOST);
    pthread_t threads[4];
    for (size_t i = 0; i < array_size(threads); i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, fail_all, NULL), 0);
    for (size_t i = 0; i < array_size(threads); i++)
        pthread_join(threads[i], NULL);
    ck_assert_uint_eq(ejected, MOST / 2);
    unsigned usable = 0;
    for (size_t i = 0; i < MOST; i++)
        usable += server_usable(server(i), SEC);
    ck_assert_uint_eq(usable, MOST / 2);
}
END_TEST

static void *pick_many(void *arg)
{
    unsigned *counts = arg;
    for (int i = 0; i < 100000; i++)
        counts[pick_first()]++;
    return NULL;
}

START_TEST(two_threads_share_one_turn)
{
    begin(4);
    unsigned counts[2][4] = {{0}};
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, pick_many, counts[1]), 0);
    pick_many(counts[0]);
    pthread_join(thread, NULL);
    for (int i = 0; i < 4; i++)
        ck_assert_uint_eq(counts[0][i] + counts[1][i], 50000);
}
END_TEST

START_TEST(no_memory_no_balancer)
{
    options.count = 3;
    options.method = CONF_MAGLEV;
    long before = alloc_live, budget = 0;
    for (int err = -ENOMEM; err < 0; budget++) {
        alloc_limit(budget);
        err = balancer_init(&balancer, &options);
        alloc_limit(-1);
        unit_assert(err == 0 || err == -ENOMEM);
        unit_assert(err == 0 || alloc_live == before);
    }
    balancer_free(&balancer);
    unit_assert(alloc_live == before);
    ck_assert_int_gt(budget, 10);
}
END_TEST

UNIT_MAIN_AROUND("balancer", make, end, weights_hold_over_a_cycle,
                 a_retry_takes_another_server_and_backups_come_last, backups_alone_serve,
                 backups_serve_while_no_primary_can, backups_serve_while_all_primaries_are_full,
                 why_there_is_none, so_many_tries_and_no_more,
                 counted_where_the_method_or_a_limit_needs_it,
                 another_one_of_the_same_servers_goes_on, other_weights,
                 a_server_that_fails_is_left_alone, never_more_than_a_share_of_the_servers,
                 the_last_one_that_can_be_used_stays, nobody_is_left_alone_when_it_is_off,
                 threads_together_keep_to_the_share, two_threads_share_one_turn,
                 no_memory_no_balancer)
