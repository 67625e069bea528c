/* Which connections end by a reload, and how; nothing is begun, only asked. */
#include "worker/changes.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "unit.h"

#define GENERATIONS_MAX 4

static struct proxy *generations[GENERATIONS_MAX];
static unsigned count;
static struct list all;
static struct drains drains;
static struct drains_entry *begun[2];
static unsigned begun_count;
static struct shard shard;
static struct shard *shards[] = {&shard};
static struct shard_group group = {.shards = shards, .count = 1};

void __wrap_drains_begin(struct drains *d, struct drains_entry *e);

void __wrap_drains_begin(struct drains *d, struct drains_entry *e)
{
    ck_assert_ptr_eq(d, &drains);
    begun[begun_count++] = e;
}

static const struct conf *read_conf(const char *yaml)
{
    char path[] = "/tmp/weft-test-changes-XXXXXX";
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, yaml, strlen(yaml)), (ssize_t)strlen(yaml));
    close(fd);
    struct conf_faults *faults = NULL;
    const struct conf *conf = NULL;
    ck_assert_int_eq(conf_load(path, &conf, &faults), 0);
    unlink(path);
    return conf;
}

static void forget_begun(void)
{
    for (; begun_count > 0; begun_count--) {
        drain_destroy(&begun[begun_count - 1]->drain);
        begun[begun_count - 1]->free(begun[begun_count - 1]);
    }
}

/* The next generation, and what becomes of the connections of those before. */
static void reload(const char *listeners, const char *pools)
{
    char yaml[1024];
    snprintf(yaml, sizeof(yaml), "listeners: {%s}\npools: {%s}\n", listeners, pools);
    const struct conf *conf = read_conf(yaml);
    const struct proxy_options o = {
        .conf = conf,
        .generation = count + 1,
        .shards = 1,
        .previous = count > 0 ? generations[count - 1] : NULL,
    };
    generations[count] = proxy_new(&o);
    ck_assert_ptr_nonnull(generations[count]);
    conf_unref(conf);
    list_push_back(&all, &generations[count]->link);
    forget_begun();
    if (count++ == 0)
        return;
    struct diff diff;
    ck_assert_int_eq(diff_init(&diff, generations[count - 2]->conf, generations[count - 1]->conf),
                     0);
    const struct changes c = {.diff = &diff,
                              .before = generations[count - 2],
                              .after = generations[count - 1],
                              .generations = &all,
                              .group = &group,
                              .drain_timeout = 7 * NSEC_PER_SEC};
    ck_assert_int_eq(changes_apply(&c, &drains), 0);
    diff_free(&diff);
}

/* How a connection is to end: by its generation, listener and server, counted from 0. */
static const char *fate(unsigned generation, unsigned listener, unsigned server)
{
    struct proxy_listener *l = &generations[generation]->listeners[listener];
    const struct session s = {.listener = l, .server = &l->pool->conf->servers[server]};
    const char *found = "keep";
    for (unsigned i = 0; i < begun_count; i++) {
        const struct drain *d = &begun[i]->drain;
        if (!d->concerns(d, &s))
            continue;
        ck_assert_str_eq(found, "keep");
        ck_assert(d->end == d->begun || d->end == d->begun + 7 * NSEC_PER_SEC);
        found = d->end == d->begun ? "close" : "drain";
    }
    return found;
}

static void set_up(void)
{
    clock_update();
    list_init(&all);
    drains_init(&drains);
}

static void tear_down(void)
{
    forget_begun();
    while (count > 0)
        proxy_free(generations[--count]);
}

#define POOL "p: {servers: ['127.0.0.1:1', '127.0.0.1:2']}"

START_TEST(an_unchanged_listener_s_connections_are_nobody_s_business)
{
    const char *listeners = "a: {bind: ':1', pool: p, on_change: close},"
                            "b: {bind: ':2', pool: p, on_change: drain}";
    reload(listeners, POOL);
    reload(listeners, POOL);
    ck_assert_uint_eq(begun_count, 0);
    reload(listeners, POOL ", q: {servers: ['127.0.0.1:1']}");
    ck_assert_uint_eq(begun_count, 0);
}
END_TEST

START_TEST(a_changed_listener_s_new_word_counts)
{
    reload("a: {bind: ':1', pool: p, on_change: close}, b: {bind: ':2', pool: p},"
           "c: {bind: ':3', pool: p}, d: {bind: ':4', pool: p, on_change: close}",
           POOL);
    reload("a: {bind: ':1', pool: p, idle_timeout: 1s}, b: {bind: ':2', pool: p, on_change: close},"
           "c: {bind: ':3', pool: p, on_change: drain}, d: {bind: ':4', pool: p, on_change: close}",
           POOL);
    ck_assert_str_eq(fate(0, 0, 0), "keep");
    ck_assert_str_eq(fate(0, 1, 0), "close");
    ck_assert_str_eq(fate(0, 2, 0), "drain");
    ck_assert_str_eq(fate(0, 3, 0), "keep");
    ck_assert_str_eq(fate(1, 1, 0), "keep"); /* it began after the change */
}
END_TEST

