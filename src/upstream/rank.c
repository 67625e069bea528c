#include "upstream/rank.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/xorshift.h"
#include "upstream/hash.h"
#include "upstream/load.h"
#include "upstream/maglev.h"
#include "upstream/rendezvous.h"

#define TURNS 64 /* taken one by one before all are looked at */
#define DRAWS 16 /* until there are two servers to choose from */
#define SLOTS 64 /* tried before all servers are looked at */

#define ANY 0 /* the dice that no server refuses, however small its share */

/* --- whom a server takes -------------------------------------------------------------------- */

/* One that begins slowly takes as many of those that come to it as its share is. */
static bool admits(const struct rank *r, const struct pick *p, size_t place)
{
    const struct server *s = r->servers[place];
    unsigned flags = atomic_load_explicit(&s->flags, memory_order_relaxed);
    if (unlikely(p->tried_count > 0) && pick_has_tried(p, r->numbers[place]))
        return false;
    if (likely(flags == 0))
        return true;
    if (!server_usable_by(s, flags, p->now) || server_full(s))
        return false;
    return (flags & SERVER_SLOW) == 0 || p->dice < server_share(s, p->now);
}

static bool enter(const struct rank *r, size_t place)
{
    return !r->counted || server_enter(r->servers[place]);
}

static bool any_admits(const struct rank *r, const struct pick *p)
{
    for (size_t i = 0; i < r->count; i++) {
        if (admits(r, p, i))
            return true;
    }
    return false;
}

/* --- round robin ------------------------------------------------------------------------------
 */

/* Evenly spread over any run of turns: multiples of the golden ratio (Knuth, TAOCP 6.4). */
static uint8_t dice_of(uint64_t turn)
{
    return (uint8_t)(turn * UINT64_C(0x9e3779b97f4a7c15) >> 56);
}

/* Many servers in a row can't be used: pass them all at once, up to the first that can. */
static int look_ahead(struct rank *r, struct pick *p, uint64_t *turn)
{
    p->dice = ANY;
    if (!any_admits(r, p))
        return -1;
    size_t length = table_length(table_current(&r->rotation.turns));
    for (size_t i = 1; i <= length; i++) {
        uint16_t place = rotation_at(&r->rotation, *turn + i);
        if (!admits(r, p, place))
            continue;
        *turn += i;
        rotation_pass(&r->rotation, *turn);
        return place;
    }
    return -1;
}

/* The next server in turn that takes connections. Returns its place, or -1 when none does. */
static int next_in_turn(struct rank *r, struct pick *p, uint64_t *ret_turn)
{
    for (int i = 0; i < TURNS; i++) {
        *ret_turn = rotation_take(&r->rotation);
        p->dice = dice_of(*ret_turn);
        uint16_t place = rotation_at(&r->rotation, *ret_turn);
        if (likely(admits(r, p, place)))
            return place;
    }
    return look_ahead(r, p, ret_turn);
}

static int pick_in_turn(struct rank *r, struct pick *p)
{
    uint64_t turn;
    int place;
    do
        place = next_in_turn(r, p, &turn);
    while (place >= 0 && !enter(r, (size_t)place));
    return place;
}

/* --- least connections, random ---------------------------------------------------------------- */

static int pick_least(struct rank *r, struct pick *p)
{
    uint64_t turn;
    int from = next_in_turn(r, p, &turn);
    return from >= 0 ? least_pick(r, p, turn, (size_t)from) : -1;
}

static size_t draw(const struct rank *r, struct pick *p)
{
    const struct table_page *turns = table_current(&r->rotation.turns);
    uint64_t random = (uint64_t)xorshift(p->random) << 32;
    p->dice = (uint8_t)*p->random;
    return table_at(turns, hash_below(random, table_length(turns)));
}

/*
 * The better of two that were drawn by weight: nearly as good as the best of all.
 * Source: Mitzenmacher, The Power of Two Choices in Randomized Load Balancing, 2001.
 */
static int pick_random(struct rank *r, struct pick *p)
{
    int best = -1;
    uint32_t lowest = LOAD_NONE;
    for (int i = 0, found = 0; i < DRAWS && found < 2; i++) {
        size_t place = draw(r, p);
        if ((int)place == best || !admits(r, p, place))
            continue;
        uint32_t load = load_of(r->servers[place], p->now, p->dice);
        if (found++ == 0 || load < lowest) {
            best = (int)place;
            lowest = load;
        }
    }
    return best >= 0 && enter(r, (size_t)best) ? best : pick_in_turn(r, p);
}

/* --- hashing ---------------------------------------------------------------------------------- */

/* Nearly all are down: of the others the first behind a place of the client's own. */
static int look_around(struct rank *r, struct pick *p)
{
    size_t from = hash_below(p->hash, r->count);
    p->dice = ANY;
    for (size_t i = 0; i < r->count; i++) {
        size_t place = (from + i) % r->count;
        if (admits(r, p, place) && enter(r, place))
            return (int)place;
    }
    return -1;
}

