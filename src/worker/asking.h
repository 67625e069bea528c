/*
 * What clients of the control socket ask of the master, and wait for: a reload, an upgrade.
 *
 *      client's fiber ── ask, ticket 7 ──> master: it is under way, or will be
 *      client's fiber <── verdict, 7 ───── master: so it went, for all that had been asked by then
 */
#ifndef WEFT_WORKER_ASKING_H
#define WEFT_WORKER_ASKING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/list.h"
#include "ctl/message.h"

struct fiber;
struct link;

struct verdict {
    bool accepted;
    uint64_t generation; /* of the configuration in effect now */
    char *text;          /* owned; what there is to say: where it was not accepted, lines of why */
};

struct asking {
    struct link *link;     /* to the master; not owned */
    struct list waiting;   /* struct ask */
    struct fiber *settler; /* waits for the last of them; NULL: nobody does */
    uint64_t last;         /* ticket */
    int64_t reload_at;     /* [ns since 1970] of the last verdict on a reload; 0: there was none */
    bool reload_accepted;
};

void asking_init(struct asking *a, struct link *link);

/**
 * Ask the master for `what`, and wait for its verdict, however long that takes.
 *
 * Yields. Returns 0 with a verdict, whose text the caller frees; -ECANCELED; -ENOMEM.
 */
int asking_wait(struct asking *a, const char *what, struct verdict *ret) WEFT_MUSTCHECK;

/** Wait until everybody has a verdict, until `deadline` [monotonic ns] at most. Yields. */
void asking_settle(struct asking *a, int64_t deadline);

/** Hand out a verdict of the master's. Thread: control, on the loop's stack. */
void asking_answer(struct asking *a, const struct message *m);

#endif
