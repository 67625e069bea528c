#include "proxy/announce.h"

#include <errno.h>
#include <stdlib.h>

#include "fiber/fiber.h"
#include "proxy/session.h"

/* A header that is written on the loop's stack: see proxy_header_write(). */
struct announcement {
    const struct session *session;
    uint8_t *bytes; /* owned; NULL: no memory */
    size_t length;  /* [bytes] */
};

/* What is said of a client that came without a header, or with one that does not say. */
static void own_addresses(const struct session *s, struct proxy_header *h)
{
    h->source = session_client(s);
    socket_local(s->client.poll.fd, &h->destination);
}

static void write_header(void *arg)
{
    struct announcement *a = arg;
    const struct session *s = a->session;
    struct proxy_header h = {.local = false};
    if (s->preamble != NULL)
        h = s->preamble->header;
    h.local = false;
    if (h.source.len == 0)
        own_addresses(s, &h);
    enum proxy_version version =
        s->pool->conf->send_proxy == CONF_SEND_PROXY_V1 ? PROXY_V1 : PROXY_V2;
    a->bytes = malloc(PROXY_HEADER_ALONE + h.tlvs_length);
    if (a->bytes != NULL)
        a->length = proxy_header_write(&h, version, a->bytes);
}

/* Wait until more can be written. */
static int wait_writable(struct conn *c, int64_t deadline)
{
    if (c->connecting)
        return conn_established(c, deadline);
    int err = conn_watch(c);
    return err < 0 ? err : netpoll_wait(&c->poll, NETPOLL_WRITE, deadline);
}

int announce_client(struct session *s, int64_t deadline)
{
    struct announcement a = {.session = s};
    fiber_call(write_header, &a);
    if (a.bytes == NULL)
        return -ENOMEM;
    struct iovec left = {a.bytes, a.length};
    int err = 0;
    while (err == 0 && left.iov_len > 0) {
        err = relay_first_write(&s->relay, &s->upstream, &left);
        if (err == -EAGAIN)
            err = wait_writable(&s->upstream, deadline);
    }
    free(a.bytes);
    return err;
}
