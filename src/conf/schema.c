#include "conf/schema.h"

#include <inttypes.h>
#include <string.h>

#include "conf/conf.h"
#include "conf/value.h"

#define US   INT64_C(1000)    /* [ns] */
#define MS   INT64_C(1000000) /* [ns] */
#define SEC  (1000 * MS)
#define MIN  (60 * SEC)
#define HOUR (60 * MIN)
#define KIB  INT64_C(1024) /* [bytes] */
#define MIB  (1024 * KIB)

#define CONNECTIONS_MAX 10000000
#define RATE_MAX        1000000
#define LONG            (720 * HOUR) /* thirty days: beyond it a timeout is a slip of the pen */
#define UNIX_PATH_MAX   107          /* [bytes] of a struct sockaddr_un, without the NUL */

#ifdef HAVE_SYSTEMD
#define JOURNAL_BUILT true
#else
#define JOURNAL_BUILT false
#endif

/* --- words ------------------------------------------------------------------------------- */

static const struct schema_word balance_words[] = {
    {"round_robin", CONF_ROUND_ROBIN, true}, {"least_conn", CONF_LEAST_CONN, true},
    {"random", CONF_RANDOM, true},           {"source_hash", CONF_SOURCE_HASH, true},
    {"maglev", CONF_MAGLEV, true},           {.name = NULL},
};

static const struct schema_word hash_words[] = {
    {"source", CONF_HASH_SOURCE, true},
    {"source_port", CONF_HASH_SOURCE_PORT, true},
    {"sni", 0, false},
    {.name = NULL},
};

static const struct schema_word format_words[] = {
    {"json", CONF_LOG_JSON, true},
    {"text", CONF_LOG_TEXT, true},
    {.name = NULL},
};

static const struct schema_word level_words[] = {
    {"debug", LOG_LEVEL_DEBUG, true},   {"info", LOG_LEVEL_INFO, true},
    {"notice", LOG_LEVEL_NOTICE, true}, {"warning", LOG_LEVEL_WARNING, true},
    {"error", LOG_LEVEL_ERROR, true},   {.name = NULL},
};

static const struct schema_word send_proxy_words[] = {
    {"off", CONF_SEND_PROXY_OFF, true},
    {"v1", CONF_SEND_PROXY_V1, true},
    {"v2", CONF_SEND_PROXY_V2, true},
    {.name = NULL},
};

static const struct schema_word splice_words[] = {
    {"auto", CONF_SPLICE_AUTO, true},
    {"on", CONF_SPLICE_ON, true},
    {"off", CONF_SPLICE_OFF, true},
    {.name = NULL},
};

static const struct schema_word on_change_words[] = {
    {"keep", CONF_ON_CHANGE_KEEP, true},
    {"drain", CONF_ON_CHANGE_DRAIN, true},
    {"close", CONF_ON_CHANGE_CLOSE, true},
    {.name = NULL},
};

static const struct schema_word output_words[] = {
    {"stderr", LOG_OUTPUT_STDERR, true}, {"stdout", LOG_OUTPUT_STDOUT, true},
    {"syslog", LOG_OUTPUT_SYSLOG, true}, {"journal", LOG_OUTPUT_JOURNAL, JOURNAL_BUILT},
    {"off", LOG_OUTPUT_OFF, true},       {.name = NULL},
};

/* --- keys -------------------------------------------------------------------------------- */

#define AT(type, member) .offset = offsetof(struct type, member)
#define MANY(type, member, number)                                                                 \
    .offset = offsetof(struct type, member), .count = offsetof(struct type, number)
#define RANGE(low, high) .min = (low), .max = (high)

