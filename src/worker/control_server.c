#include "worker/control_server.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/list.h"
#include "fiber/sync.h"
#include "io/conn.h"
#include "worker/control.h"
#include "worker/control_client.h"
#include "worker/opener.h"
#include "worker/peer.h"
#include "worker/since.h"

#define CLIENTS_MAX     64
#define CLIENT_PATIENCE (60 * NSEC_PER_SEC)
#define ACCEPT_PAUSE    (100 * NSEC_PER_MSEC) /* between tries while out of descriptors or memory */
#define SAMPLE_INTERVAL NSEC_PER_SEC

struct control_server {
    struct control_server_options options;
    struct conn listening; /* the descriptor is the options' */
    struct list clients;   /* struct control_client */
    unsigned count;        /* of clients that are served */
    struct fiber_group ended;
    struct fiber *acceptor;
    struct fiber *sampler;
    struct load *loads; /* owned; of the workers, by number */
};

/* --- the socket -------------------------------------------------------------------------- */

/* The master has it, and sees to its path. */
static int order(struct control_server_options *ret, const char *path, struct opener *o,
                 struct text *why)
{
    struct addr addr = {.len = sizeof(addr.un)};
    addr.un.sun_family = AF_UNIX;
    memcpy(addr.un.sun_path, path, strnlen(path, sizeof(addr.un.sun_path) - 1));
    struct opened got;
    int err = opener_control(o, &addr, ret->group, &got, why);
    if (err < 0)
        return err;
    if (got.count > 0) {
        ret->fd = got.fds[0];
        got.fds[0] = -1;
    }
    opened_free(&got);
    return 0;
}

int control_server_open(struct control_server_options *ret, const struct conf_process *conf,
                        struct opener *o, struct text *no_server, struct text *why)
{
    const struct conf_path *path = &conf->control;
    *ret = (struct control_server_options){
        .fd = -1,
        .group = geteuid() == 0 ? (gid_t)conf->group.id : getegid(),
        .master = getppid(),
        .since = since_started(getppid()),
    };
    int err = path->path != NULL ? order(ret, path->path, o, no_server) : 0;
    if (err == 0 || !path->given)
        return 0;
    text_format(why, "%s:%u:%u: error: control: %s", path->mark.file, path->mark.line,
                path->mark.column, no_server->data);
    return err;
}

void control_server_close(struct control_server_options *o)
{
    if (o->fd >= 0)
        close(o->fd);
    o->fd = -1;
}

/* --- clients ----------------------------------------------------------------------------- */

static void client_ended(struct control_client *c)
{
    struct control_server *s = c->options.arg;
    if (c->options.refusal == NULL)
        s->count--;
    control_client_free(c);
    fiber_group_done(&s->ended);
}

/* Returns NULL, or why a client is not to be served. */
static const char *refusal(const struct control_server *s, int fd)
{
    struct ucred peer;
    if (peer_check(fd, s->options.group, &peer) < 0)
        return "not permitted: root, the user that weft runs as and the members of the control "
               "socket's group are";
    if (s->count == CLIENTS_MAX)
        return "too many clients: 64 are being served";
    return NULL;
}

/* Owns: `fd`. */
static int admit(struct control_server *s, int fd)
{
    const struct control_client_options o = {
        .fd = fd,
        .about = {.about = &s->options, .loads = s->loads},
        .refusal = refusal(s, fd),
        .patience = CLIENT_PATIENCE,
        .ended = client_ended,
        .arg = s,
    };
    struct control_client *c = control_client_start(&o);
    if (c == NULL) {
        close(fd);
        return -ENOMEM;
    }
    list_push_back(&s->clients, &c->link);
    fiber_group_add(&s->ended, 1);
    if (o.refusal == NULL)
        s->count++;
    return 0;
}

/* Take one client. Returns 0, or a -errno that takes a while to pass, or -ECANCELED. */
static int take_client(struct control_server *s)
{
    struct conn *l = &s->listening;
    struct addr peer;
    int fd = conn_try_accept(l, &peer);
    if (fd >= 0)
        return admit(s, fd);
    if (fd == -ECONNABORTED)
        return 0;
    if (fd != -EAGAIN)
        return fd;
    int err = conn_watch(l);
    return err < 0 ? err : netpoll_wait(&l->poll, NETPOLL_READ, CLOCK_NEVER);
}

static void accept_run(void *arg)
{
    struct control_server *s = arg;
    for (;;) {
        int err = take_client(s);
        fiber_yield(); /* who has left already makes room before the next one is counted */
        if (err < 0 && err != -ECANCELED)
            err = fiber_sleep(clock_now() + ACCEPT_PAUSE);
        if (err == -ECANCELED)
            break;
    }
    conn_close(&s->listening); /* whoever comes now is the next process's, or the next weft's */
}

/* --- how busy the workers are ------------------------------------------------------------ */

static void sample_run(void *arg)
{
    struct control_server *s = arg;
    struct control *control = s->options.control;
    do {
        for (unsigned i = 0; i < control->count; i++) {
            struct sched_stats st;
            sched_stats(control_worker(control, i)->sched, &st);
            load_add(&s->loads[i], clock_now(), st.busy);
        }
    } while (fiber_sleep(clock_now() + SAMPLE_INTERVAL) == 0);
}

/* --- begin and end ----------------------------------------------------------------------- */

static void stop_fiber(struct fiber *f)
{
    if (f == NULL)
        return;
    fiber_cancel(f);
    (void)!fiber_join(f);
}

struct control_server *control_server_start(struct control_server_options *o)
{
    if (o->fd < 0)
        return NULL;
    struct control_server *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return NULL;
    s->options = *o;
    s->loads = calloc(o->control->count, sizeof(*s->loads));
    conn_init(&s->listening, o->fd, AF_UNIX);
    s->listening.shared = true; /* with the master */
    list_init(&s->clients);
    fiber_group_init(&s->ended);
    s->sampler = s->loads != NULL ? fiber_spawn("load", sample_run, s, true) : NULL;
    s->acceptor = s->sampler != NULL ? fiber_spawn("control socket", accept_run, s, true) : NULL;
    if (s->acceptor == NULL) {
        control_server_stop(s);
        return NULL;
    }
    o->fd = -1;
    return s;
}

void control_server_retire(struct control_server *s)
{
    if (s != NULL)
        fiber_cancel(s->acceptor);
}

void control_server_settle(struct control_server *s, int64_t deadline)
{
    if (s != NULL)
        (void)!fiber_group_wait(&s->ended, deadline); /* what is left is ended later */
}

void control_server_stop(struct control_server *s)
{
    if (s == NULL)
        return;
    stop_fiber(s->acceptor);
    stop_fiber(s->sampler);
    list_for_each (l, &s->clients)
        fiber_cancel(&container_of(l, struct control_client, link)->fiber);
    int err = fiber_group_wait(&s->ended, CLOCK_NEVER);
    assert(err == 0); /* who stops it is not cancelled */
    (void)err;
    free(s->loads);
    free(s);
}
