#include "fiber/sync.h"

#include "fiber/sched_internal.h"

/*
 * What a waiter waits for is handed to it by the one who wakes it: nobody who comes later can take
 * it first, and a fiber that was woken with 0 has it, even if it is cancelled before it runs.
 */
static struct fiber *first_waiter(const struct list *waiters)
{
    return list_empty(waiters) ? NULL : container_of(waiters->next, struct fiber, link);
}

static void wake_all(struct list *waiters)
{
    struct fiber *f;

    while ((f = first_waiter(waiters)) != NULL)
        fiber_wake(f, 0);
}

void fiber_mutex_init(struct fiber_mutex *m)
{
    m->owner = NULL;
    list_init(&m->waiters);
}

int fiber_mutex_lock(struct fiber_mutex *m, int64_t deadline)
{
    struct fiber *self = fiber_running();

    assert(m->owner != self);
    if (m->owner != NULL)
        return fiber_park_in(&m->waiters, deadline);
    m->owner = self;
    return 0;
}

void fiber_mutex_unlock(struct fiber_mutex *m)
{
    assert(m->owner == fiber_running());
    m->owner = first_waiter(&m->waiters);
    if (m->owner)
        fiber_wake(m->owner, 0);
}

void fiber_cond_init(struct fiber_cond *c)
{
    list_init(&c->waiters);
}

int fiber_cond_wait(struct fiber_cond *c, int64_t deadline)
{
    return fiber_park_in(&c->waiters, deadline);
}

void fiber_cond_signal(struct fiber_cond *c)
{
    struct fiber *f = first_waiter(&c->waiters);

    if (f)
        fiber_wake(f, 0);
}

void fiber_cond_broadcast(struct fiber_cond *c)
{
    wake_all(&c->waiters);
}

void fiber_sem_init(struct fiber_sem *s, unsigned count)
{
    s->count = count;
    list_init(&s->waiters);
}

int fiber_sem_acquire(struct fiber_sem *s, int64_t deadline)
{
    if (s->count == 0)
        return fiber_park_in(&s->waiters, deadline);
    s->count--;
    return 0;
}

void fiber_sem_release(struct fiber_sem *s)
{
    struct fiber *f = first_waiter(&s->waiters);

    if (f)
        fiber_wake(f, 0);
    else
        s->count++;
}

void fiber_group_init(struct fiber_group *g)
{
    g->count = 0;
    list_init(&g->waiters);
}

void fiber_group_add(struct fiber_group *g, unsigned n)
{
    g->count += n;
}

void fiber_group_done(struct fiber_group *g)
{
    assert(g->count > 0);
    if (--g->count == 0)
        wake_all(&g->waiters);
}

int fiber_group_wait(struct fiber_group *g, int64_t deadline)
{
    return g->count == 0 ? 0 : fiber_park_in(&g->waiters, deadline);
}
