/*
 * The table as such: every key of the contract with the users is in it, and every line of it is
 * one that the rest of the room can work with.
 */
#include "conf/schema.h"

#include <string.h>

#include "base/attr.h"
#include "conf/element.h"
#include "conf/field.h"
#include "unit.h"

/* Every key there is, as documented: what is promised to users does not shrink. */
static const char *const contract[] = {
    "include",
    "weft.workers",
    "weft.user",
    "weft.group",
    "weft.pid_file",
    "weft.control",
    "weft.pin",
    "weft.max_connections",
    "weft.drain_timeout",
    "weft.busy_poll",
    "log.access.output",
    "log.access.format",
    "log.error.output",
    "log.error.level",
    "admin.listen",
    "listeners.bind",
    "listeners.pool",
    "listeners.routes.sni",
    "listeners.routes.source",
    "listeners.routes.alpn",
    "listeners.routes.pool",
    "listeners.sni_timeout",
    "listeners.accept_proxy",
    "listeners.allow",
    "listeners.deny",
    "listeners.max_connections",
    "listeners.max_connections_per_source",
    "listeners.connection_rate_per_source",
    "listeners.idle_timeout",
    "listeners.half_close_timeout",
    "listeners.max_connection_age",
    "listeners.on_change",
    "listeners.splice",
    "listeners.nodelay",
    "listeners.keepalive.idle",
    "listeners.keepalive.interval",
    "listeners.keepalive.count",
    "listeners.backlog",
    "listeners.defer_accept",
    "listeners.fastopen",
    "listeners.transparent",
    "listeners.receive_buffer",
    "listeners.send_buffer",
    "pools.balance",
    "pools.hash_key",
    "pools.servers.name",
    "pools.servers.address",
    "pools.servers.weight",
    "pools.servers.max_connections",
    "pools.servers.backup",
    "pools.servers.resolve",
    "pools.resolve_interval",
    "pools.resolvers",
    "pools.connect_timeout",
    "pools.retries",
    "pools.queue.size",
    "pools.queue.timeout",
    "pools.send_proxy",
    "pools.source_address",
    "pools.check.type",
    "pools.check.interval",
    "pools.check.timeout",
    "pools.check.rise",
    "pools.check.fall",
    "pools.check.port",
    "pools.check.send",
    "pools.check.expect",
    "pools.check.send_proxy",
    "pools.outlier.failures",
    "pools.outlier.window",
    "pools.outlier.eject",
    "pools.outlier.max_ejected",
    "pools.slow_start",
    "pools.on_down",
};

static const struct schema_key *find_path(const char *path)
{
    char copy[128];
    strcpy(copy, path);
    const struct schema_group *g = &schema_root;
    const struct schema_key *key = NULL;
    for (char *name = strtok(copy, "."); name != NULL; name = strtok(NULL, ".")) {
        key = g != NULL ? schema_find(g, name) : NULL;
        if (key == NULL)
            return NULL;
        g = key->group;
    }
    return key;
}

static size_t count_leaves(const struct schema_group *g)
{
    size_t n = 0;
    for (const struct schema_key *key = g->keys; key->name != NULL; key++)
        n += key->group != NULL ? count_leaves(key->group) : 1;
    return n;
}

START_TEST(every_key_of_the_contract_is_there)
{
    for (size_t i = 0; i < array_size(contract); i++)
        ck_assert_msg(find_path(contract[i]) != NULL, "%s", contract[i]);
    ck_assert_ptr_null(find_path("weft.nothing"));
    ck_assert_uint_eq(count_leaves(&schema_root), array_size(contract));
}
END_TEST

