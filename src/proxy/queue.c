#include "proxy/queue.h"

#include <errno.h>

void queue_init(struct queue *q)
{
    pthread_mutex_init(&q->lock, NULL);
    list_init(&q->waiters);
    q->random = 1;
    atomic_init(&q->waiting, 0);
}

void queue_destroy(struct queue *q)
{
    pthread_mutex_destroy(&q->lock);
}

/*
 * `waiting` and servers' counts are sequentially consistent: either he who has joined finds the
 * place that has become free, or whoever frees it finds that somebody waits.
 */
bool queue_join(struct queue *q, struct queue_waiter *w, unsigned size)
{
    pthread_mutex_lock(&q->lock);
    bool room = atomic_load(&q->waiting) < size;
    if (room) {
        list_push_back(&q->waiters, &w->link);
        atomic_fetch_add(&q->waiting, 1);
    }
    pthread_mutex_unlock(&q->lock);
    return room;
}

static void take_out(struct queue *q, struct queue_waiter *w)
{
    list_remove(&w->link);
    atomic_fetch_sub(&q->waiting, 1);
}

static bool has_to_wait(const struct queue_waiter *w)
{
    return w->result == -EAGAIN || (w->result == -EBUSY && w->patient);
}

/* Whoever has tried some servers is choosy: that he has to wait says nothing of those behind. */
void queue_serve(struct queue *q, int64_t now)
{
    pthread_mutex_lock(&q->lock);
    list_for_each_safe (l, &q->waiters) {
        struct queue_waiter *w = container_of(l, struct queue_waiter, link);
        w->pick->now = now;
        w->pick->random = &q->random;
        w->result = balancer_pick(w->balancer, w->pick);
        if (!has_to_wait(w)) {
            take_out(q, w);
            w->wake(w);
        } else if (w->patient && w->pick->tried_count == 0) {
            break;
        }
    }
    pthread_mutex_unlock(&q->lock);
}

bool queue_leave(struct queue *q, struct queue_waiter *w)
{
    pthread_mutex_lock(&q->lock);
    bool waits = !list_empty(&w->link);
    if (waits)
        take_out(q, w);
    pthread_mutex_unlock(&q->lock);
    return waits;
}
