/*
 * Sessions: one fiber for each proxied connection, from accept to record.
 *
 *      accepted ─> read ahead ─> pick ─> connect ─┬─> relay ─> close ─> record
 *                                 ^               │
 *                                 └── retry ──────┘
 */
#ifndef WEFT_PROXY_SESSION_H
#define WEFT_PROXY_SESSION_H

#include <stdint.h>

#include "base/addr.h"
#include "base/attr.h"
#include "base/list.h"
#include "fiber/fiber.h"
#include "io/conn.h"
#include "proxy/end.h"
#include "proxy/preamble.h"
#include "proxy/proxy.h"
#include "proxy/relay.h"
#include "proxy/shard.h"
#include "proxy/sources.h"

/* The other end of an accepted connection: no room for a UNIX path, which clients do not have. */
union session_source {
    struct sockaddr sa;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
};

struct session {
    struct fiber fiber;
    struct list link; /* in the shard's live */
    struct shard *shard;
    struct proxy_listener *listener;
    struct proxy_pool *pool;          /* NULL: not chosen yet */
    const struct conf_server *server; /* chosen last; NULL before */
    struct preamble *preamble;        /* owned; NULL: there was none */
    struct source *entered;           /* counts as one of its connections; NULL: as nobody's */
    struct conn client;
    struct conn upstream;
    struct relay relay;
    uint64_t id;
    int64_t started;          /* [monotonic ns] */
    int64_t connect_duration; /* [ns] -1: no connect came through */
    int64_t queue_duration;   /* [ns] -1: it did not have to wait for a server */
    int64_t part_by;          /* [monotonic ns] when a session that drains is over; 0: at once */
    union session_source source;
    uint8_t retries;
    uint8_t ordered_end;  /* enum session_end: why it is to end; END_NONE: it is not */
    bool settled;         /* set up for a long life */
    bool counted;         /* at `server` */
    uint32_t drain_place; /* its place in a drain's queue, from 1; 0: in none */
};

/** The pool of session records. Returns NULL without memory. */
struct pool *session_pool_new(void) WEFT_MUSTCHECK;

/**
 * Begin the session of an accepted connection, whose places at the gates are taken.
 *
 * Returns 0, from when on it owns `fd` and the places, or -ENOMEM. Thread: the shard's.
 */
int session_start(struct shard *shard, struct proxy_listener *listener, int fd,
                  const struct addr *peer) WEFT_MUSTCHECK;

/** A turn of its relay, whose bytes are counted. Thread: the shard's. */
enum relay_state session_turn(struct session *s);

/**
 * Take a session in whose client is known only now, as `source`. Returns END_NONE, or why it may
 * not come in. Thread: the shard's.
 */
enum session_end session_meet(struct session *s) WEFT_MUSTCHECK;

/** The client's address. */
struct addr session_client(const struct session *s);

/** For sched_describe_crash(): says which connection it was. */
void session_describe_crash(const struct fiber *f, void (*say)(const char *text));

/** End a session for the reason `end`, as fast as it goes. Thread: the shard's. */
void session_end(struct session *s, enum session_end end);

/**
 * End a session in good order, as END_DRAINED: what is buffered is delivered and both sides get a
 * FIN, after which they have until `deadline` [monotonic ns] to close. One that has no server yet
 * ends at once; one that is ending already goes on with that. Thread: the shard's.
 */
void session_part(struct session *s, int64_t deadline);

#endif
