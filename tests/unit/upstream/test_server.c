#include "upstream/server.h"

#include <pthread.h>

#include "alloc.h"
#include "unit.h"

#define SEC INT64_C(1000000000) /* [ns] */

static struct server *server;

static void begin(void)
{
    server = server_new(7);
    ck_assert_ptr_nonnull(server);
}

static void end(void)
{
    server_unref(server);
    server = NULL;
}

static void configure(unsigned weight, unsigned max_connections, int64_t slow_start)
{
    server_configure(server, &(struct server_options){.weight = weight,
                                                      .max_connections = max_connections,
                                                      .slow_start = slow_start});
}

static const struct standing {
    unsigned flags;
    bool before; /* usable before it is ejected no longer */
    bool after;
} standings[] = {
    {0, true, true},
    {SERVER_UNCHECKED, false, false},
    {SERVER_DOWN, false, false},
    {SERVER_DRAINED, false, false},
    {SERVER_DISABLED, false, false},
    {SERVER_EJECTED, false, true},
    {SERVER_SLOW, true, true},
    {SERVER_LIMITED, true, true},
    {SERVER_EJECTED | SERVER_SLOW | SERVER_LIMITED, false, true},
    {SERVER_EJECTED | SERVER_DOWN, false, false},
    {SERVER_SLOW | SERVER_DRAINED, false, false},
};

START_TEST(usable_by_its_flags)
{
    server->ejected_until = 10 * SEC;
    for (size_t i = 0; i < array_size(standings); i++) {
        const struct standing *s = &standings[i];
        server->flags = s->flags;
        ck_assert_msg(server_usable(server, 10 * SEC - 1) == s->before, "flags %x", s->flags);
        ck_assert_msg(server_usable(server, 10 * SEC) == s->after, "flags %x", s->flags);
    }
}
END_TEST

START_TEST(new_ones_are_unchecked_until_they_rise)
{
    configure(1, 0, 30 * SEC);
    ck_assert(!server_usable(server, 0));
    server_rise(server, false, 5 * SEC);
    ck_assert_uint_eq(server->flags, 0);
    ck_assert_uint_eq(server_share(server, 5 * SEC), SERVER_WHOLE);
}
END_TEST

START_TEST(orders_survive_a_rise)
{
    server_set(server, SERVER_DRAINED, true);
    server_rise(server, false, 0);
    ck_assert(!server_usable(server, 0));
    ck_assert_uint_eq(server_set(server, SERVER_DRAINED, false), SERVER_DRAINED);
    ck_assert(server_usable(server, 0));
}
END_TEST

START_TEST(the_share_grows_in_a_straight_line)
{
    configure(1, 0, 10 * SEC);
    server_rise(server, true, 100 * SEC);
    ck_assert(server_usable(server, 100 * SEC));
    ck_assert_uint_eq(server_share(server, 100 * SEC), 1);
    for (int64_t tenth = 1; tenth <= 9; tenth++) {
        unsigned share = server_share(server, (100 + tenth) * SEC);
        ck_assert_uint_ge(share, (unsigned)(SERVER_WHOLE * tenth / 10));
        ck_assert_uint_le(share, (unsigned)(SERVER_WHOLE * tenth / 10) + 2);
    }
    ck_assert_uint_lt(server_share(server, 110 * SEC - 1), SERVER_WHOLE + 1);
    ck_assert_uint_eq(server_share(server, 110 * SEC), SERVER_WHOLE);
    ck_assert_uint_eq(server_share(server, 1000 * SEC), SERVER_WHOLE);
}
END_TEST

START_TEST(an_ejected_one_begins_slowly_after_it)
{
    configure(1, 0, 10 * SEC);
    server_rise(server, false, 0);
    server_eject(server, 50 * SEC);
    ck_assert(!server_usable(server, 49 * SEC));
    ck_assert_uint_eq(server_share(server, 49 * SEC), 1);
    ck_assert(server_usable(server, 50 * SEC));
    ck_assert_uint_eq(server_share(server, 50 * SEC), 1);
    ck_assert_uint_ge(server_share(server, 55 * SEC), SERVER_WHOLE / 2);
}
END_TEST

