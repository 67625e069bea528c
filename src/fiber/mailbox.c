#include "fiber/mailbox.h"

#include <errno.h>
#include <stdlib.h>

#include "fiber/sched_internal.h"

/*
 *      posted ──> newest ──> ... ──> oldest ──> NULL      any thread pushes (Treiber's stack)
 *                    │ all of it at once, turned round
 *                    v
 *      inbox ───> oldest ──> ... ──> newest ──> NULL      the owner alone pops
 *
 * As the owner takes all there is, a post that finds `posted` empty, and only such a one, has to
 * wake it; and there is no ABA.
 */
struct mailbox {
    struct mail *inbox;
    struct sched *sched;
    struct list waiters; /* fibers in mailbox_receive() */
    struct ev_async wakeup;
    struct mail *_Atomic posted __attribute__((aligned(WEFT_CACHE_LINE)));
};

static void wake_receiver(struct mailbox *m)
{
    if (!list_empty(&m->waiters))
        fiber_wake(container_of(m->waiters.next, struct fiber, link), 0);
}

static void on_wakeup(struct ev_loop *loop, struct ev_async *w, int revents)
{
    (void)loop;
    (void)revents;
    wake_receiver(container_of(w, struct mailbox, wakeup));
}

struct mailbox *mailbox_new(struct sched *s)
{
    struct mailbox *m = aligned_alloc(WEFT_CACHE_LINE, sizeof(*m));

    if (m == NULL)
        return NULL;
    *m = (struct mailbox){.sched = s};
    list_init(&m->waiters);
    ev_async_init(&m->wakeup, on_wakeup);
    ev_async_start(s->loop, &m->wakeup);
    return m;
}

void mailbox_free(struct mailbox *m)
{
    if (m == NULL)
        return;
    ev_async_stop(m->sched->loop, &m->wakeup);
    free(m);
}

void mailbox_post(struct mailbox *m, struct mail *mail)
{
    struct mail *newest = atomic_load_explicit(&m->posted, memory_order_relaxed);

    /* Release: who takes the message sees what it says. */
    do
        atomic_store_explicit(&mail->next, newest, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&m->posted, &newest, mail, memory_order_release,
                                                  memory_order_relaxed));
    if (newest == NULL)
        ev_async_send(m->sched->loop, &m->wakeup);
}

static struct mail *take_posted(struct mailbox *m)
{
    if (atomic_load_explicit(&m->posted, memory_order_relaxed) == NULL)
        return NULL;
    struct mail *from = atomic_exchange_explicit(&m->posted, NULL, memory_order_acquire);
    struct mail *turned = NULL;
    while (from) {
        struct mail *older = atomic_load_explicit(&from->next, memory_order_relaxed);
        atomic_store_explicit(&from->next, turned, memory_order_relaxed);
        turned = from;
        from = older;
    }
    return turned;
}

static struct mail *take(struct mailbox *m)
{
    if (m->inbox == NULL)
        m->inbox = take_posted(m);
    struct mail *mail = m->inbox;
    if (mail)
        m->inbox = atomic_load_explicit(&mail->next, memory_order_relaxed);
    return mail;
}

int mailbox_receive(struct mailbox *m, struct mail **ret, int64_t deadline)
{
    struct fiber *self = fiber_running();
    struct mail *mail;
    int r = self->cancelled ? -ECANCELED : 0;

    assert(self->sched == m->sched);
    while (r == 0 && (mail = take(m)) == NULL)
        r = fiber_park_in(&m->waiters, deadline);
    if (r != 0)
        return r;
    /* One wake-up may stand for many messages. */
    if (m->inbox)
        wake_receiver(m);
    *ret = mail;
    return 0;
}
