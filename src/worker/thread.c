#include "worker/thread.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "fiber/fiber.h"
#include "fiber/sched.h"
#include "io/pipes.h"

#define KEEP_INTERVAL  (5 * NSEC_PER_SEC)    /* between looks at what the pools keep */
#define STALL_INTERVAL (100 * NSEC_PER_MSEC) /* between looks for a file, in tests */

/* Gives back what pools keep after a burst, until it is cancelled. */
static void keeper_run(void *arg)
{
    (void)arg;
    while (fiber_sleep(clock_now() + KEEP_INTERVAL) == 0) {
        pool_trim_all();
        pipes_trim();
    }
}

/*
 * For tests: a worker thread that is stuck for as long as the file named by WEFT_TEST_STALL exists.
 */
static void stall_run(void *arg)
{
    const char *path = arg;
    while (fiber_sleep(clock_now() + STALL_INTERVAL) == 0) {
        while (access(path, F_OK) == 0)
            usleep(1000);
    }
}

static void end_fiber(struct fiber *f)
{
    if (f == NULL)
        return;
    fiber_cancel(f);
    (void)!fiber_join(f);
}

static void worker_main(void *arg)
{
    struct worker *w = arg;
    struct fiber *keeper = fiber_spawn("keeper", keeper_run, NULL, true);
    char *stall = w->number == 0 ? secure_getenv("WEFT_TEST_STALL") : NULL;
    struct fiber *staller = stall != NULL ? fiber_spawn("stall", stall_run, stall, true) : NULL;
    shard_run(&w->shard);
    end_fiber(staller);
    end_fiber(keeper);
}

static void pin(const struct worker *w)
{
    if (w->cpu < 0)
        return;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((unsigned)w->cpu, &set);
    int err = pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
    if (err != 0)
        log_line(LOG_LEVEL_WARNING, "worker %u: cannot be pinned to CPU %d: %s", w->number, w->cpu,
                 strerrordesc_np(err));
}

static void *worker_thread(void *arg)
{
    struct worker *w = arg;
    char name[16];
    snprintf(name, sizeof(name), "weft/%u", w->number);
    pthread_setname_np(pthread_self(), name);
    pin(w);
    if (sched_catch_crash() < 0)
        log_line(LOG_LEVEL_WARNING, "worker %u: a crash will not be explained", w->number);
    sched_run(w->sched, "worker", worker_main, w);
    pipes_flush();
    w->ended(w);
    return NULL;
}

int worker_prepare(struct worker *w, const struct shard_group *group, struct pool *sessions)
{
    w->sched = sched_new(&(struct sched_options){.busy_poll = w->busy_poll});
    if (w->sched == NULL)
        return -errno;
    return shard_init(&w->shard, w->number, group, w->sched, sessions);
}

int worker_start(struct worker *w)
{
    return -pthread_create(&w->thread, NULL, worker_thread, w);
}

void worker_join(struct worker *w)
{
    pthread_join(w->thread, NULL);
}

void worker_destroy(struct worker *w)
{
    if (w->sched == NULL)
        return;
    shard_destroy(&w->shard);
    sched_free(w->sched);
    w->sched = NULL;
}

static void deliver_drain(struct shard_message *m, struct shard *shard)
{
    (void)m;
    shard_drain(shard);
}

static void deliver_end(struct shard_message *m, struct shard *shard)
{
    shard_end_sessions(shard, container_of(m, struct order, message)->end);
}

void worker_drain(struct worker *w)
{
    w->drain = (struct order){.message.deliver = deliver_drain};
    shard_post(&w->shard, &w->drain.message);
}

void worker_end_sessions(struct worker *w, enum session_end end)
{
    w->end = (struct order){.message.deliver = deliver_end, .end = end};
    shard_post(&w->shard, &w->end.message);
}
