/*
 * Reloads: from one generation of the configuration to the next, all of it or nothing.
 *
 *      control thread               loading thread              worker threads
 *      reload_begin ──────────────> read, compare, open what
 *                                   is new, make the next
 *      commit: logs, limits,  <──── generation
 *      transition ────────────────────────────────────────────> go over, each by itself
 *      retire the one before, <──────────────────────────────── the last has
 *      the verdict
 */
#ifndef WEFT_WORKER_RELOAD_H
#define WEFT_WORKER_RELOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/list.h"
#include "base/log.h"
#include "base/text.h"
#include "conf/conf.h"
#include "ctl/message.h"
#include "proxy/proxy.h"
#include "worker/limits.h"
#include "worker/opener.h"
#include "worker/sockets.h"

struct control;
struct reload; /* one that is under way */

/* What is in effect, and how it came to be. */
struct reloads {
    struct control *control;
    struct opener *opener; /* not owned */
    struct sockets sockets;
    struct proxy *proxy;     /* the generation in effect; NULL: none yet */
    struct list generations; /* struct proxy; those that still have sessions, it included */
    struct limits limits;
    struct log_options log; /* as the log was last set */
    struct reload *now;     /* NULL: none */
    int64_t last;           /* [wall ns] of the last verdict; 0: there was none */
    bool last_accepted;
};

void reloads_init(struct reloads *r, struct control *c, struct opener *o);
void reloads_destroy(struct reloads *r);

/**
 * Load the first configuration: to be called at the start, while there is one thread.
 *
 * Returns 0 with a reference, or -errno with the reason added to `why`.
 */
int reloads_load_first(struct reloads *r, struct message *hello, const struct conf **ret,
                       struct text *why) WEFT_MUSTCHECK;

/** Set the first configuration to work, once the shards are there. Returns 0 or -errno. */
int reloads_start(struct reloads *r) WEFT_MUSTCHECK;

/** Begin what a MESSAGE_RELOAD orders. Owns: takes its content. Thread: control, as the next. */
void reload_begin(struct reloads *r, struct message *m);

/** Wait for the thread that loads, if there is one, and forget what it has loaded. */
void reload_abandon(struct reloads *r);

#endif
