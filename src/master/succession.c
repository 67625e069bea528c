/* Changes: who serves, with which configuration, as which program. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "master/internal.h"
#include "master/notify.h"

#define START_LIMIT (90 * NSEC_PER_SEC) /* for a process to become ready, names and all */
#define YOUNG       (10 * NSEC_PER_SEC) /* a process that dies before is one of a series */
#define BACKOFF     (100 * NSEC_PER_MSEC)
#define BACKOFF_MAX NSEC_PER_SEC                          /* clients wait that long at the most */
#define TIMEOUT_MAX (INT64_C(365) * 86400 * NSEC_PER_SEC) /* of what a process may say */

/* --- verdicts ---------------------------------------------------------------------------- */

/* Only what was asked before the change began is answered by it: the ticket says what that is. */
static void tell_verdict(const struct master *m, const char *what, bool accepted, const char *text)
{
    list_for_each (l, &m->family.processes) {
        const struct process *p = container_of(l, struct process, link);
        process_tell(p, MESSAGE_VERDICT,
                     json_pack("{s:s, s:b, s:I, s:o, s:I}", "what", what, "accepted", (int)accepted,
                               "generation", (json_int_t)m->generation, "text", message_text(text),
                               "ticket", (json_int_t)p->ticket_begun));
    }
}

static void note_tickets(struct master *m)
{
    list_for_each (l, &m->family.processes) {
        struct process *p = container_of(l, struct process, link);
        p->ticket_begun = p->ticket;
    }
}

static const char *name_of(enum change kind)
{
    return kind == CHANGE_UPGRADE ? "upgrade" : "reload";
}

/* The change is over. `text`: of one that was accepted, what to say; else why not. */
static void conclude(struct master *m, bool accepted, const char *text)
{
    struct transition done = m->now;
    m->now = (struct transition){.kind = CHANGE_NONE};
    if (accepted)
        orders_commit(&m->orders, done.newcomer != NULL);
    else
        orders_abandon(&m->orders);
    if (done.reload || done.kind == CHANGE_UPGRADE) {
        notify_ready();
        tell_verdict(m, name_of(done.kind), accepted, text);
    }
    snapshot_unref(done.snapshot);
}

/* Say why a change has failed: many lines may say so. That it is an error the log says itself. */
static void log_lines(const char *before, const char *text)
{
    static const char prefix[] = "error: ";
    while (*text != '\0') {
        if (strncmp(text, prefix, strlen(prefix)) == 0)
            text += strlen(prefix);
        size_t n = strcspn(text, "\n");
        log_line(LOG_LEVEL_ERROR, "%s%.*s", before, (int)n, text);
        text += n + (text[n] != '\0');
    }
}

static void set_snapshot(struct process *p, struct snapshot *s)
{
    snapshot_ref(s);
    snapshot_unref(p->snapshot);
    p->snapshot = s;
}

static void reject(struct master *m, const char *why)
{
    struct process *serving = family_at(&m->family, STAGE_SERVING);
    const char *what = name_of(m->now.kind);
    if (serving != NULL && m->now.kind == CHANGE_RELOAD)
        set_snapshot(serving, m->accepted);
    log_lines("", why);
    if (m->now.kind == CHANGE_REPLACE && !m->now.reload) {
        log_line(LOG_LEVEL_ERROR, "the worker process is not replaced");
    } else {
        log_line(LOG_LEVEL_ERROR, "%s rejected: generation %" PRIu64 " stays in effect", what,
                 m->generation);
        notify_status("%s rejected, generation %" PRIu64 " stays in effect", what, m->generation);
    }
    conclude(m, false, why);
}

static void accept_configuration(struct master *m, struct snapshot *s, uint64_t generation)
{
    if (m->accepted != s) {
        snapshot_ref(s);
        snapshot_unref(m->accepted);
        m->accepted = s;
    }
    m->generation = generation;
}

/* --- starting a process ------------------------------------------------------------------ */

static json_t *write_strings(const char *const *strings, size_t count)
{
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(array, message_text(strings[i]));
    return array;
}

static json_t *write_path(const char *path)
{
    return path != NULL ? message_text(path) : json_null();
}

