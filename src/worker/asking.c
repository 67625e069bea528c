#include "worker/asking.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "fiber/fiber.h"
#include "worker/link.h"

/* Somebody who waits. */
struct ask {
    struct list link;
    struct fiber *fiber;
    const char *what;
    uint64_t ticket;
    struct verdict verdict; /* once it is out of the list */
};

void asking_init(struct asking *a, struct link *link)
{
    *a = (struct asking){.link = link};
    list_init(&a->waiting);
}

int asking_wait(struct asking *a, const char *what, struct verdict *ret)
{
    struct ask ask = {.fiber = fiber_self(), .what = what, .ticket = ++a->last};
    list_push_back(&a->waiting, &ask.link);
    link_send(a->link, MESSAGE_ASK,
              json_pack("{s:s, s:I}", "what", what, "ticket", (json_int_t)ask.ticket));
    int err = 0;
    while (err == 0 && !list_empty(&ask.link))
        err = fiber_park(CLOCK_NEVER);
    if (list_empty(&ask.link))
        err = ask.verdict.text != NULL ? 0 : -ENOMEM;
    list_remove(&ask.link);
    if (err == 0)
        *ret = ask.verdict;
    return err;
}

void asking_settle(struct asking *a, int64_t deadline)
{
    a->settler = fiber_self();
    int err = 0;
    while (err == 0 && !list_empty(&a->waiting))
        err = fiber_park(deadline);
    a->settler = NULL;
}

static void answer(struct ask *ask, const struct message *m)
{
    ask->verdict = (struct verdict){
        .accepted = message_true(m, "accepted"),
        .generation = (uint64_t)message_integer(m, "generation"),
        .text = strdup(message_string(m, "text")),
    };
    list_remove(&ask->link);
    fiber_ready(ask->fiber);
}

void asking_answer(struct asking *a, const struct message *m)
{
    const char *what = message_string(m, "what");
    uint64_t ticket = (uint64_t)message_integer(m, "ticket");
    if (strcmp(what, "reload") == 0) {
        a->reload_at = clock_wall();
        a->reload_accepted = message_true(m, "accepted");
    }
    list_for_each_safe (l, &a->waiting) {
        struct ask *ask = container_of(l, struct ask, link);
        if (ask->ticket <= ticket && strcmp(ask->what, what) == 0)
            answer(ask, m);
    }
    if (a->settler != NULL)
        fiber_ready(a->settler);
}
