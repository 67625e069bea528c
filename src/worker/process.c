#include "worker/process.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>

#ifdef HAVE_JEMALLOC
#include <jemalloc/jemalloc.h>
#endif

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "fiber/fiber.h"
#include "fiber/sched.h"
#include "io/buffers.h"
#include "io/pipes.h"
#include "proxy/acceptor.h"
#include "proxy/session.h"
#include "proxy/transition.h"
#include "worker/control.h"
#include "worker/limits.h"
#include "worker/sockets.h"
#include "worker/thread.h"

/* What a process is made of; a failed start leaves what it did not come to as zero. */
struct process {
    const struct conf *conf;
    struct limits limits;
    struct sockets sockets;
    struct proxy *proxy;
    struct transition transition; /* to `proxy` */
    struct pool *sessions;
    struct control control;
    bool logging;
};

/* The n-th CPU this process may use, around again when there are more workers; -1: unknown. */
static int nth_cpu(unsigned n)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) < 0 || CPU_COUNT(&set) == 0)
        return -1;
    n %= (unsigned)CPU_COUNT(&set);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET((unsigned)cpu, &set) && n-- == 0)
            return cpu;
    }
    return -1;
}

/* Signals reach the control thread as reads from a descriptor; splice needs SIGPIPE ignored. */
static void tame_signals(void)
{
    sigset_t all;
    sigfillset(&all);
    sigdelset(&all, SIGSEGV);
    sigdelset(&all, SIGBUS);
    sigdelset(&all, SIGFPE);
    sigdelset(&all, SIGILL);
    sigdelset(&all, SIGABRT);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    signal(SIGPIPE, SIG_IGN);
}

/*
 * Freed memory goes back to the system some seconds later; without a thread of its own jemalloc
 * does that only while there are further calls, and after a burst there may be none.
 */
static void tune_allocator(void)
{
#ifdef HAVE_JEMALLOC
    size_t threads = 1;
    bool on = true;
    int err = mallctl("max_background_threads", NULL, NULL, &threads, sizeof(threads));
    if (err == 0)
        err = mallctl("background_thread", NULL, NULL, &on, sizeof(on));
    if (err != 0)
        log_line(LOG_LEVEL_WARNING, "memory is given back late: %s", error_text(err));
#endif
}

static int start_log(struct process *p, struct text *why)
{
    const struct log_options o = {
        .error = p->conf->log.error,
        .error_level = p->conf->log.error_level,
        .access = p->conf->log.access,
    };
    const char *path = NULL;
    int err = log_start(&o, &path);
    if (err < 0)
        text_format(why, "error: log: %s: %s", path != NULL ? path : "cannot start",
                    error_text(err));
    p->logging = err == 0;
    return err;
}

static int find_limits(struct process *p, struct text *why)
{
    int err = limits_find(p->conf, sockets_needed(p->conf), &p->limits);
    if (err < 0)
        text_format(why,
                    "error: the descriptor limit of %u is too low: %u are needed before the "
                    "first connection",
                    p->limits.descriptors, p->limits.reserved);
    return err;
}

static int make_proxy(struct process *p)
{
    int err = io_buffers_init();
    if (err < 0)
        return err;
    pipes_set_budget(p->limits.pipes);
    p->sessions = session_pool_new();
    const struct proxy_options o = {
        .conf = p->conf,
        .generation = 1,
        .max_connections = p->limits.max_connections,
        .shards = p->control.count,
    };
    p->proxy = proxy_new(&o);
    if (p->sessions == NULL || p->proxy == NULL)
        return -ENOMEM;
    proxy_apply_limits(p->proxy);
    return 0;
}

static void acceptor_closed(struct notice *n)
{
    acceptor_free(container_of(n, struct acceptor, closed));
}

static void all_entered(struct transition *t)
{
    (void)t;
}

/* Make the acceptors of all listening sockets; the shards start them. */
static int make_acceptors(struct process *p)
{
    int err = transition_init(&p->transition, p->proxy, &p->control.group, p->conf->listener_count);
    p->transition.done = all_entered;
    for (size_t i = 0; err == 0 && i < p->sockets.count; i++) {
        struct listening *l = &p->sockets.all[i];
        struct acceptor *a = acceptor_new(&p->proxy->listeners[l->listener], (unsigned)l->listener,
                                          l->fd, acceptor_closed);
        if (a == NULL)
            return -ENOMEM;
        l->fd = -1;
        transition_add(&p->transition, l->worker, a);
    }
    return err;
}

static int prepare_workers(struct process *p)
{
    int err = 0;
    for (unsigned i = 0; err == 0 && i < p->control.count; i++) {
        struct worker *w = control_worker(&p->control, i);
        w->number = i;
        w->busy_poll = p->conf->process.busy_poll;
        w->cpu = p->conf->process.pin ? nth_cpu(i) : -1;
        err = worker_prepare(w, &p->control.group, p->sessions);
    }
    return err;
}

static int start_workers(struct process *p)
{
    int err = prepare_workers(p);
    if (err == 0)
        err = make_acceptors(p);
    for (unsigned i = 0; err == 0 && i < p->control.count; i++) {
        err = worker_start(control_worker(&p->control, i));
        if (err == 0)
            p->control.started++;
    }
    if (err == 0)
        transition_begin(&p->transition);
    return err;
}

static void say_started(const struct process *p)
{
    struct text limits;
    text_init(&limits);
    limits_describe(&p->limits, p->conf, &limits);
    log_line(LOG_LEVEL_INFO, "weft %s: %zu listeners, %u workers; %s", PACKAGE_VERSION,
             p->conf->listener_count, p->conf->process.workers,
             limits.data != NULL ? limits.data : "");
    text_free(&limits);
}

/* Everything that can fail; `why` is told. */
static int start(struct process *p, struct text *why)
{
    tame_signals();
    int err = find_limits(p, why);
    if (err == 0)
        err = sockets_open(&p->sockets, p->conf, why);
    if (err == 0)
        err = start_log(p, why);
    if (err < 0)
        return err;
    tune_allocator();
    err = control_init(&p->control, p->conf->process.workers, p->conf->process.drain_timeout);
    if (err == 0)
        err = make_proxy(p);
    if (err == 0)
        err = start_workers(p);
    if (err < 0)
        text_format(why, "error: cannot start: %s", error_text(err));
    return err;
}

static void finish(struct process *p)
{
    transition_destroy(&p->transition);
    control_destroy(&p->control);
    proxy_free(p->proxy);
    sockets_close(&p->sockets);
    pool_free(p->sessions);
    if (p->logging)
        log_stop();
    io_buffers_free();
}

int process_run(const struct conf *conf, struct text *why)
{
    clock_update();
    struct process p = {.conf = conf, .control.signals = -1};
    int err = start(&p, why);
    if (err == 0)
        say_started(&p);
    control_run(&p.control, err == 0);
    finish(&p);
    return err;
}
