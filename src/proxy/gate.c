#include "proxy/gate.h"

#include "base/clock.h"

#define TELL_INTERVAL (60 * NSEC_PER_SEC)

void gate_init(struct gate *g, unsigned max)
{
    atomic_init(&g->max, max);
    atomic_init(&g->active, 0);
    atomic_init(&g->waiting, 0);
    atomic_init(&g->told_full, INT64_MIN / 2);
    pthread_mutex_init(&g->lock, NULL);
    list_init(&g->waiters);
}

void gate_destroy(struct gate *g)
{
    pthread_mutex_destroy(&g->lock);
}

/*
 * The additions here, `max` and `waiting` are sequentially consistent: either the one who leaves,
 * or widens the gate, sees the waiter, or the waiter, who tries again after it has queued up, sees
 * the place.
 */
bool gate_enter(struct gate *g)
{
    unsigned before = atomic_fetch_add(&g->active, 1);
    unsigned max = atomic_load(&g->max);
    if (likely(max == 0 || before < max))
        return true;
    gate_leave(g); /* another one may have been turned away by this very try */
    return false;
}

/* Under the lock. */
static void wake_first(struct gate *g)
{
    struct list *first = list_pop_front(&g->waiters);
    if (first == NULL)
        return;
    atomic_fetch_sub(&g->waiting, 1);
    struct gate_waiter *w = container_of(first, struct gate_waiter, link);
    w->wake(w);
}

void gate_leave(struct gate *g)
{
    unsigned before = atomic_fetch_sub(&g->active, 1);
    if (likely(atomic_load(&g->waiting) == 0) || before > atomic_load(&g->max))
        return;
    pthread_mutex_lock(&g->lock);
    wake_first(g);
    pthread_mutex_unlock(&g->lock);
}

void gate_set_max(struct gate *g, unsigned max)
{
    if (atomic_exchange(&g->max, max) == max)
        return;
    pthread_mutex_lock(&g->lock);
    for (unsigned waiting = atomic_load(&g->waiting); waiting > 0; waiting--)
        wake_first(g);
    pthread_mutex_unlock(&g->lock);
}

void gate_wait(struct gate *g, struct gate_waiter *w)
{
    pthread_mutex_lock(&g->lock);
    list_push_back(&g->waiters, &w->link);
    atomic_fetch_add(&g->waiting, 1);
    pthread_mutex_unlock(&g->lock);
}

void gate_forget(struct gate *g, struct gate_waiter *w)
{
    pthread_mutex_lock(&g->lock);
    if (!list_empty(&w->link)) {
        list_remove(&w->link);
        atomic_fetch_sub(&g->waiting, 1);
    }
    pthread_mutex_unlock(&g->lock);
}

void gate_give_up(struct gate *g, struct gate_waiter *w)
{
    pthread_mutex_lock(&g->lock);
    if (list_empty(&w->link)) {
        wake_first(g);
    } else {
        list_remove(&w->link);
        atomic_fetch_sub(&g->waiting, 1);
    }
    pthread_mutex_unlock(&g->lock);
}

bool gate_tell_full(struct gate *g, int64_t now)
{
    int64_t told = atomic_load(&g->told_full);
    return now - told >= TELL_INTERVAL && atomic_compare_exchange_strong(&g->told_full, &told, now);
}

unsigned gate_active(const struct gate *g)
{
    return atomic_load_explicit(&g->active, memory_order_relaxed);
}

unsigned gate_max(const struct gate *g)
{
    return atomic_load_explicit(&g->max, memory_order_relaxed);
}
