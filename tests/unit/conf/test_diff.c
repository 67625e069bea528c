#include "conf/diff.h"

#include <string.h>

#include "conf/field.h"
#include "conf/schema.h"
#include "reading.h"

#define POOLS "pools: {p: {servers: ['127.0.0.1:2']}, q: {servers: ['127.0.0.1:3']}}\n"

static struct text lines;

/* What becomes of one text when it is replaced by another. */
static const char *diff_of(const char *before, const char *after)
{
    const struct conf *a = accept_text(before), *b = accept_text(after);
    struct diff d;
    ck_assert_int_eq(diff_init(&d, a, b), 0);
    conf_unref(a);
    conf_unref(b);
    text_clear(&lines);
    text_add_string(&lines, "");
    diff_write(&d, &lines);
    diff_free(&d);
    return lines.data;
}

static const char *summary_of(const char *before, const char *after)
{
    const struct conf *a = accept_text(before), *b = accept_text(after);
    struct diff d;
    ck_assert_int_eq(diff_init(&d, a, b), 0);
    text_clear(&lines);
    diff_summarize(&d, &lines);
    diff_free(&d);
    conf_unref(a);
    conf_unref(b);
    return lines.data;
}

static void set_up(void)
{
    text_init(&lines);
}

static void tear_down(void)
{
    text_free(&lines);
}

START_TEST(what_says_the_same_is_kept)
{
    ck_assert_str_eq(diff_of(WITH_TOP(""), WITH_TOP("")), "");
    ck_assert_str_eq(diff_of(WITH_TOP(""), WITH_TOP("weft: {drain_timeout: 30000ms}\n")), "");
    ck_assert_str_eq(diff_of(WITH_LISTENER("    idle_timeout: 60s\n"),
                             WITH_LISTENER("    idle_timeout: 1m\n    max_connections: off\n")),
                     "");
    ck_assert_str_eq(summary_of(WITH_TOP(""), WITH_TOP("")), "nothing changed");
}
END_TEST

START_TEST(a_listener_s_changed_keys_are_named)
{
    ck_assert_str_eq(diff_of(WITH_LISTENER("    idle_timeout: 1m\n"),
                             WITH_LISTENER("    idle_timeout: 2m\n    nodelay: off\n")),
                     "listener a: changed (idle_timeout, nodelay)\n");
    ck_assert_str_eq(
        diff_of(WITH_LISTENER(""), WITH_LISTENER("    keepalive: {idle: 5s, count: 9}\n")),
        "listener a: changed (keepalive.idle, keepalive.count)\n");
    ck_assert_str_eq(diff_of("listeners: {a: {bind: ':1', pool: p}}\n" POOLS,
                             "listeners: {a: {bind: [':1', ':2'], pool: q}}\n" POOLS),
                     "listener a: changed (bind, pool)\n");
}
END_TEST

START_TEST(listeners_and_pools_come_and_go)
{
    ck_assert_str_eq(
        diff_of("listeners: {a: {bind: ':1', pool: p}, b: {bind: ':2', pool: p}}\n"
                "pools: {p: {servers: ['127.0.0.1:2']}}\n",
                "listeners: {c: {bind: ':3', pool: q}, a: {bind: ':1', pool: p}}\n" POOLS),
        "listener c: added\n"
        "listener b: removed\n"
        "pool q: added\n");
    ck_assert_str_eq(
        summary_of("listeners: {a: {bind: ':1', pool: p}, b: {bind: ':2', pool: p}}\n"
                   "pools: {p: {servers: ['127.0.0.1:2']}}\n",
                   "listeners: {c: {bind: ':3', pool: q}, d: {bind: ':1', pool: p}}\n" POOLS),
        "2 listeners added, 2 listeners removed, 1 pool added");
}
END_TEST

