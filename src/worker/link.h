/*
 * The link to the master: what it orders the worker process to do, and what it is told.
 *
 * Runs on the control thread, as two fibers: one that receives, one that gives a sign of life now
 * and then, as long as every worker thread turns.
 */
#ifndef WEFT_WORKER_LINK_H
#define WEFT_WORKER_LINK_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/text.h"
#include "ctl/message.h"
#include "fiber/netpoll.h"

struct control;

/* What the master says of the other worker processes. */
struct link_family {
    uint64_t restarts; /* processes started for one that died or was stuck */
    uint64_t leaving;  /* processes that end, but for their last connections */
    uint64_t left;     /* those connections */
};

struct link {
    struct control *control;
    struct netpoll_desc events; /* socket to the master, owned */
    struct fiber *receiver;
    struct fiber *reporter;
    struct link_family family;
    pid_t master;
    bool lost; /* there is no master any more */
    bool stuck_told;
};

void link_init(struct link *l, struct control *c, int events);

/** Start the fibers. Thread: the control thread, as for all that follow. */
void link_start(struct link *l);

/** End the fibers. Yields. */
void link_stop(struct link *l);

void link_destroy(struct link *l);

/** Send an event. Does not wait: what the master has no room for is lost, and logged. Needs some
 * KiB of stack. Owns: `body` is consumed. */
void link_send(struct link *l, enum message_type type, json_t *body);

#endif
