#include "upstream/least.h"

#include <errno.h>
#include <pthread.h>

#include "alloc.h"
#include "base/xorshift.h"
#include "unit.h"

#include "ranking.h"

static const size_t sizes[] = {1, 2, 7, 8, 9, 63, 64, 65, 513, 2000};

static unsigned least_active(void)
{
    unsigned least = UINT32_MAX;
    for (size_t i = 0; i < ranking_count; i++) {
        if (ranking_servers[i]->active < least)
            least = ranking_servers[i]->active;
    }
    return least;
}

START_TEST(always_one_of_the_least_loaded)
{
    for (size_t s = 0; s < array_size(sizes); s++) {
        ranking_make(sizes[s]);
        ranking_begin(CONF_LEAST_CONN, true);
        uint32_t random = 1;
        static int held[4 * RANKING_MOST];
        size_t count = 0;
        for (unsigned i = 0; i < UNIT_WORK(32000); i++) {
            bool leave = count == array_size(held) || (count > 0 && xorshift(&random) % 3 == 0);
            if (leave) {
                size_t k = xorshift(&random) % count;
                rank_leave(&ranking, (size_t)held[k], 0);
                held[k] = held[--count];
                continue;
            }
            unsigned least = least_active();
            held[count] = ranking_pick(i);
            unit_assert(held[count] >= 0);
            unit_assert(ranking_servers[held[count]]->active == least + 1);
            count++;
        }
        ranking_end();
    }
}
END_TEST

START_TEST(equals_take_turns_by_weight)
{
    unsigned counts[3];
    ranking_make(3);
    ranking_configure(0, 3, 0, 0);
    ranking_configure(1, 2, 0, 0);
    ranking_begin(CONF_LEAST_CONN, true);
    ranking_count_picks(600, 0, counts); /* one at a time: there is never anything to do */
    ck_assert_uint_eq(counts[0], 300);
    ck_assert_uint_eq(counts[1], 200);
    ck_assert_uint_eq(counts[2], 100);
    ranking_end();
}
END_TEST

START_TEST(held_connections_are_as_the_weights)
{
    ranking_make(20);
    for (size_t i = 0; i < 20; i++)
        ranking_configure(i, 1 + (unsigned)i, 0, 0);
    ranking_begin(CONF_LEAST_CONN, true);
    for (unsigned i = 0; i < 210 * 5; i++)
        ck_assert_int_ge(ranking_pick(i), 0);
    for (unsigned i = 0; i < 20; i++)
        ck_assert_uint_eq(ranking_servers[i]->active, 5 * (i + 1));
    ranking_end();
}
END_TEST

START_TEST(those_that_were_tried_are_left_out)
{
    ranking_make(100);
    ranking_begin(CONF_LEAST_CONN, true);
    for (size_t i = 0; i < 100; i++)
        ranking_servers[i]->active = (unsigned)i;
    struct pick p = ranking_pick_of(1, 0);
    for (int i = 0; i < PICK_TRIES_MAX; i++) {
        ck_assert_int_eq(rank_pick(&ranking, &p), i);
        p.tried[p.tried_count++] = (uint16_t)i;
    }
    ranking_end();
}
END_TEST

START_TEST(full_ones_and_none)
{
    ranking_make(20);
    for (size_t i = 0; i < 20; i++)
        ranking_configure(i, 1, 2, 0);
    ranking_begin(CONF_LEAST_CONN, true);
    for (unsigned i = 0; i < 40; i++)
        ck_assert_int_ge(ranking_pick(i), 0);
    ck_assert_int_eq(ranking_pick(41), -1);
    rank_leave(&ranking, 13, 0);
    ck_assert_int_eq(ranking_pick(42), 13);
    ck_assert_int_eq(ranking_pick(43), -1);
    ranking_end();
}
END_TEST

/* Nobody tells the groups: they find out by looking, each after so many picks at the latest. */
START_TEST(one_that_comes_up_is_found)
{
    ranking_make(2000);
    for (size_t i = 0; i < 2000; i++)
        ranking_servers[i]->active = 10;
    server_set(ranking_servers[1777], SERVER_DOWN, true);
    ranking_servers[1777]->active = 0;
    ranking_begin(CONF_LEAST_CONN, true);
    for (unsigned i = 0; i < 2000; i++)
        unit_assert(ranking_pick(i) != 1777);
    server_set(ranking_servers[1777], SERVER_DOWN, false);
    unsigned picks = 0;
    while (ranking_pick(picks) != 1777)
        ck_assert_uint_lt(++picks, 4 * 250 + 1);
    ck_assert_int_eq(ranking_pick(1), 1777);
    ranking_end();
}
END_TEST

#define ROUNDS UNIT_WORK(64000)
#define HELD   50

static void *come_and_go(void *arg)
{
    uint32_t random = *(const uint32_t *)arg;
    int held[HELD];
    for (int i = 0; i < HELD; i++)
        held[i] = -1;
    for (unsigned i = 0; i < ROUNDS; i++) {
        int *at = &held[xorshift(&random) % HELD];
        if (*at >= 0)
            rank_leave(&ranking, (size_t)*at, 0);
        struct pick p = {.random = &random};
        *at = rank_pick(&ranking, &p);
    }
    for (int i = 0; i < HELD; i++) {
        if (held[i] >= 0)
            rank_leave(&ranking, (size_t)held[i], 0);
    }
    return NULL;
}

START_TEST(threads_lose_no_connection_and_share_evenly)
{
    ranking_make(100);
    ranking_begin(CONF_LEAST_CONN, true);
    pthread_t threads[3];
    uint32_t seeds[3] = {1, 2, 3};
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, come_and_go, &seeds[i]), 0);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    for (size_t i = 0; i < ranking_count; i++)
        ck_assert_uint_eq(ranking_servers[i]->active, 0);
    /* What was left wrong is found out: then every one of them is filled up evenly. */
    for (unsigned i = 0; i < 10000; i++)
        ck_assert_int_ge(ranking_pick(i), 0);
    for (size_t i = 0; i < ranking_count; i++)
        ck_assert_uint_eq(ranking_servers[i]->active, 100);
    ranking_end();
}
END_TEST

START_TEST(no_memory_no_groups)
{
    struct least l;
    alloc_limit(0);
    int err = least_init(&l, 100);
    alloc_limit(-1);
    ck_assert_int_eq(err, -ENOMEM);
    least_free(&l);
    ck_assert_int_eq(least_init(&l, UINT16_MAX), 0);
    least_free(&l);
}
END_TEST

UNIT_MAIN("least", always_one_of_the_least_loaded, equals_take_turns_by_weight,
          held_connections_are_as_the_weights, those_that_were_tried_are_left_out,
          full_ones_and_none, one_that_comes_up_is_found,
          threads_lose_no_connection_and_share_evenly, no_memory_no_groups)
