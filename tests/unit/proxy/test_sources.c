#include "proxy/sources.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "alloc.h"
#include "base/clock.h"
#include "unit.h"

#define SEC NSEC_PER_SEC

static struct sources *table;

static void set_up(void)
{
    table = sources_new(SOURCES_IDLE_MAX);
    ck_assert_ptr_nonnull(table);
}

static void tear_down(void)
{
    sources_free(table);
}

static struct sockaddr_storage address(const char *text)
{
    struct sockaddr_storage at = {.ss_family = AF_UNIX};
    if (inet_pton(AF_INET, text, &((struct sockaddr_in *)&at)->sin_addr) == 1)
        at.ss_family = AF_INET;
    else if (inet_pton(AF_INET6, text, &((struct sockaddr_in6 *)&at)->sin6_addr) == 1)
        at.ss_family = AF_INET6;
    return at;
}

static enum sources_verdict enter(const struct sources_limits *limits, const char *from,
                                  int64_t now, struct source **ret)
{
    struct sockaddr_storage at = address(from);
    return sources_enter(table, limits, (struct sockaddr *)&at, now, ret);
}

/* Come and go at once. */
static enum sources_verdict visit(const struct sources_limits *limits, const char *from,
                                  int64_t now)
{
    struct source *s;
    enum sources_verdict verdict = enter(limits, from, now, &s);
    sources_leave(s, now);
    return verdict;
}

START_TEST(takes_so_many_of_a_source_and_no_more)
{
    const struct sources_limits two = {.connections = 2};
    struct source *a, *b, *c;
    ck_assert_int_eq(enter(&two, "10.0.0.1", 0, &a), SOURCES_ENTERED);
    ck_assert_int_eq(enter(&two, "10.0.0.1", 0, &b), SOURCES_ENTERED);
    ck_assert_int_eq(enter(&two, "10.0.0.1", 0, &c), SOURCES_TOO_MANY);
    ck_assert_ptr_null(c);
    ck_assert_int_eq(enter(&two, "10.0.0.2", 0, &c), SOURCES_ENTERED);
    ck_assert_uint_eq(sources_count(table), 2);
    sources_leave(a, 0);
    ck_assert_int_eq(visit(&two, "10.0.0.1", 0), SOURCES_ENTERED);
    sources_leave(b, 0);
    sources_leave(c, 0);
    ck_assert_uint_eq(sources_count(table), 0);
}
END_TEST

/* A limit that has become lower ends nothing, and lets nobody in until it is kept. */
START_TEST(limits_may_change)
{
    const struct sources_limits three = {.connections = 3}, one = {.connections = 1};
    struct source *held[3];
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(enter(&three, "::1", 0, &held[i]), SOURCES_ENTERED);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(visit(&one, "::1", 0), SOURCES_TOO_MANY);
        sources_leave(held[i], 0);
    }
    ck_assert_int_eq(visit(&one, "::1", 0), SOURCES_ENTERED);
    const struct sources_limits none = {.connections = 0};
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(visit(&none, "::1", 0), SOURCES_ENTERED);
}
END_TEST

START_TEST(knows_what_one_source_is)
{
    static const struct {
        const char *one, *other;
        bool same;
    } cases[] = {
        {"10.0.0.1", "10.0.0.1", true},
        {"10.0.0.1", "10.0.0.2", false},
        {"10.0.0.1", "::ffff:10.0.0.1", true},
        {"10.0.0.1", "::a00:1", false},
        {"2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", true},
        {"2001:db8::1", "2001:db8:0:1::1", false},
    };
    const struct sources_limits once = {.connections = 1};
    for (size_t i = 0; i < array_size(cases); i++) {
        struct source *s;
        ck_assert_int_eq(enter(&once, cases[i].one, 0, &s), SOURCES_ENTERED);
        ck_assert_int_eq(visit(&once, cases[i].other, 0),
                         cases[i].same ? SOURCES_TOO_MANY : SOURCES_ENTERED);
        sources_leave(s, 0);
    }
}
END_TEST

START_TEST(counts_no_unix_sockets)
{
    const struct sources_limits strict = {.connections = 1, .rate = 1, .period = SEC};
    struct source *s;
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(enter(&strict, "unix", 0, &s), SOURCES_ENTERED);
        ck_assert_ptr_null(s);
    }
    ck_assert_uint_eq(sources_count(table), 0);
}
END_TEST

