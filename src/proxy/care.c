#include "proxy/care.h"

#include "base/clock.h"
#include "base/log.h"

#define TEND_INTERVAL (500 * NSEC_PER_MSEC)

void care_take(struct care *c, struct proxy *p)
{
    c->proxy = p;
}

static void tend_pool(struct proxy_pool *pool, int64_t now)
{
    for (size_t i = 0; i < pool->balancer.count; i++) {
        if (balancer_tend(&pool->balancer, i, now))
            log_line(LOG_LEVEL_NOTICE, "pool %s: server %s: in use again", pool->conf->name,
                     pool->conf->servers[i].name);
    }
}

/* On the loop's stack: it may have to say something. */
static void tend(void *arg)
{
    const struct care *c = arg;
    for (size_t i = 0; c->proxy != NULL && i < c->proxy->conf->pool_count; i++)
        tend_pool(&c->proxy->pools[i], clock_now());
}

static void tender_run(void *arg)
{
    while (fiber_sleep(clock_now() + TEND_INTERVAL) == 0)
        fiber_call(tend, arg);
}

void care_start(struct care *c)
{
    c->tender = fiber_spawn("tender", tender_run, c, true);
    if (c->tender == NULL)
        log_line(LOG_LEVEL_ERROR, "no memory to look after servers");
}

void care_stop(struct care *c)
{
    if (c->tender == NULL)
        return;
    fiber_cancel(c->tender);
    (void)!fiber_join(c->tender);
    c->tender = NULL;
}
