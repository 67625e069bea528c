/*
 * Tables of server numbers which every worker reads at any time, while one thread now and then
 * puts a new one in place: turns of weighted round robin, or what a hash leads to.
 *
 *      current ──> page in use        set: write the spare page, make it the current one
 *      spare   ──> page before it
 *
 * No reader is waited for. One that is so slow that its page is written anew beneath it reads a
 * number of the newer table: as good as any, since all tables of a set of servers are about the
 * same servers. So no page is freed before the table is.
 */
#ifndef WEFT_UPSTREAM_TABLE_H
#define WEFT_UPSTREAM_TABLE_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

struct table_page {
    struct table_page *next; /* of all of a table's */
    size_t capacity;         /* [entries] */
    atomic_size_t length;    /* [entries] 0: nothing to be had */
    _Atomic uint16_t entries[];
};

struct table {
    _Atomic(struct table_page *) current; /* never NULL once there has been a table_set() */
    struct table_page *spare;             /* NULL: none yet */
    struct table_page *pages;             /* all of them, owned */
};

/** Begin without a page: table_set() comes before the first look. */
void table_init(struct table *t);

/** Free its pages, once nobody reads it any more. Fine on one that is all zero. */
void table_free(struct table *t);

/**
 * Put new entries in place.
 *
 * Returns 0, or -ENOMEM with the old ones untouched. Thread: one at a time.
 */
int table_set(struct table *t, const uint16_t *entries, size_t length) WEFT_MUSTCHECK;

/** The page to look at, for a few instructions only. Thread: any. */
static inline const struct table_page *table_current(const struct table *t)
{
    return atomic_load_explicit(&t->current, memory_order_acquire);
}

static inline size_t table_length(const struct table_page *p)
{
    return atomic_load_explicit(&p->length, memory_order_acquire);
}

static inline uint16_t table_at(const struct table_page *p, size_t i)
{
    return atomic_load_explicit(&p->entries[i], memory_order_relaxed);
}

#endif