static void check_key(const struct schema_key *key)
{
    ck_assert_msg(key->what != NULL && key->what[strlen(key->what) - 1] == '.', "%s", key->name);
    ck_assert_msg(strlen(key->what) < 100, "%s", key->name);
    bool amount = key->type == SCHEMA_NUMBER || key->type == SCHEMA_DURATION ||
                  key->type == SCHEMA_SIZE || key->type == SCHEMA_RATE || key->type == SCHEMA_SHARE;
    bool path = key->type == SCHEMA_PATH;
    ck_assert_msg(path || amount == (key->max > key->min), "%s: range", key->name);
    ck_assert_msg(path || key->zero == NULL || key->min > 0, "%s: 0 means two things", key->name);
    ck_assert_msg(key->step == 0 || (key->min % key->step == 0 && key->max % key->step == 0),
                  "%s: step", key->name);
    bool worded = key->type == SCHEMA_CHOICE || key->type == SCHEMA_OUTPUT;
    ck_assert_msg(worded == (key->words != NULL), "%s: words", key->name);
    bool account = key->type == SCHEMA_USER || key->type == SCHEMA_OWNERS;
    bool list = key->type == SCHEMA_INCLUDE || element_size(key->type) > 0;
    bool has_default = account || list || (field_is_scalar(key->type) && key->type != SCHEMA_NAME);
    if (key->type != SCHEMA_RESERVED)
        ck_assert_msg(has_default == (key->fallback != NULL), "%s: default", key->name);
    bool leads_on = key->type == SCHEMA_GROUP || key->type == SCHEMA_NAMED ||
                    key->type == SCHEMA_SERVERS || key->type == SCHEMA_ROUTES;
    if (key->type != SCHEMA_RESERVED)
        ck_assert_msg(leads_on == (key->group != NULL), "%s: group", key->name);
}

static void check_group(const struct schema_group *g)
{
    size_t n = 0;
    for (const struct schema_key *key = g->keys; key->name != NULL; key++, n++) {
        ck_assert_ptr_eq(schema_find(g, key->name), key); /* no name twice */
        check_key(key);
        if (key->group != NULL)
            check_group(key->group);
    }
    ck_assert_uint_le(n, SCHEMA_KEYS_MAX);
    if (g->off != NULL)
        ck_assert_ptr_nonnull(schema_find(g, g->off));
}

START_TEST(every_line_makes_sense)
{
    check_group(&schema_root);
}
END_TEST

START_TEST(every_default_is_accepted)
{
    union {
        char room[4096];
        max_align_t align;
    } into;
    memset(&into, 0, sizeof(into));
    ck_assert_uint_lt(schema_root.size, sizeof(into.room));
    field_defaults(&schema_root, &into); /* aborts where one is not */
    field_defaults(schema_find(&schema_root, "listeners")->group, &into);
    field_defaults(schema_find(&schema_root, "pools")->group, &into);
    field_defaults(find_path("pools.servers")->group, &into);
}
END_TEST

START_TEST(keys_are_described)
{
    static const struct {
        const char *path, *text;
    } cases[] = {
        {"weft.workers", "a whole number, 1 to 256, or auto"},
        {"weft.pin", "a boolean"},
        {"weft.user", "the name or number of a user"},
        {"weft.control", "a path with a slash in it, or off"},
        {"log.access.format", "one of json, text"},
        {"listeners.idle_timeout", "a duration, 1ms to 720h, or off"},
        {"listeners.receive_buffer", "a size, 4KiB to 256MiB, or auto"},
        {"listeners.bind", "an address or a list of addresses"},
        {"listeners.connection_rate_per_source", "a rate, 1/s to 1000000/s, or off"},
        {"listeners.allow", "a network or a list of networks"},
        {"pools.retries", "a whole number, 0 to 16"},
        {"pools.balance", "one of round_robin, least_conn, random, source_hash, maglev"},
    };
    for (size_t i = 0; i < array_size(cases); i++) {
        struct text out;
        text_init(&out);
        schema_describe(find_path(cases[i].path), &out);
        ck_assert_str_eq(out.data, cases[i].text);
        text_free(&out);
    }
}
END_TEST

UNIT_MAIN("schema", every_key_of_the_contract_is_there, every_line_makes_sense,
          every_default_is_accepted, keys_are_described)
