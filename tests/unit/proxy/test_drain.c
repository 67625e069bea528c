/*
 * When a drain ends which session, in a time of the test's own: shards without threads, and
 * sessions that are no more than records.
 */
#include "proxy/drain.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "unit.h"

#define SHARDS 4
#define MANY   100

static struct shard shards[SHARDS];
static struct shard *all_shards[SHARDS] = {&shards[0], &shards[1], &shards[2], &shards[3]};
static struct shard_group group = {.shards = all_shards, .count = 1};
static struct session sessions[MANY];
static struct drain drain;
static struct session *parted[MANY]; /* in this order */
static size_t parted_count;
static int64_t latest_grace; /* [ns] that a session was given at the most */
static bool done;
static bool no_memory;

/* The linker sends what the drain has to do with the rest of the world here. */
void __wrap_shard_post(struct shard *shard, struct shard_message *m);
void __wrap_mailbox_post(struct mailbox *m, struct mail *mail);
void __wrap_session_part(struct session *s, int64_t deadline);
void *__real_realloc(void *p, size_t n);
void *__wrap_realloc(void *p, size_t n);

void __wrap_shard_post(struct shard *shard, struct shard_message *m)
{
    m->deliver(m, shard);
}

void __wrap_mailbox_post(struct mailbox *m, struct mail *mail)
{
    (void)m;
    struct notice *n = container_of(mail, struct notice, mail);
    n->deliver(n);
}

void __wrap_session_part(struct session *s, int64_t deadline)
{
    ck_assert_int_eq(s->ordered_end, END_NONE);
    ck_assert_int_eq(s->drain_place, 0);
    s->ordered_end = END_DRAINED;
    parted[parted_count++] = s;
    if (deadline - clock_now() > latest_grace)
        latest_grace = deadline - clock_now();
    if (drain.end > clock_now())
        ck_assert_int_le(deadline, drain.end);
}

void *__wrap_realloc(void *p, size_t n)
{
    return no_memory ? NULL : __real_realloc(p, n);
}

static void note_done(struct drain *d)
{
    (void)d;
    done = true;
}

/* Give shards so many sessions that have been idle for hours. */
static void begin_sessions(size_t count, unsigned on)
{
    clock_cached = 1000000 * NSEC_PER_SEC;
    group.count = on;
    for (unsigned i = 0; i < on; i++) {
        shards[i] = (struct shard){.number = i, .group = &group};
        list_init(&shards[i].live);
        list_init(&shards[i].drains);
    }
    for (size_t i = 0; i < count; i++) {
        struct shard *shard = &shards[i % on];
        sessions[i] = (struct session){.shard = shard};
        sessions[i].relay.activity = clock_now() - 36000 * NSEC_PER_SEC;
        list_push_back(&shard->live, &sessions[i].link);
    }
    parted_count = 0;
    latest_grace = 0;
    done = no_memory = false;
}

static void begin_drain(int64_t whole,
                        bool (*concerns)(const struct drain *, const struct session *))
{
    ck_assert_int_eq(drain_init(&drain, &group), 0);
    drain.begun = clock_now();
    drain.end = clock_now() + whole;
    drain.concerns = concerns;
    drain.done = note_done;
    drain_begin(&drain);
    for (unsigned i = 0; i < group.count; i++)
        drain_turn(&shards[i]);
}

static bool any(const struct drain *d, const struct session *s)
{
    (void)d;
    (void)s;
    return true;
}

static bool second_half(const struct drain *d, const struct session *s)
{
    (void)d;
    return s >= &sessions[MANY / 2];
}

/* Let time pass up to `at` after the beginning, and every look be taken in time. */
static void pass_to(int64_t at)
{
    for (;;) {
        int64_t next = CLOCK_NEVER;
        for (unsigned i = 0; i < group.count; i++) {
            int64_t own = drain_next(&shards[i]);
            next = own < next ? own : next;
        }
        if (next > drain.begun + at)
            break;
        ck_assert_int_ge(next, clock_now());
        clock_cached = next;
        for (unsigned i = 0; i < group.count; i++)
            drain_turn(&shards[i]);
    }
    clock_cached = drain.begun + at;
}

START_TEST(the_number_falls_linearly)
{
    begin_sessions(MANY, 1);
    begin_drain(101 * NSEC_PER_SEC, any); /* the last second is for farewells */
    for (int second = 0; second <= 100; second++) {
        pass_to(second * NSEC_PER_SEC);
        ck_assert_uint_ge(parted_count + 1, (unsigned)second);
        ck_assert_uint_le(parted_count, (unsigned)second);
    }
    ck_assert_uint_eq(parted_count, MANY);
    ck_assert(done);
    ck_assert_int_eq(latest_grace, NSEC_PER_SEC);
    drain_destroy(&drain);
}
END_TEST

