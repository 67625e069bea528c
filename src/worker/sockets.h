/*
 * The addresses that a worker process listens on, each with a number for as long as it has sockets
 * of it.
 *
 *      reserved ── committed ──> live ── no listener has it any more ──> leaving ── closed ──> free
 *          └────── released ──> free
 *
 * A key belongs to one address that is reserved or live; one that is leaving may have it as well.
 */
#ifndef WEFT_WORKER_SOCKETS_H
#define WEFT_WORKER_SOCKETS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"

struct socket_address; /* opaque */

struct sockets {
    pthread_mutex_t lock;        /* a loading thread looks keys up and reserves */
    struct socket_address **all; /* by number; NULL: free */
    size_t count;
    void *index; /* by key; of the C library's tree */
};

void sockets_init(struct sockets *s);
void sockets_destroy(struct sockets *s);

/** The number of an address; -ENOENT. Thread: any. */
int sockets_find(struct sockets *s, const char *key) WEFT_MUSTCHECK;

/** Reserve a number for a key that has none. Returns it, or -ENOMEM. Thread: any. */
int sockets_reserve(struct sockets *s, const char *key) WEFT_MUSTCHECK;

/** Give a reserved number back. Thread: any. */
void sockets_release(struct sockets *s, unsigned number);

/** How many numbers are in use: all are below it. Thread: any. */
size_t sockets_numbers(struct sockets *s);

/* Thread: control, for all that follow. */

/** A reserved address is live, and `open` acceptors are to close their sockets at its end. */
void sockets_commit(struct sockets *s, unsigned number, unsigned open);

/** Whether an address is live. */
bool sockets_is_live(struct sockets *s, unsigned number);

/** A live address is not to be listened on any more. */
void sockets_leave(struct sockets *s, unsigned number);

/**
 * An acceptor has closed its socket.
 *
 * Returns NULL, or the key once the last one of it has and nobody listens on it again: the caller
 * frees it.
 */
char *sockets_closed(struct sockets *s, unsigned number) WEFT_MUSTCHECK;

#endif
