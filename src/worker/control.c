#include "worker/control.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "fiber/fiber.h"
#include "worker/commands.h"

#define WATCH_INTERVAL (500 * NSEC_PER_MSEC) /* between looks at the workers' loops */
#define WATCH_LIMIT    NSEC_PER_SEC          /* a turn longer than this is a stall */
#define SETTLE_TIME                                                                                \
    (4 * NSEC_PER_SEC)                  /* after drain_timeout; the master gives it a second more  \
                                         */
#define CLIENT_GRACE (2 * NSEC_PER_SEC) /* for clients that ask nothing, once all else is over */
#define ASK_LIMIT    (5 * NSEC_PER_SEC) /* for the master to begin with what is asked */

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

int control_init(struct control *c, unsigned count, int64_t drain_timeout, int events,
                 struct opener *opener)
{
    *c = (struct control){
        .sched = sched_new(&(struct sched_options){0}),
        .workers = calloc(count, sizeof(*c->workers)),
        .group = {.shards = calloc(count, sizeof(*c->group.shards)), .count = count},
        .count = count,
        .drain_timeout = drain_timeout,
        .drain_until = CLOCK_NEVER,
        .nudge.deliver = deliver_nudge,
        .server_options = {.fd = -1, .control = c},
    };
    link_init(&c->link, c, events);
    asking_init(&c->asking, &c->link);
    fiber_cond_init(&c->begun_to_drain);
    reload_init(&c->reload, c, opener);
    drains_init(&c->drains);
    list_init(&c->censuses);
    if (c->sched == NULL || c->workers == NULL || c->group.shards == NULL)
        return -ENOMEM;
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

static void free_entry(struct drains_entry *e)
{
    free(e);
}

/* Where this has no memory, all that is left ends at the end of the time. */
static void spread_ends(struct control *c)
{
    struct drains_entry *e = calloc(1, sizeof(*e));
    if (e == NULL || drain_init(&e->drain, &c->group) < 0) {
        free(e);
        return;
    }
    e->drain.begun = clock_now();
    e->drain.end = c->drain_until;
    e->what = "stop";
    e->free = free_entry;
    drains_begin(&c->drains, e);
}

/* The drain comes first: a worker that has nothing left ends on hearing the other. */
static void drain(struct control *c)
{
    c->draining = true;
    c->drain_until = clock_now() + c->drain_timeout;
    if (c->started == c->count)
        spread_ends(c);
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

void control_drain(struct control *c, bool stop)
{
    if (c->draining)
        return;
    log_line(LOG_LEVEL_NOTICE, "%s: live connections have %" PRId64 " seconds",
             stop ? "stopping" : "another process takes over", c->drain_timeout / NSEC_PER_SEC);
    if (!stop) {
        c->succeeded = true;
        c->leave_by = clock_now() + c->drain_timeout + SETTLE_TIME;
    }
    if (!stop || c->link.lost) /* the next weft is to have the socket */
        control_server_retire(c->server);
    drain(c);
    fiber_cond_broadcast(&c->begun_to_drain);
}

int control_ask_stop(struct control *c)
{
    int64_t deadline = clock_now() + ASK_LIMIT;
    int err = 0;
    if (!c->draining)
        link_send(&c->link, MESSAGE_ASK, json_pack("{s:s}", "what", "stop"));
    while (!c->draining && err == 0)
        err = fiber_cond_wait(&c->begun_to_drain, deadline);
    return err;
}

void control_end(struct control *c)
{
    log_line(LOG_LEVEL_NOTICE, "stopping at once");
    if (!c->draining)
        drain(c);
    end_sessions(c, END_SHUTDOWN);
}

static bool is_file(const struct log_target *t, const char *path)
{
    return t->output == LOG_OUTPUT_FILE && strcmp(t->path, path) == 0;
}

/* Where both logs are one file, its two targets are one output: one descriptor is enough. */
void control_reopen_log(struct control *c, const char *path, int fd)
{
    struct log_options o = c->reload.log;
    o.error.fd = o.access.fd = -1;
    if (is_file(&o.error, path))
        o.error.fd = fd;
    else if (is_file(&o.access, path))
        o.access.fd = fd;
    else
        close(fd);
    const char *where;
    int err = log_set(&o, &where);
    if (err < 0)
        log_line(LOG_LEVEL_ERROR, "%s is not reopened: %s", path, error_text(err));
}

void control_reload(struct control *c, struct message *m)
{
    reload_begin(&c->reload, m);
}

void control_verdict(struct control *c, const struct message *m)
{
    asking_answer(&c->asking, m);
}

uint64_t control_active(const struct control *c)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < c->started; i++)
        sum += shard_active(&c->workers[i].worker.shard);
    return sum;
}

bool control_find_stuck(struct control *c, int64_t limit, struct text *why)
{
    for (unsigned i = 0; i < c->started; i++) {
        char fiber[32];
        int64_t stuck = sched_watch(control_worker(c, i)->sched, limit, fiber, sizeof(fiber));
        if (stuck == 0)
            continue;
        text_format(why, "worker %u: %s has not yielded for %" PRId64 " ms", i,
                    fiber[0] != '\0' ? fiber : "the loop", stuck / NSEC_PER_MSEC);
        return true;
    }
    return false;
}

static void watch_worker(struct worker *w)
{
    char fiber[32];
    int64_t stuck = sched_watch(w->sched, WATCH_LIMIT, fiber, sizeof(fiber));
    if (stuck > 0)
        log_line(LOG_LEVEL_WARNING, "worker %u: %s has not yielded for %" PRId64 " ms", w->number,
                 fiber[0] != '\0' ? fiber : "the loop", stuck / NSEC_PER_MSEC);
}

static void tend(void *arg)
{
    struct control *c = arg;
    drains_tell(&c->drains);
    reload_tend(&c->reload);
}

static void watch_run(void *arg)
{
    struct control *c = arg;
    while (fiber_sleep(clock_now() + WATCH_INTERVAL) == 0) {
        for (unsigned i = 0; i < c->started; i++)
            watch_worker(control_worker(c, i));
        fiber_call(tend, c);
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

/* Who has connected to this process is answered by it, though another one serves by now. */
static void settle_clients(struct control *c)
{
    control_server_settle(c->server, clock_now() + CLIENT_GRACE);
    asking_settle(&c->asking, c->leave_by);
}

static void control_main(void *arg)
{
    struct control *c = arg;
    link_start(&c->link);
    care_start(&c->care);
    struct fiber *watch = fiber_spawn("watch", watch_run, c, true);
    c->server = control_server_start(&c->server_options);
    await_workers(c);
    reload_abandon(&c->reload);
    if (c->succeeded)
        settle_clients(c);
    control_server_stop(c->server);
    c->server = NULL;
    stop_fiber(watch);
    care_stop(&c->care);
    link_stop(&c->link);
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
    command_forget_counts(c);
}

void control_destroy(struct control *c)
{
    for (unsigned i = 0; c->workers != NULL && i < c->count; i++)
        worker_destroy(control_worker(c, i));
    if (c->reload.control != NULL) {
        drains_destroy(&c->drains);
        reload_destroy(&c->reload);
    }
    mailbox_free(c->mailbox);
    sched_free(c->sched);
    free(c->group.shards);
    free(c->workers);
    link_destroy(&c->link);
}
