#include "worker/thread.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "fiber/fiber.h"
#include "fiber/sched.h"
#include "io/pipes.h"

#define KEEP_INTERVAL (5 * NSEC_PER_SEC) /* between looks at what the pools keep */

/* Gives back what pools keep after a burst, until it is cancelled. */
static void keeper_run(void *arg)
{
    (void)arg;
    while (fiber_sleep(clock_now() + KEEP_INTERVAL) == 0) {
        pool_trim_all();
        pipes_trim();
    }
}

static void worker_main(void *arg)
{
    struct worker *w = arg;
    struct fiber *keeper = fiber_spawn("keeper", keeper_run, NULL, true);
    shard_run(&w->shard);
    if (keeper != NULL) {
        fiber_cancel(keeper);
        (void)!fiber_join(keeper);
    }
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
    if (sched_catch_overflow() < 0)
        log_line(LOG_LEVEL_WARNING, "worker %u: a stack overflow will not be named", w->number);
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
