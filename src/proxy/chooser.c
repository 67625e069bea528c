#include "proxy/chooser.h"

#include <errno.h>
#include <limits.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "conf/value.h"
#include "fiber/fiber.h"
#include "proxy/queue.h"
#include "upstream/balancer.h"
#include "upstream/hash.h"

/*
 * Who waits looks for himself now and then: a server whose ejection is over becomes usable by the
 * passing of time alone.
 */
#define LOOK_INTERVAL (250 * NSEC_PER_MSEC)

void chooser_init(struct pick *p, const struct session *s)
{
    const struct conf_pool *pool = s->pool->conf;
    *p = (struct pick){.tried_count = 0};
    if (pool->balance == CONF_SOURCE_HASH || pool->balance == CONF_MAGLEV)
        p->hash = pool->hash_key == CONF_HASH_SOURCE_PORT ? hash_source_port(&s->source.sa)
                                                          : hash_source(&s->source.sa);
}

/* --- waiting ---------------------------------------------------------------------------------- */

struct wait {
    struct queue_waiter waiter;
    struct session *session;
    struct shard_message turn; /* posted by whoever serves */
    bool delivered;
};

static void deliver_turn(struct shard_message *m, struct shard *shard)
{
    (void)shard;
    struct wait *w = container_of(m, struct wait, turn);
    w->delivered = true;
    fiber_ready(&w->session->fiber);
}

static void post_turn(struct queue_waiter *waiter)
{
    struct wait *w = container_of(waiter, struct wait, waiter);
    shard_post(w->session->shard, &w->turn);
}

/*
 * Sleep for a while, with an eye on the client: one that has reset the connection is not to keep a
 * place in the queue. Returns 0, -ETIMEDOUT, -ECANCELED or -ECONNRESET.
 */
static int doze(struct session *s, int64_t until)
{
    struct netpoll_desc *client = &s->client.poll;
    client->ready &= (uint8_t)~NETPOLL_READ;
    netpoll_arm(client, NETPOLL_READ);
    int err = fiber_park(until);
    netpoll_arm(client, 0);
    return (client->ready & NETPOLL_ERROR) != 0 ? -ECONNRESET : err;
}

/* Wait to be served. Returns 0 when that has happened, else why it has not. */
static int await_turn(struct wait *w, struct queue *q, int64_t deadline)
{
    int err = 0;
    while (!w->delivered && (err == 0 || err == -ETIMEDOUT)) {
        int64_t now = clock_now();
        if (err == -ETIMEDOUT && now >= deadline)
            break;
        queue_serve(q, now);
        err = doze(w->session, now + LOOK_INTERVAL < deadline ? now + LOOK_INTERVAL : deadline);
    }
    if (w->delivered)
        return err == -ECANCELED ? err : 0;
    if (queue_leave(q, &w->waiter))
        return err;
    while (!w->delivered) /* it is in the mailbox, and the wait is this fiber's */
        fiber_yield();
    return err == -ECANCELED ? err : 0;
}

/*
 * The end of the wait: the queue's timeout, of which a session that was in it before has had a
 * part; or what a connect may take, where it waits for first checks.
 */
static int64_t deadline_of(const struct session *s)
{
    const struct conf_pool *pool = s->pool->conf;
    int64_t limit = pool->queue.size > 0 ? pool->queue.timeout : pool->connect_timeout;
    int64_t waited = s->queue_duration > 0 ? s->queue_duration : 0;
    if (limit == 0)
        return CLOCK_NEVER;
    return clock_now() + (waited < limit ? limit - waited : 0);
}

/* Give a place at a server back, to whoever waits for one. */
static void give_back(struct proxy_pool *pool, size_t server)
{
    int64_t now = clock_now();
    balancer_leave(&pool->balancer, server, now);
    if (queue_busy(&pool->state->queue))
        queue_serve(&pool->state->queue, now);
}

