/*
 * Plans: what a reload has found out and got hold of, before anything changes. To make one may
 * take long, and fail at each step; one that is dropped leaves nothing behind but claims to
 * addresses, which are to be given up: see reload.c.
 *
 *      read ──> compare ──> limits ──> sockets ──> generation ──> logs ──> ready
 *        │         └── needs a new worker process ──> restart
 *        └── faults, at any step ──> rejected
 */
#ifndef WEFT_WORKER_PLAN_H
#define WEFT_WORKER_PLAN_H

#include <stdint.h>

#include "base/attr.h"
#include "base/log.h"
#include "base/text.h"
#include "conf/conf.h"
#include "conf/diff.h"
#include "ctl/message.h"
#include "proxy/proxy.h"
#include "proxy/transition.h"
#include "worker/addresses.h"
#include "worker/limits.h"
#include "worker/opener.h"
#include "worker/sockets.h"

/* What is in effect. It stays as it is while a plan is made. */
struct plan_base {
    const struct proxy *proxy;
    const struct addresses *addresses;
    const struct log_options *log;
    const struct shard_group *group;
    struct opener *opener;
    void (*closed)(struct notice *n); /* of acceptors, see acceptor_new() */
};

enum plan_verdict { PLAN_READY, PLAN_REJECTED, PLAN_RESTART };

struct plan {
    enum plan_verdict verdict;
    struct text why;     /* PLAN_REJECTED: lines of faults; PLAN_RESTART: what needs it */
    uint64_t generation; /* that it is to be */
    const struct conf *conf;
    struct diff diff;
    struct limits limits;
    struct sockets sockets;
    struct proxy *proxy;
    struct transition transition;
    struct log_options log;
};

void plan_init(struct plan *p);

/**
 * Read the configuration of a MESSAGE_RELOAD. May block for long, in the resolver. Uses nothing of
 * what is in effect. Returns whether to go on.
 */
bool plan_read(struct plan *p, struct message *m, struct opener *opener) WEFT_MUSTCHECK;

/** Go on to a verdict; waits for nobody but the master. */
void plan_make(struct plan *p, const struct plan_base *base);

/** Free what was not taken. */
void plan_destroy(struct plan *p);

#endif