/* The listener has not changed: it names the pool as it did. */
START_TEST(servers_are_compared_by_name)
{
    ck_assert_str_eq(diff_of(WITH_SERVERS("      - {name: x, address: '127.0.0.1:2'}\n"
                                          "      - {name: y, address: '127.0.0.1:3'}\n"
                                          "      - {name: w, address: '127.0.0.1:5'}\n"),
                             WITH_SERVERS("      - {name: x, address: '127.0.0.1:2', weight: 3}\n"
                                          "      - {name: z, address: '127.0.0.1:4'}\n"
                                          "      - {name: w, address: '127.0.0.1:6'}\n")),
                     "server p/x: changed (weight)\n"
                     "server p/z: added\n"
                     "server p/w: changed (address)\n"
                     "server p/y: removed\n");
    ck_assert_str_eq(diff_of(WITH_POOL("    retries: 1\n"), WITH_POOL("    retries: 2\n")),
                     "pool p: changed (retries)\n");
}
END_TEST

START_TEST(servers_that_change_places_change_the_pool)
{
    ck_assert_str_eq(diff_of(WITH_SERVERS("      - '127.0.0.1:2'\n      - '127.0.0.1:3'\n"),
                             WITH_SERVERS("      - '127.0.0.1:3'\n      - '127.0.0.1:2'\n")),
                     "pool p: changed\n");
}
END_TEST

/* Of a new pool's servers nobody needs to be told one by one. */
START_TEST(numbers_lead_from_one_configuration_to_the_other)
{
    const struct conf *a = accept_text("listeners: {a: {bind: ':1', pool: p}}\n" POOLS);
    const struct conf *b = accept_text("listeners: {a: {bind: ':1', pool: p}}\n"
                                       "pools:\n"
                                       "  r: {servers: ['127.0.0.1:9']}\n"
                                       "  q: {servers: ['127.0.0.1:8', '127.0.0.1:3']}\n"
                                       "  p: {servers: ['127.0.0.1:2']}\n");
    struct diff d;
    ck_assert_int_eq(diff_init(&d, a, b), 0);
    ck_assert_uint_eq(d.pools.count, 3);
    const struct diff_entry *r = &d.pools.entries[0], *q = &d.pools.entries[1];
    ck_assert_int_eq(r->change, DIFF_NEW);
    ck_assert_uint_eq(r->before, DIFF_NOWHERE);
    ck_assert_uint_eq(r->servers.count, 0);
    ck_assert_int_eq(q->change, DIFF_CHANGE);
    ck_assert_ptr_null(q->keys);
    ck_assert_uint_eq(q->before, 1);
    ck_assert_uint_eq(q->after, 1);
    ck_assert_uint_eq(q->servers.entries[1].before, 0);
    ck_assert_uint_eq(q->servers.entries[1].after, 1);
    ck_assert_int_eq(d.pools.entries[2].change, DIFF_KEEP);
    ck_assert_ptr_null(d.restart);
    diff_free(&d);
    conf_unref(a);
    conf_unref(b);
}
END_TEST

/* What the resolver says may change where the text does not. */
START_TEST(an_address_resolved_to_something_else_has_changed)
{
    const char *text = "listeners: {a: {bind: '127.0.0.1:1', pool: p}}\n" POOLS;
    const struct conf *a = accept_text(text), *b = accept_text(text);
    b->listeners[0].binds[0].addr.in.sin_port = htons(7);
    b->pools[1].servers[0].address.addr.in.sin_port = htons(8);
    struct diff d;
    ck_assert_int_eq(diff_init(&d, a, b), 0);
    diff_write(&d, &lines);
    ck_assert_str_eq(lines.data, "listener a: changed (bind)\n"
                                 "server q/127.0.0.1:3: changed (address)\n");
    diff_free(&d);
    conf_unref(a);
    conf_unref(b);
}
END_TEST

static void check_restart(const char *top, const char *wanted)
{
    const struct conf *a = accept_text(WITH_TOP("")), *b = accept_text(top);
    struct diff d;
    ck_assert_int_eq(diff_init(&d, a, b), 0);
    if (wanted == NULL)
        ck_assert_ptr_null(d.restart);
    else
        ck_assert_str_eq(d.restart, wanted);
    diff_free(&d);
    conf_unref(a);
    conf_unref(b);
}

