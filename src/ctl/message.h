/*
 * What master and worker process say to each other: a type, a JSON object, descriptors.
 *
 *      master                                     worker process
 *        │ ── hello (configuration file) ─────────────> │  events: each side speaks when it has
 *        │ <─────────────────────────── ready, failed ── │  something to say, nobody waits
 *        │ ── reload, verdict, drain, end ... ────────> │
 *        │ <──────────────── verdict, alive, ask ... ── │
 *        │                                              │
 *        │ <── open_listen, open_log, open_include ... ── │  orders: the worker waits for the
 * answer │ ── opened (descriptors), refused ──────────> │
 */
#ifndef WEFT_CTL_MESSAGE_H
#define WEFT_CTL_MESSAGE_H

#include <jansson.h>
#include <stdbool.h>

#include "base/attr.h"
#include "base/list.h"

enum message_type {
    /* events, to the worker process */
    MESSAGE_HELLO,  /* what to run; its descriptor: the configuration file */
    MESSAGE_RELOAD, /* load this; its descriptor: the configuration file */
    MESSAGE_DRAIN,  /* stop accepting, end within drain_timeout */
    MESSAGE_END,    /* end at once */
    MESSAGE_REOPEN, /* log files, anew; its descriptors: they */
    MESSAGE_FAMILY, /* what became of the other worker processes */
    /* events, from the worker process */
    MESSAGE_READY,  /* it serves */
    MESSAGE_FAILED, /* it can't start, and ends */
    MESSAGE_ALIVE,  /* every worker thread turns; what is going on */
    MESSAGE_STUCK,  /* a worker thread does not: replace the process */
    MESSAGE_ASK,    /* somebody at the control socket wants a reload, an upgrade, a stop */
    /* events, either way */
    MESSAGE_VERDICT, /* how a reload or an upgrade went */
    /* orders, and their answers */
    MESSAGE_OPEN_LISTEN,
    MESSAGE_OPEN_CONTROL,
    MESSAGE_OPEN_LOG,
    MESSAGE_OPEN_INCLUDE,
    MESSAGE_WRITE_PID,
    MESSAGE_FORGET, /* a socket is not used any more */
    MESSAGE_OPENED,
    MESSAGE_REFUSED,
    MESSAGE_LAST
};

#define MESSAGE_FDS_MAX  250          /* descriptors in one message; the kernel takes 253 */
#define MESSAGE_SIZE_MAX (128 * 1024) /* [bytes] of its JSON */
#define MESSAGE_TEXT_MAX (40 * 1024)  /* [bytes] of a text in it: JSON makes more of some bytes */

/* Received. */
struct message {
    enum message_type type;
    json_t *body; /* owned; an object */
    int *fds;     /* owned, as are those of them that are not -1 */
    unsigned fd_count;
};

/**
 * Make a pair of sockets for messages, close-on-exec. Returns 0 or -errno. Owns: the caller.
 */
int message_pair(int ret[2]) WEFT_MUSTCHECK;

/**
 * Send a message with copies of `count` descriptors.
 *
 * Does not wait for room in the socket unless `wait`. Returns 0, -EAGAIN, -EPIPE when the other
 * side is gone, -EMSGSIZE, or another -errno. Owns: `body` is consumed, whatever is returned; NULL,
 * as one is that could not be made, is -ENOMEM.
 */
int message_send(int socket, enum message_type type, json_t *body, const int *fds, unsigned count,
                 bool wait) WEFT_MUSTCHECK;

/**
 * Receive a message; wait for it if `wait`.
 *
 * Returns 0, -EAGAIN when none is there, -EPIPE when the other side is gone, -EPROTO for what is no
 * message, or another -errno; nothing that came is left open then. Owns: the caller frees the
 * message.
 */
int message_receive(int socket, struct message *ret, bool wait) WEFT_MUSTCHECK;

/** Free it and close the descriptors that nobody took. Fine on a zeroed one. */
void message_free(struct message *m);

/** Take a descriptor out of a message: the caller's from then on. -1 where there is none. */
int message_take_fd(struct message *m, unsigned n);

/** The value of a key: "" where it is no string, 0 where no number, false where not true. */
const char *message_string(const struct message *m, const char *key);
json_int_t message_integer(const struct message *m, const char *key);
bool message_true(const struct message *m, const char *key);

/** A JSON string for people to read: bytes that are not UTF-8 become U+FFFD, and lines beyond
 * MESSAGE_TEXT_MAX are left out, which the last one says. Returns NULL without memory. */
json_t *message_text(const char *bytes) WEFT_MUSTCHECK;

/** The type's name, for messages to people. */
const char *message_name(enum message_type type);

#endif
