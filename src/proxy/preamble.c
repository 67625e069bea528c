#include "proxy/preamble.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "proxy/session.h"

_Static_assert(RING_NODE_PAYLOAD >= PROXY_HEADER_MAX, "a header is all in the first node");

static struct preamble *preamble_of(struct session *s)
{
    if (s->preamble == NULL)
        s->preamble = calloc(1, sizeof(*s->preamble));
    return s->preamble;
}

void preamble_free(struct preamble *p)
{
    if (p == NULL)
        return;
    free((void *)p->header.tlvs);
    free(p->name);
    free(p);
}

/* Whether the client has closed its side: no more will come. */
static bool at_end(const struct session *s)
{
    return s->relay.in.phase != HALF_FLOWING;
}

/* When what is waited for now must be there [monotonic ns]. */
static int64_t preamble_deadline(const struct session *s)
{
    const struct conf_listener *l = s->listener->conf;
    return clock_after(l->sni_timeout > 0 ? l->sni_timeout : l->idle_timeout);
}

/* Wait for more bytes and read them ahead. `late` is the end where none come in time. */
static enum session_end read_more(struct session *s, int64_t deadline, enum session_end late)
{
    int err = conn_watch(&s->client);
    if (err == 0 && !conn_readable(&s->client)) /* a FIN that came with data is no news any more */
        err = netpoll_wait(&s->client.poll, NETPOLL_READ, deadline);
    switch (err) {
    case 0:
        return relay_prefetch(&s->relay, &s->client) ? END_NONE : s->relay.end;
    case -ETIMEDOUT:
        return late;
    case -ECANCELED:
        return s->ordered_end;
    default:
        return END_ERROR;
    }
}

/* --- the PROXY header -------------------------------------------------------------------- */

/* Keep what the header says, and take it out of what the client sent. */
static void take_header(struct session *s, struct proxy_header *h, size_t length)
{
    uint8_t *tlvs = h->tlvs_length > 0 ? malloc(h->tlvs_length) : NULL;
    if (tlvs != NULL)
        memcpy(tlvs, h->tlvs, h->tlvs_length);
    else if (h->tlvs_length > 0)
        h->tlvs_length = 0; /* the addresses are what matters */
    h->tlvs = tlvs;
    relay_skip(&s->relay, length);
    if (h->source.len == 0)
        return;
    memset(&s->source, 0, sizeof(s->source));
    s->source.sa.sa_family = h->source.sa.sa_family;
    if (h->source.len <= sizeof(s->source) && s->source.sa.sa_family != AF_UNIX)
        memcpy(&s->source, &h->source.sa, h->source.len);
}

static enum session_end read_header(struct session *s)
{
    struct preamble *p = preamble_of(s);
    int64_t deadline = preamble_deadline(s);
    if (p == NULL)
        return END_ERROR;
    for (;;) {
        struct iovec first = {.iov_len = 0};
        int length = -EAGAIN;
        if (ring_peek(&s->relay.in.ring, &first, 1) > 0)
            length = proxy_header_parse(first.iov_base, first.iov_len, &p->header);
        if (length > 0) {
            take_header(s, &p->header, (size_t)length);
            return END_NONE;
        }
        p->header.tlvs = NULL;
        if (length == -EAGAIN && at_end(s) && first.iov_len == 0)
            return END_CLIENT_CLOSED;
        if (length != -EAGAIN || at_end(s))
            return END_PROXY_HEADER_INVALID;
        enum session_end end = read_more(s, deadline, END_PROXY_HEADER_INVALID);
        if (end != END_NONE)
            return end;
    }
}

/* --- the ClientHello --------------------------------------------------------------------- */

/* Keep the name for the record. Without memory it is not in it. */
static void keep_name(struct session *s, const struct client_hello *h)
{
    struct preamble *p = h->name[0] != '\0' ? preamble_of(s) : NULL;
    if (p != NULL)
        p->name = strdup(h->name);
}

static enum client_hello_state look(struct session *s, struct client_hello *h)
{
    struct iovec bytes[RING_IOV_MAX];
    int n = ring_peek(&s->relay.in.ring, bytes, RING_IOV_MAX);
    return client_hello_read(h, bytes, n);
}

/* Read a ClientHello; `*ret_tls` says whether there is one. */
static enum session_end read_hello(struct session *s, struct client_hello *h, bool *ret_tls)
{
    int64_t deadline = preamble_deadline(s);
    enum client_hello_state state;
    client_hello_init(h);
    while ((state = look(s, h)) == CLIENT_HELLO_MORE && !at_end(s)) {
        enum session_end end = read_more(s, deadline, END_SNI_TIMEOUT);
        if (end != END_NONE)
            return end;
    }
    *ret_tls = state == CLIENT_HELLO_DONE;
    if (*ret_tls)
        keep_name(s, h);
    return state == CLIENT_HELLO_MALFORMED ? END_ERROR : END_NONE;
}

/* --- the route --------------------------------------------------------------------------- */

/* A choice of a route under way. */
struct choice {
    struct client_hello *hello; /* NULL: not asked for yet */
    bool tls;
};

static enum session_end try_route(struct session *s, struct choice *c, const struct route *r,
                                  bool *ret_fits)
{
    *ret_fits = route_takes_source(r, &s->source.sa);
    if (!*ret_fits || !route_asks_hello(r))
        return END_NONE;
    if (c->hello == NULL) {
        c->hello = malloc(sizeof(*c->hello));
        enum session_end end = c->hello != NULL ? read_hello(s, c->hello, &c->tls) : END_ERROR;
        if (end != END_NONE)
            return end;
    }
    *ret_fits = c->tls && route_takes_hello(r, c->hello);
    return END_NONE;
}

static enum session_end choose_pool(struct session *s)
{
    const struct proxy_listener *l = s->listener;
    struct choice c = {.hello = NULL};
    enum session_end end = END_NONE;
    for (size_t i = 0; i < l->route_count && s->pool == NULL && end == END_NONE; i++) {
        bool fits;
        end = try_route(s, &c, &l->routes[i].route, &fits);
        if (end == END_NONE && fits)
            s->pool = l->routes[i].pool;
    }
    free(c.hello);
    return end == END_NONE && s->pool == NULL ? END_NO_SERVER : end;
}

enum session_end preamble_read(struct session *s)
{
    enum session_end end = END_NONE;
    if (s->listener->conf->accept_proxy) {
        end = read_header(s);
        if (end == END_NONE)
            end = session_meet(s);
    }
    if (end == END_NONE && s->pool == NULL)
        end = choose_pool(s);
    s->relay.activity = clock_now();
    return end;
}
