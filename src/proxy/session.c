#include "proxy/session.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "fiber/sched.h"
#include "proxy/chooser.h"
#include "proxy/connector.h"
#include "proxy/drain.h"
#include "proxy/farewell.h"
#include "proxy/record.h"

/*
 * A connection that lives so long [ns] gets what only long lives need (keepalive towards the
 * server, four system calls): short ones never pay for it.
 */
#define SESSION_SETTLE NSEC_PER_SEC

#define SESSION_FAREWELL                                                                           \
    NSEC_PER_SEC /* [ns] what the sides of one that is too old have to close                       \
                  */

#define SESSION_LOCAL 256 /* free records a thread keeps */

struct pool *session_pool_new(void)
{
    return pool_new("session", sizeof(struct session), SESSION_LOCAL);
}

static void session_done(struct fiber *f)
{
    struct session *s = container_of(f, struct session, fiber);
    struct shard *shard = s->shard;
    pool_put(shard->sessions, s);
    shard_count(shard, -1);
    shard_left(shard);
}

/* A TCP peer of a connection that failed sees an RST: a FIN would look like an orderly end. */
static void session_close(struct session *s, enum session_end end)
{
    switch (end) {
    case END_CLIENT_RESET:
        conn_close(&s->client);
        conn_reset(&s->upstream);
        break;
    case END_SERVER_RESET:
        conn_reset(&s->client);
        conn_close(&s->upstream);
        break;
    case END_CONNECT_FAILED:
    case END_CONNECT_TIMEOUT:
    case END_NO_SERVER:
    case END_QUEUE_TIMEOUT:
    case END_DENIED:
    case END_RATE_LIMITED:
    case END_LIMIT:
    case END_PROXY_HEADER_INVALID:
    case END_SNI_TIMEOUT:
    case END_ERROR:
        conn_reset(&s->client);
        conn_reset(&s->upstream);
        break;
    case END_DRAINED:
    case END_MAX_AGE:
        farewell_close(s);
        break;
    default:
        conn_close(&s->client);
        conn_close(&s->upstream);
    }
}

/* The last act of the fiber: nothing of the session is touched after it has returned. */
static void session_finish(struct session *s, enum session_end end)
{
    record_session(s, end);
    session_close(s, end);
    chooser_leave(s);
    if (unlikely(end == END_SERVER_RESET && s->relay.out.received == 0))
        chooser_blame(s, -ECONNRESET);
    relay_reset(&s->relay);
    if (unlikely(s->drain_place != 0))
        drain_forget(s);
    list_remove(&s->link);
    sources_leave(s->entered, clock_now());
    preamble_free(s->preamble);
    proxy_listener_leave(s->listener);
    proxy_leave(s->listener, s->shard);
}

static int64_t session_idle_limit(const struct session *s)
{
    const struct conf_listener *l = s->listener->conf;
    return relay_half_closed(&s->relay) ? l->half_close_timeout : l->idle_timeout;
}

/*
 * When the session is too old [monotonic ns]. Clients that came together do not go together: their
 * numbers spread them over a fifth of the time, by the golden ratio (Knuth, TAOCP 3, 6.4).
 */
