#include "master/master.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "master/internal.h"
#include "master/notify.h"

#define TICK      NSEC_PER_SEC
#define SILENT    (10 * NSEC_PER_SEC) /* a process that says nothing for so long is not well */
#define EXTENSION (5 * NSEC_PER_SEC)  /* that systemd is to wait after the last deadline */
#define SAID_MAX  64 /* messages of a process that are heard before others have their turn */

/* --- stopping ---------------------------------------------------------------------------- */

static struct process *process_of(struct list *l)
{
    return container_of(l, struct process, link);
}

static void stop_at_once(struct master *m)
{
    if (m->ending)
        return;
    m->stopping = m->ending = true;
    notify_stopping();
    succession_abandon(m);
    list_for_each (l, &m->family.processes)
        process_end(process_of(l));
    vault_close_listeners(&m->vault);
}

static void stop(struct master *m)
{
    if (m->stopping) {
        stop_at_once(m);
        return;
    }
    m->stopping = true;
    notify_stopping();
    succession_abandon(m);
    list_for_each (l, &m->family.processes) {
        if (process_of(l)->stage == STAGE_SERVING)
            process_drain(process_of(l), true);
    }
    vault_close_listeners(&m->vault); /* what has queued up is still taken by the process */
}

/* --- signals ----------------------------------------------------------------------------- */

static int open_signals(void)
{
    static const int taken[] = {SIGTERM, SIGQUIT, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGCHLD};
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < array_size(taken); i++)
        sigaddset(&set, taken[i]);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_DFL); /* where it is ignored, nobody's end can be waited for */
    int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    return fd >= 0 ? fd : -errno;
}

static void take_signal(struct master *m, uint32_t number)
{
    switch (number) {
    case SIGTERM:
    case SIGQUIT:
        stop(m);
        break;
    case SIGINT:
        stop_at_once(m);
        break;
    case SIGHUP:
        m->reload_wanted = true;
        break;
    case SIGUSR1:
        orders_reopen_logs(&m->orders, &m->family);
        break;
    case SIGUSR2:
        m->upgrade_wanted = true;
        break;
    default: /* SIGCHLD: reap() looks anyway */
        break;
    }
}

static void take_signals(struct master *m)
{
    struct signalfd_siginfo info;
    while (read(m->signals, &info, sizeof(info)) == sizeof(info))
        take_signal(m, info.ssi_signo);
}

/* --- what processes say ------------------------------------------------------------------ */

static void take_alive(struct process *p, const struct message *message)
{
    json_int_t connections = message_integer(message, "connections");
    p->heard = clock_now();
    p->connections = connections > 0 ? (uint64_t)connections : 0;
}

static void take_stuck(struct master *m, const struct process *p, const struct message *message)
{
    if (p->stage != STAGE_SERVING || m->stopping || m->replace_wanted ||
        m->now.kind == CHANGE_REPLACE)
        return;
    log_line(LOG_LEVEL_ERROR, "worker process %d: %s; another one takes over", (int)p->pid,
             message_string(message, "text"));
    m->replace_wanted = true;
    m->restarts++;
}

static void take_ask(struct master *m, struct process *p, const struct message *message)
{
    const char *what = message_string(message, "what");
    json_int_t ticket = message_integer(message, "ticket");
    if (ticket > 0)
        p->ticket = (uint64_t)ticket;
    if (strcmp(what, "reload") == 0)
        m->reload_wanted = true;
    else if (strcmp(what, "upgrade") == 0)
        m->upgrade_wanted = true;
    else if (strcmp(what, "stop") == 0 && !m->stopping)
        stop(m);
}

static void take_event(struct master *m, struct process *p, const struct message *message)
{
    switch (message->type) {
    case MESSAGE_READY:
        succession_ready(m, p, message);
        break;
    case MESSAGE_FAILED:
        succession_failed(m, p, message_string(message, "text"));
        break;
    case MESSAGE_VERDICT:
        succession_verdict(m, p, message);
        break;
    case MESSAGE_ALIVE:
        take_alive(p, message);
        break;
    case MESSAGE_STUCK:
        take_stuck(m, p, message);
        break;
    case MESSAGE_ASK:
        take_ask(m, p, message);
        break;
    default:
        log_line(LOG_LEVEL_ERROR, "worker process %d says '%s', which is not for it: killed",
                 (int)p->pid, message_name(message->type));
        process_kill(p);
    }
}

