#include "worker/reload.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "fiber/fiber.h"
#include "io/pipes.h"
#include "proxy/acceptor.h"
#include "proxy/record.h"
#include "worker/changes.h"
#include "worker/control.h"
#include "worker/plan.h"

/*
 * What the two threads share. The loading thread holds `lock` while it uses what is in effect, and
 * when it hands over. One that is abandoned before is its own to free: it may be stuck in the
 * resolver for as long as that likes.
 */
struct reload_job {
    struct reload *reload;
    struct opener *opener;
    struct message message;
    struct plan plan;
    struct plan_base base;
    struct notice loaded;
    struct proxy *before; /* the generation that was in effect until it was committed */
    pthread_mutex_t lock;
    bool handed_over; /* to the control thread; under `lock`, as is the next */
    bool abandoned;
};

static atomic_uint strays; /* loading threads whose jobs were abandoned */

void reload_init(struct reload *r, struct control *c, struct opener *opener)
{
    *r = (struct reload){.control = c, .opener = opener};
    list_init(&r->generations);
}

void reload_take(struct reload *r, struct proxy *p)
{
    list_push_back(&r->generations, &p->link);
    r->proxy = p;
    care_take(&r->control->care, p);
}

/* --- the loading thread ------------------------------------------------------------------- */

static void job_free(struct reload_job *job)
{
    plan_destroy(&job->plan);
    message_free(&job->message);
    pthread_mutex_destroy(&job->lock);
    free(job);
}

static void *load(void *arg)
{
    struct reload_job *job = arg;
    pthread_setname_np(pthread_self(), "weft/load");
    clock_update();
    bool read = plan_read(&job->plan, &job->message, job->opener);
    pthread_mutex_lock(&job->lock);
    bool abandoned = job->abandoned;
    if (!abandoned) {
        if (read)
            plan_make(&job->plan, &job->base);
        job->handed_over = true;
        mailbox_post(job->reload->control->mailbox, &job->loaded.mail);
    }
    pthread_mutex_unlock(&job->lock);
    if (abandoned) {
        job_free(job);
        atomic_fetch_sub(&strays, 1);
    }
    return NULL;
}

static void deliver_loaded(struct notice *n);

static struct reload_job *job_new(struct reload *r, struct message *m)
{
    struct reload_job *job = calloc(1, sizeof(*job));
    if (job == NULL)
        return NULL;
    job->reload = r;
    job->opener = r->opener;
    job->message = *m;
    *m = (struct message){.body = NULL};
    job->loaded.deliver = deliver_loaded;
    job->base = (struct plan_base){
        .proxy = r->proxy,
        .addresses = &r->addresses,
        .log = &r->log,
        .group = &r->control->group,
        .opener = r->opener,
        .closed = reload_acceptor_closed,
    };
    plan_init(&job->plan);
    pthread_mutex_init(&job->lock, NULL);
    return job;
}

/* Detached: it may outlive us. */
static int start_thread(struct reload_job *job)
{
    pthread_t thread;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    int err = pthread_create(&thread, &attr, load, job);
    pthread_attr_destroy(&attr);
    return -err;
}

/* --- dropped addresses -------------------------------------------------------------------- */

static int forget(void *arg, const char *key)
{
    struct reload *r = arg;
    return opener_forget(r->opener, key);
}

/* While a plan is made, the addresses stay as they are. A process that drains says nothing: the
 * next one may have them. */
static void forget_dropped(struct reload *r)
{
    if (r->job == NULL && !r->control->draining)
        r->forget_again = addresses_sweep(&r->addresses, forget, r);
}

static void forget_dropped_now(void *arg)
{
    forget_dropped(arg);
}

void reload_tend(struct reload *r)
{
    if (r->forget_again)
        forget_dropped(r);
}

void reload_acceptor_closed(struct notice *n)
{
    struct acceptor *a = container_of(n, struct acceptor, closed);
    struct reload *r = &container_of(a->shard->group, struct control, group)->reload;
    addresses_closed(&r->addresses, a->address);
    acceptor_free(a);
    fiber_call(forget_dropped_now, r);
}

/* Addresses that were opened for a plan that is not carried out. */
static void give_up_claims(struct reload *r, const struct sockets *s)
{
    for (size_t i = 0; i < s->binding_count; i++) {
        const struct binding *b = &s->bindings[i];
        if (!b->claimed || addresses_have(&r->addresses, b->key))
            continue;
        int err = opener_forget(r->opener, b->key);
        if (err < 0)
            log_line(LOG_LEVEL_ERROR, "%s stays open: %s", b->key, error_text(err));
    }
}

/* --- verdicts ----------------------------------------------------------------------------- */

/* The job is over. */
static void end_job(struct reload *r)
{
    struct reload_job *job = r->job;
    r->job = NULL;
    job_free(job);
    forget_dropped(r);
}

static void tell_verdict(struct reload *r, bool accepted, const char *text)
{
    int64_t drain_timeout = r->control->drain_timeout;
    link_send(&r->control->link, MESSAGE_VERDICT,
              json_pack("{s:b, s:s, s:I}", "accepted", (int)accepted, "text", text, "drain_timeout",
                        (json_int_t)drain_timeout));
}

/* A line of the log for each line of a text. Returns how many there were. */
static unsigned log_lines(const char *text)
{
    unsigned lines = 0;
    while (*text != '\0') {
        size_t n = strcspn(text, "\n");
        log_line(LOG_LEVEL_ERROR, "%.*s", (int)n, text);
        text += n + (text[n] != '\0');
        lines++;
    }
    return lines;
}