/* So many at once, then one each time that a token has come back. */
START_TEST(takes_new_ones_at_a_rate)
{
    const struct sources_limits l = {.rate = 50, .period = SEC};
    int64_t now = 1000 * SEC;
    for (int i = 0; i < 50; i++)
        ck_assert_int_eq(visit(&l, "10.0.0.1", now), SOURCES_ENTERED);
    ck_assert_int_eq(visit(&l, "10.0.0.1", now), SOURCES_TOO_FAST);
    ck_assert_int_eq(visit(&l, "10.0.0.2", now), SOURCES_ENTERED);
    ck_assert_int_eq(visit(&l, "10.0.0.1", now + SEC / 50 - 1), SOURCES_TOO_FAST);
    ck_assert_int_eq(visit(&l, "10.0.0.1", now + SEC / 50), SOURCES_ENTERED);
    ck_assert_int_eq(visit(&l, "10.0.0.1", now + SEC / 50), SOURCES_TOO_FAST);
    now += 10 * SEC;
    int taken = 0;
    for (int64_t t = 0; t < 10 * SEC; t += SEC / 1000)
        taken += visit(&l, "10.0.0.1", now + t) == SOURCES_ENTERED;
    ck_assert_int_eq(taken, 50 + 10 * 50 - 1);
}
END_TEST

START_TEST(takes_slow_rates)
{
    const struct sources_limits hourly = {.rate = 1, .period = 3600 * SEC};
    const struct sources_limits thirds = {.rate = 3, .period = SEC};
    ck_assert_int_eq(visit(&hourly, "10.0.0.1", 5), SOURCES_ENTERED);
    ck_assert_int_eq(visit(&hourly, "10.0.0.1", 5), SOURCES_TOO_FAST);
    ck_assert_int_eq(visit(&hourly, "10.0.0.1", 4 + 3600 * SEC), SOURCES_TOO_FAST);
    ck_assert_int_eq(visit(&hourly, "10.0.0.1", 5 + 3600 * SEC), SOURCES_ENTERED);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(visit(&thirds, "10.0.0.9", 5), SOURCES_ENTERED);
    ck_assert_int_eq(visit(&thirds, "10.0.0.9", 5), SOURCES_TOO_FAST);
}
END_TEST

/* What is refused takes no token and no place. */
START_TEST(refusals_cost_nothing)
{
    const struct sources_limits l = {.connections = 1, .rate = 2, .period = SEC};
    struct source *s;
    ck_assert_int_eq(enter(&l, "10.0.0.1", 0, &s), SOURCES_ENTERED);
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(visit(&l, "10.0.0.1", 0), SOURCES_TOO_MANY);
    sources_leave(s, 0);
    ck_assert_int_eq(visit(&l, "10.0.0.1", 0), SOURCES_ENTERED);
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(visit(&l, "10.0.0.1", 0), SOURCES_TOO_FAST);
    ck_assert_int_eq(visit(&l, "10.0.0.1", SEC / 2), SOURCES_ENTERED);
}
END_TEST

static struct sockaddr_in number(uint32_t n)
{
    return (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(n)};
}

static enum sources_verdict visit_number(const struct sources_limits *limits, uint32_t n,
                                         int64_t now)
{
    struct sockaddr_in at = number(n);
    struct source *s;
    enum sources_verdict verdict = sources_enter(table, limits, (struct sockaddr *)&at, now, &s);
    sources_leave(s, now);
    return verdict;
}

START_TEST(a_flood_of_sources_is_bounded)
{
    const struct sources_limits l = {.connections = 1, .rate = 1, .period = 3600 * SEC};
    struct source *live;
    ck_assert_int_eq(enter(&l, "192.0.2.1", 0, &live), SOURCES_ENTERED);
    uint32_t many = UNIT_WORK(1600000), bound = SOURCES_IDLE_MAX;
    for (uint32_t n = 0; n < many; n++)
        unit_assert(visit_number(&l, n, n) == SOURCES_ENTERED);
    size_t left = sources_count(table);
    ck_assert_uint_le(left, bound + 1);
    ck_assert_uint_ge(left, many < bound ? many * 9 / 10 : bound * 9 / 10);
    /* Those that are connected, and those that came last, are still known. */
    ck_assert_int_eq(visit(&l, "192.0.2.1", many), SOURCES_TOO_MANY);
    ck_assert_int_eq(visit_number(&l, many - 1, many), SOURCES_TOO_FAST);
    sources_leave(live, many);
}
END_TEST