/* How much is heard is bounded: who speaks without end must not keep the master from all else. */
static void take_events(struct master *m, struct process *p)
{
    int err = 0;
    for (int said = 0; err == 0 && said < SAID_MAX && p->events >= 0; said++) {
        struct message message;
        err = message_receive(p->events, &message, false);
        if (err < 0)
            break;
        take_event(m, p, &message);
        message_free(&message);
    }
    if (err == -EPIPE) {
        close(p->events); /* the process is gone, or as good as that: SIGCHLD says so */
        p->events = -1;
    } else if (err == -EPROTO) {
        log_line(LOG_LEVEL_ERROR, "worker process %d says what is no message: killed", (int)p->pid);
        process_kill(p);
    }
}

/* What a process has said before its end is heard first. */
static void reap(struct master *m)
{
    list_for_each_safe (l, &m->family.processes) {
        struct process *p = process_of(l);
        int status;
        if (waitpid(p->pid, &status, WNOHANG) != p->pid)
            continue;
        take_events(m, p);
        succession_gone(m, p, status);
    }
}

/* --- now and then ------------------------------------------------------------------------ */

static void kill_overdue(struct master *m, int64_t now)
{
    list_for_each (l, &m->family.processes) {
        struct process *p = process_of(l);
        if (p->deadline > now)
            continue;
        log_line(LOG_LEVEL_WARNING, "worker process %d has not ended in time: killed", (int)p->pid);
        process_kill(p);
    }
}

/* Fed while the serving process says that all its threads turn, and while one is being started. */
static void feed_watchdog(const struct master *m, int64_t now)
{
    const struct process *serving = family_at(&m->family, STAGE_SERVING);
    if (m->stopping || serving == NULL || now - serving->heard < SILENT)
        notify_alive();
}

/* Whose control thread does not turn can't say which of its threads is stuck, and one with a thread
 * that is stuck never leaves. One that starts has a time to be ready, and most have one to leave.
 */
static void look_for_silence(const struct master *m, int64_t now)
{
    list_for_each (l, &m->family.processes) {
        struct process *p = process_of(l);
        if (p->stage == STAGE_STARTING || p->deadline != CLOCK_NEVER || p->killed ||
            now - p->heard < 3 * SILENT)
            continue;
        log_line(LOG_LEVEL_ERROR, "worker process %d gives no sign of life: killed", (int)p->pid);
        process_kill(p);
    }
}

struct tally {
    uint64_t leaving; /* processes */
    uint64_t left;    /* connections of theirs */
    int64_t longest;  /* [monotonic ns] the last of their deadlines */
};

static struct tally count_leaving(const struct master *m)
{
    struct tally t = {.leaving = 0};
    list_for_each (l, &m->family.processes) {
        const struct process *p = container_of(l, struct process, link);
        if (p->stage != STAGE_LEAVING)
            continue;
        t.leaving++;
        t.left += p->connections;
        if (p->deadline != CLOCK_NEVER && p->deadline > t.longest)
            t.longest = p->deadline;
    }
    return t;
}

static void tell_systemd(const struct master *m, const struct tally *t, int64_t now)
{
    const struct process *serving = family_at(&m->family, STAGE_SERVING);
    if (m->stopping) {
        notify_status("stopping: %" PRIu64 " connections left", t->left);
        if (t->longest > now)
            notify_extend(t->longest - now + EXTENSION);
    } else if (serving == NULL) {
        notify_status("starting a worker process");
    } else if (t->leaving > 0) {
        notify_status("generation %" PRIu64 ", %" PRIu64 " connections; %" PRIu64
                      " connections of %" PRIu64 " earlier processes drain",
                      m->generation, serving->connections, t->left, t->leaving);
    } else {
        notify_status("generation %" PRIu64 ", %" PRIu64 " connections", m->generation,
                      serving->connections);
    }
}

static void tell_serving(const struct master *m, const struct tally *t)
{
    const struct process *serving = family_at(&m->family, STAGE_SERVING);
    if (serving != NULL)
        process_tell(serving, MESSAGE_FAMILY,
                     json_pack("{s:I, s:I, s:I}", "restarts", (json_int_t)m->restarts, "leaving",
                               (json_int_t)t->leaving, "left", (json_int_t)t->left));
}

static void tick(struct master *m, int64_t now)
{
    struct tally t = count_leaving(m);
    m->tick_at = now + TICK;
    look_for_silence(m, now);
    feed_watchdog(m, now);
    if (m->now.kind == CHANGE_NONE) /* else the status is that of the change */
        tell_systemd(m, &t, now);
    tell_serving(m, &t);
}

