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
#define KILL_MARGIN (5 * NSEC_PER_SEC)  /* after the time a process has to leave */
#define YOUNG       (10 * NSEC_PER_SEC) /* a process that dies before is one of a series */
#define BACKOFF     (100 * NSEC_PER_MSEC)
#define BACKOFF_MAX (5 * NSEC_PER_SEC)

/* --- verdicts ---------------------------------------------------------------------------- */

/* Only what was asked before the change began is answered by it: the ticket says what that is. */
static void tell_verdict(const struct master *m, const char *what, bool accepted, const char *text)
{
    list_for_each (l, &m->family.processes) {
        const struct process *p = container_of(l, struct process, link);
        process_tell(p, MESSAGE_VERDICT,
                     json_pack("{s:s, s:b, s:I, s:s, s:I}", "what", what, "accepted", (int)accepted,
                               "generation", (json_int_t)m->generation, "text", text, "ticket",
                               (json_int_t)p->ticket_begun));
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
    if (done.reload || done.kind == CHANGE_UPGRADE) {
        notify_ready();
        tell_verdict(m, name_of(done.kind), accepted, text);
    }
    snapshot_unref(done.snapshot);
}

/* Say why a change has failed: many lines may say so. */
static void log_lines(enum log_level level, const char *before, const char *text)
{
    while (*text != '\0') {
        size_t n = strcspn(text, "\n");
        log_line(level, "%s%.*s", before, (int)n, text);
        text += n + (text[n] != '\0');
    }
}

static void reject(struct master *m, const char *why)
{
    const char *what = name_of(m->now.kind);
    log_lines(LOG_LEVEL_ERROR, "", why);
    log_line(LOG_LEVEL_ERROR, "%s rejected: generation %" PRIu64 " stays in effect", what,
             m->generation);
    notify_status("%s rejected, generation %" PRIu64 " stays in effect", what, m->generation);
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
        json_array_append_new(array, json_string(strings[i]));
    return array;
}

static json_t *write_hello(const struct master *m, uint64_t generation)
{
    const struct master_options *o = m->options;
    return json_pack("{s:s?, s:o, s:o, s:I, s:I, s:I}", "path", o->config, "listen",
                     write_strings(o->listen, o->listen_count), "backend",
                     write_strings(o->backend, o->backend_count), "generation",
                     (json_int_t)generation, "restarts", (json_int_t)m->restarts, "master",
                     (json_int_t)getpid());
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
    p->generation =
        m->now.kind == CHANGE_START && m->accepted != NULL ? m->generation : m->generation + 1;
    return send_configuration(p, MESSAGE_HELLO, write_hello(m, p->generation), p->snapshot);
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

static int begin_process(struct master *m)
{
    const struct spawn how = {.binary = running_binary(m)};
    return start_process(m, &how);
}

static int begin_upgrade(struct master *m)
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

static void could_not_begin(struct master *m, int err)
{
    char why[128];
    snprintf(why, sizeof(why), "error: cannot start a worker process: %s", error_text(err));
    struct process *p = m->now.newcomer;
    if (p != NULL)
        process_kill(p);
    succession_failed(m, p, why);
}

static void begin(struct master *m, enum change kind, struct snapshot *s)
{
    m->now = (struct transition){.kind = kind, .snapshot = s, .deadline = CLOCK_NEVER};
    note_tickets(m);
}

/* Read the configuration anew. Returns false when it can't be, which has been said. */
static bool begin_with_file(struct master *m, enum change kind)
{
    const char *path = m->options->config;
    struct snapshot *s;
    int err = snapshot_take(path, &s);
    begin(m, kind, err == 0 ? s : NULL);
    m->now.reload = kind == CHANGE_RELOAD;
    if (err == 0)
        return true;
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
    return false;
}

static void begin_start(struct master *m)
{
    if (m->accepted != NULL)
        begin(m, CHANGE_START, snapshot_ref(m->accepted));
    else if (!begin_with_file(m, CHANGE_START))
        return;
    int err = begin_process(m);
    if (err < 0)
        could_not_begin(m, err);
}

static void begin_replacement(struct master *m)
{
    begin(m, CHANGE_REPLACE, snapshot_ref(m->accepted));
    int err = begin_process(m);
    if (err < 0)
        could_not_begin(m, err);
}

static void begin_reload(struct master *m, struct process *serving)
{
    notify_reloading();
    if (!begin_with_file(m, CHANGE_RELOAD))
        return;
    m->now.deadline = clock_update() + START_LIMIT;
    snapshot_unref(serving->snapshot); /* its includes are taken from here */
    serving->snapshot = snapshot_ref(m->now.snapshot);
    int err = send_configuration(serving, MESSAGE_RELOAD, write_hello(m, m->generation + 1),
                                 m->now.snapshot);
    if (err < 0)
        reject(m, error_text(err));
}

static void begin_upgrading(struct master *m)
{
    log_line(LOG_LEVEL_NOTICE, "upgrading: starting %s", m->binary);
    notify_reloading();
    if (!begin_with_file(m, CHANGE_UPGRADE))
        return;
    int err = begin_upgrade(m);
    if (err < 0)
        could_not_begin(m, err);
}

static bool take_wish(bool *wish)
{
    bool was = *wish;
    *wish = false;
    return was;
}

/* A reload that needs a new process after all. */
static void go_on(struct master *m)
{
    m->now.process_due = false;
    int err = begin_process(m);
    if (err < 0)
        could_not_begin(m, err);
}

void succession_begin(struct master *m)
{
    if (m->now.process_due && !m->stopping)
        go_on(m);
    if (m->stopping || m->now.kind != CHANGE_NONE)
        return;
    struct process *serving = family_at(&m->family, STAGE_SERVING);
    if (serving == NULL) {
        if (clock_update() >= m->start_at)
            begin_start(m);
    } else if (take_wish(&m->replace_wanted)) {
        begin_replacement(m);
    } else if (take_wish(&m->upgrade_wanted)) {
        begin_upgrading(m);
    } else if (take_wish(&m->reload_wanted)) {
        begin_reload(m, serving);
    }
}

/* --- going on ---------------------------------------------------------------------------- */

static void have_leave(struct process *p)
{
    p->stage = STAGE_LEAVING;
    p->deadline = clock_update() + p->drain_timeout + KILL_MARGIN;
    process_tell(p, MESSAGE_DRAIN, NULL);
}

/* The master becomes the new program too; where that fails, the old one goes on as the master. */
static void become_new(struct master *m)
{
    int err = state_become(m);
    log_line(LOG_LEVEL_ERROR, "the worker process is upgraded, the master is not: %s: %s",
             m->binary, error_text(err));
}

void succession_ready(struct master *m, struct process *p, const struct message *message)
{
    if (p != m->now.newcomer || p->stage != STAGE_STARTING)
        return;
    enum change kind = m->now.kind;
    struct process *old = family_at(&m->family, STAGE_SERVING);
    p->stage = STAGE_SERVING;
    p->drain_timeout = message_integer(message, "drain_timeout");
    p->heard = p->served_since = clock_update();
    if (old != NULL)
        have_leave(old);
    accept_configuration(m, p->snapshot, p->generation);
    vault_forget_all(&m->vault, 0);
    vault_sweep(&m->vault);
    notify_ready();
    notify_status("generation %" PRIu64, m->generation);
    if (kind == CHANGE_UPGRADE)
        log_line(LOG_LEVEL_NOTICE, "upgraded: worker process %d serves", (int)p->pid);
    else if (kind == CHANGE_REPLACE)
        log_line(LOG_LEVEL_NOTICE, "worker process %d has taken over", (int)p->pid);
    conclude(m, true, "");
    if (kind == CHANGE_UPGRADE)
        become_new(m);
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
    if (p != NULL)
        p->killed = true; /* what becomes of it now is no news */
    if (p != m->now.newcomer || m->now.kind == CHANGE_NONE)
        return;
    if (m->now.kind == CHANGE_START && m->accepted == NULL) {
        fprintf(stderr, "%s%s", why, *why != '\0' && why[strlen(why) - 1] == '\n' ? "" : "\n");
        m->failed = true;
        conclude(m, false, why);
    } else if (m->now.kind == CHANGE_START) {
        log_lines(LOG_LEVEL_ERROR, "worker process: ", why);
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
        snapshot_unref(p->snapshot);
        p->snapshot = snapshot_ref(m->accepted);
        m->now.kind = CHANGE_REPLACE;
        m->now.process_due = true;
        return;
    }
    if (accepted) {
        p->drain_timeout = message_integer(message, "drain_timeout");
        p->generation = m->generation + 1;
        accept_configuration(m, m->now.snapshot, p->generation);
        notify_status("generation %" PRIu64, m->generation);
    } else {
        snapshot_unref(p->snapshot);
        p->snapshot = snapshot_ref(m->accepted);
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
        reject(m, "error: the worker process has not answered in time");
        return;
    }
    process_kill(p);
    succession_failed(m, p, "error: the worker process has not become ready in time");
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
    conclude(m, false, "error: weft is stopping");
}
