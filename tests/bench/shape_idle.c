#include <stdio.h>

#include "fleet.h"
#include "load.h"

/* The driver reads the proxy's memory between what this says and what it answers. */
static void report_held(const struct fleet *f)
{
    printf("{\"held\": %u}\n", fleet_alive(f));
    fflush(stdout);
    for (int c = getchar(); c != '\n' && c != EOF; c = getchar())
        ;
}

/*
 * That every connection still carries a message after its rest is part of the test: memory that a
 * proxy frees too early would look like a merit.
 */
int shape_idle(struct load *l)
{
    const struct options *o = l->options;
    struct fleet f;
    int err = fleet_create(&f, l, o->connections);
    if (err < 0)
        return err;
    meter_begin(&l->meter, 0, 0);
    meter_running(&l->meter, clock_now());
    fleet_open(&f, o->connections / 4);
    report_held(&f);
    fleet_open(&f, o->connections);
    report_held(&f);
    fleet_ask_all(&f);
    fleet_destroy(&f);
    return 0;
}