/* A client's dice is always the same: while a server begins slowly, more and more clients come. */
static int pick_by_hash(struct rank *r, struct pick *p)
{
    const struct table_page *slots = table_current(&r->slots);
    size_t length = table_length(slots);
    p->dice = (uint8_t)hash_again(p->hash, SLOTS);
    for (unsigned i = 0; i < SLOTS; i++) {
        uint16_t place = table_at(slots, hash_below(hash_again(p->hash, i), length));
        if (likely(admits(r, p, place)) && enter(r, place))
            return place;
    }
    return look_around(r, p);
}

int rank_pick(struct rank *r, struct pick *p)
{
    if (r->count == 0)
        return -1;
    switch (r->method) {
    case CONF_ROUND_ROBIN:
        return pick_in_turn(r, p);
    case CONF_LEAST_CONN:
        return pick_least(r, p);
    case CONF_RANDOM:
        return pick_random(r, p);
    case CONF_SOURCE_HASH:
    case CONF_MAGLEV:
        return pick_by_hash(r, p);
    }
    return -1;
}

void rank_leave(struct rank *r, size_t place, int64_t now)
{
    server_leave(r->servers[place]);
    if (r->method == CONF_LEAST_CONN)
        least_leave(r, place, now);
}

/* --- making one ------------------------------------------------------------------------------- */

static bool hashes(const struct rank *r)
{
    return r->method == CONF_SOURCE_HASH || r->method == CONF_MAGLEV;
}

static int hang_up(struct rank *r, const uint64_t *ids, const unsigned *weights, uint16_t *slots)
{
    size_t size = r->method == CONF_MAGLEV ? MAGLEV_SIZE : RENDEZVOUS_SIZE;
    int err = r->method == CONF_MAGLEV ? maglev_fill(slots, ids, weights, r->count)
                                       : rendezvous_fill(slots, ids, weights, r->count);
    return err == 0 ? table_set(&r->slots, slots, size) : err;
}

static int fill_slots(struct rank *r, const unsigned *weights)
{
    uint64_t *ids = calloc(r->count, sizeof(*ids));
    uint16_t *slots = calloc(RENDEZVOUS_SIZE, sizeof(*slots));
    _Static_assert(RENDEZVOUS_SIZE >= MAGLEV_SIZE, "room for either");
    int err = ids != NULL && slots != NULL ? 0 : -ENOMEM;
    for (size_t i = 0; err == 0 && i < r->count; i++)
        ids[i] = r->servers[i]->id;
    if (err == 0)
        err = hang_up(r, ids, weights, slots);
    free(slots);
    free(ids);
    return err;
}

int rank_reweigh(struct rank *r)
{
    if (r->count == 0)
        return 0;
    unsigned *weights = calloc(r->count, sizeof(*weights));
    if (weights == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < r->count; i++)
        weights[i] = r->servers[i]->weight;
    int err =
        hashes(r) ? fill_slots(r, weights) : rotation_reweigh(&r->rotation, weights, r->count);
    free(weights);
    return err;
}

/* Take those that have a weight. Their weights are moved to the front of `weights`. */
static void line_up(struct rank *r, const struct rank_options *o, unsigned *weights)
{
    for (size_t i = 0; i < o->count; i++) {
        if (o->weights[i] == 0)
            continue;
        r->servers[r->count] = o->servers[i];
        r->numbers[r->count] = (uint16_t)i;
        weights[r->count++] = o->weights[i];
    }
}

static int fill(struct rank *r, const struct rank_options *o, unsigned *weights)
{
    r->servers = calloc(o->count, sizeof(struct server *));
    r->numbers = calloc(o->count, sizeof(*r->numbers));
    if (r->servers == NULL || r->numbers == NULL || weights == NULL)
        return -ENOMEM;
    line_up(r, o, weights);
    if (r->count == 0)
        return 0;
    if (hashes(r))
        return fill_slots(r, weights);
    int err = r->method == CONF_LEAST_CONN ? least_init(&r->least, r->count) : 0;
    return err == 0 ? rotation_init(&r->rotation, weights, r->count, o->cursor) : err;
}

int rank_init(struct rank *r, const struct rank_options *o)
{
    assert(o->count <= UINT16_MAX);
    *r = (struct rank){.method = o->method, .counted = o->counted};
    table_init(&r->rotation.turns);
    table_init(&r->slots);
    unsigned *weights = calloc(o->count, sizeof(*weights));
    int err = fill(r, o, weights);
    free(weights);
    if (err < 0)
        rank_free(r);
    return err;
}

void rank_free(struct rank *r)
{
    rotation_free(&r->rotation);
    table_free(&r->slots);
    least_free(&r->least);
    free(r->servers);
    r->servers = NULL;
    free(r->numbers);
    r->numbers = NULL;
    r->count = 0;
}
