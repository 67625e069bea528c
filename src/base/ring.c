/*
 * How two threads share a ring without a lock, and leave no node in an empty one.
 *
 * Bytes are in a chain of nodes, all full but the last, which has room:
 *
 *      first -> n1 -> n2 -> n3 -> NULL
 *               ^            ^
 *           head (consumer)  tail (nobody's), or reserved (producer), or NULL
 *
 * Bytes. The producer writes them, then stores `produced` with release; the consumer loads it with
 * acquire and reads only below it. A node's `next` is read only where published bytes lie beyond
 * the node, or in a sealed chain; `filled` only in a sealed chain. So neither needs an atomic.
 *
 * The last node. Both sides want it when the ring is drained: the producer to append, the consumer
 * to free it. Whoever exchanges `tail` for NULL has it:
 *
 *   - ring_reserve() takes it and ring_commit() puts it back, before it publishes the bytes: a
 *     consumer that has seen the bytes sees the node there, unless the producer took it again.
 *   - A consumer that has dropped the last published byte takes it. The chain is then *sealed*:
 *     nothing can be appended to it, a producer that finds NULL begins a new chain and names it in
 *     `first`. Normally the sealed chain has no byte left and its node goes back to the pool. Where
 *     the producer committed between the consumer's look at `produced` and the exchange, it has:
 *     it stays sealed, its end is where `next` is NULL, at `filled`. The consumer reads on to
 *     there, and then follows `first`.
 *   - A consumer that drains the ring while the producer has a reservation finds NULL and leaves
 *     its `head` at that node. If the producer then commits bytes, all goes on as before. If it
 *     commits nothing, the ring would be empty and hold a node, with nobody to come for it: so
 *     ring_commit(0) puts `tail` back and looks at `consumed`, while the consumer stores `consumed`
 *     and looks at `tail`. All four are sequentially consistent: at least one side sees the other,
 *     and the exchange lets only one have the node. Where that is the producer, it frees the node
 *     and sets `orphaned`: `head` points to a freed node, and the consumer goes on at `first`.
 *
 * A consumer that comes late (it saw the ring drained, then the producer orphaned its head, began a
 * new chain and put that one's tail there) seals a chain that it has not come to. By then `first`
 * may name yet another one; so each node knows the `start` of its chain.
 *
 * Hence `first` never loses a chain: it is overwritten only when a new chain begins, and then the
 * one before was either sealed by the consumer, which knows its start, or was drained, so that the
 * consumer had come to it. And `orphaned` is never set while `sealed` is: for that, the bytes of
 * the sealed chain and of the one after it would have to be dropped first. The consumer clears
 * `orphaned` when it comes to the next chain; the producer sets it again only after it saw, in
 * `consumed`, bytes of that chain dropped.
 *
 * What orders `first` and `orphaned`: the producer writes them before it puts `tail` back (release)
 * and stores `produced` (release); the consumer reads them after it loaded `produced` (acquire) or
 * got the node from `tail` (acquire).
 *
 * On one thread the same steps run without a read-modify-write.
 */
#include "base/ring.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>

/*
 * Each field is written by the side that it belongs to, and by ring_reserve() before it is seen.
 * The allocator aligns what is so large, so the payload begins on a cache line.
 */
struct ring_node {
    struct ring_node *next;
    struct ring_node *start; /* the first node of this chain; it may be freed already */
    uint32_t filled;         /* [bytes] the producer's: data[0..filled) is written */
    uint32_t taken;          /* [bytes] the consumer's: data[0..taken) is dropped */
    char unused[RING_NODE_SIZE - RING_NODE_PAYLOAD - 2 * sizeof(void *) - 2 * sizeof(uint32_t)];
    char data[RING_NODE_PAYLOAD];
};

_Static_assert(sizeof(struct ring_node) == RING_NODE_SIZE, "a node is a size class");
_Static_assert(sizeof(struct ring) <= 64, "two of these are in every session record");

#define NODES_PER_THREAD 64 /* 1 MiB: what a few busy relays pass to and fro */

