#include "upstream/rank.h"

#include <errno.h>
#include <pthread.h>

#include "alloc.h"
#include "unit.h"

#include "ranking.h"

#define ALL_METHODS                                                                                \
    {                                                                                              \
        CONF_ROUND_ROBIN, CONF_LEAST_CONN, CONF_RANDOM, CONF_SOURCE_HASH, CONF_MAGLEV              \
    }

static const enum conf_balance methods[] = ALL_METHODS;
static unsigned counts[RANKING_MOST];

#define MILLION UNIT_WORK(1000000)

/* What a method lets a server's number of connections be off from its share [per cent]. */
static double tolerance(enum conf_balance method)
{
    switch (method) {
    case CONF_ROUND_ROBIN:
    case CONF_LEAST_CONN:
        return 0.1;
    case CONF_SOURCE_HASH:
        return MILLION == 1000000 ? 10 : 25; /* slots by chance, and clients by chance */
    default:
        return MILLION == 1000000 ? 5 : 20; /* clients by chance: five standard deviations */
    }
}

static void expect_share(enum conf_balance method, size_t place, double due)
{
    double off = 100 * (counts[place] / due - 1);
    ck_assert_msg(off < tolerance(method) && off > -tolerance(method),
                  "method %d, server %zu: off by %.2f %%", (int)method, place, off);
}

/* --- shares ----------------------------------------------------------------------------------- */

START_TEST(a_million_picks_are_evenly_spread)
{
    for (size_t m = 0; m < array_size(methods); m++) {
        ranking_make(100);
        ranking_begin(methods[m], true);
        ranking_count_picks(MILLION, 0, counts);
        for (size_t i = 0; i < 100; i++)
            expect_share(methods[m], i, MILLION / 100.0);
        ranking_end();
    }
}
END_TEST

START_TEST(a_million_picks_are_spread_by_weight)
{
    for (size_t m = 0; m < array_size(methods); m++) {
        ranking_make(10);
        for (size_t i = 0; i < 10; i++)
            ranking_configure(i, 1 + (unsigned)i, 0, 0);
        ranking_begin(methods[m], true);
        ranking_count_picks(MILLION / 55 * 55, 0, counts);
        for (size_t i = 0; i < 10; i++)
            expect_share(methods[m], i, MILLION / 55.0 * (double)(i + 1));
        ranking_end();
    }
}
END_TEST

/* A fifth of them down, and next to each other: the others keep their shares to each other. */
START_TEST(those_that_are_left_share_evenly)
{
    for (size_t m = 0; m < array_size(methods); m++) {
        ranking_make(100);
        for (size_t i = 30; i < 50; i++)
            ranking_down(i);
        ranking_begin(methods[m], true);
        ranking_count_picks(MILLION / 100 * 80, 0, counts);
        for (size_t i = 0; i < 100; i++) {
            if (i >= 30 && i < 50)
                ck_assert_uint_eq(counts[i], 0);
            else
                expect_share(methods[m], i, MILLION / 100.0);
        }
        ranking_end();
    }
}
END_TEST

START_TEST(turns_are_strict_among_those_that_are_up)
{
    ranking_make(4);
    ranking_down(1);
    ranking_begin(CONF_ROUND_ROBIN, false);
    for (int i = 0; i < 30; i++) {
        static const int order[] = {0, 2, 3};
        ck_assert_int_eq(ranking_pick(0), order[i % 3]);
    }
    ranking_end();
}
END_TEST

START_TEST(one_of_very_many_is_up)
{
    for (size_t m = 0; m < array_size(methods); m++) {
        ranking_make(2000);
        for (size_t i = 0; i < 2000; i++)
            ranking_down(i);
        ranking_begin(methods[m], true);
        ck_assert_int_eq(ranking_pick(1), -1);
        server_set(ranking_servers[1234], SERVER_DOWN, false);
        for (unsigned i = 0; i < 3000; i++)
            unit_assert(ranking_pick(i) == 1234);
        ranking_end();
    }
}
END_TEST

/* Nine tenths down in a row: who comes after them gets no more than the others. */
START_TEST(a_long_row_of_those_down_is_passed_as_one)
{
    ranking_make(1000);
    for (size_t i = 50; i < 950; i++)
        ranking_down(i);
    ranking_begin(CONF_ROUND_ROBIN, false);
    ranking_count_picks(10000, 0, counts);
    for (size_t i = 0; i < 1000; i++)
        ck_assert_uint_eq(counts[i], i < 50 || i >= 950 ? 100 : 0);
    ranking_end();
}
END_TEST

/* --- hashing ---------------------------------------------------------------------------------- */

#define CLIENTS 100000

static int of_client[2][CLIENTS];