static int64_t session_expiry(const struct session *s)
{
    int64_t age = s->listener->conf->max_connection_age;
    if (age == 0)
        return CLOCK_NEVER;
    int64_t spread = (int64_t)(s->id * UINT64_C(0x9e3779b97f4a7c15) >> 54); /* 0 to 1023 */
    return s->started + age - age / 10 + age / 5 * spread / 1023;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* When the present wait ends at the latest [monotonic ns]. */
static int64_t session_deadline(const struct session *s)
{
    int64_t limit = session_idle_limit(s);
    int64_t idle = limit > 0 ? s->relay.activity + limit : CLOCK_NEVER;
    int64_t settle = s->settled ? CLOCK_NEVER : s->started + SESSION_SETTLE;
    return earlier(earlier(idle, settle), session_expiry(s));
}

static void session_settle(struct session *s)
{
    const struct conf_keepalive *k = &s->listener->conf->keepalive;
    const struct socket_options o = {
        .keepalive = {.idle = k->idle, .interval = k->interval, .count = (int)k->count},
    };
    s->settled = true;
    /* A socket that refuses is one that has failed meanwhile: the relay learns of it by itself. */
    (void)!socket_set_options(s->upstream.poll.fd, s->server->address.addr.sa.sa_family, &o);
}

static struct counters *session_counters(const struct session *s)
{
    return &s->listener->counters[s->shard->number];
}

enum relay_state session_turn(struct session *s)
{
    uint64_t received = s->relay.in.received, sent = s->relay.out.sent;
    enum relay_state state = relay_turn(&s->relay, &s->client, &s->upstream);
    struct counters *c = session_counters(s);
    counters_add(&c->received, s->relay.in.received - received);
    counters_add(&c->sent, s->relay.out.sent - sent);
    return state;
}

static void session_woken(void *arg);

/* Sleep without a stack until either side is ready. */
static void WEFT_NORETURN session_wait(struct session *s)
{
    netpoll_arm(&s->client.poll, NETPOLL_READ | NETPOLL_WRITE);
    netpoll_arm(&s->upstream.poll, NETPOLL_READ | NETPOLL_WRITE);
    fiber_hibernate(session_woken, s, session_deadline(s));
}

/* Do as ordered. */
static void session_obey(struct session *s)
{
    if (s->part_by > 0)
        farewell_run(s, s->part_by);
    session_finish(s, s->ordered_end);
}

/* Whether it is to end, for another reason than what it relays: it is too old, or it was told. */
static bool session_is_over(struct session *s)
{
    if (s->ordered_end == END_NONE && clock_now() >= session_expiry(s)) {
        s->ordered_end = END_MAX_AGE;
        s->part_by = clock_now() + SESSION_FAREWELL;
    }
    return s->ordered_end != END_NONE;
}

/* The stretch from one wait to the next. */
static void session_relay(struct session *s)
{
    enum relay_state state = RELAY_BUSY;
    while (state == RELAY_BUSY && !session_is_over(s)) {
        state = session_turn(s);
        if (state == RELAY_BUSY)
            fiber_yield();
    }
    if (state == RELAY_DONE)
        session_finish(s, s->relay.end);
    else if (state == RELAY_BUSY)
        session_obey(s);
    else
        session_wait(s);
}

/* Returns END_NONE when it was only time to look. */
static enum session_end session_timed_out(struct session *s)
{
    int64_t limit = session_idle_limit(s);
    if (limit > 0 && clock_now() >= s->relay.activity + limit)
        return relay_half_closed(&s->relay) ? END_HALF_CLOSE_TIMEOUT : END_IDLE_TIMEOUT;
    if (!s->settled)
        session_settle(s);
    return END_NONE;
}

static void session_woken(void *arg)
{
    struct session *s = arg;
    enum session_end end = END_NONE;
    if (fiber_wait_result() == -ETIMEDOUT && !session_is_over(s))
        end = session_timed_out(s);
    if (end != END_NONE)
        session_finish(s, end);
    else
        session_relay(s);
}

/* Read what the client has sent already, and what must come before there is a server. */
static enum session_end session_begin(struct session *s)
{
    if (!relay_prefetch(&s->relay, &s->client))
        return s->relay.end;
    bool asked = s->pool == NULL || s->listener->conf->accept_proxy;
    return unlikely(asked) ? preamble_read(s) : END_NONE;
}

static void session_run(void *arg)
{
    struct session *s = arg;
    enum session_end end = session_begin(s);
    counters_add(&session_counters(s)->received, s->relay.in.received);
    if (end == END_NONE)
        end = connector_run(s);
    if (end != END_NONE) {
        session_finish(s, end);
        return;
    }
    if (conn_watch(&s->client) < 0 || conn_watch(&s->upstream) < 0) {
        session_finish(s, END_ERROR);
        return;
    }
    session_relay(s);
}

static void session_init(struct session *s, struct shard *shard, struct proxy_listener *listener,
                         int fd, const struct addr *peer)
{
    *s = (struct session){
        .shard = shard,
        .listener = listener,
        .pool = listener->pool,
        .started = clock_now(),
        .connect_duration = -1,
        .queue_duration = -1,
        .id = shard->group->first_id + shard->number +
              counters_read(&shard->started) * shard->group->count,
        .source.sa.sa_family = peer->sa.sa_family,
        .ordered_end = END_NONE,
    };
    if (peer->len <= sizeof(s->source))
        memcpy(&s->source, &peer->sa, peer->len);
    conn_init(&s->client, fd, peer->sa.sa_family);
    s->upstream.poll.fd = -1;
    relay_init(&s->relay, listener->conf->splice);
}

/* Count the session as one of its source's. */
static enum session_end session_count(struct session *s)
{
    const struct proxy_listener *l = s->listener;
    switch (sources_enter(l->state->sources, &l->door.limits, &s->source.sa, clock_now(),
                          &s->entered)) {
    case SOURCES_TOO_MANY:
        return END_LIMIT;
    case SOURCES_TOO_FAST:
        return END_RATE_LIMITED;
    default:
        return END_NONE;
    }
}

/* Whether who connects may come in, before anything is spent on it. */
static enum session_end session_knock(struct session *s)
{
    const struct door *door = &s->listener->door;
    if (door->open)
        return END_NONE;
    if (!door_admits(door, &s->source.sa))
        return END_DENIED;
    return door->counts && !s->listener->conf->accept_proxy ? session_count(s) : END_NONE;
}

enum session_end session_meet(struct session *s)
{
    const struct door *door = &s->listener->door;
    if (door_denies(door, &s->source.sa))
        return END_DENIED;
    return door->counts ? session_count(s) : END_NONE;
}

/* Turn a session away that has not begun. */
static void session_refuse(struct session *s, enum session_end end)
{
    record_session(s, end);
    session_close(s, end);
    proxy_listener_leave(s->listener);
    pool_put(s->shard->sessions, s);
}

/* In a signal handler: no printf. */
void session_describe_crash(const struct fiber *f, void (*say)(const char *text))
{
    if (f->done != session_done)
        return;
    const struct session *s = container_of(f, const struct session, fiber);
    char digits[24];
    char *at = digits + sizeof(digits) - 1;
    uint64_t id = s->id;
    *at = '\0';
    do {
        *--at = (char)('0' + id % 10);
        id /= 10;
    } while (id > 0);
    say("(connection ");
    say(at);
    say(" of listener ");
    say(s->listener->conf->name);
    say(") ");
}

int session_start(struct shard *shard, struct proxy_listener *listener, int fd,
                  const struct addr *peer)
{
    struct session *s = pool_get(shard->sessions);
    if (s == NULL)
        return -ENOMEM;
    session_init(s, shard, listener, fd, peer);
    counters_add(&shard->started, 1);
    counters_add(&session_counters(s)->connections, 1);
    enum session_end end = session_knock(s);
    if (unlikely(end != END_NONE)) {
        session_refuse(s, end);
        return 0;
    }
    list_push_back(&shard->live, &s->link);
    shard_count(shard, +1);
    proxy_join(listener, shard);
    fiber_create(&s->fiber, "session", session_run, s, session_done);
    fiber_start(&s->fiber);
    if (unlikely(shard->ending != END_NONE)) /* it was on its way when the others were ended */
        session_end(s, shard->ending);
    if (unlikely(!list_empty(&shard->drains)))
        drain_admit(s);
    return 0;
}

void session_end(struct session *s, enum session_end end)
{
    s->ordered_end = end;
    s->part_by = 0;
    fiber_cancel(&s->fiber);
}

void session_part(struct session *s, int64_t deadline)
{
    if (s->ordered_end != END_NONE)
        return;
    if (s->connect_duration < 0) {
        session_end(s, END_DRAINED);
        return;
    }
    s->ordered_end = END_DRAINED;
    s->part_by = deadline;
    fiber_ready(&s->fiber);
}

struct addr session_client(const struct session *s)
{
    struct addr a = {.len = sizeof(s->source)};
    if (s->source.sa.sa_family == AF_UNIX)
        a.len = sizeof(sa_family_t);
    else if (s->source.sa.sa_family == AF_INET)
        a.len = sizeof(struct sockaddr_in);
    memcpy(&a.sa, &s->source, a.len);
    return a;
}
