/* Picks: one connection's choice of a server, and what it is made by. */
#ifndef WEFT_UPSTREAM_PICK_H
#define WEFT_UPSTREAM_PICK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"

#define PICK_TRIES_MAX 32 /* servers that one connection can have tried */

struct pick {
    int64_t now;      /* [monotonic ns] */
    uint64_t hash;    /* of the client, for the methods that hash */
    uint32_t *random; /* of the caller's own: a state of xorshift() */
    uint8_t dice;     /* the method's: what share of a server there must be at least */
    unsigned tried_count;
    uint16_t tried[PICK_TRIES_MAX]; /* servers' numbers in the pool: not to be picked again */
};

static inline bool pick_has_tried(const struct pick *p, uint16_t server)
{
    for (unsigned i = 0; i < p->tried_count; i++) {
        if (p->tried[i] == server)
            return true;
    }
    return false;
}

#endif