static void ask_all(int *places, int64_t now)
{
    for (unsigned i = 0; i < CLIENTS; i++)
        places[i] = ranking_pick_at(i, now);
}

static const enum conf_balance hashing[] = {CONF_SOURCE_HASH, CONF_MAGLEV};

START_TEST(a_client_stays_with_its_server)
{
    for (size_t m = 0; m < array_size(hashing); m++) {
        ranking_make(50);
        ranking_begin(hashing[m], false);
        ask_all(of_client[0], 0);
        ask_all(of_client[1], 0);
        ck_assert_mem_eq(of_client[0], of_client[1], sizeof(of_client[0]));
        ranking_end();
    }
}
END_TEST

START_TEST(only_clients_of_those_down_move_and_all_come_back)
{
    for (size_t m = 0; m < array_size(hashing); m++) {
        ranking_make(50);
        ranking_begin(hashing[m], false);
        ask_all(of_client[0], 0);
        for (size_t i = 0; i < 5; i++)
            ranking_down(i * 10);
        ask_all(of_client[1], 0);
        unsigned moved = 0, to[50] = {0};
        for (unsigned i = 0; i < CLIENTS; i++) {
            bool must = of_client[0][i] % 10 == 0;
            unit_assert(must == (of_client[1][i] != of_client[0][i]));
            unit_assert(of_client[1][i] % 10 != 0);
            moved += must;
            to[of_client[1][i]] += must;
        }
        ck_assert_uint_gt(moved, CLIENTS / 10 * 9 / 10);
        ck_assert_uint_lt(moved, CLIENTS / 10 * 11 / 10);
        for (unsigned i = 0; i < 50; i++) { /* 222 to each that is up, if evenly */
            ck_assert(i % 10 == 0 ? to[i] == 0 : to[i] > 140 && to[i] < 310);
        }
        for (size_t i = 0; i < 5; i++)
            server_set(ranking_servers[i * 10], SERVER_DOWN, false);
        ask_all(of_client[1], 0);
        ck_assert_mem_eq(of_client[0], of_client[1], sizeof(of_client[0]));
        ranking_end();
    }
}
END_TEST

/* A tenth of the servers is taken out of the configuration, and the rank made anew. */
START_TEST(few_clients_move_when_servers_are_taken_out)
{
    for (size_t m = 0; m < array_size(hashing); m++) {
        ranking_make(100);
        ranking_begin(hashing[m], false);
        ask_all(of_client[0], 0);
        rank_free(&ranking);
        for (size_t i = 0; i < 10; i++)
            ranking_weights[i * 10] = 0;
        ranking_begin(hashing[m], false);
        ask_all(of_client[1], 0);
        unsigned moved = 0;
        for (unsigned i = 0; i < CLIENTS; i++)
            moved += of_client[0][i] != ranking.numbers[of_client[1][i]];
        ck_assert_uint_gt(moved, CLIENTS / 100 * 9);
        ck_assert_uint_lt(moved, CLIENTS / 100 * 12);
        ranking_end();
    }
}
END_TEST

START_TEST(clients_come_one_by_one_to_one_that_begins_slowly)
{
    for (size_t m = 0; m < array_size(hashing); m++) {
        ranking_make(10);
        ranking_configure(4, 1, 0, 100 * RANKING_SEC);
        ranking_begin(hashing[m], false);
        ask_all(of_client[0], 0);
        server_rise(ranking_servers[4], true, 0);
        unsigned before = 0;
        for (int64_t second = 10; second <= 100; second += 10) {
            ask_all(of_client[1], second * RANKING_SEC);
            unsigned here = 0;
            for (unsigned i = 0; i < CLIENTS; i++) {
                unit_assert(of_client[0][i] == 4 || of_client[1][i] == of_client[0][i]);
                here += of_client[1][i] == 4;
            }
            unsigned due = (unsigned)(CLIENTS / 10 * second / 100);
            ck_assert_uint_gt(here, before); /* none goes away again */
            ck_assert_uint_gt(here, due * 85 / 100);
            ck_assert_uint_lt(here, due * 115 / 100 + 100);
            before = here;
        }
        ck_assert_mem_eq(of_client[0], of_client[1], sizeof(of_client[0]));
        ranking_end();
    }
}
END_TEST

/* --- slow start ------------------------------------------------------------------------------- */

