#include "upstream/maglev.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "upstream/hash.h"

#define FREE UINT16_MAX /* an entry that nobody has taken: there are not so many servers */

/*
 * A server wants the entries in an order of its own: from `next` on in steps of `skip`. The size is
 * prime, so that it comes to every entry before it comes back.
 */
struct wish {
    uint64_t id;
    uint32_t next;
    uint32_t skip;
    unsigned weight;
    uint16_t server;
};

static int compare_ids(const void *a, const void *b)
{
    const struct wish *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

/* Returns the number of wishes: of the servers that have a weight. */
static size_t make_wishes(struct wish *wishes, const uint64_t *ids, const unsigned *weights,
                          size_t count)
{
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        if (weights[i] == 0)
            continue;
        wishes[used++] = (struct wish){
            .id = ids[i],
            .next = (uint32_t)(hash_again(ids[i], 1) % MAGLEV_SIZE),
            .skip = (uint32_t)(hash_again(ids[i], 2) % (MAGLEV_SIZE - 1) + 1),
            .weight = weights[i],
            .server = (uint16_t)i,
        };
    }
    qsort(wishes, used, sizeof(*wishes), compare_ids);
    return used;
}

static unsigned heaviest_of(const struct wish *wishes, size_t count)
{
    unsigned heaviest = 0;
    for (size_t i = 0; i < count; i++) {
        if (wishes[i].weight > heaviest)
            heaviest = wishes[i].weight;
    }
    return heaviest;
}

static void take_entry(uint16_t *table, struct wish *w)
{
    while (table[w->next] != FREE)
        w->next = (w->next + w->skip) % MAGLEV_SIZE;
    table[w->next] = w->server;
}

/*
 * Whether one has a turn in a round: the heaviest in each, the others as much less often as they
 * weigh less. In which rounds depends on the id too, so that light ones do not all come late.
 */
static bool has_turn(const struct wish *w, uint64_t round, uint64_t heaviest)
{
    uint64_t before = round * w->weight + w->id % heaviest;
    return (before + w->weight) / heaviest > before / heaviest;
}

static void take_all(uint16_t *table, struct wish *wishes, size_t count)
{
    uint64_t heaviest = heaviest_of(wishes, count);
    size_t left = MAGLEV_SIZE;
    for (uint64_t round = 0; left > 0; round++) {
        for (size_t i = 0; i < count && left > 0; i++) {
            if (!has_turn(&wishes[i], round, heaviest))
                continue;
            take_entry(table, &wishes[i]);
            left--;
        }
    }
}

int maglev_fill(uint16_t *table, const uint64_t *ids, const unsigned *weights, size_t count)
{
    struct wish *wishes = calloc(count, sizeof(*wishes));
    if (wishes == NULL)
        return -ENOMEM;
    size_t used = make_wishes(wishes, ids, weights, count);
    for (size_t i = 0; i < MAGLEV_SIZE; i++)
        table[i] = FREE;
    take_all(table, wishes, used);
    free(wishes);
    return 0;
}
