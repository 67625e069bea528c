#include <stdlib.h>

#include "fleet.h"
#include "load.h"

#define REST_NS 20000000000 /* for the exchanges that are on their way when the window closes */

struct pingpong {
    struct load *load;
    unsigned asking;
    uint64_t number;
};

static void ask(struct client *c, int64_t now)
{
    struct pingpong *p = c->owner;
    c->began = now;
    client_ask(c, p->load->options->size, 0, p->number++);
}

static void answered(struct client *c, int err)
{
    struct pingpong *p = c->owner;
    int64_t now = clock_now();
    if (err < 0) {
        meter_fault(&p->load->meter, err);
        p->asking--;
        return;
    }
    meter_operation(&p->load->meter, c->began, now, 2 * (uint64_t)p->load->options->size);
    if (p->load->meter.state != METER_CLOSED)
        ask(c, now);
    else
        p->asking--;
}

static void ask_all(struct pingpong *p, struct fleet *f)
{
    for (unsigned i = 0; i < f->size; i++) {
        struct client *c = &f->clients[i];
        if (c->source.fd < 0)
            continue;
        c->owner = p;
        c->done = answered;
        p->asking++;
        ask(c, clock_now());
    }
}

int shape_pingpong(struct load *l)
{
    const struct options *o = l->options;
    struct pingpong p = {.load = l};
    struct fleet f;
    int err = fleet_create(&f, l, o->connections);
    if (err < 0)
        return err;
    fleet_open(&f, o->connections);
    meter_begin(&l->meter, o->warmup, o->seconds);
    ask_all(&p, &f);
    while (p.asking > 0 && meter_running(&l->meter, clock_now()))
        loop_turn(&l->loop, meter_next(&l->meter));
    int64_t deadline = clock_now() + REST_NS;
    while (p.asking > 0 && clock_now() < deadline)
        loop_turn(&l->loop, deadline);
    meter_stuck(&l->meter, p.asking);
    fleet_destroy(&f);
    return 0;
}
