/*
 * The addresses that the worker process listens on, from generation to generation. Each has a
 * number, which its acceptors know it by.
 *
 *      wanted ── dropped by a reload ──> its acceptors take the rest ── the last is closed ──> free
 *         ^                                        │
 *         └── wanted again ────────────────────────┘
 */
#ifndef WEFT_WORKER_ADDRESSES_H
#define WEFT_WORKER_ADDRESSES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"

struct address {
    char *key;          /* owned; what it is called, to the master too; NULL: the number is free */
    unsigned acceptors; /* that are not closed */
    bool wanted;        /* by the configuration in effect */
};

struct addresses {
    struct address *all; /* by number */
    size_t count;
};

/** Make room for so many numbers. Returns 0 or -ENOMEM. */
int addresses_reserve(struct addresses *a, size_t count) WEFT_MUSTCHECK;

/** Want none any more, as a first step to what a new configuration wants. */
void addresses_want_none(struct addresses *a);

/**
 * Want an address, which gets so many acceptors more.
 *
 * There must be room for its number. Owns: takes the key, and leaves NULL there, where the number
 * was free.
 */
void addresses_want(struct addresses *a, unsigned number, char **key, unsigned acceptors);

/** Note that an acceptor of an address is closed. */
void addresses_closed(struct addresses *a, unsigned number);

bool addresses_have(const struct addresses *a, const char *key);

/**
 * Free the numbers of addresses that are not wanted any more and have no acceptor left, unless
 * `forget(arg, key)` returns an error. Returns whether there are such that are left.
 */
bool addresses_sweep(struct addresses *a, int (*forget)(void *arg, const char *key), void *arg);

void addresses_destroy(struct addresses *a);

#endif