START_TEST(those_idle_longest_go_first)
{
    begin_sessions(MANY, 1);
    for (size_t i = 0; i < MANY; i++)
        sessions[i].relay.activity -= (int64_t)(i * 37 % MANY) * NSEC_PER_SEC;
    begin_drain(10 * NSEC_PER_SEC, any);
    pass_to(10 * NSEC_PER_SEC);
    ck_assert_uint_eq(parted_count, MANY);
    for (size_t i = 1; i < MANY; i++)
        ck_assert_int_lt(parted[i - 1]->relay.activity, parted[i]->relay.activity);
    drain_destroy(&drain);
}
END_TEST

START_TEST(what_happens_meanwhile_counts)
{
    begin_sessions(3, 1);
    for (size_t i = 0; i < 3; i++)
        sessions[i].relay.activity += (int64_t)i * NSEC_PER_SEC;
    begin_drain(100 * NSEC_PER_SEC, any);
    pass_to(20 * NSEC_PER_SEC);
    sessions[0].relay.activity = clock_now();
    pass_to(35 * NSEC_PER_SEC);
    ck_assert_uint_eq(parted_count, 1);
    ck_assert_ptr_eq(parted[0], &sessions[1]);
    pass_to(70 * NSEC_PER_SEC);
    ck_assert_uint_eq(parted_count, 2);
    ck_assert_ptr_eq(parted[1], &sessions[2]);
    pass_to(100 * NSEC_PER_SEC);
    ck_assert_uint_eq(parted_count, 3);
    drain_destroy(&drain);
}
END_TEST

START_TEST(the_active_are_spared_until_the_last_quarter_and_spread_over_it)
{
    begin_sessions(MANY, 1);
    begin_drain(101 * NSEC_PER_SEC, any);
    for (int at = 0; at <= 1000; at++) {
        for (size_t i = MANY / 2; i < MANY; i++)
            sessions[i].relay.activity = clock_now();
        pass_to(at * 100 * NSEC_PER_MSEC);
        if (at < 750)
            ck_assert_uint_le(parted_count, MANY / 2);
        else
            ck_assert_uint_le(parted_count, MANY / 2 + (unsigned)(at - 750) / 5 + 1);
    }
    ck_assert_uint_eq(parted_count, MANY);
    for (size_t i = 0; i < MANY / 2; i++)
        ck_assert(parted[i] < &sessions[MANY / 2]);
    drain_destroy(&drain);
}
END_TEST

START_TEST(who_falls_silent_is_not_spared_any_more)
{
    begin_sessions(1, 1);
    sessions[0].relay.activity = clock_now();
    begin_drain(100 * NSEC_PER_MSEC, any);
    pass_to(89 * NSEC_PER_MSEC);
    ck_assert_uint_eq(parted_count, 0);
    pass_to(90 * NSEC_PER_MSEC);
    ck_assert_uint_eq(parted_count, 1);
    ck_assert_int_eq(latest_grace, 9 * NSEC_PER_MSEC);
    drain_destroy(&drain);
}
END_TEST

START_TEST(those_that_end_by_themselves_are_forgotten)
{
    begin_sessions(MANY, 1);
    for (size_t i = 0; i < MANY; i++)
        sessions[i].relay.activity -= (int64_t)(i * 61 % MANY) * NSEC_PER_SEC;
    begin_drain(101 * NSEC_PER_SEC, any);
    for (size_t i = 0; i < MANY; i += 2) {
        drain_forget(&sessions[i]);
        ck_assert_uint_eq(sessions[i].drain_place, 0);
        sessions[i].ordered_end = END_CLIENT_CLOSED;
    }
    pass_to(49 * NSEC_PER_SEC); /* there are no more than there may be */
    ck_assert_uint_eq(parted_count, 0);
    pass_to(100 * NSEC_PER_SEC);
    ck_assert_uint_eq(parted_count, MANY / 2);
    for (size_t i = 1; i < parted_count; i++)
        ck_assert_int_lt(parted[i - 1]->relay.activity, parted[i]->relay.activity);
    ck_assert(done);
    drain_destroy(&drain);
}
END_TEST

START_TEST(no_time_means_all_at_once)
{
    begin_sessions(MANY, 1);
    sessions[3].relay.activity = clock_now();
    begin_drain(0, any);
    ck_assert_uint_eq(parted_count, MANY);
    ck_assert_int_eq(latest_grace, NSEC_PER_SEC);
    ck_assert(done);
    drain_destroy(&drain);
}
END_TEST

