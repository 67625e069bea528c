#include "proxy/shard.h"

#include <errno.h>

#include "base/clock.h"
#include "proxy/acceptor.h"
#include "proxy/drain.h"
#include "proxy/session.h"

/* The message that only makes shard_run() look again. */
static void deliver_nothing(struct shard_message *m, struct shard *shard)
{
    (void)m;
    (void)shard;
}

int shard_init(struct shard *shard, unsigned number, const struct shard_group *group,
               struct sched *sched, struct pool *sessions)
{
    *shard = (struct shard){
        .number = number,
        .random = (number + 1) * UINT32_C(2654435769), /* not close to each other */
        .group = group,
        .mailbox = mailbox_new(sched),
        .sessions = sessions,
        .finished.deliver = deliver_nothing,
    };
    list_init(&shard->live);
    list_init(&shard->acceptors);
    list_init(&shard->drains);
    return shard->mailbox != NULL ? 0 : -ENOMEM;
}

void shard_destroy(struct shard *shard)
{
    mailbox_free(shard->mailbox);
    shard->mailbox = NULL;
}

void shard_post(struct shard *shard, struct shard_message *m)
{
    mailbox_post(shard->mailbox, &m->mail);
}

static bool shard_is_finished(const struct shard *shard)
{
    return atomic_load(&shard->draining) && atomic_load(&shard->incoming) == 0 &&
           shard_active(shard) == 0 && list_empty(&shard->acceptors);
}

void shard_left(struct shard *shard)
{
    if (shard->finished_posted || !shard_is_finished(shard))
        return;
    shard->finished_posted = true;
    shard_post(shard, &shard->finished);
}

void shard_run(struct shard *shard)
{
    while (!shard_is_finished(shard)) {
        struct mail *mail;
        int err = mailbox_receive(shard->mailbox, &mail, drain_next(shard));
        if (err == -ECANCELED)
            break;
        if (err == 0) {
            struct shard_message *m = container_of(mail, struct shard_message, mail);
            m->deliver(m, shard);
        }
        drain_turn(shard);
    }
    drain_leave(shard);
}

void shard_drain(struct shard *shard)
{
    atomic_store(&shard->draining, true);
    acceptor_stop_all(shard);
    shard_left(shard); /* there may have been nothing */
}

void shard_end_sessions(struct shard *shard, enum session_end end)
{
    shard->ending = end;
    list_for_each (l, &shard->live)
        session_end(container_of(l, struct session, link), end);
}