/* Returns as balancer_pick() does, or -ETIMEDOUT, -ECANCELED, -ECONNRESET or another -errno. */
static int wait_for_server(struct pick *p, struct session *s)
{
    struct proxy_pool *pool = s->pool;
    struct queue *q = &pool->state->queue;
    struct wait w = {
        .waiter = {.balancer = &pool->balancer,
                   .pick = p,
                   .patient = pool->conf->queue.size > 0,
                   .wake = post_turn},
        .session = s,
        .turn.deliver = deliver_turn,
    };
    int err = conn_watch(&s->client);
    if (err < 0)
        return err;
    if (!queue_join(q, &w.waiter, w.waiter.patient ? pool->conf->queue.size : UINT_MAX))
        return -EBUSY;
    err = await_turn(&w, q, deadline_of(s));
    s->client.poll.ready |= NETPOLL_READ; /* what came meanwhile is still there */
    if (err == 0)
        return w.waiter.result;
    if (w.delivered && w.waiter.result >= 0 && pool->balancer.counted)
        give_back(pool, (size_t)w.waiter.result);
    return err;
}

static int queue_up(struct pick *p, struct session *s)
{
    int64_t begun = clock_now();
    int server = wait_for_server(p, s);
    s->queue_duration = (s->queue_duration > 0 ? s->queue_duration : 0) + clock_now() - begun;
    return server;
}

/* --- choosing --------------------------------------------------------------------------------- */

static enum session_end end_of(const struct session *s, int err)
{
    switch (err) {
    case -ENOENT:
    case -EBUSY:
        return END_NO_SERVER;
    case -ETIMEDOUT:
        return s->pool->conf->queue.size > 0 ? END_QUEUE_TIMEOUT : END_NO_SERVER;
    case -ECANCELED:
        return s->ordered_end;
    case -ECONNRESET:
        return END_CLIENT_RESET;
    default:
        return END_ERROR;
    }
}

enum session_end chooser_choose(struct pick *p, struct session *s)
{
    struct proxy_pool *pool = s->pool;
    bool queues = pool->conf->queue.size > 0;
    p->now = clock_now();
    p->random = &s->shard->random;
    int server = -EBUSY;
    if (!queues || !queue_busy(&pool->state->queue))
        server = balancer_pick(&pool->balancer, p);
    if (unlikely(server == -EAGAIN || (server == -EBUSY && queues)))
        server = queue_up(p, s);
    if (unlikely(server < 0))
        return end_of(s, server);
    s->server = &pool->conf->servers[server];
    s->counted = pool->balancer.counted;
    return END_NONE;
}

void chooser_leave(struct session *s)
{
    struct proxy_pool *pool = s->pool;
    if (!s->counted)
        return;
    s->counted = false;
    give_back(pool, (size_t)(s->server - pool->conf->servers));
}

/* --- blaming ---------------------------------------------------------------------------------- */

/* What is short here, or forbidden, says nothing of the server. */
static bool is_servers_fault(int err)
{
    switch (err) {
    case -ECONNREFUSED:
    case -ECONNRESET:
    case -EPIPE:
    case -ETIMEDOUT:
    case -EHOSTUNREACH:
    case -EHOSTDOWN:
    case -ENETUNREACH:
    case -ENOENT: /* no UNIX socket of that name */
        return true;
    default:
        return false;
    }
}

struct blame {
    const struct session *session;
    int64_t length; /* [ns] */
    int err;
};

static void say_left_alone(void *arg)
{
    const struct blame *b = arg;
    const struct conf_pool *pool = b->session->pool->conf;
    struct text times[2];
    text_init(&times[0]);
    text_init(&times[1]);
    value_write_duration(&times[0], b->length);
    value_write_duration(&times[1], pool->outlier.window);
    if (!times[0].failed && !times[1].failed)
        log_line(LOG_LEVEL_WARNING,
                 "pool %s: server %s: left alone for %s: %u failures within %s, the last: %s",
                 pool->name, b->session->server->name, times[0].data, pool->outlier.failures,
                 times[1].data, error_text(b->err));
    text_free(&times[0]);
    text_free(&times[1]);
}

void chooser_blame(struct session *s, int err)
{
    struct proxy_pool *pool = s->pool;
    if (!is_servers_fault(err))
        return;
    size_t server = (size_t)(s->server - pool->conf->servers);
    struct blame b = {.session = s, .err = err};
    b.length = balancer_fail(&pool->balancer, server, clock_now());
    if (b.length > 0)
        fiber_call(say_left_alone, &b);
}