static const struct schema_key process_keys[] = {
    {"workers", SCHEMA_NUMBER, AT(conf_process, workers), RANGE(1, 256), .zero = "auto",
     .restart = true, .fallback = "auto",
     .what = "Threads that proxy; auto: one for each CPU weft may use."},
    {"user", SCHEMA_USER, AT(conf_process, user), .restart = true, .fallback = "weft",
     .what = "User to become when started as root."},
    {"group", SCHEMA_OWNERS, AT(conf_process, group), .restart = true, .fallback = "weft",
     .what = "Group to become when started as root."},
    {"pid_file", SCHEMA_PATH, AT(conf_process, pid_file), .restart = true, .zero = "off",
     .fallback = "off", .what = "File that holds the process id."},
    {"control", SCHEMA_PATH, AT(conf_process, control), .restart = true, .max = UNIX_PATH_MAX,
     .zero = "off", .fallback = RUNSTATEDIR "/weft/control.sock",
     .what = "Path of the control socket."},
    {"pin", SCHEMA_BOOL, AT(conf_process, pin), .restart = true, .fallback = "off",
     .what = "Keep each worker on a CPU of its own."},
    {"max_connections", SCHEMA_NUMBER, AT(conf_process, max_connections), RANGE(1, CONNECTIONS_MAX),
     .zero = "auto", .fallback = "auto",
     .what = "Client connections at a time; auto: what the descriptor limit allows."},
    {"drain_timeout", SCHEMA_DURATION, AT(conf_process, drain_timeout), RANGE(MS, LONG),
     .fallback = "30s", .what = "How long a graceful stop waits for connections to end."},
    {"busy_poll", SCHEMA_DURATION, AT(conf_process, busy_poll), RANGE(US, 10 * MS), .zero = "off",
     .restart = true, .fallback = "off",
     .what = "Spin that long before sleeping, after recent activity."},
    {.name = NULL},
};

static const struct schema_key access_keys[] = {
    {"output", SCHEMA_OUTPUT, AT(conf_log, access), .words = output_words, .fallback = "stderr",
     .what = "Where the record of each connection goes."},
    {"format", SCHEMA_CHOICE, AT(conf_log, access_format), .words = format_words,
     .fallback = "json", .what = "How a record is written."},
    {.name = NULL},
};

static const struct schema_key error_keys[] = {
    {"output", SCHEMA_OUTPUT, AT(conf_log, error), .words = output_words, .fallback = "stderr",
     .what = "Where messages of the daemon itself go."},
    {"level", SCHEMA_CHOICE, AT(conf_log, error_level), .words = level_words, .fallback = "info",
     .what = "The least important level that is still written."},
    {.name = NULL},
};

/* Both make a part of struct conf_log: their offsets are in it. */
static const struct schema_group access_group = {
    .keys = access_keys, .size = sizeof(struct conf_log), .off = "output"};
static const struct schema_group error_group = {
    .keys = error_keys, .size = sizeof(struct conf_log), .off = "output"};

static const struct schema_key log_keys[] = {
    {"access", SCHEMA_GROUP, .group = &access_group,
     .what = "The access log: a record a connection."},
    {"error", SCHEMA_GROUP, .group = &error_group, .what = "The error log: what weft has to say."},
    {.name = NULL},
};

static const struct schema_key admin_keys[] = {
    {"listen", SCHEMA_RESERVED, .what = "Address of the metrics and health pages."},
    {.name = NULL},
};

static const struct schema_key route_keys[] = {
    {"sni", SCHEMA_HOSTS, MANY(conf_route, names, name_count), .fallback = "[]",
     .what = "Server names that this route is for; none: any, and no name at all."},
    {"source", SCHEMA_NETWORKS, MANY(conf_route, sources, source_count), .fallback = "[]",
     .what = "Networks of clients that this route is for; none: all of them."},
    {"alpn", SCHEMA_PROTOCOLS, MANY(conf_route, protocols, protocol_count), .fallback = "[]",
     .what = "Protocols of which the client must offer one; none: whatever it offers."},
    {"pool", SCHEMA_POOL, AT(conf_route, pool), .required = true,
     .what = "Pool that takes the connection."},
    {.name = NULL},
};

static const struct schema_key keepalive_keys[] = {
    {"idle", SCHEMA_DURATION, AT(conf_keepalive, idle), RANGE(SEC, 9 * HOUR), .step = SEC,
     .zero = "off", .fallback = "60s", .what = "Silence before the first probe; off: no probes."},
    {"interval", SCHEMA_DURATION, AT(conf_keepalive, interval), RANGE(SEC, 9 * HOUR), .step = SEC,
     .fallback = "10s", .what = "Time between two probes."},
    {"count", SCHEMA_NUMBER, AT(conf_keepalive, count), RANGE(1, 127), .fallback = "3",
     .what = "Probes without an answer before the connection is given up."},
    {.name = NULL},
};