static inline size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Take the node that has room. Returns NULL where the other side has it or there is none. */
static inline struct ring_node *take_tail(struct ring *r)
{
    if (unlikely(r->shared))
        return atomic_exchange_explicit(&r->tail, NULL, memory_order_seq_cst);
    struct ring_node *node = atomic_load_explicit(&r->tail, memory_order_relaxed);
    atomic_store_explicit(&r->tail, NULL, memory_order_relaxed);
    return node;
}

struct pool *ring_pool_new(void)
{
    return pool_new("ring node", sizeof(struct ring_node), NODES_PER_THREAD);
}

void ring_init(struct ring *r, struct pool *nodes, bool shared)
{
    *r = (struct ring){.nodes = nodes, .shared = shared};
}

size_t ring_length(const struct ring *r)
{
    /* In this order: the consumer never passes a `produced` loaded later. */
    uint64_t consumed = atomic_load_explicit(&r->consumed, memory_order_acquire);
    return (size_t)(atomic_load_explicit(&r->produced, memory_order_acquire) - consumed);
}

/* --- the producer ------------------------------------------------------------------------ */

/* `start`: NULL for the first node of a chain. */
static inline struct ring_node *new_node(struct ring *r, struct ring_node *start)
{
    struct ring_node *node = pool_get(r->nodes);
    if (unlikely(node == NULL))
        return NULL;
    node->next = NULL;
    node->start = start != NULL ? start : node;
    node->filled = node->taken = 0;
    return node;
}

int ring_reserve(struct ring *r, size_t want, struct iovec *iov, int iov_max)
{
    assert(r->reserved == NULL && want > 0 && iov_max > 0);
    struct ring_node *node = take_tail(r);
    if (node == NULL)
        node = new_node(r, NULL);
    if (unlikely(node == NULL))
        return -ENOMEM;
    r->reserved = node;
    for (int n = 0;;) {
        size_t room = min_size(RING_NODE_PAYLOAD - node->filled, want);
        if (room > 0)
            iov[n++] = (struct iovec){node->data + node->filled, room};
        want -= room;
        if (want == 0 || n == iov_max)
            return n;
        node->next = new_node(r, node->start);
        if (likely(node->next != NULL)) {
            node = node->next;
            continue;
        }
        if (n == 0)
            ring_commit(r, 0);
        return n > 0 ? n : -ENOMEM;
    }
}

static void put_chain(struct ring *r, struct ring_node *node)
{
    while (node != NULL) {
        struct ring_node *next = node->next;
        pool_put(r->nodes, node);
        node = next;
    }
}

/* Count `n` bytes as filled. Returns the node that has the last of them. */
static inline struct ring_node *fill(struct ring_node *node, size_t n)
{
    for (;;) {
        size_t step = min_size(RING_NODE_PAYLOAD - node->filled, n);
        node->filled += (uint32_t)step;
        n -= step;
        if (likely(n == 0))
            return node;
        node = node->next;
        assert(node != NULL);
    }
}

/* The reservation was for nothing: an empty ring must not keep its node. */
static void put_back(struct ring *r, struct ring_node *node)
{
    if (node->filled == 0) { /* of a chain that never began */
        pool_put(r->nodes, node);
        return;
    }
    memory_order order = r->shared ? memory_order_seq_cst : memory_order_relaxed;
    atomic_store_explicit(&r->tail, node, order);
    if (atomic_load_explicit(&r->consumed, order) !=
        atomic_load_explicit(&r->produced, memory_order_relaxed))
        return;
    node = take_tail(r);
    if (node == NULL)
        return;
    atomic_store_explicit(&r->orphaned, true, memory_order_relaxed);
    pool_put(r->nodes, node);
}

