/*
 * Threads are numbered, so that a structure can keep a slot a thread without a lock.
 */
#ifndef WEFT_BASE_THREAD_H
#define WEFT_BASE_THREAD_H

#include "base/attr.h"

#define THREAD_MAX 272 /* 256 workers, and the threads beside them */

extern _Thread_local unsigned thread_number; /* index + 1; 0: none taken yet */

/** The slow path of thread_index(): take a number. */
unsigned thread_index_take(void);

/**
 * This thread's number, from 0; taken at the first call, given back when the thread ends.
 *
 * A number's next holder sees all that the one before wrote. The process aborts where more than
 * THREAD_MAX threads ask at once.
 */
static inline unsigned thread_index(void)
{
    unsigned number = thread_number;
    return likely(number != 0) ? number - 1 : thread_index_take();
}

#endif
