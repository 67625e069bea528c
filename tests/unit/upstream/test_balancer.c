#include "upstream/balancer.h"

#include <errno.h>
#include <pthread.h>

#include "unit.h"

static struct conf_server servers[4];
static struct conf_pool pool = {.servers = servers};
static struct balancer_position position;
static struct balancer balancer;

static void begin(size_t count)
{
    pool.server_count = count;
    ck_assert_int_eq(balancer_init(&balancer, &pool, &position), 0);
}

static int pick_first(void)
{
    struct balancer_tried tried = {.count = 0};
    return balancer_pick(&balancer, &tried);
}

static void reset_servers(void)
{
    for (size_t i = 0; i < array_size(servers); i++)
        servers[i] = (struct conf_server){.weight = 1};
}

START_TEST(weights_hold_over_a_cycle)
{
    servers[0].weight = 3;
    begin(2);
    int first = 0;
    for (int i = 0; i < 400; i++)
        first += pick_first() == 0;
    ck_assert_int_eq(first, 300);
    balancer_free(&balancer);
}
END_TEST

START_TEST(a_retry_takes_another_server_and_backups_come_last)
{
    servers[1].backup = true;
    begin(4);
    struct balancer_tried tried = {.count = 0};
    unsigned seen = 0;
    for (int i = 0; i < 3; i++) {
        int server = balancer_pick(&balancer, &tried);
        ck_assert_int_ne(server, 1);
        ck_assert_uint_eq(seen & 1u << server, 0);
        seen |= 1u << server;
    }
    ck_assert_int_eq(balancer_pick(&balancer, &tried), 1);
    ck_assert_int_eq(balancer_pick(&balancer, &tried), -ENOENT);
    balancer_free(&balancer);
}
END_TEST

START_TEST(backups_alone_serve)
{
    servers[0].backup = servers[1].backup = true;
    begin(2);
    ck_assert_int_eq(pick_first(), 0);
    ck_assert_int_eq(pick_first(), 1);
    ck_assert_int_eq(pick_first(), 0);
    balancer_free(&balancer);
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
    balancer_free(&balancer);
}
END_TEST

UNIT_MAIN_AROUND("balancer", reset_servers, NULL, weights_hold_over_a_cycle,
                 a_retry_takes_another_server_and_backups_come_last, backups_alone_serve,
                 two_threads_share_one_turn)