void ring_commit(struct ring *r, size_t n)
{
    struct ring_node *start = r->reserved;
    assert(start != NULL);
    bool new_chain = start->filled == 0;
    struct ring_node *last = fill(start, n);
    r->reserved = NULL;
    if (last->next != NULL) {
        put_chain(r, last->next);
        last->next = NULL;
    }
    if (n == 0) {
        put_back(r, last);
        return;
    }
    if (new_chain)
        atomic_store_explicit(&r->first, start, memory_order_relaxed);
    atomic_store_explicit(&r->tail, last, memory_order_release);
    uint64_t produced = atomic_load_explicit(&r->produced, memory_order_relaxed);
    atomic_store_explicit(&r->produced, produced + n, memory_order_release);
}

/* --- the consumer ------------------------------------------------------------------------ */

/* Where a node's bytes end, whether published or not. */
static inline size_t node_end(const struct ring *r, const struct ring_node *node)
{
    return unlikely(r->sealed) && node->next == NULL ? node->filled : RING_NODE_PAYLOAD;
}

static inline bool exhausted(const struct ring *r, const struct ring_node *node)
{
    return node->taken == node_end(r, node);
}

/* Free the exhausted head. Its `next` must be safe to read: see above. */
static void free_head(struct ring *r)
{
    struct ring_node *node = r->head;
    r->head = node->next;
    if (r->head == NULL)
        r->sealed = false;
    pool_put(r->nodes, node);
}

/* Begin with the chain at `start` where the one at head is gone. */
static inline void come_to(struct ring *r, struct ring_node *start)
{
    if (unlikely(atomic_load_explicit(&r->orphaned, memory_order_relaxed))) {
        atomic_store_explicit(&r->orphaned, false, memory_order_relaxed);
        r->head = NULL;
    }
    if (r->head == NULL)
        r->head = start;
}

static inline void follow_first(struct ring *r)
{
    come_to(r, atomic_load_explicit(&r->first, memory_order_relaxed));
}

/* The node with the oldest byte. There must be a published one. */
static inline struct ring_node *oldest(struct ring *r)
{
    follow_first(r);
    while (unlikely(exhausted(r, r->head))) {
        free_head(r);
        follow_first(r);
    }
    return r->head;
}

int ring_peek(struct ring *r, struct iovec *iov, int iov_max)
{
    uint64_t produced = atomic_load_explicit(&r->produced, memory_order_acquire);
    size_t left = (size_t)(produced - atomic_load_explicit(&r->consumed, memory_order_relaxed));
    if (left == 0)
        return 0;
    struct ring_node *node = oldest(r);
    for (int n = 0;;) {
        size_t step = min_size(node_end(r, node) - node->taken, left);
        iov[n++] = (struct iovec){node->data + node->taken, step};
        left -= step;
        if (left == 0 || n == iov_max || node->next == NULL)
            return n;
        node = node->next;
    }
}

/* Nothing is left: free the last node, or leave it to the producer who has it. */
static void free_last(struct ring *r)
{
    if (!r->sealed) {
        struct ring_node *last = take_tail(r);
        if (last == NULL)
            return;
        r->sealed = true;
        come_to(r, last->start);
    }
    while (r->head != NULL && exhausted(r, r->head))
        free_head(r);
}

void ring_consume(struct ring *r, size_t n)
{
    if (n == 0)
        return;
    uint64_t consumed = atomic_load_explicit(&r->consumed, memory_order_relaxed) + n;
    uint64_t produced = atomic_load_explicit(&r->produced, memory_order_acquire);
    bool drained = consumed == produced;
    assert(consumed <= produced);
    while (n > 0) {
        struct ring_node *node = oldest(r);
        size_t step = min_size(node_end(r, node) - node->taken, n);
        node->taken += (uint32_t)step;
        n -= step;
    }
    if (!drained) {
        oldest(r);
        atomic_store_explicit(&r->consumed, consumed, memory_order_release);
        return;
    }
    if (r->shared)
        atomic_store_explicit(&r->consumed, consumed, memory_order_seq_cst);
    else
        atomic_store_explicit(&r->consumed, consumed, memory_order_relaxed);
    free_last(r);
}

void ring_reset(struct ring *r)
{
    if (r->reserved != NULL)
        ring_commit(r, 0);
    ring_consume(r, ring_length(r));
}
