#include "worker/control.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "fiber/fiber.h"
#include "fiber/netpoll.h"

#define WATCH_INTERVAL (500 * NSEC_PER_MSEC) /* between looks at the workers' loops */
#define WATCH_LIMIT    NSEC_PER_SEC          /* a turn longer than this is a stall */

struct control_worker {
    struct worker worker;
    struct control *control;
    struct notice last_word;
};

static void worker_ended(struct worker *w)
{
    struct control_worker *cw = container_of(w, struct control_worker, worker);
    mailbox_post(cw->control->mailbox, &cw->last_word.mail);
}

static void deliver_last_word(struct notice *n)
{
    container_of(n, struct control_worker, last_word)->control->ended++;
}

static void deliver_nudge(struct notice *n)
{
    (void)n;
}

static int open_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGQUIT);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int control_init(struct control *c, unsigned count, int64_t drain_timeout)
{
    *c = (struct control){
        .sched = sched_new(&(struct sched_options){0}),
        .workers = calloc(count, sizeof(*c->workers)),
        .group = {.shards = calloc(count, sizeof(*c->group.shards)), .count = count},
        .count = count,
        .signals = open_signals(),
        .drain_timeout = drain_timeout,
        .drain_until = CLOCK_NEVER,
        .nudge.deliver = deliver_nudge,
    };
    if (c->sched == NULL || c->workers == NULL || c->group.shards == NULL || c->signals < 0)
        return c->signals < 0 ? c->signals : -ENOMEM;
    c->mailbox = mailbox_new(c->sched);
    if (c->mailbox == NULL)
        return -ENOMEM;
    c->group.control = c->mailbox;
    for (unsigned i = 0; i < count; i++) {
        c->workers[i].control = c;
        c->workers[i].last_word.deliver = deliver_last_word;
        c->workers[i].worker.ended = worker_ended;
        c->group.shards[i] = &c->workers[i].worker.shard;
    }
    return 0;
}

struct worker *control_worker(struct control *c, unsigned n)
{
    return &c->workers[n].worker;
}

static void drain(struct control *c)
{
    c->draining = true;
    if (c->drain_timeout > 0)
        c->drain_until = clock_now() + c->drain_timeout;
    mailbox_post(c->mailbox, &c->nudge.mail);
    for (unsigned i = 0; i < c->started; i++)
        worker_drain(control_worker(c, i));
}

static void end_sessions(struct control *c, enum session_end end)
{
    if (c->ending)
        return;
    c->ending = true;
    c->drain_until = CLOCK_NEVER;
    for (unsigned i = 0; i < c->started; i++)
        worker_end_sessions(control_worker(c, i), end);
}

static void stop_gracefully(struct control *c)
{
    if (c->draining) {
        log_line(LOG_LEVEL_NOTICE, "stopping at once: asked a second time");
        end_sessions(c, END_SHUTDOWN);
        return;
    }
    log_line(LOG_LEVEL_NOTICE, "stopping: live connections have %" PRId64 " seconds",
             c->drain_timeout / NSEC_PER_SEC);
    drain(c);
}

static void stop_at_once(struct control *c)
{
    log_line(LOG_LEVEL_NOTICE, "stopping at once");
    if (!c->draining)
        drain(c);
    end_sessions(c, END_SHUTDOWN);
}

static void take_signal(struct control *c, int number)
{
    switch (number) {
    case SIGTERM:
    case SIGQUIT:
        stop_gracefully(c);
        break;
    case SIGINT:
        stop_at_once(c);
        break;
    case SIGUSR1:
        log_reopen();
        break;
    default:
        log_line(LOG_LEVEL_WARNING, "signal SIG%s is not built into this version",
                 sigabbrev_np(number));
    }
}

/* The fiber that reads signals as others read bytes. */
static void signals_run(void *arg)
{
    struct control *c = arg;
    struct netpoll_desc desc;
    if (netpoll_open(&desc, c->signals) < 0)
        return;
    do {
        struct signalfd_siginfo info;
        while (read(c->signals, &info, sizeof(info)) == sizeof(info))
            take_signal(c, (int)info.ssi_signo);
        desc.ready &= (uint8_t)~NETPOLL_READ;
    } while (netpoll_wait(&desc, NETPOLL_READ, CLOCK_NEVER) == 0);
    netpoll_close(&desc);
}

static void watch_worker(struct worker *w)
{
    char fiber[32];
    int64_t stuck = sched_watch(w->sched, WATCH_LIMIT, fiber, sizeof(fiber));
    if (stuck > 0)
        log_line(LOG_LEVEL_WARNING, "worker %u: %s has not yielded for %" PRId64 " ms", w->number,
                 fiber[0] != '\0' ? fiber : "the loop", stuck / NSEC_PER_MSEC);
}

static void watch_run(void *arg)
{
    struct control *c = arg;
    while (fiber_sleep(clock_now() + WATCH_INTERVAL) == 0) {
        for (unsigned i = 0; i < c->started; i++)
            watch_worker(control_worker(c, i));
    }
}

/* Wait for the workers' last words; at the end of the drain time, hurry them. */
static void await_workers(struct control *c)
{
    while (c->ended < c->started) {
        struct mail *mail;
        int err = mailbox_receive(c->mailbox, &mail, c->drain_until);
        if (err == 0) {
            struct notice *n = container_of(mail, struct notice, mail);
            n->deliver(n);
        } else if (err == -ETIMEDOUT && !c->ending) {
            log_line(LOG_LEVEL_NOTICE, "the drain time is over: ending the live connections");
            end_sessions(c, END_DRAINED);
        }
    }
}

static void stop_fiber(struct fiber *f)
{
    if (f == NULL)
        return;
    fiber_cancel(f);
    (void)!fiber_join(f);
}

static void control_main(void *arg)
{
    struct control *c = arg;
    struct fiber *signals = fiber_spawn("signals", signals_run, c, true);
    struct fiber *watch = fiber_spawn("watch", watch_run, c, true);
    await_workers(c);
    stop_fiber(watch);
    stop_fiber(signals);
    log_line(LOG_LEVEL_INFO, "stopped");
}

void control_run(struct control *c, bool serve)
{
    if (c->mailbox == NULL)
        return;
    if (!serve) {
        drain(c);
        end_sessions(c, END_SHUTDOWN);
    }
    sched_run(c->sched, "control", control_main, c);
    for (unsigned i = 0; i < c->started; i++)
        worker_join(control_worker(c, i));
}

void control_destroy(struct control *c)
{
    for (unsigned i = 0; c->workers != NULL && i < c->count; i++)
        worker_destroy(control_worker(c, i));
    mailbox_free(c->mailbox);
    sched_free(c->sched);
    free(c->group.shards);
    free(c->workers);
    if (c->signals >= 0)
        close(c->signals);
    c->signals = -1;
}