/* --- the loop ---------------------------------------------------------------------------- */

static int wait_time(const struct master *m, int64_t now)
{
    int64_t until = m->tick_at;
    if (!m->stopping && m->now.kind == CHANGE_NONE && m->start_at < until &&
        family_at(&m->family, STAGE_SERVING) == NULL)
        until = m->start_at;
    return until > now ? (int)((until - now) / NSEC_PER_MSEC) + 1 : 0;
}

/* All descriptors that something may come from, in the order of take_ready(). */
static size_t fill(const struct master *m, struct pollfd *polled)
{
    size_t n = 0;
    polled[n++] = (struct pollfd){.fd = m->signals, .events = POLLIN};
    list_for_each (l, &m->family.processes) {
        const struct process *p = container_of(l, struct process, link);
        polled[n++] = (struct pollfd){.fd = p->events, .events = POLLIN};
        polled[n++] = (struct pollfd){.fd = p->orders, .events = POLLIN};
    }
    return n;
}

static size_t count_polled(const struct master *m)
{
    size_t n = 1;
    list_for_each (l, &m->family.processes)
        n += 2;
    return n;
}

/* None comes or goes while `polled` is gone through: that is for reap() and succession_begin(). */
static void take_ready(struct master *m, const struct pollfd *polled)
{
    const struct pollfd *next = polled + 1;
    list_for_each (l, &m->family.processes) {
        struct process *p = process_of(l);
        if (next[0].revents != 0 && next[0].fd >= 0)
            take_events(m, p);
        if (next[1].revents != 0 && next[1].fd >= 0)
            orders_answer(&m->orders, p);
        next += 2;
    }
    if (polled[0].revents != 0)
        take_signals(m);
}

static int turn(struct master *m)
{
    struct pollfd *polled = calloc(count_polled(m), sizeof(*polled));
    if (polled == NULL)
        return -ENOMEM;
    size_t n = fill(m, polled);
    int err = poll(polled, n, wait_time(m, clock_update())) < 0 && errno != EINTR ? -errno : 0;
    int64_t now = clock_update();
    if (err == 0)
        take_ready(m, polled);
    free(polled);
    reap(m);
    succession_expire(m, now);
    kill_overdue(m, now);
    if (now >= m->tick_at)
        tick(m, now);
    return err;
}

static bool is_over(const struct master *m)
{
    return (m->stopping || m->failed) && list_empty(&m->family.processes);
}

static void run(struct master *m)
{
    while (!is_over(m)) {
        if (m->failed && !m->stopping)
            stop_at_once(m);
        if (m->become_wanted && !m->stopping)
            succession_become(m);
        succession_begin(m);
        if (turn(m) < 0)
            sleep(1); /* no memory for a list of descriptors: it may pass */
    }
}

/* --- start and end ----------------------------------------------------------------------- */

/* Where the standard streams are closed, what is opened next would be taken for one of them. */
static void fill_standard_streams(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

static void raise_descriptor_limit(void)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) < 0 || r.rlim_cur == r.rlim_max)
        return;
    r.rlim_cur = r.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &r);
}

static int begin_new(struct master *m)
{
    m->binary = realpath("/proc/self/exe", NULL);
    return m->binary != NULL ? vault_adopt(&m->vault) : -errno;
}

static int start(struct master *m)
{
    fill_standard_streams();
    raise_descriptor_limit();
    m->signals = open_signals();
    if (m->signals < 0)
        return m->signals;
    if (m->options->resume < 0)
        return begin_new(m);
    int err = state_load(m, m->options->resume);
    close(m->options->resume);
    return err;
}

static void finish(struct master *m)
{
    vault_close(&m->vault);
    orders_close(&m->orders);
    snapshot_unref(m->accepted);
    if (m->signals >= 0)
        close(m->signals);
    free(m->binary);
}

int master_run(const struct master_options *o)
{
    clock_update();
    struct master m = {.options = o, .signals = -1};
    family_init(&m.family);
    vault_init(&m.vault);
    orders_init(&m.orders, &m.vault);
    int err = start(&m);
    if (err < 0) {
        fprintf(stderr, "error: cannot start: %s\n", error_text(err));
        m.failed = true;
    }
    run(&m);
    finish(&m);
    return m.failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
