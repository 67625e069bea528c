#include "master/family.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"

#define KILL_MARGIN (5 * NSEC_PER_SEC) /* after the time a process has to leave */

void family_init(struct family *f)
{
    list_init(&f->processes);
    f->last_id = 0;
}

static struct process *process_new(struct family *f, uint64_t id)
{
    struct process *p = calloc(1, sizeof(*p));
    if (p == NULL)
        return NULL;
    p->id = id;
    p->events = p->orders = -1;
    p->stage = STAGE_STARTING;
    p->heard = clock_update();
    p->deadline = CLOCK_NEVER;
    list_init(&p->logs);
    list_push_back(&f->processes, &p->link);
    if (id > f->last_id)
        f->last_id = id;
    return p;
}

struct process *family_restore(struct family *f, uint64_t id)
{
    return process_new(f, id);
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void family_remove(struct process *p)
{
    struct list *l;
    list_remove(&p->link);
    close_fd(&p->events);
    close_fd(&p->orders);
    snapshot_unref(p->snapshot);
    while ((l = list_pop_front(&p->logs)) != NULL)
        free(container_of(l, struct log_path, link));
    free(p);
}

struct process *family_at(const struct family *f, enum stage stage)
{
    list_for_each (l, &f->processes) {
        struct process *p = container_of(l, struct process, link);
        if (p->stage == stage)
            return p;
    }
    return NULL;
}

struct process *family_find(const struct family *f, pid_t pid)
{
    list_for_each (l, &f->processes) {
        struct process *p = container_of(l, struct process, link);
        if (p->pid == pid)
            return p;
    }
    return NULL;
}

/* --- starting one ------------------------------------------------------------------------ */

/* The child's ends of its two pairs of sockets. */
struct ends {
    int events;
    int orders;
};

static void keep_open(int fd)
{
    (void)fcntl(fd, F_SETFD, 0);
}

/* What systemd says to the main process is not for its children. */
static void clean_environment(void)
{
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
}

static void say_not_run(int events, const char *binary, int err)
{
    char why[512];
    snprintf(why, sizeof(why), "error: cannot run %s: %s", binary, error_text(err));
    json_t *body = json_pack("{s:o}", "text", message_text(why));
    (void)!message_send(events, MESSAGE_FAILED, body, NULL, 0, true);
}

/* Signals stay blocked, as a worker process has them: what a terminal sends to all is the master's.
 */
static void WEFT_NORETURN run_child(const struct spawn *how, const struct ends *ends)
{
    char numbers[32], state[16];
    char *arguments[] = {
        (char *)"weft: worker process", (char *)"--worker", numbers, NULL, NULL, NULL};
    snprintf(numbers, sizeof(numbers), "%d,%d", ends->events, ends->orders);
    keep_open(ends->events);
    keep_open(ends->orders);
    if (how->state != 0) {
        snprintf(state, sizeof(state), "%u", how->state);
        arguments[3] = (char *)"--state";
        arguments[4] = state;
        keep_open((int)how->state);
    }
    clean_environment();
    execv(how->binary, arguments);
    say_not_run(ends->events, how->binary, errno);
    _exit(EXIT_FAILURE);
}

static int fork_child(struct process *p, const struct spawn *how, const struct ends *ends)
{
    p->pid = fork();
    if (p->pid == 0)
        run_child(how, ends);
    return p->pid > 0 ? 0 : -errno;
}

static int make_sockets(struct process *p, struct ends *ends)
{
    int pair[2];
    int err = message_pair(pair);
    if (err < 0)
        return err;
    p->events = pair[0];
    ends->events = pair[1];
    err = message_pair(pair);
    if (err < 0)
        return err;
    p->orders = pair[0];
    ends->orders = pair[1];
    return 0;
}

int family_spawn(struct family *f, const struct spawn *how, struct snapshot *snapshot,
                 struct process **ret)
{
    struct process *p = process_new(f, f->last_id + 1);
    if (p == NULL)
        return -ENOMEM;
    p->snapshot = snapshot_ref(snapshot);
    struct ends ends = {.events = -1, .orders = -1};
    int err = make_sockets(p, &ends);
    if (err == 0)
        err = fork_child(p, how, &ends);
    close_fd(&ends.events);
    close_fd(&ends.orders);
    if (err < 0)
        family_remove(p);
    else
        *ret = p;
    return err;
}

/* --- dealing with one -------------------------------------------------------------------- */

void process_tell(const struct process *p, enum message_type type, json_t *body)
{
    if (p->events < 0) {
        json_decref(body);
        return;
    }
    int err = message_send(p->events, type, body, NULL, 0, false);
    if (err < 0 && err != -EPIPE)
        log_line(LOG_LEVEL_WARNING, "worker process %d cannot be told '%s': %s", (int)p->pid,
                 message_name(type), error_text(err));
}

static void leave_by(struct process *p, int64_t deadline)
{
    p->stage = STAGE_LEAVING;
    if (deadline < p->deadline)
        p->deadline = deadline;
}

void process_drain(struct process *p, bool stop)
{
    leave_by(p,
             p->drain_timeout > 0 ? clock_update() + p->drain_timeout + KILL_MARGIN : CLOCK_NEVER);
    process_tell(p, MESSAGE_DRAIN, json_pack("{s:b}", "stop", (int)stop));
}

void process_end(struct process *p)
{
    leave_by(p, clock_update() + KILL_MARGIN);
    process_tell(p, MESSAGE_END, json_object());
}

int process_note_log(struct process *p, const char *path)
{
    list_for_each (l, &p->logs) {
        if (strcmp(container_of(l, struct log_path, link)->path, path) == 0)
            return 0;
    }
    size_t size = strlen(path) + 1;
    struct log_path *log = malloc(sizeof(*log) + size);
    if (log == NULL)
        return -ENOMEM;
    memcpy(log->path, path, size);
    list_push_back(&p->logs, &log->link);
    return 0;
}

void process_kill(struct process *p)
{
    p->killed = true;
    p->deadline = CLOCK_NEVER;
    kill(p->pid, SIGKILL);
    close_fd(&p->events);
    close_fd(&p->orders);
}
