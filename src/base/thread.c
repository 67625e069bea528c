#include "base/thread.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

_Thread_local unsigned thread_number;

/* The lock also orders what one holder of a number wrote before what the next one reads. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool used[THREAD_MAX];

static pthread_key_t at_exit;
static pthread_once_t at_exit_once = PTHREAD_ONCE_INIT;

/* A destructor that runs after this one may take a number again: then this one runs once more. */
static void give_back(void *number)
{
    pthread_mutex_lock(&lock);
    used[(uintptr_t)number - 1] = false;
    pthread_mutex_unlock(&lock);
    thread_number = 0;
}

static void make_key(void)
{
    if (pthread_key_create(&at_exit, give_back) != 0)
        abort();
}

static unsigned lowest_free(void)
{
    for (unsigned i = 0; i < THREAD_MAX; i++)
        if (!used[i])
            return i;
    abort();
}

unsigned thread_index_take(void)
{
    pthread_once(&at_exit_once, make_key);
    pthread_mutex_lock(&lock);
    unsigned index = lowest_free();
    used[index] = true;
    pthread_mutex_unlock(&lock);
    thread_number = index + 1;
    if (pthread_setspecific(at_exit, (void *)(uintptr_t)thread_number) != 0)
        abort();
    return index;
}
