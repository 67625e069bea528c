#include "proxy/farewell.h"

#include "base/clock.h"
#include "fiber/fiber.h"
#include "fiber/netpoll.h"

/* Deliver what is buffered, and a FIN behind it. Returns whether that came to an end. */
static bool deliver(struct session *s, int64_t deadline)
{
    enum relay_state state;
    while ((state = session_turn(s)) != RELAY_DONE) {
        bool in, out;
        relay_pending(&s->relay, &in, &out);
        if (state == RELAY_BUSY)
            fiber_yield();
        else if (netpoll_wait_either(&s->upstream.poll, in ? NETPOLL_WRITE : 0, &s->client.poll,
                                     out ? NETPOLL_WRITE : 0, deadline) < 0)
            return false;
    }
    return true;
}

/* Bytes that came after our FIN would make the close an RST, which takes from the peer what it has
 * not read yet: they are read and thrown away. */
static void await_closes(struct session *s, int64_t deadline)
{
    enum relay_state state;
    while (clock_now() < deadline &&
           (state = relay_discard(&s->relay, &s->client, &s->upstream)) != RELAY_DONE) {
        if (state == RELAY_BUSY)
            fiber_yield();
        else if (netpoll_wait_either(&s->client.poll, s->relay.in.over ? 0 : NETPOLL_READ,
                                     &s->upstream.poll, s->relay.out.over ? 0 : NETPOLL_READ,
                                     deadline) < 0)
            return;
    }
}

void farewell_run(struct session *s, int64_t deadline)
{
    relay_stop(&s->relay);
    if (!deliver(s, deadline))
        return;
    /* One that fails belongs to a connection that is over. */
    (void)!conn_shutdown(&s->client);
    (void)!conn_shutdown(&s->upstream);
    await_closes(s, deadline);
}

void farewell_close(struct session *s)
{
    bool in, out;
    relay_pending(&s->relay, &in, &out);
    if (out)
        conn_reset(&s->client);
    else
        conn_close(&s->client);
    if (in)
        conn_reset(&s->upstream);
    else
        conn_close(&s->upstream);
}
