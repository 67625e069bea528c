/*
 * A set of servers and the table a hashing method makes of it: who has how much of it, and what
 * moves when servers come or go. To be included once, behind `unit.h`.
 */
#ifndef WEFT_UPSTREAM_SPREADING_H
#define WEFT_UPSTREAM_SPREADING_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/xorshift.h"
#include "upstream/hash.h"

#define SPREADING_MOST 2000 /* servers */

typedef int spreading_fill(uint16_t *table, const uint64_t *ids, const unsigned *weights,
                           size_t count);

static uint64_t spreading_ids[SPREADING_MOST];
static unsigned spreading_weights[SPREADING_MOST];

/* As many servers, of weights 1 to `heaviest` in turn. */
static inline void spreading_servers(size_t count, unsigned heaviest)
{
    for (size_t i = 0; i < count; i++) {
        char name[32];
        int length = snprintf(name, sizeof(name), "10.0.%zu.%zu:80", i / 256, i % 256);
        spreading_ids[i] = hash_bytes(name, (size_t)length, 0);
        spreading_weights[i] = 1 + (unsigned)i % heaviest;
    }
}

static inline double spreading_all_weights(size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += spreading_weights[i];
    return sum;
}

/* How far a server's part of the table is from what is due to it, at most; 0.01: one per cent. */
static inline double spreading_error(const uint16_t *table, size_t size, size_t count)
{
    static unsigned entries[SPREADING_MOST];
    double most = 0, all = spreading_all_weights(count);
    memset(entries, 0, sizeof(entries));
    for (size_t i = 0; i < size; i++)
        entries[table[i]]++;
    for (size_t i = 0; i < count; i++) {
        double due = (double)size * spreading_weights[i] / all;
        double error = due > 0 ? entries[i] / due - 1 : entries[i];
        if (error < 0)
            error = -error;
        most = error > most ? error : most;
    }
    return most;
}

/* What part of the table is another server's in `b` than in `a`. */
static inline double spreading_moved(const uint16_t *a, const uint16_t *b, size_t size)
{
    size_t moved = 0;
    for (size_t i = 0; i < size; i++)
        moved += a[i] != b[i];
    return (double)moved / (double)size;
}

/* What part was a server's that still has its weight, and is another one's now. */
static inline double spreading_moved_needlessly(const uint16_t *a, const uint16_t *b, size_t size)
{
    size_t moved = 0;
    for (size_t i = 0; i < size; i++)
        moved += a[i] != b[i] && spreading_weights[a[i]] > 0;
    return (double)moved / (double)size;
}

/* Take `gone` servers out of `count`, spread over them. Returns their part of all weights. */
static inline double spreading_take_out(size_t count, size_t gone)
{
    double before = spreading_all_weights(count);
    for (size_t i = 0; i < gone; i++)
        spreading_weights[i * count / gone] = 0;
    return 1 - spreading_all_weights(count) / before;
}

/* The same table of the servers in another order, with their numbers as they were. */
static inline void spreading_shuffled(spreading_fill *fill, uint16_t *table, size_t size,
                                      size_t count)
{
    static uint64_t ids[SPREADING_MOST];
    static unsigned weights[SPREADING_MOST];
    static uint16_t order[SPREADING_MOST];
    uint32_t random = 1;
    for (size_t i = 0; i < count; i++) {
        size_t k = xorshift(&random) % (i + 1);
        order[i] = order[k];
        order[k] = (uint16_t)i;
    }
    for (size_t i = 0; i < count; i++) {
        ids[i] = spreading_ids[order[i]];
        weights[i] = spreading_weights[order[i]];
    }
    ck_assert_int_eq(fill(table, ids, weights, count), 0);
    for (size_t i = 0; i < size; i++)
        table[i] = order[table[i]];
}

#endif