static const struct schema_group admin_group = {.keys = admin_keys};
static const struct schema_group route_group = {
    .subject = "route", .keys = route_keys, .size = sizeof(struct conf_route)};
static const struct schema_group keepalive_group = {
    .keys = keepalive_keys, .size = sizeof(struct conf_keepalive), .off = "idle"};

static const struct schema_key listener_keys[] = {
    {"bind", SCHEMA_BINDS, MANY(conf_listener, binds, bind_count), .required = true,
     .what = "Where to listen."},
    {"pool", SCHEMA_POOL, AT(conf_listener, pool), .required = true, .other = "routes",
     .what = "Pool that takes the connections."},
    {"routes", SCHEMA_ROUTES, MANY(conf_listener, routes, route_count), .group = &route_group,
     .what = "Pools by server name, source and protocol; the first match wins."},
    {"sni_timeout", SCHEMA_DURATION, AT(conf_listener, sni_timeout), RANGE(MS, LONG), .zero = "off",
     .fallback = "5s",
     .what = "How long to wait for what a client must send first; off: idle_timeout."},
    {"accept_proxy", SCHEMA_BOOL, AT(conf_listener, accept_proxy), .fallback = "off",
     .what = "Require a PROXY protocol header, version 1 or 2, from those who connect."},
    {"allow", SCHEMA_NETWORKS, MANY(conf_listener, allow, allow_count), .fallback = "[]",
     .what = "Networks that may connect; none: all of them."},
    {"deny", SCHEMA_NETWORKS, MANY(conf_listener, deny, deny_count), .fallback = "[]",
     .what = "Networks that may not connect, allowed or not."},
    {"max_connections", SCHEMA_NUMBER, AT(conf_listener, max_connections),
     RANGE(1, CONNECTIONS_MAX), .zero = "off", .fallback = "off",
     .what = "Connections of this listener at a time; off: as many as weft takes."},
    {"max_connections_per_source", SCHEMA_NUMBER, AT(conf_listener, max_connections_per_source),
     RANGE(1, CONNECTIONS_MAX), .zero = "off", .fallback = "off",
     .what = "Connections of one source at a time; off: no limit."},
    {"connection_rate_per_source", SCHEMA_RATE, AT(conf_listener, connection_rate_per_source),
     RANGE(1, RATE_MAX), .zero = "off", .fallback = "off",
     .what = "New connections of one source; off: no limit."},
    {"idle_timeout", SCHEMA_DURATION, AT(conf_listener, idle_timeout), RANGE(MS, LONG),
     .zero = "off", .fallback = "10m",
     .what = "Close a connection with no byte in either direction for that long."},
    {"half_close_timeout", SCHEMA_DURATION, AT(conf_listener, half_close_timeout), RANGE(MS, LONG),
     .zero = "off", .fallback = "30s",
     .what = "Takes the place of idle_timeout once one side has closed."},
    {"max_connection_age", SCHEMA_DURATION, AT(conf_listener, max_connection_age), RANGE(MS, LONG),
     .zero = "off", .fallback = "off", .what = "Close a connection that is about that old."},
    {"on_change", SCHEMA_CHOICE, AT(conf_listener, on_change), .words = on_change_words,
     .fallback = "keep",
     .what = "What becomes of connections when a reload changes or removes the listener."},
    {"splice", SCHEMA_CHOICE, AT(conf_listener, splice), .words = splice_words, .fallback = "auto",
     .what = "Move bytes inside the kernel; auto: where they come in bulk."},
    {"nodelay", SCHEMA_BOOL, AT(conf_listener, nodelay), .fallback = "true",
     .what = "Send small pieces at once, without waiting to fill a packet (TCP_NODELAY)."},
    {"keepalive", SCHEMA_GROUP, AT(conf_listener, keepalive), .group = &keepalive_group,
     .what = "Probes that find peers which vanished without a word."},
    {"backlog", SCHEMA_NUMBER, AT(conf_listener, backlog), RANGE(1, 65535), .fallback = "4096",
     .what = "Connections that the kernel holds until weft accepts them."},
    {"defer_accept", SCHEMA_DURATION, AT(conf_listener, defer_accept), RANGE(SEC, 10 * MIN),
     .step = SEC, .zero = "off", .fallback = "off",
     .what = "Accept only once data has come, or after that long (TCP_DEFER_ACCEPT)."},
    {"fastopen", SCHEMA_NUMBER, AT(conf_listener, fastopen), RANGE(1, 65535), .zero = "off",
     .fallback = "off", .what = "Length of the queue for TCP Fast Open."},
    {"transparent", SCHEMA_RESERVED, .fallback = "off",
     .what = "Accept connections to addresses that are not ours."},
    {"receive_buffer", SCHEMA_SIZE, AT(conf_listener, receive_buffer), RANGE(4 * KIB, 256 * MIB),
     .zero = "auto", .fallback = "auto",
     .what = "Kernel receive buffer of both sides; auto: the kernel's own tuning."},
    {"send_buffer", SCHEMA_SIZE, AT(conf_listener, send_buffer), RANGE(4 * KIB, 256 * MIB),
     .zero = "auto", .fallback = "auto",
     .what = "Kernel send buffer of both sides; auto: the kernel's own tuning."},
    {.name = NULL},
};