START_TEST(a_share_that_grows)
{
    static const enum conf_balance by_turns[] = {CONF_ROUND_ROBIN, CONF_LEAST_CONN, CONF_RANDOM};
    for (size_t m = 0; m < array_size(by_turns); m++) {
        ranking_make(5);
        ranking_configure(2, 1, 0, 100 * RANKING_SEC);
        ranking_begin(by_turns[m], true);
        server_rise(ranking_servers[2], true, 0);
        for (int64_t second = 0; second <= 100; second += 20) {
            ranking_count_picks(100000, second * RANKING_SEC, counts);
            double part = (double)second / 100, due = 100000 * part / (4 + part);
            ck_assert_double_gt(counts[2], due * 0.9 - 1);
            ck_assert_double_lt(counts[2], due * 1.1 + 250);
            for (int i = 0; i < 5; i++)
                ck_assert_double_gt(counts[i] + (i == 2 ? 30000 : 0), (100000 - due) / 4 * 0.95);
        }
        ranking_end();
    }
}
END_TEST

START_TEST(when_all_begin_slowly_they_share_all_the_same)
{
    for (size_t m = 0; m < array_size(methods); m++) {
        ranking_make(10);
        for (size_t i = 0; i < 10; i++)
            ranking_configure(i, 1, 0, 100 * RANKING_SEC);
        ranking_begin(methods[m], true);
        for (size_t i = 0; i < 10; i++)
            server_rise(ranking_servers[i], true, 0);
        ranking_count_picks(10000, RANKING_SEC, counts);
        for (size_t i = 0; i < 10; i++) {
            ck_assert_uint_gt(counts[i], 700);
            ck_assert_uint_lt(counts[i], 1300);
        }
        ranking_end();
    }
}
END_TEST

/* A server comes back to nine that have a hundred connections each: it is not run down. */
START_TEST(least_conn_does_not_fall_upon_one_that_begins_slowly)
{
    ranking_make(10);
    ranking_configure(0, 1, 0, 100 * RANKING_SEC);
    ranking_begin(CONF_LEAST_CONN, true);
    for (size_t i = 1; i < 10; i++)
        ranking_servers[i]->active = 100;
    server_rise(ranking_servers[0], true, 0);
    for (unsigned i = 0; i < 900; i++)
        ck_assert_int_ge(ranking_pick_at(i, 5 * RANKING_SEC), 0);
    ck_assert_uint_ge(ranking_servers[0]->active, 5); /* a twentieth of 200 */
    ck_assert_uint_le(ranking_servers[0]->active, 12);
    ranking_end();
}
END_TEST

/* --- failures, limits ------------------------------------------------------------------------- */

START_TEST(a_retry_takes_another_one)
{
    for (size_t m = 0; m < array_size(methods); m++) {
        ranking_make(PICK_TRIES_MAX);
        ranking_begin(methods[m], true);
        struct pick p = ranking_pick_of(5, 0);
        uint64_t seen = 0;
        for (int i = 0; i < PICK_TRIES_MAX; i++) {
            int place = rank_pick(&ranking, &p);
            ck_assert_int_ge(place, 0);
            ck_assert_uint_eq(seen >> place & 1, 0);
            seen |= UINT64_C(1) << place;
            p.tried[p.tried_count++] = ranking.numbers[place];
        }
        ck_assert_int_eq(rank_pick(&ranking, &p), -1);
        ranking_end();
    }
}
END_TEST

START_TEST(no_server_gets_more_than_its_limit)
{
    for (size_t m = 0; m < array_size(methods); m++) {
        ranking_make(10);
        for (size_t i = 0; i < 10; i++)
            ranking_configure(i, 1, 1 + (unsigned)i, 0);
        ranking_begin(methods[m], true);
        for (unsigned i = 0; i < 55; i++)
            ck_assert_int_ge(ranking_pick(i), 0);
        ck_assert_int_eq(ranking_pick(56), -1);
        for (unsigned i = 0; i < 10; i++)
            ck_assert_uint_eq(ranking_servers[i]->active, i + 1);
        ranking_end();
    }
}
END_TEST

static void *pick_hundred(void *arg)
{
    uint32_t random = 99;
    unsigned *got = arg;
    for (unsigned i = 0; i < 100; i++) {
        struct pick p = {.hash = hash_again(1, i + 1), .random = &random};
        *got += rank_pick(&ranking, &p) >= 0;
    }
    return NULL;
}

START_TEST(limits_hold_for_all_threads_together)
{
    for (size_t m = 0; m < array_size(methods); m++) {
        ranking_make(10);
        for (size_t i = 0; i < 10; i++)
            ranking_configure(i, 1, 15, 0);
        ranking_begin(methods[m], true);
        pthread_t thread;
        unsigned got[2] = {0};
        ck_assert_int_eq(pthread_create(&thread, NULL, pick_hundred, &got[1]), 0);
        pick_hundred(&got[0]);
        pthread_join(thread, NULL);
        ck_assert_uint_eq(got[0] + got[1], 150);
        for (size_t i = 0; i < 10; i++)
            ck_assert_uint_eq(ranking_servers[i]->active, 15);
        ranking_end();
    }
}
END_TEST

