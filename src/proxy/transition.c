#include "proxy/transition.h"

#include <errno.h>
#include <stdlib.h>

struct transition_share {
    struct transition *transition;
    struct shard_message message;
    struct notice entered;
    struct list acceptors; /* struct acceptor, owned: to be started */
};

static void start_all(struct transition_share *share, struct shard *shard)
{
    struct list *l;
    while ((l = list_pop_front(&share->acceptors)) != NULL)
        acceptor_start(container_of(l, struct acceptor, link), shard);
}

static void deliver(struct shard_message *m, struct shard *shard)
{
    struct transition_share *share = container_of(m, struct transition_share, message);
    const struct transition *t = share->transition;
    list_for_each (l, &shard->acceptors) {
        struct acceptor *a = container_of(l, struct acceptor, link);
        unsigned listener = t->listeners[a->address];
        if (listener == TRANSITION_STOP)
            acceptor_stop(a);
        else
            acceptor_retarget(a, &t->to->listeners[listener]);
    }
    start_all(share, shard);
    mailbox_post(shard->group->control, &share->entered.mail);
}

static void deliver_entered(struct notice *n)
{
    struct transition *t = container_of(n, struct transition_share, entered)->transition;
    if (++t->entered == t->group->count)
        t->done(t);
}

int transition_init(struct transition *t, struct proxy *to, const struct shard_group *group,
                    size_t addresses)
{
    *t = (struct transition){
        .to = to,
        .group = group,
        .addresses = addresses,
        .listeners = calloc(addresses, sizeof(*t->listeners)),
        .shares = calloc(group->count, sizeof(*t->shares)),
    };
    if (t->listeners == NULL || t->shares == NULL) {
        free(t->listeners);
        free(t->shares);
        *t = (struct transition){.to = NULL};
        return -ENOMEM;
    }
    for (size_t i = 0; i < addresses; i++)
        t->listeners[i] = TRANSITION_STOP;
    for (unsigned i = 0; i < group->count; i++) {
        struct transition_share *share = &t->shares[i];
        share->transition = t;
        share->message.deliver = deliver;
        share->entered.deliver = deliver_entered;
        list_init(&share->acceptors);
    }
    return 0;
}

void transition_add(struct transition *t, unsigned shard, struct acceptor *a)
{
    list_push_back(&t->shares[shard].acceptors, &a->link);
}

void transition_begin(struct transition *t)
{
    for (unsigned i = 0; i < t->group->count; i++)
        shard_post(t->group->shards[i], &t->shares[i].message);
}

void transition_destroy(struct transition *t)
{
    for (unsigned i = 0; t->shares != NULL && i < t->group->count; i++) {
        struct list *l;
        while ((l = list_pop_front(&t->shares[i].acceptors)) != NULL)
            acceptor_free(container_of(l, struct acceptor, link));
    }
    free(t->listeners);
    free(t->shares);
    *t = (struct transition){.to = NULL};
}
