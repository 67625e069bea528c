#include "worker/errand.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "fiber/netpoll.h"

/* Shared by the fiber and the thread; the last of them frees it. */
struct errand {
    void (*fn)(void *arg);
    void *arg;
    void (*drop)(void *arg);
    int done; /* eventfd, owned */
    atomic_uint holders;
    atomic_bool over;
    atomic_bool abandoned; /* nobody waits: `arg` is to be dropped */
};

static struct errand *errand_new(void (*fn)(void *arg), void *arg, void (*drop)(void *arg))
{
    struct errand *e = calloc(1, sizeof(*e));
    if (e == NULL)
        return NULL;
    *e = (struct errand){.fn = fn, .arg = arg, .drop = drop, .holders = 2};
    e->done = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (e->done >= 0)
        return e;
    free(e);
    return NULL;
}

static void errand_free(struct errand *e)
{
    close(e->done);
    free(e);
}

static void leave(struct errand *e)
{
    if (atomic_fetch_sub(&e->holders, 1) > 1)
        return;
    if (atomic_load(&e->abandoned))
        e->drop(e->arg);
    errand_free(e);
}

static void *thread_run(void *arg)
{
    struct errand *e = arg;
    pthread_setname_np(pthread_self(), "weft/errand");
    clock_update();
    e->fn(e->arg);
    atomic_store(&e->over, true); /* all of `arg` is seen by who sees this */
    eventfd_write(e->done, 1);
    leave(e);
    return NULL;
}

/* Detached: it may outlast whoever waits for it. */
static int start_thread(struct errand *e)
{
    pthread_t thread;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    int err = pthread_create(&thread, &attr, thread_run, e);
    pthread_attr_destroy(&attr);
    return -err;
}

static int wait_for(struct errand *e)
{
    struct netpoll_desc desc;
    int err = netpoll_open(&desc, e->done);
    if (err < 0)
        return err;
    while (err == 0 && !atomic_load(&e->over))
        err = netpoll_wait(&desc, NETPOLL_READ, CLOCK_NEVER);
    netpoll_detach(&desc); /* the thread may have it open for longer */
    return err;
}

int errand_run(void (*fn)(void *arg), void *arg, void (*drop)(void *arg))
{
    struct errand *e = errand_new(fn, arg, drop);
    if (e == NULL)
        return -ENOMEM;
    int err = start_thread(e);
    if (err < 0) {
        errand_free(e);
        return err;
    }
    err = wait_for(e);
    atomic_store(&e->abandoned, err < 0);
    leave(e);
    return err < 0 ? -ECANCELED : 0;
}