START_TEST(what_needs_a_new_process_is_named)
{
    check_restart(WITH_TOP("weft: {workers: 77, busy_poll: 50us, drain_timeout: 1s}\n"),
                  "weft.workers, weft.busy_poll");
    check_restart(WITH_TOP("weft: {pin: on}\n"), "weft.pin");
    check_restart(WITH_TOP("weft: {drain_timeout: 1s, max_connections: 7}\n"
                           "log: {error: {level: debug}}\n"),
                  NULL);
    ck_assert_str_eq(diff_of(WITH_TOP(""), WITH_TOP("weft: {drain_timeout: 1s, pin: on}\n"
                                                    "log: {access: off}\n")),
                     "weft: changed (pin, drain_timeout)\n"
                     "log: changed (access.output)\n");
    ck_assert_str_eq(summary_of(WITH_TOP(""), WITH_TOP("log: {access: off}\n")),
                     "log changed (access.output)");
}
END_TEST

/* Set a scalar key to something else than it is. Returns false for types that have no such value
 * here. */
static bool alter(const struct schema_key *key, void *in)
{
    char *at = (char *)in + key->offset;
    switch (key->type) {
    case SCHEMA_BOOL:
        *(bool *)at = !*(bool *)at;
        return true;
    case SCHEMA_NUMBER:
    case SCHEMA_SHARE:
        *(unsigned *)at = (unsigned)(*(unsigned *)at == key->max ? key->max - 1 : key->max);
        return true;
    case SCHEMA_DURATION:
    case SCHEMA_SIZE:
        *(int64_t *)at = *(int64_t *)at == key->max ? key->min : key->max;
        return true;
    case SCHEMA_CHOICE:
        *(unsigned *)at =
            *(unsigned *)at == key->words[0].value ? key->words[1].value : key->words[0].value;
        return key->words[1].built;
    case SCHEMA_OUTPUT:
        *(struct log_target *)at = (struct log_target){.output = LOG_OUTPUT_FILE, .path = "/x"};
        return true;
    default:
        return false;
    }
}

static unsigned altered;

static void expect_told(const struct schema_key *key, const struct conf *a, const struct conf *b)
{
    struct diff d;
    ck_assert_int_eq(diff_init(&d, a, b), 0);
    text_clear(&lines);
    text_add_string(&lines, "");
    diff_write(&d, &lines);
    ck_assert_msg(strstr(lines.data, key->name) != NULL, "%s is not compared", key->name);
    diff_free(&d);
}

/* Alter each key of a group at `in`, a part of `b`, and see that the difference is told. */
static void check_group(const struct schema_group *g, void *in, const struct conf *a,
                        const struct conf *b)
{
    void *as_it_was = malloc(g->size);
    memcpy(as_it_was, in, g->size);
    for (const struct schema_key *key = g->keys; key->name != NULL; key++) {
        if (key->type == SCHEMA_GROUP)
            check_group(key->group, (char *)in + key->offset, a, b);
        if (!field_is_scalar(key->type) || !alter(key, in))
            continue;
        expect_told(key, a, b);
        memcpy(in, as_it_was, g->size);
        altered++;
    }
    free(as_it_was);
}

START_TEST(every_key_of_the_tables_is_compared)
{
    const struct conf *a = accept_text(WITH_TOP("")), *b = accept_text(WITH_TOP(""));
    for (const struct schema_key *key = schema_root.keys; key->name != NULL; key++) {
        void *at = (char *)b + key->offset;
        if (key->type == SCHEMA_NAMED)
            memcpy(&at, at, sizeof(at));
        if (key->type == SCHEMA_GROUP || key->type == SCHEMA_NAMED)
            check_group(key->group, at, a, b);
    }
    check_group(schema_find(schema_find(&schema_root, "pools")->group, "servers")->group,
                b->pools[0].servers, a, b);
    ck_assert_uint_ge(altered, 25);
    conf_unref(a);
    conf_unref(b);
}
END_TEST

UNIT_MAIN_AROUND("diff", set_up, tear_down, what_says_the_same_is_kept,
                 a_listener_s_changed_keys_are_named, listeners_and_pools_come_and_go,
                 servers_are_compared_by_name, servers_that_change_places_change_the_pool,
                 numbers_lead_from_one_configuration_to_the_other,
                 an_address_resolved_to_something_else_has_changed,
                 what_needs_a_new_process_is_named, every_key_of_the_tables_is_compared)
