/*
 * Pipes for splice(2), pooled: bytes go through one from socket to socket and are not copied.
 *
 *      thread 0: free pipes, LIFO ─┐
 *      thread 1: free pipes, LIFO ─┼─ all that are open, free or not: within the process's budget
 *      thread n: free pipes, LIFO ─┘
 *
 * get and put touch only the calling thread's list: no lock, no system call, no atomic
 * read-modify-write, but where a pipe is opened or closed. There may be none to be had at any time:
 * whoever asks has another way.
 */
#ifndef WEFT_IO_PIPES_H
#define WEFT_IO_PIPES_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

#define PIPES_DESCRIPTORS 2 /* of one pipe */

struct pipe {
    struct pipe *next; /* in the free list */
    int in;            /* descriptor to write to, owned */
    int out;           /* descriptor to read from, owned */
    size_t size;       /* [bytes] it takes at most */
    size_t length;     /* [bytes] in it now; whoever splices keeps it right */
};

/* One snapshot, summed over the threads; it may be a moment old. */
struct pipes_stats {
    unsigned budget;
    unsigned open;
    unsigned free;   /* of those that are open */
    uint64_t denied; /* gets for which there was none, ever */
};

/**
 * Say how many pipes a process with so many descriptors should have, for so many threads.
 *
 * Few, so that they take nothing from connections, and so that the kernel does not shrink an
 * ordinary user's (/proc/sys/fs/pipe-user-pages-soft). 0: not worth it.
 */
unsigned pipes_advise(unsigned descriptors, unsigned threads);

/** Set how many pipes the process may have open, 0 (as it is at first): none. Those over it stay
 * until they are trimmed. Thread: any. */
void pipes_set_budget(unsigned budget);

/**
 * Take an empty pipe.
 *
 * Does not block. Returns NULL where the budget, the descriptors or the kernel's own limits have
 * none. Thread: any.
 */
struct pipe *pipes_get(void) WEFT_MUSTCHECK;

/** Give a pipe back, to the calling thread's list; one with bytes in it is closed. */
void pipes_put(struct pipe *p);

/** Close what the calling thread has had free ever since its last call. */
void pipes_trim(void);

/** Close all that the calling thread has free, as a thread does before it ends. */
void pipes_flush(void);

void pipes_stats(struct pipes_stats *ret);

#endif
