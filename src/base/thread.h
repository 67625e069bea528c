/*
 * Threads are numbered, so that a structure can keep a slot a thread without a lock.
 */
#ifndef WEFT_BASE_THREAD_H
#define WEFT_BASE_THREAD_H

#include "base/attr.h"

#define THREAD_MAX 256

/**
 * This thread's number, from 0; taken at the first call, given back when the thread ends.
 *
 * The process aborts where more than THREAD_MAX threads ask at once.
 */
unsigned thread_index(void);

#endif
