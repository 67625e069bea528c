/*
 * A rank of servers for a test: as many as it wants, up and of weight 1 unless it says otherwise.
 * To be included once, behind `unit.h`.
 */
#ifndef WEFT_UPSTREAM_RANKING_H
#define WEFT_UPSTREAM_RANKING_H

#include <stdbool.h>
#include <string.h>

#include "upstream/hash.h"
#include "upstream/rank.h"

#define RANKING_MOST 2000 /* servers */
#define RANKING_SEC  INT64_C(1000000000)

static struct server *ranking_servers[RANKING_MOST];
static unsigned ranking_weights[RANKING_MOST];
static atomic_uint_least64_t ranking_cursor;
static size_t ranking_count;
static struct rank ranking;
static uint32_t ranking_random;

/* Make the servers; they may be configured before ranking_begin(). */
static inline void ranking_make(size_t count)
{
    ranking_count = count;
    ranking_random = 1;
    ranking_cursor = 0;
    for (size_t i = 0; i < count; i++) {
        ranking_servers[i] = server_new(hash_bytes(&i, sizeof(i), 0));
        ck_assert_ptr_nonnull(ranking_servers[i]);
        server_rise(ranking_servers[i], false, 0);
        ranking_weights[i] = 1;
    }
}

static inline struct rank_options ranking_options(enum conf_balance method, bool counted)
{
    return (struct rank_options){.method = method,
                                 .counted = counted,
                                 .servers = ranking_servers,
                                 .weights = ranking_weights,
                                 .count = ranking_count,
                                 .cursor = &ranking_cursor};
}

static inline void ranking_begin(enum conf_balance method, bool counted)
{
    const struct rank_options o = ranking_options(method, counted);
    ck_assert_int_eq(rank_init(&ranking, &o), 0);
}

static inline void ranking_end(void)
{
    rank_free(&ranking);
    for (size_t i = 0; i < ranking_count; i++) {
        server_unref(ranking_servers[i]);
        ranking_servers[i] = NULL;
    }
    ranking_count = 0;
}

static inline void ranking_configure(size_t i, unsigned weight, unsigned max, int64_t slow_start)
{
    const struct server_options o = {
        .weight = weight, .max_connections = max, .slow_start = slow_start};
    ranking_weights[i] = weight;
    server_configure(ranking_servers[i], &o);
}

static inline void ranking_down(size_t i)
{
    server_set(ranking_servers[i], SERVER_DOWN, true);
}

static inline struct pick ranking_pick_of(uint64_t client, int64_t now)
{
    return (struct pick){
        .now = now, .hash = hash_again(7, (unsigned)client + 1), .random = &ranking_random};
}

/* One choice, by a client of that number, at a time [ns]. */
static inline int ranking_pick_at(uint64_t client, int64_t now)
{
    struct pick p = ranking_pick_of(client, now);
    return rank_pick(&ranking, &p);
}

static inline int ranking_pick(uint64_t client)
{
    return ranking_pick_at(client, 0);
}

/* So many connections one after the other, by as many clients. Each server's are added to `counts`.
 */
static inline void ranking_count_picks(size_t picks, int64_t now, unsigned *counts)
{
    memset(counts, 0, ranking_count * sizeof(*counts));
    for (size_t i = 0; i < picks; i++) {
        int place = ranking_pick_at(i, now);
        unit_assert(place >= 0);
        counts[place]++;
        if (ranking.counted)
            rank_leave(&ranking, (size_t)place, now);
    }
}

#endif
