/*
 * Mailboxes: how threads talk. Any thread posts, the owner's fiber receives.
 *
 * An intrusive multi-producer single-consumer queue and an ev_async: a post is one
 * compare-and-exchange, and wakes the owner's loop only when the owner had taken all before it.
 */
#ifndef WEFT_FIBER_MAILBOX_H
#define WEFT_FIBER_MAILBOX_H

#include <stdint.h>

#include "base/attr.h"
#include "fiber/sched.h"

/* The head of every message; a member of the message's own structure. */
struct mail {
    struct mail *_Atomic next;
};

struct mailbox; /* opaque */

/** Make a mailbox whose receivers are fibers of `s`. Returns NULL without memory. Thread: the
 * scheduler's own, or any before it runs; so for mailbox_free(). */
struct mailbox *mailbox_new(struct sched *s) WEFT_MUSTCHECK;

/**
 * Free it; nobody may post any more, and who waits here must never run again. NULL is fine.
 *
 * That a message was received does not mean that its mailbox_post() is over: it may still wake the
 * loop. So the posting threads are joined first, or have said in another way that they are done.
 * What was not received is the caller's loss.
 */
void mailbox_free(struct mailbox *m);

/** Append a message. Never waits. Owns: the receiver, from here on. Thread: any. */
void mailbox_post(struct mailbox *m, struct mail *mail);

/**
 * Take the oldest message; wait for one until `deadline` [monotonic ns].
 *
 * Yields. Returns 0, -ETIMEDOUT or -ECANCELED. Thread: fibers of the owner's scheduler.
 */
int mailbox_receive(struct mailbox *m, struct mail **ret, int64_t deadline) WEFT_MUSTCHECK;

#endif