START_TEST(a_removed_listener_s_old_word_counts)
{
    reload("a: {bind: ':1', pool: p, on_change: close}, b: {bind: ':2', pool: p, on_change: drain},"
           "c: {bind: ':3', pool: p}, d: {bind: ':4', pool: p}",
           POOL);
    reload("d: {bind: ':4', pool: p}", POOL);
    ck_assert_str_eq(fate(0, 0, 0), "close");
    ck_assert_str_eq(fate(0, 1, 0), "drain");
    ck_assert_str_eq(fate(0, 2, 0), "keep");
    ck_assert_str_eq(fate(0, 3, 0), "keep");
}
END_TEST

START_TEST(earlier_generations_are_included)
{
    reload("a: {bind: ':1', pool: p, on_change: close}", POOL);
    reload("a: {bind: ':1', pool: p, on_change: close}", POOL ", q: {servers: ['127.0.0.1:1']}");
    reload("b: {bind: ':1', pool: p}", POOL);
    ck_assert_str_eq(fate(0, 0, 0), "close");
    ck_assert_str_eq(fate(1, 0, 0), "close");
    ck_assert_str_eq(fate(2, 0, 0), "keep");
    reload("a: {bind: ':1', pool: p, on_change: close}", POOL);
    ck_assert_uint_eq(begun_count, 0); /* it is over with them, and this is another one */
}
END_TEST

START_TEST(a_removed_server_s_connections_end_as_their_listener_says)
{
    const char *listeners = "a: {bind: ':1', pool: p, on_change: drain},"
                            "b: {bind: ':2', pool: p, on_change: close}, c: {bind: ':3', pool: p}";
    reload(listeners, POOL);
    reload(listeners, "p: {retries: 1, servers: ['127.0.0.1:1', '127.0.0.1:2', '127.0.0.1:3']}");
    reload(listeners, "p: {servers: ['127.0.0.1:2']}");
    ck_assert_str_eq(fate(1, 0, 0), "drain");
    ck_assert_str_eq(fate(1, 0, 1), "keep");
    ck_assert_str_eq(fate(1, 0, 2), "drain");
    ck_assert_str_eq(fate(1, 1, 0), "close");
    ck_assert_str_eq(fate(1, 2, 0), "keep");
    ck_assert_str_eq(fate(0, 1, 0), "close");
    ck_assert_str_eq(fate(0, 1, 1), "keep");
    ck_assert_str_eq(fate(2, 1, 0), "keep");
}
END_TEST

START_TEST(a_server_with_another_address_is_another_server)
{
    const char *listeners = "a: {bind: ':1', pool: p, on_change: close}";
    reload(listeners, "p: {servers: [{name: s, address: '127.0.0.1:1'}]}");
    reload(listeners, "p: {servers: [{name: s, address: '127.0.0.1:1', weight: 2}]}");
    ck_assert_uint_eq(begun_count, 0);
    reload(listeners, "p: {servers: [{name: s, address: '127.0.0.1:2', weight: 2}]}");
    ck_assert_str_eq(fate(0, 0, 0), "close");
    ck_assert_str_eq(fate(1, 0, 0), "close");
    ck_assert_str_eq(fate(2, 0, 0), "keep");
}
END_TEST

/* Nobody has been chosen for them. */
START_TEST(connections_without_a_server_have_no_removed_one)
{
    const char *listeners = "a: {bind: ':1', pool: p, on_change: close}";
    reload(listeners, POOL);
    reload(listeners, "p: {servers: ['127.0.0.1:2']}");
    const struct session s = {.listener = &generations[0]->listeners[0]};
    ck_assert_uint_eq(begun_count, 1);
    ck_assert(!begun[0]->drain.concerns(&begun[0]->drain, &s));
}
END_TEST

UNIT_MAIN_AROUND("changes", set_up, tear_down,
                 an_unchanged_listener_s_connections_are_nobody_s_business,
                 a_changed_listener_s_new_word_counts, a_removed_listener_s_old_word_counts,
                 earlier_generations_are_included,
                 a_removed_server_s_connections_end_as_their_listener_says,
                 a_server_with_another_address_is_another_server,
                 connections_without_a_server_have_no_removed_one)