START_TEST(shards_take_turns)
{
    begin_sessions(SHARDS, SHARDS);
    begin_drain(101 * NSEC_PER_SEC, any);
    for (int quarter = 1; quarter <= 4; quarter++) {
        pass_to(quarter * 25 * NSEC_PER_SEC - NSEC_PER_SEC);
        ck_assert_uint_eq(parted_count, (unsigned)quarter - 1);
        pass_to(quarter * 25 * NSEC_PER_SEC + (quarter < 4) * NSEC_PER_SEC);
        ck_assert_uint_eq(parted_count, (unsigned)quarter);
    }
    ck_assert(done);
    drain_destroy(&drain);
}
END_TEST

START_TEST(a_shard_that_is_alone_uses_the_whole_time)
{
    begin_sessions(1, SHARDS);
    begin_drain(101 * NSEC_PER_SEC, any);
    ck_assert(!done);
    pass_to(99 * NSEC_PER_SEC);
    ck_assert_uint_eq(parted_count, 0);
    pass_to(100 * NSEC_PER_SEC);
    ck_assert_uint_eq(parted_count, 1);
    ck_assert(done);
    drain_destroy(&drain);
}
END_TEST

static struct session *start_another(size_t i)
{
    sessions[i] = (struct session){.shard = &shards[0]};
    sessions[i].relay.activity = clock_now();
    list_push_back(&shards[0].live, &sessions[i].link);
    if (!list_empty(&shards[0].drains))
        drain_admit(&sessions[i]);
    return &sessions[i];
}

START_TEST(one_that_concerns_all_takes_what_comes_later)
{
    begin_sessions(0, 1);
    begin_drain(101 * NSEC_PER_SEC, NULL);
    ck_assert(!done);
    pass_to(10 * NSEC_PER_SEC);
    start_another(0);
    pass_to(99 * NSEC_PER_SEC);
    ck_assert_uint_eq(parted_count, 0);
    pass_to(100 * NSEC_PER_SEC);
    ck_assert_uint_eq(parted_count, 1);
    ck_assert(done);
    drain_destroy(&drain);
}
END_TEST

START_TEST(one_that_concerns_some_leaves_the_others_alone)
{
    begin_sessions(MANY, 1);
    begin_drain(101 * NSEC_PER_SEC, second_half);
    uint64_t all, left;
    drain_progress(&drain, &all, &left);
    ck_assert_uint_eq(all, MANY / 2);
    ck_assert_uint_eq(left, MANY / 2);
    pass_to(51 * NSEC_PER_SEC);
    drain_progress(&drain, &all, &left);
    ck_assert_uint_eq(all, MANY / 2);
    ck_assert_uint_eq(left, MANY / 2 - parted_count);
    ck_assert_uint_ge(parted_count, MANY / 4);
    pass_to(100 * NSEC_PER_SEC);
    ck_assert_uint_eq(parted_count, MANY / 2);
    for (size_t i = 0; i < parted_count; i++)
        ck_assert(parted[i] >= &sessions[MANY / 2]);
    ck_assert(done);
    drain_destroy(&drain);
}
END_TEST

START_TEST(the_first_of_two_keeps_what_it_has)
{
    begin_sessions(MANY, 1);
    begin_drain(101 * NSEC_PER_SEC, second_half);
    struct drain first = drain;
    for (unsigned i = 0; i < MANY / 2; i++)
        ck_assert_uint_eq(sessions[i].drain_place, 0);
    drain_leave(&shards[0]);
    ck_assert(done);
    for (unsigned i = MANY / 2; i < MANY; i++)
        ck_assert_uint_ne(sessions[i].drain_place, 0);
    begin_drain(0, NULL);
    ck_assert_uint_eq(parted_count, MANY / 2);
    for (size_t i = 0; i < parted_count; i++)
        ck_assert(parted[i] < &sessions[MANY / 2]);
    drain_destroy(&drain);
    drain_destroy(&first);
}
END_TEST

START_TEST(without_memory_for_a_queue_they_end_at_once)
{
    begin_sessions(MANY, 1);
    no_memory = true;
    begin_drain(101 * NSEC_PER_SEC, any);
    ck_assert_uint_eq(parted_count, MANY);
    ck_assert(done);
    drain_destroy(&drain);
}
END_TEST

UNIT_MAIN("drain", the_number_falls_linearly, those_idle_longest_go_first,
          what_happens_meanwhile_counts,
          the_active_are_spared_until_the_last_quarter_and_spread_over_it,
          who_falls_silent_is_not_spared_any_more, those_that_end_by_themselves_are_forgotten,
          no_time_means_all_at_once, shards_take_turns, a_shard_that_is_alone_uses_the_whole_time,
          one_that_concerns_all_takes_what_comes_later,
          one_that_concerns_some_leaves_the_others_alone, the_first_of_two_keeps_what_it_has,
          without_memory_for_a_queue_they_end_at_once)