START_TEST(an_ejected_one_is_left_alone_for_its_time)
{
    for (size_t m = 0; m < array_size(methods); m++) {
        ranking_make(3);
        ranking_begin(methods[m], true);
        server_eject(ranking_servers[1], 10 * RANKING_SEC);
        ranking_count_picks(3000, 10 * RANKING_SEC - 1, counts);
        ck_assert_uint_eq(counts[1], 0);
        ranking_count_picks(3000, 10 * RANKING_SEC, counts);
        ck_assert_uint_gt(counts[1], 800);
        ranking_end();
    }
}
END_TEST

START_TEST(nothing_is_counted_where_nothing_needs_it)
{
    static const enum conf_balance uncounted[] = {CONF_ROUND_ROBIN, CONF_SOURCE_HASH, CONF_MAGLEV};
    for (size_t m = 0; m < array_size(uncounted); m++) {
        ranking_make(2);
        ranking_begin(uncounted[m], false);
        for (unsigned i = 0; i < 100; i++)
            ck_assert_int_ge(ranking_pick(i), 0);
        ck_assert_uint_eq(ranking_servers[0]->active + ranking_servers[1]->active, 0);
        ranking_end();
    }
}
END_TEST

/* --- making one ------------------------------------------------------------------------------- */

START_TEST(other_weights_hold_from_then_on)
{
    for (size_t m = 0; m < array_size(methods); m++) {
        ranking_make(4);
        ranking_begin(methods[m], true);
        ranking_count_picks(1000, 0, counts);
        for (unsigned i = 0; i < 4; i++)
            ranking_servers[i]->weight = 1 + i;
        ck_assert_int_eq(rank_reweigh(&ranking), 0);
        ranking_count_picks(MILLION / 10, 0, counts);
        for (size_t i = 0; i < 4; i++)
            expect_share(methods[m], i, MILLION / 100.0 * (double)(i + 1));
        ranking_end();
    }
}
END_TEST

START_TEST(only_those_wanted_are_in_it)
{
    for (size_t m = 0; m < array_size(methods); m++) {
        ranking_make(10);
        for (size_t i = 0; i < 10; i++)
            ranking_weights[i] = i % 3 == 1;
        ranking_begin(methods[m], true);
        ck_assert_uint_eq(ranking.count, 3);
        ranking_count_picks(300, 0, counts);
        for (size_t i = 0; i < 3; i++) {
            ck_assert_uint_gt(counts[i], 50);
            ck_assert_uint_eq(ranking.numbers[i], 3 * i + 1);
        }
        ranking_end();
    }
}
END_TEST

START_TEST(none_is_wanted)
{
    for (size_t m = 0; m < array_size(methods); m++) {
        ranking_make(2);
        ranking_weights[0] = ranking_weights[1] = 0;
        ranking_begin(methods[m], true);
        ck_assert_int_eq(ranking_pick(1), -1);
        ck_assert_int_eq(rank_reweigh(&ranking), 0);
        ranking_end();
    }
}
END_TEST

START_TEST(no_memory_no_rank)
{
    ranking_make(3);
    long before = alloc_live;
    for (size_t m = 0; m < array_size(methods); m++) {
        const struct rank_options o = ranking_options(methods[m], true);
        long budget = 0;
        for (int err = -ENOMEM; err < 0; budget++) {
            alloc_limit(budget);
            err = rank_init(&ranking, &o);
            alloc_limit(-1);
            unit_assert(err == 0 || err == -ENOMEM);
            unit_assert(err == 0 || alloc_live == before);
        }
        unit_assert(budget > 4);
        rank_free(&ranking);
        unit_assert(alloc_live == before);
    }
    ranking_end();
}
END_TEST

UNIT_MAIN("rank", a_million_picks_are_evenly_spread, a_million_picks_are_spread_by_weight,
          those_that_are_left_share_evenly, turns_are_strict_among_those_that_are_up,
          one_of_very_many_is_up, a_long_row_of_those_down_is_passed_as_one,
          a_client_stays_with_its_server, only_clients_of_those_down_move_and_all_come_back,
          few_clients_move_when_servers_are_taken_out,
          clients_come_one_by_one_to_one_that_begins_slowly, a_share_that_grows,
          when_all_begin_slowly_they_share_all_the_same,
          least_conn_does_not_fall_upon_one_that_begins_slowly, a_retry_takes_another_one,
          no_server_gets_more_than_its_limit, limits_hold_for_all_threads_together,
          an_ejected_one_is_left_alone_for_its_time, nothing_is_counted_where_nothing_needs_it,
          other_weights_hold_from_then_on, only_those_wanted_are_in_it, none_is_wanted,
          no_memory_no_rank)