static const struct schema_key server_keys[] = {
    {"name", SCHEMA_NAME, AT(conf_server, name),
     .what = "What to call the server; without it, its address as written."},
    {"address", SCHEMA_ADDRESS, AT(conf_server, address), .required = true,
     .what = "Where to connect."},
    {"weight", SCHEMA_NUMBER, AT(conf_server, weight), RANGE(1, 256), .fallback = "1",
     .what = "Share of the connections, in proportion to the other servers' weights."},
    {"max_connections", SCHEMA_NUMBER, AT(conf_server, max_connections), RANGE(1, CONNECTIONS_MAX),
     .zero = "off", .fallback = "off",
     .what = "Connections to this server at a time; off: as many as come."},
    {"backup", SCHEMA_BOOL, AT(conf_server, backup), .fallback = "off",
     .what = "Use this server only when no other one can be."},
    {"resolve", SCHEMA_RESERVED, .fallback = "off", .what = "Follow the name in the DNS."},
    {.name = NULL},
};

static const struct schema_key queue_keys[] = {
    {"size", SCHEMA_NUMBER, AT(conf_queue, size), RANGE(1, CONNECTIONS_MAX), .zero = "off",
     .fallback = "off", .what = "Connections that may wait; off: none does."},
    {"timeout", SCHEMA_DURATION, AT(conf_queue, timeout), RANGE(MS, HOUR), .zero = "off",
     .fallback = "5s", .what = "How long one may wait; off: as long as it takes."},
    {.name = NULL},
};

static const struct schema_key check_keys[] = {
    {"type", SCHEMA_RESERVED, .fallback = "tcp", .what = "What a check does."},
    {"interval", SCHEMA_RESERVED, .fallback = "2s", .what = "Time between two checks."},
    {"timeout", SCHEMA_RESERVED, .fallback = "1s", .what = "How long a check may take."},
    {"rise", SCHEMA_RESERVED, .fallback = "2", .what = "Good checks until a server is up."},
    {"fall", SCHEMA_RESERVED, .fallback = "3", .what = "Bad checks until a server is down."},
    {"port", SCHEMA_RESERVED, .what = "Port to check in place of the server's."},
    {"send", SCHEMA_RESERVED, .what = "Bytes that a check sends."},
    {"expect", SCHEMA_RESERVED, .what = "Bytes that a check must get."},
    {"send_proxy", SCHEMA_RESERVED, .fallback = "off",
     .what = "Begin a check with a PROXY header."},
    {.name = NULL},
};

