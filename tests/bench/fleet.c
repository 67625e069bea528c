#include "fleet.h"

#include <errno.h>
#include <stdlib.h>

#define AT_A_TIME 64
#define PATIENCE_NS                                                                                \
    10000000000 /* for a pass over all connections, as long as one of them moves                   \
                 */

int fleet_create(struct fleet *f, struct load *l, unsigned size)
{
    *f = (struct fleet){.load = l, .size = size};
    f->clients = calloc(size, sizeof(*f->clients));
    if (f->clients == NULL)
        return -ENOMEM;
    for (unsigned i = 0; i < size; i++)
        f->clients[i].source.fd = -1;
    return 0;
}

static void pass_done(struct client *c, int err)
{
    struct fleet *f = c->owner;
    f->done++;
    if (err < 0)
        meter_fault(&f->load->meter, err);
}

/* Returns 0 when done() will be called for this connection. */
static int begin(struct fleet *f, struct client *c)
{
    const struct options *o = f->load->options;
    bool open = c->source.fd >= 0;
    int err = open ? 0 : client_connect(c, f->load);
    if (err < 0)
        return err;
    c->owner = f;
    c->done = pass_done;
    if (o->silent && !open)
        client_await_connected(c);
    else
        client_ask(c, o->size, 0, f->begun);
    return 0;
}

static void begin_some(struct fleet *f, unsigned count)
{
    while (f->begun < count && f->begun - f->done < AT_A_TIME) {
        struct client *c = &f->clients[f->begun++];
        int err = begin(f, c);
        if (err < 0) {
            meter_fault(&f->load->meter, err);
            f->done++;
        }
    }
}

static void run_pass(struct fleet *f, unsigned from, unsigned count)
{
    int64_t deadline = clock_now() + PATIENCE_NS;
    f->begun = f->done = from;
    while (f->done < count && clock_now() < deadline) {
        unsigned done = f->done;
        begin_some(f, count);
        loop_turn(&f->load->loop, deadline);
        if (f->done != done)
            deadline = clock_now() + PATIENCE_NS;
    }
    meter_stuck(&f->load->meter, count - f->done);
}

void fleet_open(struct fleet *f, unsigned count)
{
    unsigned from = 0;
    while (from < count && f->clients[from].source.fd >= 0)
        from++;
    run_pass(f, from, count);
}

void fleet_ask_all(struct fleet *f)
{
    run_pass(f, 0, f->size);
}

unsigned fleet_alive(const struct fleet *f)
{
    unsigned alive = 0;
    for (unsigned i = 0; i < f->size; i++)
        alive += f->clients[i].source.fd >= 0;
    return alive;
}

void fleet_destroy(struct fleet *f)
{
    for (unsigned i = 0; i < f->size; i++)
        client_reset(&f->clients[i]);
    free(f->clients);
    f->clients = NULL;
}
