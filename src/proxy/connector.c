#include "proxy/connector.h"

#include <errno.h>

#include "base/clock.h"
#include "fiber/fiber.h"
#include "proxy/announce.h"
#include "proxy/chooser.h"

/* Between tries while the system has no descriptor, memory or UNIX queue place for a connect. */
#define CONNECT_PAUSE (10 * NSEC_PER_MSEC)

static bool is_passing(int err)
{
    return err == -EAGAIN || err == -EMFILE || err == -ENFILE || err == -ENOBUFS || err == -ENOMEM;
}

/* Begin, waiting out what is short for the moment. */
static int begin(struct session *s, int64_t deadline)
{
    const struct addr *to = &s->server->address.addr;
    int err;
    while (is_passing(err = conn_connect_begin(&s->upstream, to, &s->listener->upstream))) {
        int64_t next = clock_now() + CONNECT_PAUSE;
        if (next > deadline)
            return -ETIMEDOUT;
        err = fiber_sleep(next);
        if (err < 0)
            return err;
    }
    return err;
}

/*
 * The client's first bytes are written at once: where the connect is through already, as on a
 * local network it often is, they need no wait and no look at SO_ERROR. A failure of this write
 * is a failure of the connect, since nothing has been sent.
 */
static int establish(struct session *s, int64_t deadline)
{
    int err = 0;
    if (s->pool->conf->send_proxy == CONF_SEND_PROXY_OFF)
        err = relay_first_write(&s->relay, &s->upstream, NULL);
    else
        err = announce_client(s, deadline);
    if (err < 0 && err != -EAGAIN)
        return err;
    return conn_established(&s->upstream, deadline);
}

static int connect_to(struct session *s)
{
    int64_t limit = s->pool->conf->connect_timeout;
    int64_t begun = clock_now();
    int64_t deadline = limit > 0 ? begun + limit : CLOCK_NEVER;
    int err = begin(s, deadline);
    if (err < 0)
        return err;
    err = establish(s, deadline);
    if (err < 0) {
        conn_close(&s->upstream);
        return err;
    }
    s->connect_duration = clock_now() - begun;
    return 0;
}

static enum session_end end_of_connect(const struct session *s, int err)
{
    switch (err) {
    case -ECANCELED:
        return s->ordered_end;
    case -ETIMEDOUT:
        return END_CONNECT_TIMEOUT;
    default:
        return END_CONNECT_FAILED;
    }
}

enum session_end connector_run(struct session *s)
{
    struct pick p;
    chooser_init(&p, s);
    enum session_end end = END_NO_SERVER;
    unsigned retries = s->pool->conf->retries;
    for (unsigned attempt = 0; attempt <= retries; attempt++) {
        enum session_end without = chooser_choose(&p, s);
        if (without != END_NONE) /* of the last server's failure and of none left, the former */
            return attempt > 0 && without == END_NO_SERVER ? end : without;
        s->retries = (uint8_t)attempt;
        int err = connect_to(s);
        if (err == 0)
            return END_NONE;
        chooser_leave(s);
        chooser_blame(s, err);
        end = end_of_connect(s, err);
        if (err == -ECANCELED)
            break;
    }
    return end;
}