START_TEST(sources_are_forgotten_with_time)
{
    const struct sources_limits l = {.rate = 10, .period = SEC};
    for (uint32_t n = 0; n < 10000; n++)
        unit_assert(visit_number(&l, n, 0) == SOURCES_ENTERED);
    ck_assert_uint_eq(sources_count(table), 10000);
    for (uint32_t n = 0; n < 5000; n++)
        unit_assert(visit_number(&l, 100000 + n, SEC) == SOURCES_ENTERED);
    ck_assert_uint_le(sources_count(table), 5200);
}
END_TEST

/* One that is refused again and again is not pushed out by the silent. */
START_TEST(who_knocks_is_remembered)
{
    sources_free(table);
    table = sources_new(640);
    const struct sources_limits l = {.rate = 1, .period = 3600 * SEC};
    ck_assert_int_eq(visit_number(&l, 7, 0), SOURCES_ENTERED);
    for (uint32_t n = 0; n < 5000; n++) {
        unit_assert(visit_number(&l, 1000 + n, 1) == SOURCES_ENTERED);
        unit_assert(visit_number(&l, 7, 1) == SOURCES_TOO_FAST);
    }
    ck_assert_int_eq(visit_number(&l, 1000, 1), SOURCES_ENTERED); /* forgotten */
}
END_TEST

START_TEST(gives_all_memory_back)
{
    const struct sources_limits l = {.connections = 1, .rate = 1, .period = 3600 * SEC};
    struct sockaddr_in at = number(1);
    struct source *s;
    long live = alloc_live;
    sources_free(NULL);
    struct sources *t = sources_new(10);
    enum sources_verdict verdict = sources_enter(t, &l, (struct sockaddr *)&at, 0, &s);
    for (uint32_t n = 2; n < 1000; n++) {
        struct source *other;
        at = number(n);
        (void)!sources_enter(t, &l, (struct sockaddr *)&at, 0, &other);
        sources_leave(other, 0);
    }
    sources_free(t);
    long left = alloc_live - live;
    ck_assert_int_eq(verdict, SOURCES_ENTERED);
    ck_assert_int_eq(left, 0);
}
END_TEST

START_TEST(does_without_memory)
{
    const struct sources_limits l = {.connections = 1};
    struct source *s;
    alloc_limit(0);
    enum sources_verdict verdict = enter(&l, "10.0.0.1", 0, &s);
    alloc_limit(-1);
    ck_assert_int_eq(verdict, SOURCES_ENTERED);
    ck_assert_ptr_null(s);
    sources_leave(s, 0);
    for (int allowed = 0; allowed < 10; allowed++) {
        long live = alloc_live;
        alloc_limit(allowed);
        struct sources *t = sources_new(10);
        alloc_limit(-1);
        long left = alloc_live - live;
        ck_assert_ptr_null(t);
        ck_assert_int_eq(left, 0);
    }
}
END_TEST

/* --- several threads --------------------------------------------------------------------- */

#define THREADS 4
#define LIMIT   3

static atomic_int inside[8], most[8], refused;

static void *visitor(void *arg)
{
    const struct sources_limits l = {.connections = LIMIT};
    uint32_t x = (uint32_t)(uintptr_t)arg;
    for (int i = 0; i < UNIT_WORK(200000); i++) {
        uint32_t who = (x = x * 1664525 + 1013904223) >> 29;
        struct sockaddr_in at = number(who);
        struct source *held[2];
        for (int k = 0; k < 2; k++) {
            if (sources_enter(table, &l, (struct sockaddr *)&at, i, &held[k]) != SOURCES_ENTERED) {
                atomic_fetch_add(&refused, 1);
                continue;
            }
            int now = atomic_fetch_add(&inside[who], 1) + 1;
            if (now > atomic_load(&most[who]))
                atomic_store(&most[who], now);
        }
        for (int k = 0; k < 2; k++) {
            if (held[k] != NULL)
                atomic_fetch_sub(&inside[who], 1);
            sources_leave(held[k], i);
        }
    }
    return NULL;
}

START_TEST(limits_hold_over_threads)
{
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, visitor, (void *)(i + 1)), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < 8; i++) {
        ck_assert_int_ge(most[i], 2);
        ck_assert_int_le(most[i], LIMIT);
    }
    ck_assert_uint_eq(sources_count(table), 0);
}
END_TEST

UNIT_MAIN_AROUND("sources", set_up, tear_down, takes_so_many_of_a_source_and_no_more,
                 limits_may_change, knows_what_one_source_is, counts_no_unix_sockets,
                 takes_new_ones_at_a_rate, takes_slow_rates, refusals_cost_nothing,
                 a_flood_of_sources_is_bounded, sources_are_forgotten_with_time,
                 who_knocks_is_remembered, gives_all_memory_back, does_without_memory,
                 limits_hold_over_threads)