static const struct schema_key outlier_keys[] = {
    {"failures", SCHEMA_NUMBER, AT(conf_outlier, failures), RANGE(1, 1000), .zero = "off",
     .fallback = "5", .what = "Failures until a server is left alone; off: none ever is."},
    {"window", SCHEMA_DURATION, AT(conf_outlier, window), RANGE(MS, 24 * HOUR), .fallback = "10s",
     .what = "Time in which they must have happened."},
    {"eject", SCHEMA_DURATION, AT(conf_outlier, eject), RANGE(MS, 24 * HOUR), .fallback = "10s",
     .what = "How long a server is left alone the first time."},
    {"max_ejected", SCHEMA_SHARE, AT(conf_outlier, max_ejected), RANGE(1, 100), .fallback = "50%",
     .what = "Share of the pool's servers that may be left alone at a time."},
    {.name = NULL},
};

static const struct schema_group server_group = {.subject = "server",
                                                 .keys = server_keys,
                                                 .size = sizeof(struct conf_server),
                                                 .name = offsetof(struct conf_server, name)};
static const struct schema_group queue_group = {
    .keys = queue_keys, .size = sizeof(struct conf_queue), .off = "size"};
static const struct schema_group check_group = {.keys = check_keys};
static const struct schema_group outlier_group = {
    .keys = outlier_keys, .size = sizeof(struct conf_outlier), .off = "failures"};

static const struct schema_key pool_keys[] = {
    {"balance", SCHEMA_CHOICE, AT(conf_pool, balance), .words = balance_words,
     .fallback = "round_robin", .what = "How a server is chosen for a connection."},
    {"hash_key", SCHEMA_CHOICE, AT(conf_pool, hash_key), .words = hash_words, .fallback = "source",
     .what = "What source_hash and maglev tell clients apart by."},
    {"servers", SCHEMA_SERVERS, MANY(conf_pool, servers, server_count), .required = true,
     .group = &server_group, .what = "The servers of the pool."},
    {"resolve_interval", SCHEMA_RESERVED, .fallback = "10s",
     .what = "How often names are asked for."},
    {"resolvers", SCHEMA_RESERVED, .fallback = "[]", .what = "DNS servers to ask."},
    {"connect_timeout", SCHEMA_DURATION, AT(conf_pool, connect_timeout), RANGE(MS, 10 * MIN),
     .zero = "off", .fallback = "5s",
     .what = "How long connecting to a server may take; off: as long as the kernel tries."},
    {"retries", SCHEMA_NUMBER, AT(conf_pool, retries), RANGE(0, 16), .fallback = "2",
     .what = "Other servers tried when a connect fails."},
    {"queue", SCHEMA_GROUP, AT(conf_pool, queue), .group = &queue_group,
     .what = "Where connections wait when every server is full."},
    {"send_proxy", SCHEMA_CHOICE, AT(conf_pool, send_proxy), .words = send_proxy_words,
     .fallback = "off", .what = "Begin each connection to a server with a PROXY protocol header."},
    {"source_address", SCHEMA_RESERVED, .what = "Address to connect from."},
    {"check", SCHEMA_RESERVED, .group = &check_group, .what = "Health checks."},
    {"outlier", SCHEMA_GROUP, AT(conf_pool, outlier), .group = &outlier_group,
     .what = "When servers that fail connections are left alone for a while."},
    {"slow_start", SCHEMA_DURATION, AT(conf_pool, slow_start), RANGE(MS, 24 * HOUR), .zero = "off",
     .fallback = "off", .what = "Time in which a server that comes up grows to its full weight."},
    {"on_down", SCHEMA_RESERVED, .fallback = "keep",
     .what = "What becomes of the connections of a server that goes down."},
    {.name = NULL},
};

static const struct schema_group process_group = {.keys = process_keys,
                                                  .size = sizeof(struct conf_process)};
static const struct schema_group log_group = {.keys = log_keys, .size = sizeof(struct conf_log)};
static const struct schema_group listener_group = {.subject = "listener",
                                                   .keys = listener_keys,
                                                   .size = sizeof(struct conf_listener),
                                                   .name = offsetof(struct conf_listener, name),
                                                   .mark = offsetof(struct conf_listener, mark)};
static const struct schema_group pool_group = {.subject = "pool",
                                               .keys = pool_keys,
                                               .size = sizeof(struct conf_pool),
                                               .name = offsetof(struct conf_pool, name),
                                               .mark = offsetof(struct conf_pool, mark)};

