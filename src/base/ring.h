/*
 * A byte queue of unbounded length: a linked list of fixed-size pooled nodes.
 *
 *      head                                      tail
 *      ┌──────────────┐   ┌──────────────┐   ┌──────────────┐
 *      │....#########│──>│##############│──>│#####.........│──> NULL
 *      └────^─────────┘   └──────────────┘   └─────^────────┘
 *           consumer reads here                    producer writes here
 *
 * One producer and one consumer, on one thread or on two; lock-free. Each side owns its own byte
 * counter, the length is their difference. It grows by linking, never by copying. A consumed node
 * goes back to the pool at once, and an empty ring holds no node.
 */
#ifndef WEFT_BASE_RING_H
#define WEFT_BASE_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/attr.h"
#include "base/pool.h"

#ifndef RING_NODE_SIZE       /* a test makes it tiny */
#define RING_NODE_SIZE 16384 /* [bytes] a node with its header: a size class of the allocator */
#endif
#define RING_NODE_PAYLOAD (RING_NODE_SIZE - 64) /* [bytes] the header leaves whole cache lines */
#define RING_IOV_MAX      16                    /* nodes in one readv or writev: about 256 KiB */

struct ring_node;

/*
 * Two of these are in every session record, so it is kept small: 64 bytes, and no padding to keep
 * a producer and a consumer on two threads off each other's cache line. All fields are private.
 */
struct ring {
    struct pool *nodes;
    _Atomic uint64_t produced;       /* [bytes] ever published; the producer's */
    _Atomic uint64_t consumed;       /* [bytes] ever dropped; the consumer's */
    struct ring_node *_Atomic tail;  /* the node that has room; whoever exchanges it out owns it */
    struct ring_node *_Atomic first; /* of the chain that the consumer comes to next */
    struct ring_node *reserved;      /* the producer's, between reserve and commit */
    struct ring_node *head;          /* the consumer's; not to be followed while `orphaned` */
    bool shared;                     /* the producer and the consumer are two threads */
    bool sealed;                     /* the consumer's: it took `tail`, its chain grows no more */
    _Atomic bool orphaned;           /* the producer freed the node at `head` */
};

/** Make the pool of nodes that rings share. Returns NULL when there is no memory. */
struct pool *ring_pool_new(void) WEFT_MUSTCHECK;

/**
 * Make an empty ring. `shared`: the producer and the consumer are two threads.
 */
void ring_init(struct ring *r, struct pool *nodes, bool shared);

/** Put every node back and leave the ring empty. Both sides must be at rest. */
void ring_reset(struct ring *r);

/** Bytes that wait [bytes]. Thread: either side; the other side may move it meanwhile. */
size_t ring_length(const struct ring *r);

/**
 * Producer: get room for at least 1 and up to `want` bytes, as iovecs into the last nodes.
 *
 * Must be followed by ring_commit(), which also takes back what was not filled.
 * Returns the number of iovecs (at most `iov_max`), or -ENOMEM.
 */
int ring_reserve(struct ring *r, size_t want, struct iovec *iov, int iov_max) WEFT_MUSTCHECK;

/** Producer: publish the first `n` bytes of what was reserved; 0 takes the reservation back. */
void ring_commit(struct ring *r, size_t n);

/**
 * Consumer: the bytes that wait, oldest first, as iovecs.
 *
 * Returns the number of iovecs (at most `iov_max`); 0 when the ring is empty.
 */
int ring_peek(struct ring *r, struct iovec *iov, int iov_max);

/** Consumer: drop the oldest `n` bytes, at most what ring_peek() showed. */
void ring_consume(struct ring *r, size_t n);

#endif