static json_t *write_hello(const struct master *m, const struct process *p, uint64_t generation)
{
    const struct master_options *o = m->options;
    return json_pack("{s:o, s:o, s:o, s:I, s:I, s:I, s:I}", "path", write_path(o->config), "listen",
                     write_strings(o->listen, o->listen_count), "backend",
                     write_strings(o->backend, o->backend_count), "generation",
                     (json_int_t)generation, "serial", (json_int_t)p->id, "restarts",
                     (json_int_t)m->restarts, "master", (json_int_t)getpid());
}

/* A message with the configuration file, if there is one. */
static int send_configuration(const struct process *p, enum message_type type, json_t *body,
                              const struct snapshot *s)
{
    int fd = s->main.fd >= 0 ? snapshot_open(&s->main) : -1;
    if (s->main.fd >= 0 && fd < 0) {
        json_decref(body);
        return fd;
    }
    int err = message_send(p->events, type, body, &fd, fd >= 0, false);
    if (fd >= 0)
        close(fd);
    return err;
}

static int start_process(struct master *m, const struct spawn *how)
{
    struct process *p;
    int err = family_spawn(&m->family, how, m->now.snapshot, &p);
    if (err < 0)
        return err;
    m->now.newcomer = p;
    m->now.deadline = clock_update() + START_LIMIT;
    p->generation = p->snapshot == m->accepted ? m->generation : m->generation + 1;
    err = send_configuration(p, MESSAGE_HELLO, write_hello(m, p, p->generation), p->snapshot);
    return err == -EPIPE ? 0 : err; /* it has ended already: how, says more than that */
}

/* The program that runs, even where its file has been replaced. */
static const char *running_binary(const struct master *m)
{
    static const char self[] = "/proc/self/exe";
    char *now = realpath(self, NULL);
    bool same = now != NULL && strcmp(now, m->binary) == 0;
    free(now);
    return same ? m->binary : self;
}

static int start_same(struct master *m)
{
    const struct spawn how = {.binary = running_binary(m)};
    return start_process(m, &how);
}

static int start_new(struct master *m)
{
    int state = state_save(m);
    if (state < 0)
        return state;
    const struct spawn how = {.binary = m->binary, .state = (unsigned)state};
    int err = start_process(m, &how);
    close(state);
    return err;
}

/* --- beginning --------------------------------------------------------------------------- */

/* Start the process that the change under way is about. */
static void begin_process(struct master *m)
{
    char why[128];
    m->now.process_due = false;
    int err = m->now.kind == CHANGE_UPGRADE ? start_new(m) : start_same(m);
    if (err == 0)
        return;
    snprintf(why, sizeof(why), "error: cannot start a worker process: %s", error_text(err));
    struct process *p = m->now.newcomer;
    succession_failed(m, p, why);
    if (p != NULL)
        process_kill(p);
}

static void begin(struct master *m, enum change kind, struct snapshot *s)
{
    m->now = (struct transition){.kind = kind, .snapshot = s, .deadline = CLOCK_NEVER};
    note_tickets(m);
}

static void not_read(struct master *m, int err)
{
    const char *path = m->options->config;
    char *why = NULL;
    if (asprintf(&why, "%s: error: %s", path, error_text(err)) < 0)
        why = NULL;
    if (m->accepted != NULL) {
        reject(m, why != NULL ? why : error_text(err));
    } else {
        fprintf(stderr, "%s\n", why != NULL ? why : error_text(err));
        m->failed = true;
        conclude(m, false, "");
    }
    free(why);
}

/* Read the configuration anew. Returns false when it can't be, which has been said. */
static bool begin_with_file(struct master *m, enum change kind, bool reload)
{
    struct snapshot *s;
    int err = snapshot_take(m->options->config, &s);
    begin(m, kind, err == 0 ? s : NULL);
    m->now.reload = reload;
    if (err < 0)
        not_read(m, err);
    return err == 0;
}

static void begin_start(struct master *m)
{
    if (m->accepted != NULL)
        begin(m, CHANGE_START, snapshot_ref(m->accepted));
    else if (!begin_with_file(m, CHANGE_START, false))
        return;
    begin_process(m);
}

static void begin_replacement(struct master *m)
{
    begin(m, CHANGE_REPLACE, snapshot_ref(m->accepted));
    begin_process(m);
}

