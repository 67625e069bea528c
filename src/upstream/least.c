#include "upstream/least.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "upstream/load.h"
#include "upstream/rank.h"

#define ATTEMPTS   16 /* until all servers are looked at */
#define LOOK_EVERY 4  /* turns: in one of so many a group is looked through */

int least_init(struct least *l, size_t count)
{
    size_t all = 0;
    *l = (struct least){0};
    do {
        count = (count + LEAST_GROUP - 1) / LEAST_GROUP;
        l->counts[l->levels++] = count;
        all += count;
    } while (count > 1);
    l->lowest[0] = calloc(all, sizeof(*l->lowest[0]));
    if (l->lowest[0] == NULL)
        return -ENOMEM;
    for (unsigned i = 1; i < l->levels; i++)
        l->lowest[i] = l->lowest[i - 1] + l->counts[i - 1];
    return 0;
}

void least_free(struct least *l)
{
    free(l->lowest[0]);
    *l = (struct least){0};
}

static uint32_t known(const struct least *l, unsigned level, size_t group)
{
    return atomic_load_explicit(&l->lowest[level][group], memory_order_relaxed);
}

static void note(struct least *l, unsigned level, size_t group, uint32_t lowest)
{
    atomic_store_explicit(&l->lowest[level][group], lowest, memory_order_relaxed);
}

/* --- looking through a group ------------------------------------------------------------------ */

/* The members of a group: `first` and those behind it. Their turns begin with one of them. */
struct members {
    size_t first;
    size_t count;
    size_t from;
};

/*
 * The lowest load seen and the lowest of the others, each with its distance in turns in the lower
 * half: of equals the next one in turn is the lower.
 */
struct search {
    uint64_t lowest;
    uint64_t second;
};

#define NOTHING UINT64_MAX /* more than any load */

/* `from`: the place whose turn it is, as far as the group's level tells places apart. */
static struct members members_of(size_t group, size_t count, size_t from)
{
    struct members m = {.first = group * LEAST_GROUP, .count = LEAST_GROUP};
    if (unlikely(m.first + m.count > count))
        m.count = count - m.first;
    m.from = from % LEAST_GROUP;
    if (unlikely(m.from >= m.count))
        m.from = 0;
    return m;
}

static size_t distance_of(const struct members *m, size_t at)
{
    return (at - m->from) % LEAST_GROUP;
}

static size_t found_at(const struct members *m, uint64_t found)
{
    return m->first + (m->from + found) % LEAST_GROUP;
}

/* Without a branch, which could not be foretold. */
static void compare(struct search *s, uint32_t load, size_t distance)
{
    uint64_t one = (uint64_t)load << 32 | distance;
    uint64_t higher = one > s->lowest ? one : s->lowest;
    s->lowest = one < s->lowest ? one : s->lowest;
    s->second = higher < s->second ? higher : s->second;
}

static uint32_t load_in(uint64_t found)
{
    return found == NOTHING ? LOAD_NONE : (uint32_t)(found >> 32);
}

static struct search search_servers(const struct rank *r, const struct pick *p,
                                    const struct members *m)
{
    struct search s = {.lowest = NOTHING, .second = NOTHING};
    for (size_t at = 0; at < m->count; at++)
        compare(&s, load_of(r->servers[m->first + at], p->now, p->dice), distance_of(m, at));
    return s;
}

static struct search search_groups(const struct least *l, unsigned level, const struct members *m)
{
    struct search s = {.lowest = NOTHING, .second = NOTHING};
    for (size_t at = 0; at < m->count; at++)
        compare(&s, known(l, level, m->first + at), distance_of(m, at));
    return s;
}

/* --- keeping what is known up to date --------------------------------------------------------- */

/* Look through a group of servers and all groups above it. */
static void look_through(struct rank *r, const struct pick *p, size_t group)
{
    struct least *l = &r->least;
    struct members m = members_of(group, r->count, 0);
    uint32_t lowest = load_in(search_servers(r, p, &m).lowest);
    note(l, 0, group, lowest);
    for (unsigned level = 1; level < l->levels; level++) {
        group /= LEAST_GROUP;
        m = members_of(group, l->counts[level - 1], 0);
        note(l, level, group, load_in(search_groups(l, level - 1, &m).lowest));
    }
}

