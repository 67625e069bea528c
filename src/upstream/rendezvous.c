#include "upstream/rendezvous.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "upstream/hash.h"

/*
 * To score every server for every slot would take seconds for some thousand servers. Instead each
 * server makes arrivals: the k-th at a random moment of the k-th stretch of 1 / weight, in a random
 * slot. A slot is the server's that is first to arrive there: its score is that time. At any moment
 * the chance that the next one to arrive somewhere is a certain server is its weight in all
 * weights.
 *
 * It is over as soon as every slot has had an arrival. Slots fill up like a collector's album, in
 *
 *      slots x (ln slots + a few)      arrivals, however many servers make them
 *
 * When and where a server arrives depends on its name and its weight alone: from this it follows
 * that no slot moves between two others when it comes or goes.
 */
struct arrivals {
    uint64_t id;
    double stretch;  /* 1 / weight */
    double time;     /* of the next one */
    uint64_t random; /* of the next one: its slot and its moment */
    unsigned number; /* of the next one, from 1 */
    uint16_t server;
};

struct race {
    struct arrivals *servers;
    size_t count;  /* of those that have a weight */
    double *first; /* when the first one arrived in a slot; NEVER: none has */
    size_t empty;  /* slots where none has */
    double step;   /* in which a slot has one arrival on average */
    double until;  /* all arrivals up to this time have happened */
    uint16_t *table;
    const uint64_t *ids;
};

#define NEVER 1e300

static void await_next(struct arrivals *a)
{
    a->number++;
    a->random = hash_again(a->id, a->number);
    double moment = (double)(uint32_t)a->random / 4294967296.0;
    a->time = (a->number - 1 + moment) * a->stretch;
}

static void line_up(struct race *r, const unsigned *weights, size_t count)
{
    double all = 0;
    for (size_t i = 0; i < count; i++) {
        if (weights[i] == 0)
            continue;
        struct arrivals *a = &r->servers[r->count++];
        *a = (struct arrivals){.id = r->ids[i], .stretch = 1.0 / weights[i], .server = (uint16_t)i};
        await_next(a);
        all += weights[i];
    }
    for (size_t i = 0; i < RENDEZVOUS_SIZE; i++)
        r->first[i] = NEVER;
    r->empty = RENDEZVOUS_SIZE;
    r->step = RENDEZVOUS_SIZE / all;
}

static void arrive(struct race *r, const struct arrivals *a)
{
    size_t at = hash_below(a->random, RENDEZVOUS_SIZE);
    double first = r->first[at];
    if (a->time > first || (a->time == first && a->id > r->ids[r->table[at]]))
        return;
    r->empty -= first == NEVER;
    r->first[at] = a->time;
    r->table[at] = a->server;
}

static void run(struct race *r)
{
    while (r->empty > 0) {
        r->until += r->step;
        for (size_t i = 0; i < r->count; i++) {
            struct arrivals *a = &r->servers[i];
            for (; a->time <= r->until; await_next(a))
                arrive(r, a);
        }
    }
}

int rendezvous_fill(uint16_t *table, const uint64_t *ids, const unsigned *weights, size_t count)
{
    struct race r = {
        .servers = calloc(count, sizeof(*r.servers)),
        .first = calloc(RENDEZVOUS_SIZE, sizeof(*r.first)),
        .table = table,
        .ids = ids,
    };
    int err = r.servers != NULL && r.first != NULL ? 0 : -ENOMEM;
    if (err == 0) {
        line_up(&r, weights, count);
        run(&r);
    }
    free(r.first);
    free(r.servers);
    return err;
}
