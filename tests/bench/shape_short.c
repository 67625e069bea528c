#include <errno.h>
#include <stdlib.h>

#include "client.h"
#include "load.h"

#define REST_NS 20000000000 /* for the connections that are open when the window closes */

struct burst {
    struct load *load;
    struct client *slots; /* owned; one connection after the other each */
    unsigned open;
    uint64_t number;
};

/* A slot whose connection fails rests from then on: a run with faults is no measurement. */
static void connect_slot(struct burst *b, struct client *c, int64_t now)
{
    const struct options *o = b->load->options;
    int err = client_connect(c, b->load);
    if (err < 0) {
        meter_fault(&b->load->meter, err);
        return;
    }
    b->open++;
    c->began = now;
    client_ask(c, o->size, o->fin ? FRAME_CLOSE : 0, b->number++);
}

static void answered(struct client *c, int err)
{
    struct burst *b = c->owner;
    const struct options *o = b->load->options;
    int64_t now = clock_now();
    b->open--;
    if (err < 0) {
        meter_fault(&b->load->meter, err);
        return;
    }
    if (o->fin)
        client_close(c);
    else
        client_reset(c);
    meter_operation(&b->load->meter, c->began, now, 2 * (uint64_t)o->size);
    if (b->load->meter.state != METER_CLOSED)
        connect_slot(b, c, now);
}

static void connect_all(struct burst *b)
{
    for (unsigned i = 0; i < b->load->options->connections; i++) {
        b->slots[i].source.fd = -1;
        b->slots[i].owner = b;
        b->slots[i].done = answered;
        connect_slot(b, &b->slots[i], clock_now());
    }
}

int shape_short(struct load *l)
{
    const struct options *o = l->options;
    struct burst b = {.load = l, .slots = calloc(o->connections, sizeof(*b.slots))};
    if (b.slots == NULL)
        return -ENOMEM;
    meter_begin(&l->meter, o->warmup, o->seconds);
    connect_all(&b);
    while (b.open > 0 && meter_running(&l->meter, clock_now()))
        loop_turn(&l->loop, meter_next(&l->meter));
    int64_t deadline = clock_now() + REST_NS;
    while (b.open > 0 && clock_now() < deadline)
        loop_turn(&l->loop, deadline);
    meter_stuck(&l->meter, b.open);
    for (unsigned i = 0; i < o->connections; i++)
        client_reset(&b.slots[i]);
    free(b.slots);
    return 0;
}
