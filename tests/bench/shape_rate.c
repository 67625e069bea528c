#include <errno.h>
#include <stdlib.h>
#include <sys/prctl.h>

#include "fleet.h"
#include "load.h"

#define NS_PER_S 1e9
#define REST_NS  20000000000 /* for what is due and not answered when the window closes */

/*
 * Message k is due at `start + k * interval`. It goes out on any connection that is free, in
 * order; where none is, it waits, and its latency grows.
 */
struct schedule {
    struct load *load;
    struct client **free; /* owned; a stack of connections that wait for work */
    unsigned free_count;
    unsigned asking;
    int64_t start;   /* [monotonic ns] */
    double interval; /* [ns] */
    uint64_t next;   /* the first message that is not sent yet */
};

static int64_t due(const struct schedule *s, uint64_t k)
{
    return s->start + (int64_t)((double)k * s->interval);
}

static void answered(struct client *c, int err)
{
    struct schedule *s = c->owner;
    s->asking--;
    if (err < 0) {
        meter_fault(&s->load->meter, err);
        return;
    }
    meter_due(&s->load->meter, c->began, clock_now(), 2 * (uint64_t)s->load->options->size);
    s->free[s->free_count++] = c;
}

static void send_due(struct schedule *s, int64_t now)
{
    while (s->free_count > 0 && due(s, s->next) <= now) {
        struct client *c = s->free[--s->free_count];
        c->began = due(s, s->next);
        client_ask(c, s->load->options->size, 0, s->next++);
        s->asking++;
    }
}

static int64_t next_wake(const struct schedule *s)
{
    int64_t window = meter_next(&s->load->meter);
    int64_t message = due(s, s->next);
    return s->free_count > 0 && message < window ? message : window;
}

static void enlist(struct schedule *s, struct fleet *f)
{
    for (unsigned i = 0; i < f->size; i++) {
        struct client *c = &f->clients[i];
        if (c->source.fd < 0)
            continue;
        c->owner = s;
        c->done = answered;
        s->free[s->free_count++] = c;
    }
}

/*
 * Messages that were due within the window and are not even sent count as stuck; they must not
 * just vanish from the latencies.
 */
static void run(struct schedule *s)
{
    struct load *l = s->load;
    meter_begin(&l->meter, l->options->warmup, l->options->seconds);
    s->start = clock_now();
    while (s->free_count + s->asking > 0 && meter_running(&l->meter, clock_now())) {
        send_due(s, clock_now());
        loop_turn(&l->loop, next_wake(s));
    }
    int64_t end = l->meter.closes;
    int64_t deadline = clock_now() + REST_NS;
    while (s->free_count + s->asking > 0 && clock_now() < deadline) {
        send_due(s, end);
        if (s->asking == 0)
            break;
        loop_turn(&l->loop, deadline);
    }
    meter_stuck(&l->meter, s->asking);
    if (due(s, s->next) < end)
        meter_stuck(&l->meter, (unsigned)((double)(end - due(s, s->next)) / s->interval) + 1);
}

int shape_rate(struct load *l)
{
    const struct options *o = l->options;
    struct schedule s = {.load = l, .interval = NS_PER_S / o->rate};
    struct fleet f;
    int err = fleet_create(&f, l, o->connections);
    if (err < 0)
        return err;
    s.free = calloc(o->connections, sizeof(struct client *));
    if (s.free == NULL) {
        fleet_destroy(&f);
        return -ENOMEM;
    }
    prctl(PR_SET_TIMERSLACK, 1);
    fleet_open(&f, o->connections);
    enlist(&s, &f);
    run(&s);
    fleet_destroy(&f);
    free(s.free);
    return 0;
}
