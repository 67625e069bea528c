#include "proxy/census.h"

#include "world.h"

static bool counted;
static struct fiber *waiter;

static void census_over(struct census *c)
{
    (void)c;
    counted = true;
    fiber_ready(waiter);
}

/* Count the servers of a configuration. */
static void take(struct census *c, const struct conf *conf)
{
    ck_assert_int_eq(census_init(c, conf, &world.group), 0);
    c->done = census_over;
    counted = false;
    waiter = fiber_self();
    census_begin(c);
    while (!counted)
        ck_assert_int_eq(fiber_park(clock_now() + SOON), 0);
}

static void expect(const struct conf *conf, uint64_t dead, uint64_t alive)
{
    struct census c;
    take(&c, conf);
    ck_assert_uint_eq(census_of_server(&c, 0, 0), dead);
    ck_assert_uint_eq(census_of_server(&c, 0, 1), alive);
    ck_assert_uint_eq(census_of_pool(&c, 0), dead + alive);
    ck_assert_uint_eq(census_of_listener(&c, 0), dead + alive);
    census_destroy(&c);
}

static void on_all_shards(void *arg)
{
    (void)arg;
    begin_with(2, "", 1, true);
    struct conn c[24];
    expect(world.conf, 0, 0);
    for (size_t i = 0; i < array_size(c); i++) {
        open_client(&c[i]);
        expect_echo(&c[i]);
    }
    ck_assert_uint_gt(shard_active(&world.other), 0);
    expect(world.conf, 0, array_size(c));
    for (size_t i = 0; i < array_size(c); i++)
        conn_reset(&c[i]);
    while (shard_active(&world.shard) + shard_active(&world.other) > 0)
        fiber_yield();
    expect(world.conf, 0, 0);
    end();
}

START_TEST(sessions_of_all_shards_are_counted)
{
    in_fiber(on_all_shards, NULL);
}
END_TEST

/* As after a reload: the session's generation has another object of the same names. */
static void by_name(void *arg)
{
    (void)arg;
    begin("", 0, true);
    struct conn c;
    open_client(&c);
    expect_echo(&c);
    char yaml[512];
    snprintf(
        yaml, sizeof(yaml),
        "listeners: {p: {bind: '127.0.0.1:2', pool: p}, front: {bind: '127.0.0.1:1', pool: p}}\n"
        "pools: {other: {servers: ['%s']}, p: {servers: ['127.0.0.1:1', '%s']}}\n",
        world.conf->pools[0].servers[0].name, world.conf->pools[0].servers[0].name);
    const struct conf *next = load(yaml);
    struct census census;
    take(&census, next);
    ck_assert_uint_eq(census_of_pool(&census, 0), 0);
    ck_assert_uint_eq(census_of_server(&census, 1, 0), 0);
    ck_assert_uint_eq(census_of_server(&census, 1, 1), 1);
    ck_assert_uint_eq(census_of_pool(&census, 1), 1);
    ck_assert_uint_eq(census_of_listener(&census, 0), 0);
    ck_assert_uint_eq(census_of_listener(&census, 1), 1);
    census_destroy(&census);
    conf_unref(next);
    conn_reset(&c);
    end();
}

START_TEST(all_are_known_by_their_names)
{
    in_fiber(by_name, NULL);
}
END_TEST

UNIT_MAIN_AROUND("census", world_set_up, world_tear_down, sessions_of_all_shards_are_counted,
                 all_are_known_by_their_names)
