#include "proxy/record.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"

_Static_assert(sizeof(struct record) <= LOG_PAYLOAD_MAX, "a record is more than the log takes");

static atomic_uint access_format; /* enum conf_log_format */

void record_set_format(enum conf_log_format format)
{
    atomic_store_explicit(&access_format, format, memory_order_relaxed);
}

static void release(const void *payload)
{
    const struct record *r = payload;
    free(r->sni);
    conf_unref(r->conf);
}

/* Both ends of the client's connection, as a PROXY header has them, or else the socket. */
static void fill_client(struct record *r, const struct session *s)
{
    const struct proxy_header *h = s->preamble != NULL ? &s->preamble->header : NULL;
    if (h != NULL && h->source.len > 0) {
        r->source = h->source;
        r->destination = h->destination;
        return;
    }
    r->source = session_client(s);
    socket_local(s->client.poll.fd, &r->destination);
}

static void record_fill(struct record *r, const struct session *s, enum session_end end)
{
    *r = (struct record){
        .conf = conf_ref(s->listener->proxy->conf),
        .listener = s->listener->conf,
        .pool = s->pool != NULL ? s->pool->conf : NULL,
        .server = s->server,
        .time = clock_wall(),
        .duration = clock_now() - s->started,
        .connect_duration = s->connect_duration,
        .queue_duration = s->queue_duration,
        .id = s->id,
        .bytes_in = s->relay.in.received,
        .bytes_out = s->relay.out.sent,
        .generation = s->listener->proxy->generation,
        .worker = s->shard->number,
        .retries = s->retries,
        .spliced = s->relay.in.spliced || s->relay.out.spliced,
        .end = end,
    };
    fill_client(r, s);
    if (s->preamble != NULL && s->preamble->name != NULL)
        r->sni = strdup(s->preamble->name);
    if (s->upstream.poll.fd >= 0)
        socket_local(s->upstream.poll.fd, &r->upstream_source);
}

/* Formats may need deep stacks; so may what fills them: it runs on the loop's. */
struct record_call {
    const struct session *session;
    enum session_end end;
};

static void record_submit(void *arg)
{
    const struct record_call *call = arg;
    struct record r;
    record_fill(&r, call->session, call->end);
    unsigned wanted = atomic_load_explicit(&access_format, memory_order_relaxed);
    log_format_fn *format = wanted == CONF_LOG_JSON ? record_format_json : record_format_text;
    log_access(format, release, &r, sizeof(r));
}

void record_session(const struct session *s, enum session_end end)
{
    if (!log_access_enabled())
        return;
    struct record_call call = {.session = s, .end = end};
    fiber_call(record_submit, &call);
}

static void json_key(struct text *out, const char *key)
{
    text_add(out, ",\"", 2);
    text_add_string(out, key);
    text_add(out, "\":", 2);
}

static void json_string(struct text *out, const char *key, const char *value)
{
    json_key(out, key);
    text_add_json(out, value);
}

static void json_uint(struct text *out, const char *key, uint64_t value)
{
    json_key(out, key);
    text_add_uint(out, value);
}

static void json_seconds(struct text *out, const char *key, int64_t ns)
{
    json_key(out, key);
    text_add_seconds(out, ns);
}

static void json_addr(struct text *out, const char *key, const struct addr *a)
{
    char name[ADDR_TEXT_SIZE];
    addr_format(a, name);
    json_string(out, key, name);
}

static void json_server(struct text *out, const struct record *r)
{
    json_string(out, "server", r->server->name);
    json_addr(out, "upstream_destination", &r->server->address.addr);
    if (r->upstream_source.len > 0)
        json_addr(out, "upstream_source", &r->upstream_source);
    if (r->connect_duration >= 0)
        json_seconds(out, "connect_duration", r->connect_duration);
    json_uint(out, "retries", r->retries);
}

void record_format_json(struct text *out, const void *record)
{
    const struct record *r = record;
    text_add_string(out, "{\"time\":\"");
    text_add_time(out, r->time);
    text_add_string(out, "\"");
    json_uint(out, "id", r->id);
    json_string(out, "listener", r->listener->name);
    if (r->pool != NULL)
        json_string(out, "pool", r->pool->name);
    json_addr(out, "source", &r->source);
    json_addr(out, "destination", &r->destination);
    if (r->server != NULL)
        json_server(out, r);
    if (r->queue_duration >= 0)
        json_seconds(out, "queue_duration", r->queue_duration);
    if (r->sni != NULL)
        json_string(out, "sni", r->sni);
    json_uint(out, "bytes_in", r->bytes_in);
    json_uint(out, "bytes_out", r->bytes_out);
    json_seconds(out, "duration", r->duration);
    json_string(out, "end", end_name(r->end));
    json_uint(out, "worker", r->worker);
    json_uint(out, "generation", r->generation);
    if (r->upstream_source.len > 0)
        json_string(out, "via", r->spliced ? "splice" : "copy");
    text_add_string(out, "}");
}

static void text_seconds_or_dash(struct text *out, int64_t ns)
{
    if (ns >= 0)
        text_add_seconds(out, ns);
    else
        text_add_string(out, "-");
}

/* SOURCE [TIME] LISTENER POOL/SERVER END IN OUT DURATION "UPSTREAM" CONNECT RETRIES */
void record_format_text(struct text *out, const void *record)
{
    const struct record *r = record;
    char name[ADDR_TEXT_SIZE];
    addr_format(&r->source, name);
    text_add_string(out, name);
    text_add_string(out, " [");
    text_add_time(out, r->time);
    text_format(out, "] %s %s/%s %s %" PRIu64 " %" PRIu64 " ", r->listener->name,
                r->pool != NULL ? r->pool->name : "-", r->server != NULL ? r->server->name : "-",
                end_name(r->end), r->bytes_in, r->bytes_out);
    text_add_seconds(out, r->duration);
    if (r->server != NULL)
        addr_format(&r->server->address.addr, name);
    text_format(out, " \"%s\" ", r->server != NULL ? name : "-");
    text_seconds_or_dash(out, r->connect_duration);
    text_format(out, " %u", r->retries);
}
