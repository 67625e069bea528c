#include "upstream/balancer.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

static int rank_init(struct balancer_rank *rank, const struct conf_pool *pool, bool backup)
{
    unsigned *weights = calloc(pool->server_count, sizeof(*weights));
    if (weights == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < pool->server_count; i++)
        weights[i] = pool->servers[i].backup == backup ? pool->servers[i].weight : 0;
    int err = schedule_init(&rank->schedule, weights, pool->server_count);
    free(weights);
    return err;
}

int balancer_init(struct balancer *b, const struct conf_pool *pool,
                  struct balancer_position *position)
{
    *b = (struct balancer){.pool = pool};
    b->primary.cursor = &position->primary;
    b->backup.cursor = &position->backup;
    int err = rank_init(&b->primary, pool, false);
    if (err == 0)
        err = rank_init(&b->backup, pool, true);
    if (err < 0)
        balancer_free(b);
    return err;
}

void balancer_free(struct balancer *b)
{
    schedule_free(&b->primary.schedule);
    schedule_free(&b->backup.schedule);
}

static bool was_tried(const struct balancer_tried *tried, uint16_t server)
{
    for (unsigned i = 0; i < tried->count; i++) {
        if (tried->servers[i] == server)
            return true;
    }
    return false;
}

/* The next turn of a server that was not tried yet. */
static int rank_pick(struct balancer_rank *rank, const struct balancer_tried *tried)
{
    const struct schedule *s = &rank->schedule;
    if (s->length == 0)
        return -ENOENT;
    uint64_t at = atomic_fetch_add_explicit(rank->cursor, 1, memory_order_relaxed);
    for (size_t i = 0; i < s->length; i++) {
        uint16_t server = s->turns[(at + i) % s->length];
        if (!was_tried(tried, server))
            return server;
    }
    return -ENOENT;
}

int balancer_pick(struct balancer *b, struct balancer_tried *tried)
{
    if (tried->count == BALANCER_TRIES_MAX)
        return -ENOENT;
    int server = rank_pick(&b->primary, tried);
    if (server == -ENOENT)
        server = rank_pick(&b->backup, tried);
    if (server >= 0)
        tried->servers[tried->count++] = (uint16_t)server;
    return server;
}