static const struct schema_key root_keys[] = {
    {"include", SCHEMA_INCLUDE, .fallback = "[]", .what = "More files with listeners and pools."},
    {"weft", SCHEMA_GROUP, AT(conf, process), .group = &process_group,
     .what = "The daemon itself."},
    {"log", SCHEMA_GROUP, AT(conf, log), .group = &log_group, .what = "The two logs."},
    {"admin", SCHEMA_RESERVED, .group = &admin_group, .what = "Metrics and health pages."},
    {"listeners", SCHEMA_NAMED, MANY(conf, listeners, listener_count), .required = true,
     .group = &listener_group, .what = "Where clients connect, by name."},
    {"pools", SCHEMA_NAMED, MANY(conf, pools, pool_count), .group = &pool_group,
     .what = "Where their connections go, by name."},
    {.name = NULL},
};

const struct schema_group schema_root = {.keys = root_keys, .size = sizeof(struct conf)};

const struct schema_key *schema_find(const struct schema_group *g, const char *name)
{
    for (const struct schema_key *key = g->keys; key->name != NULL; key++)
        if (strcmp(key->name, name) == 0)
            return key;
    return NULL;
}

static void write_amount(enum schema_type type, int64_t value, struct text *out)
{
    if (type == SCHEMA_DURATION)
        value_write_duration(out, value);
    else if (type == SCHEMA_SIZE)
        value_write_size(out, value);
    else if (type == SCHEMA_RATE)
        value_write_rate(out, value, SEC);
    else if (type == SCHEMA_SHARE)
        value_write_share(out, value);
    else
        text_format(out, "%" PRId64, value);
}

void schema_range(const struct schema_key *key, struct text *out)
{
    write_amount(key->type, key->min, out);
    text_add_string(out, " to ");
    write_amount(key->type, key->max, out);
    if (key->zero != NULL)
        text_format(out, ", or %s", key->zero);
}

static void list_words(const struct schema_word *word, struct text *out)
{
    const char *comma = "";
    for (; word->name != NULL; word++) {
        if (!word->built)
            continue;
        text_format(out, "%s%s", comma, word->name);
        comma = ", ";
    }
}

void schema_describe(const struct schema_key *key, struct text *out)
{
    static const char *const nouns[] = {
        [SCHEMA_BOOL] = "a boolean",
        [SCHEMA_NUMBER] = "a whole number, ",
        [SCHEMA_DURATION] = "a duration, ",
        [SCHEMA_SIZE] = "a size, ",
        [SCHEMA_RATE] = "a rate, ",
        [SCHEMA_SHARE] = "a share, ",
        [SCHEMA_CHOICE] = "one of ",
        [SCHEMA_OUTPUT] = "a path with a slash in it, or one of ",
        [SCHEMA_NAME] = "a name",
        [SCHEMA_PATH] = "a path with a slash in it, or off",
        [SCHEMA_USER] = "the name or number of a user",
        [SCHEMA_OWNERS] = "the name or number of a group",
        [SCHEMA_ADDRESS] = "an address",
        [SCHEMA_POOL] = "the name of a pool",
        [SCHEMA_OUTGOING] = "an IP address, transparent, or null",
        [SCHEMA_NETWORKS] = "a network or a list of networks",
        [SCHEMA_HOSTS] = "a server name or a list of server names",
        [SCHEMA_PROTOCOLS] = "a protocol or a list of protocols",
        [SCHEMA_BINDS] = "an address or a list of addresses",
        [SCHEMA_SERVERS] = "a list of servers",
        [SCHEMA_INCLUDE] = "a path or a list of paths",
        [SCHEMA_ROUTES] = "a list of routes",
        [SCHEMA_NAMED] = "a mapping by name",
        [SCHEMA_GROUP] = "a mapping",
        [SCHEMA_RESERVED] = "nothing yet",
    };
    text_add_string(out, nouns[key->type]);
    if (key->words != NULL)
        list_words(key->words, out);
    else if (key->max > 0 && key->type != SCHEMA_PATH)
        schema_range(key, out);
}