/* `serving`: NULL where there is none just now, and the file may be what helps. */
static void begin_reload(struct master *m, struct process *serving)
{
    notify_reloading();
    if (!begin_with_file(m, serving != NULL ? CHANGE_RELOAD : CHANGE_REPLACE, true))
        return;
    if (serving == NULL) {
        begin_process(m);
        return;
    }
    m->now.deadline = clock_update() + START_LIMIT;
    set_snapshot(serving, m->now.snapshot); /* its includes are taken from here */
    json_t *body = write_hello(m, serving, m->generation + 1);
    int err = send_configuration(serving, MESSAGE_RELOAD, body, m->now.snapshot);
    if (err < 0)
        reject(m, error_text(err));
}

static void begin_upgrade(struct master *m)
{
    log_line(LOG_LEVEL_NOTICE, "upgrading: starting %s", m->binary);
    notify_reloading();
    if (begin_with_file(m, CHANGE_UPGRADE, false))
        begin_process(m);
}

static bool take_wish(bool *wish)
{
    bool was = *wish;
    *wish = false;
    return was;
}

/* What is wanted comes before what is due: where no process comes up, it may be what helps. */
static void begin_next(struct master *m)
{
    struct process *serving = family_at(&m->family, STAGE_SERVING);
    bool started = m->accepted != NULL;
    if (serving != NULL && take_wish(&m->replace_wanted))
        begin_replacement(m);
    else if (started && take_wish(&m->upgrade_wanted))
        begin_upgrade(m);
    else if (started && take_wish(&m->reload_wanted))
        begin_reload(m, serving);
    else if (serving == NULL && clock_update() >= m->start_at)
        begin_start(m);
}

void succession_begin(struct master *m)
{
    if (m->stopping)
        return;
    if (m->now.kind == CHANGE_NONE)
        begin_next(m);
    else if (m->now.process_due)
        begin_process(m);
}

/* --- going on ---------------------------------------------------------------------------- */

void succession_become(struct master *m)
{
    m->become_wanted = false;
    int err = state_become(m);
    log_line(LOG_LEVEL_ERROR, "the worker process is upgraded, the master is not: %s: %s",
             m->binary, error_text(err));
}

static int64_t drain_timeout_of(const struct message *message)
{
    int64_t timeout = message_integer(message, "drain_timeout");
    return timeout > 0 ? (timeout < TIMEOUT_MAX ? timeout : TIMEOUT_MAX) : 0;
}

void succession_ready(struct master *m, struct process *p, const struct message *message)
{
    if (p != m->now.newcomer || p->stage != STAGE_STARTING)
        return;
    enum change kind = m->now.kind;
    struct process *old = family_at(&m->family, STAGE_SERVING);
    p->stage = STAGE_SERVING;
    p->drain_timeout = drain_timeout_of(message);
    p->heard = p->served_since = clock_update();
    accept_configuration(m, p->snapshot, p->generation);
    m->replace_wanted = false;
    vault_forget_all(&m->vault, 0);
    vault_sweep(&m->vault);
    notify_ready();
    notify_status("generation %" PRIu64, m->generation);
    conclude(m, true, kind == CHANGE_UPGRADE ? message_string(message, "version") : "");
    if (old != NULL) /* once its clients have their verdict */
        process_drain(old, false);
    if (kind == CHANGE_UPGRADE)
        log_line(LOG_LEVEL_NOTICE, "upgraded: worker process %d serves", (int)p->pid);
    else if (kind == CHANGE_REPLACE)
        log_line(LOG_LEVEL_NOTICE, "worker process %d has taken over", (int)p->pid);
    m->become_wanted = kind == CHANGE_UPGRADE;
}

static void schedule_restart(struct master *m)
{
    int64_t delay = 0;
    for (unsigned i = 1; i < m->failures && delay < BACKOFF_MAX; i++)
        delay = delay == 0 ? BACKOFF : 2 * delay;
    m->start_at = clock_update() + (delay < BACKOFF_MAX ? delay : BACKOFF_MAX);
}