static void say_rejected(struct reload *r, const char *why)
{
    unsigned faults = log_lines(why);
    log_line(LOG_LEVEL_ERROR, "reload rejected: %u fault%s, generation %" PRIu64 " stays", faults,
             faults == 1 ? "" : "s", r->proxy->generation);
    tell_verdict(r, false, why);
}

static void reject(struct reload *r, const char *why)
{
    give_up_claims(r, &r->job->plan.sockets);
    say_rejected(r, why);
    end_job(r);
}

/* What this process can't go over to, a new one begins with. */
static void need_process(struct reload *r)
{
    const char *why = r->job->plan.why.data;
    log_line(LOG_LEVEL_NOTICE, "reload by a new worker process: %s", why != NULL ? why : "");
    give_up_claims(r, &r->job->plan.sockets);
    link_send(&r->control->link, MESSAGE_VERDICT, json_pack("{s:b}", "restart", 1));
    end_job(r);
}

/* --- committing --------------------------------------------------------------------------- */

static void apply_changes(struct reload *r, const struct plan *p, struct proxy *before)
{
    const struct changes c = {
        .diff = &p->diff,
        .before = before,
        .after = r->proxy,
        .generations = &r->generations,
        .group = &r->control->group,
        .drain_timeout = r->control->drain_timeout,
    };
    if (r->control->draining) /* and so everything ends */
        return;
    int err = changes_apply(&c, &r->control->drains);
    if (err < 0)
        log_line(LOG_LEVEL_ERROR, "on_change is not carried out: %s", error_text(err));
}

/* The generation before is retired last: its names are in use until then. */
static void conclude(void *arg)
{
    struct reload *r = arg;
    const struct plan *p = &r->job->plan;
    struct text summary;
    text_init(&summary);
    diff_summarize(&p->diff, &summary);
    const char *text = summary.data != NULL ? summary.data : "";
    log_line(LOG_LEVEL_NOTICE, "reload accepted: generation %" PRIu64 ": %s", r->proxy->generation,
             text);
    apply_changes(r, p, r->job->before);
    proxy_retire(r->job->before, &r->control->group);
    tell_verdict(r, true, text);
    text_free(&summary);
    end_job(r);
}

static void all_entered(struct transition *t)
{
    const struct plan *p = container_of(t, const struct plan, transition);
    fiber_call(conclude, container_of(p, const struct reload_job, plan)->reload);
}

/* The log's paths are in the configuration, which is in effect as long as they are. */
static int set_log(struct reload *r, struct plan *p)
{
    const char *path = NULL;
    struct log_options o = p->log;
    p->log.error.fd = p->log.access.fd = -1;
    int err = log_set(&o, &path);
    if (err < 0)
        return err;
    r->log = p->log;
    record_set_format(p->conf->log.access_format);
    return 0;
}

static void commit(struct reload *r)
{
    struct plan *p = &r->job->plan;
    int err = addresses_reserve(&r->addresses, p->sockets.addresses);
    if (err == 0)
        err = set_log(r, p);
    if (err < 0) {
        text_format(&p->why, "error: %s", error_text(err));
        reject(r, p->why.data != NULL ? p->why.data : error_text(err));
        return;
    }
    sockets_enter(&p->sockets, &r->addresses);
    proxy_apply_limits(p->proxy);
    pipes_set_budget(p->limits.pipes);
    r->limits = p->limits;
    r->control->drain_timeout = p->conf->process.drain_timeout;
    r->job->before = r->proxy;
    reload_take(r, p->proxy);
    p->proxy = NULL;
    p->transition.done = all_entered;
    transition_begin(&p->transition);
}

static void loaded(void *arg)
{
    struct reload *r = arg;
    const struct plan *p = &r->job->plan;
    if (r->control->draining)
        reject(r, "error: this worker process is stopping");
    else if (p->verdict == PLAN_READY)
        commit(r);
    else if (p->verdict == PLAN_RESTART)
        need_process(r);
    else
        reject(r, p->why.data != NULL ? p->why.data : error_text(ENOMEM));
}

static void deliver_loaded(struct notice *n)
{
    struct reload_job *job = container_of(n, struct reload_job, loaded);
    pthread_mutex_lock(&job->lock); /* until it has let go of it */
    pthread_mutex_unlock(&job->lock);
    fiber_call(loaded, job->reload);
}

/* --- from outside ------------------------------------------------------------------------- */

void reload_begin(struct reload *r, struct message *m)
{
    if (r->control->draining || r->job != NULL) {
        say_rejected(r, r->job != NULL ? "error: another reload is under way"
                                       : "error: this worker process is stopping");
        return;
    }
    r->job = job_new(r, m);
    int err = r->job != NULL ? start_thread(r->job) : -ENOMEM;
    if (err < 0)
        say_rejected(r, error_text(err));
    if (err < 0 && r->job != NULL)
        end_job(r);
}

void reload_abandon(struct reload *r)
{
    if (r->job == NULL)
        return;
    struct reload_job *job = r->job;
    r->job = NULL;
    pthread_mutex_lock(&job->lock);
    bool ours = job->handed_over;
    job->abandoned = true;
    if (!ours)
        atomic_fetch_add(&strays, 1);
    pthread_mutex_unlock(&job->lock);
    if (ours)
        job_free(job);
}

bool reload_has_strays(void)
{
    return atomic_load(&strays) > 0;
}

void reload_destroy(struct reload *r)
{
    list_for_each_safe (l, &r->generations)
        proxy_free(container_of(l, struct proxy, link));
    r->proxy = NULL;
    addresses_destroy(&r->addresses);
}
