#include "upstream/rotation.h"

#include <assert.h>

#include "upstream/schedule.h"

int rotation_init(struct rotation *r, const unsigned *weights, size_t count,
                  atomic_uint_least64_t *cursor)
{
    table_init(&r->turns);
    r->cursor = cursor;
    return rotation_reweigh(r, weights, count);
}

int rotation_reweigh(struct rotation *r, const unsigned *weights, size_t count)
{
    struct schedule s;
    int err = schedule_init(&s, weights, count);
    if (err < 0)
        return err;
    assert(s.length > 0);
    err = table_set(&r->turns, s.turns, s.length);
    schedule_free(&s);
    return err;
}

void rotation_free(struct rotation *r)
{
    table_free(&r->turns);
}

void rotation_pass(struct rotation *r, uint64_t turn)
{
    uint64_t now = atomic_load_explicit(r->cursor, memory_order_relaxed);
    while (now <= turn &&
           !atomic_compare_exchange_weak_explicit(r->cursor, &now, turn + 1, memory_order_relaxed,
                                                  memory_order_relaxed))
        continue;
}