START_TEST(what_has_lapsed_is_cleared)
{
    configure(1, 0, 10 * SEC);
    server_rise(server, false, 0);
    server_eject(server, 50 * SEC);
    ck_assert_uint_eq(server_tend(server, 50 * SEC - 1), 0);
    ck_assert_uint_eq(server_tend(server, 50 * SEC), SERVER_EJECTED);
    ck_assert_uint_eq(server_tend(server, 59 * SEC), 0);
    ck_assert_uint_eq(server->flags, SERVER_SLOW);
    ck_assert_uint_eq(server_tend(server, 60 * SEC), SERVER_SLOW);
    ck_assert_uint_eq(server->flags, 0);
}
END_TEST

START_TEST(a_shorter_slow_start_holds_at_once)
{
    configure(1, 0, 100 * SEC);
    server_rise(server, true, 0);
    ck_assert_uint_lt(server_share(server, 10 * SEC), SERVER_WHOLE / 8);
    configure(1, 0, 10 * SEC);
    ck_assert_uint_eq(server_share(server, 10 * SEC), SERVER_WHOLE);
    configure(1, 0, 0);
    ck_assert_uint_eq(server_share(server, 0), SERVER_WHOLE);
}
END_TEST

START_TEST(an_ordered_weight_stays_until_another_is_configured)
{
    configure(3, 0, 0);
    ck_assert_uint_eq(server->weight, 3);
    server->weight = 200;
    configure(3, 0, 0);
    ck_assert_uint_eq(server->weight, 200);
    configure(4, 0, 0);
    ck_assert_uint_eq(server->weight, 4);
}
END_TEST

START_TEST(room_for_so_many)
{
    configure(1, 2, 0);
    ck_assert(server_enter(server));
    ck_assert(!server_full(server));
    ck_assert(server_enter(server));
    ck_assert(server_full(server));
    ck_assert(!server_enter(server));
    configure(1, 3, 0); /* more */
    ck_assert(server_enter(server));
    configure(1, 1, 0); /* fewer than there are */
    ck_assert(!server_enter(server));
    ck_assert_uint_eq(server->active, 3);
    for (int i = 0; i < 3; i++)
        server_leave(server);
    ck_assert(server_enter(server));
    configure(1, 0, 0);
    for (int i = 0; i < 1000; i++)
        ck_assert(server_enter(server));
    ck_assert(!server_full(server));
}
END_TEST

#define LIMIT  3
#define ROUNDS UNIT_WORK(200000)

static atomic_uint inside;
static atomic_uint most;

static void *visit(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < ROUNDS; i++) {
        if (!server_enter(server))
            continue;
        unsigned now = atomic_fetch_add(&inside, 1) + 1;
        if (now > atomic_load(&most))
            atomic_store(&most, now);
        atomic_fetch_sub(&inside, 1);
        server_leave(server);
    }
    return NULL;
}

START_TEST(never_one_too_many_from_any_thread)
{
    configure(1, LIMIT, 0);
    pthread_t threads[LIMIT + 2];
    for (size_t i = 0; i < array_size(threads); i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, visit, NULL), 0);
    for (size_t i = 0; i < array_size(threads); i++)
        pthread_join(threads[i], NULL);
    ck_assert_uint_ge(most, 1);
    ck_assert_uint_le(most, LIMIT);
    ck_assert_uint_eq(server->active, 0);
}
END_TEST

START_TEST(goes_with_its_last_reference)
{
    long before = alloc_live;
    struct server *s = server_new(1);
    unit_assert(alloc_live == before + 1);
    unit_assert(server_ref(s) == s);
    server_unref(s);
    unit_assert(alloc_live == before + 1);
    server_unref(s);
    unit_assert(alloc_live == before);
    server_unref(NULL);
    alloc_limit(0);
    s = server_new(1);
    alloc_limit(-1);
    ck_assert_ptr_null(s);
}
END_TEST

UNIT_MAIN_AROUND("server", begin, end, usable_by_its_flags, new_ones_are_unchecked_until_they_rise,
                 orders_survive_a_rise, the_share_grows_in_a_straight_line,
                 an_ejected_one_begins_slowly_after_it, what_has_lapsed_is_cleared,
                 a_shorter_slow_start_holds_at_once,
                 an_ordered_weight_stays_until_another_is_configured, room_for_so_many,
                 never_one_too_many_from_any_thread, goes_with_its_last_reference)