void least_leave(struct rank *r, size_t place, int64_t now)
{
    uint32_t load = load_of(r->servers[place], now, 0);
    for (unsigned level = 0; level < r->least.levels; level++) {
        place /= LEAST_GROUP;
        if (load >= known(&r->least, level, place))
            break;
        note(&r->least, level, place, load);
    }
}

/* --- choosing --------------------------------------------------------------------------------- */

/* Only if nobody has counted one in or out since `load` was seen. */
static bool take(struct server *s, const struct pick *p, uint32_t load)
{
    unsigned active = atomic_load(&s->active);
    return load_of(s, p->now, p->dice) == load && load != LOAD_NONE &&
           atomic_compare_exchange_strong(&s->active, &active, active + 1);
}

/* The way down to a server: the group on each level, and the lowest load beside it there. */
struct descent {
    size_t groups[LEAST_LEVELS];
    uint32_t beside[LEAST_LEVELS];
};

static void descend(const struct least *l, size_t from, struct descent *ret)
{
    unsigned level = l->levels - 1;
    ret->groups[level] = 0;
    ret->beside[level] = LOAD_NONE;
    while (level-- > 0) {
        struct members m =
            members_of(ret->groups[level + 1], l->counts[level], from >> (level + 1) * LEAST_BITS);
        struct search s = search_groups(l, level, &m);
        ret->groups[level] = found_at(&m, s.lowest);
        ret->beside[level] = load_in(s.second);
    }
}

/* What was found out of the last group, and what it makes of those above. */
static void ascend(struct least *l, const struct descent *d, uint32_t lowest)
{
    for (unsigned level = 0; level < l->levels; level++) {
        note(l, level, d->groups[level], lowest);
        if (d->beside[level] < lowest)
            lowest = d->beside[level];
    }
}

/* Returns the place, or -1 when another came first or what was known of the group was wrong. */
static int try_lowest(struct rank *r, struct pick *p, size_t from)
{
    struct least *l = &r->least;
    struct descent d;
    descend(l, from, &d);
    struct members m = members_of(d.groups[0], r->count, from);
    struct search s = search_servers(r, p, &m);
    uint32_t lowest = load_in(s.lowest);
    size_t place = found_at(&m, s.lowest);
    if (lowest > known(l, 0, d.groups[0]) || !take(r->servers[place], p, lowest)) {
        ascend(l, &d, lowest);
        return -1;
    }
    lowest = load_of(r->servers[place], p->now, p->dice);
    if (load_in(s.second) < lowest)
        lowest = load_in(s.second);
    ascend(l, &d, lowest);
    return (int)place;
}

static uint64_t search_all(const struct rank *r, const struct pick *p, size_t from)
{
    struct search s = {.lowest = NOTHING, .second = NOTHING};
    for (size_t i = 0; i < r->count; i++) {
        size_t place = (from + i) % r->count;
        if (!pick_has_tried(p, r->numbers[place]))
            compare(&s, load_of(r->servers[place], p->now, p->dice), i);
    }
    return s.lowest;
}

/* Look at all of them: after a failure, or when no group seems to have one. */
static int take_lowest_of_all(struct rank *r, struct pick *p, size_t from)
{
    for (;;) {
        uint64_t found = search_all(r, p, from);
        if (load_in(found) == LOAD_NONE)
            return -1;
        size_t place = (from + (uint32_t)found) % r->count;
        if (take(r->servers[place], p, load_in(found)))
            return (int)place;
    }
}

int least_pick(struct rank *r, struct pick *p, uint64_t turn, size_t from)
{
    if (unlikely(p->tried_count > 0))
        return take_lowest_of_all(r, p, from);
    if (turn % LOOK_EVERY == 0)
        look_through(r, p, turn / LOOK_EVERY % r->least.counts[0]);
    for (int i = 0; i < ATTEMPTS; i++) {
        int place = try_lowest(r, p, from);
        if (place >= 0)
            return place;
    }
    return take_lowest_of_all(r, p, from);
}
