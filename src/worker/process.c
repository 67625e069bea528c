#include "worker/process.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

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
#include "proxy/record.h"
#include "proxy/session.h"
#include "proxy/transition.h"
#include "worker/control.h"
#include "worker/limits.h"
#include "worker/loading.h"
#include "worker/logs.h"
#include "worker/opener.h"
#include "worker/privileges.h"
#include "worker/sockets.h"
#include "worker/thread.h"

/* What a process is made of; a failed start leaves what it did not come to as zero. */
struct process {
    int events;           /* socket to the master; taken by the control */
    struct opener opener; /* to the master as well */
    struct message hello;
    const struct conf *conf;
    struct limits limits;
    struct sockets sockets;
    struct control_server_options server;
    struct text no_server;        /* why there is no control socket */
    struct transition transition; /* to the first generation */
    struct pool *sessions;
    struct control control;
    struct log_options log;
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

/* Signals are the master's, also those that a terminal sends to all; splice needs SIGPIPE ignored.
 */
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
    const char *path = NULL;
    int err = log_start(&p->log, &path);
    if (err < 0)
        text_format(why, "error: log: %s: %s", path != NULL ? path : "cannot start",
                    error_text(err));
    p->logging = err == 0;
    record_set_format(p->conf->log.access_format);
    return err;
}

static int find_limits(struct process *p, struct text *why)
{
    int err = limits_find(p->conf, sockets_needed(p->conf), &p->limits);
    if (err < 0)
        limits_explain(&p->limits, why);
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
        .generation = (uint64_t)message_integer(&p->hello, "generation"),
        .max_connections = p->limits.max_connections,
        .shards = p->control.count,
    };
    struct proxy *proxy = proxy_new(&o);
    if (proxy == NULL)
        return -ENOMEM;
    proxy_apply_limits(proxy);
    reload_take(&p->control.reload, proxy);
    return p->sessions != NULL ? 0 : -ENOMEM;
}

static void all_entered(struct transition *t)
{
    (void)t;
}

/* Make the acceptors of all listening sockets; the shards start them. */
static int make_acceptors(struct process *p)
{
    struct reload *r = &p->control.reload;
    int err = addresses_reserve(&r->addresses, p->sockets.addresses);
    if (err == 0)
        err = sockets_prepare(&p->sockets, r->proxy, &p->control.group, reload_acceptor_closed,
                              &p->transition);
    if (err < 0)
        return err;
    p->transition.done = all_entered;
    sockets_enter(&p->sockets, &r->addresses);
    return 0;
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
    if (p->no_server.length > 0)
        log_line(LOG_LEVEL_NOTICE, "no control socket: %s", p->no_server.data);
}

static int write_pid_file(struct process *p, struct text *why)
{
    const char *path = p->conf->process.pid_file.path;
    int err = path != NULL ? opener_write_pid(&p->opener, path) : 0;
    if (err < 0)
        text_format(why, "error: pid_file: %s: %s", path, error_text(err));
    return err;
}

/* What is to be had as the user that weft was started as. */
static int open_all(struct process *p, struct text *why)
{
    int err = find_limits(p, why);
    if (err == 0)
        err = control_server_open(&p->server, &p->conf->process, &p->opener, &p->no_server, why);
    if (err == 0)
        err = sockets_open(&p->sockets, p->conf, &(struct addresses){.count = 0}, &p->opener, why);
    if (err == 0)
        err = logs_open(&p->opener, &p->conf->log, NULL, &p->log, why);
    if (err == 0)
        err = write_pid_file(p, why);
    return err;
}

/* Ids of connections begin where no other process of this daemon comes: each has room for 2^32. */
static uint64_t first_id(const struct message *hello)
{
    json_int_t serial = message_integer(hello, "serial");
    return serial > 0 ? (uint64_t)(serial - 1) << 32 : 0;
}

static int make_all(struct process *p, struct text *why)
{
    tune_allocator();
    int err = control_init(&p->control, p->conf->process.workers, p->conf->process.drain_timeout,
                           p->events, &p->opener);
    p->events = -1;
    p->control.group.first_id = first_id(&p->hello);
    p->control.reload.log = p->log;
    p->control.reload.limits = p->limits;
    p->server.control = &p->control;
    p->server.limits = &p->control.reload.limits;
    p->server.proxy = &p->control.reload.proxy;
    p->control.server_options = p->server;
    p->server.fd = -1;
    if (err == 0)
        err = make_proxy(p);
    if (err == 0)
        err = start_workers(p);
    if (err < 0)
        text_format(why, "error: cannot start: %s", error_text(err));
    return err;
}

static int receive_hello(struct process *p)
{
    int err = message_receive(p->events, &p->hello, true);
    if (err == 0 && p->hello.type != MESSAGE_HELLO)
        err = -EPROTO;
    return err;
}

/* Everything that can fail; `why` is told. Rights are a thread's: they go before there is a second
 * one. */
static int start(struct process *p, struct text *why)
{
    tame_signals();
    sched_describe_crash(session_describe_crash);
    int err = receive_hello(p);
    if (err == 0)
        err = loading_read(&p->hello, &p->opener, &p->conf, why);
    if (err == 0)
        err = open_all(p, why);
    if (err == 0)
        err = privileges_drop(&p->conf->process, why);
    if (err == 0)
        err = start_log(p, why);
    if (err == 0)
        err = make_all(p, why);
    return err;
}

static void finish(struct process *p)
{
    transition_destroy(&p->transition);
    control_destroy(&p->control);
    control_server_close(&p->control.server_options);
    control_server_close(&p->server);
    text_free(&p->no_server);
    sockets_close(&p->sockets);
    pool_free(p->sessions);
    if (p->logging)
        log_stop();
    io_buffers_free();
    conf_unref(p->conf);
    message_free(&p->hello);
    if (!reload_has_strays())
        opener_destroy(&p->opener);
    if (p->events >= 0)
        close(p->events);
}

void process_fail(int events, const char *why)
{
    json_t *body = json_pack("{s:o}", "text", message_text(why));
    (void)!message_send(events, MESSAGE_FAILED, body, NULL, 0, true);
}

static void serve(struct process *p)
{
    say_started(p);
    link_send(&p->control.link, MESSAGE_READY,
              json_pack("{s:I, s:s}", "drain_timeout", (json_int_t)p->conf->process.drain_timeout,
                        "version", PACKAGE_VERSION));
    control_run(&p->control, true);
}

static void give_up(struct process *p, struct text *why)
{
    int events = p->events >= 0 ? p->events : p->control.link.events.fd;
    process_fail(events, why->length > 0 ? why->data : "error: out of memory");
    control_run(&p->control, false);
}

int process_run(int events, int orders)
{
    clock_update();
    prctl(PR_SET_NAME, "weft");
    struct process p = {.events = events,
                        .control.link.events.fd = -1,
                        .control.server_options.fd = -1,
                        .server.fd = -1};
    opener_init(&p.opener, orders);
    struct text why;
    text_init(&why);
    int err = start(&p, &why);
    if (err == 0)
        serve(&p);
    else
        give_up(&p, &why);
    text_free(&why);
    finish(&p);
    if (reload_has_strays()) /* what such a thread uses must not go before it does */
        _exit(err < 0 ? EXIT_FAILURE : EXIT_SUCCESS);
    return err;
}