void succession_failed(struct master *m, struct process *p, const char *why)
{
    if (p != m->now.newcomer || m->now.kind == CHANGE_NONE)
        return;
    if (p != NULL) {
        p->killed = true; /* what becomes of it now is no news */
        process_end(p);
    }
    if (m->now.kind == CHANGE_START && m->accepted == NULL) {
        fprintf(stderr, "%s%s", why, *why != '\0' && why[strlen(why) - 1] == '\n' ? "" : "\n");
        m->failed = true;
        conclude(m, false, why);
    } else if (m->now.kind == CHANGE_START) {
        log_lines("worker process: ", why);
        m->failures++;
        schedule_restart(m);
        conclude(m, false, why);
    } else {
        reject(m, why);
    }
}

void succession_verdict(struct master *m, struct process *p, const struct message *message)
{
    if (m->now.kind != CHANGE_RELOAD || p->stage != STAGE_SERVING)
        return;
    bool accepted = message_true(message, "accepted");
    if (message_true(message, "restart")) {
        set_snapshot(p, m->accepted);
        m->now.kind = CHANGE_REPLACE;
        m->now.process_due = true;
        return;
    }
    if (accepted) {
        p->drain_timeout = drain_timeout_of(message);
        p->generation = m->generation + 1;
        accept_configuration(m, m->now.snapshot, p->generation);
        notify_status("generation %" PRIu64, m->generation);
    } else {
        set_snapshot(p, m->accepted);
        notify_status("reload rejected, generation %" PRIu64 " stays in effect", m->generation);
    }
    conclude(m, accepted, message_string(message, "text"));
}

/* --- ends -------------------------------------------------------------------------------- */

static void describe_end(int status, char *text, size_t size)
{
    if (WIFSIGNALED(status))
        snprintf(text, size, "was ended by signal %d (SIG%s)%s", WTERMSIG(status),
                 sigabbrev_np(WTERMSIG(status)), WCOREDUMP(status) ? ", core dumped" : "");
    else
        snprintf(text, size, "ended with exit code %d", WEXITSTATUS(status));
}

static void note_crash(struct master *m, const struct process *p, const char *how)
{
    bool young = clock_update() - p->served_since < YOUNG;
    m->failures = young ? m->failures + 1 : 1;
    m->restarts++;
    schedule_restart(m);
    int64_t delay = m->start_at - clock_now();
    log_line(LOG_LEVEL_ERROR,
             "worker process %d %s with %" PRIu64 " connections; starting another one in %" PRId64
             " ms",
             (int)p->pid, how, p->connections, delay / NSEC_PER_MSEC);
}

void succession_gone(struct master *m, struct process *p, int status)
{
    char how[96];
    describe_end(status, how, sizeof(how));
    bool orderly = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    struct process *newcomer = m->now.newcomer;
    if (p == newcomer && m->now.kind != CHANGE_NONE) {
        char why[160];
        snprintf(why, sizeof(why), "error: worker process %d %s at its start", (int)p->pid, how);
        succession_failed(m, p, why);
    }
    if (p->stage == STAGE_SERVING) {
        vault_inherit(&m->vault, p->id);
        if (m->now.kind == CHANGE_RELOAD)
            reject(m, "error: the worker process ended while it loaded the configuration");
        if (!m->stopping)
            note_crash(m, p, how);
    } else {
        vault_forget_all(&m->vault, p->id);
        vault_sweep(&m->vault);
        if (!orderly && !p->killed)
            log_line(LOG_LEVEL_ERROR, "worker process %d %s", (int)p->pid, how);
    }
    family_remove(p);
}

void succession_expire(struct master *m, int64_t now)
{
    if (m->now.kind == CHANGE_NONE || now < m->now.deadline)
        return;
    struct process *p = m->now.newcomer;
    if (p == NULL) {
        /* It may yet load the file: another process takes over, with what is in effect. */
        reject(m, "error: the worker process has not answered in time");
        m->replace_wanted = true;
        return;
    }
    succession_failed(m, p, "error: the worker process has not become ready in time");
    process_kill(p);
}

void succession_abandon(struct master *m)
{
    if (m->now.kind == CHANGE_NONE)
        return;
    struct process *p = m->now.newcomer;
    if (p != NULL) {
        p->stage = STAGE_LEAVING;
        process_kill(p);
    }
    m->reload_wanted = m->replace_wanted = m->upgrade_wanted = false;
    conclude(m, false, "error: weft is stopping");
}
