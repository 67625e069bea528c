#include "worker/link.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "fiber/fiber.h"
#include "worker/control.h"

#define REPORT_INTERVAL NSEC_PER_SEC
#define STUCK_LIMIT                                                                                \
    (10 * NSEC_PER_SEC) /* a worker thread that does not turn for so long is lost                  \
                         */

void link_init(struct link *l, struct control *c, int events)
{
    *l = (struct link){.control = c, .events.fd = events};
}

void link_destroy(struct link *l)
{
    if (l->events.fd >= 0)
        close(l->events.fd);
    l->events.fd = -1;
}

/* --- sending ----------------------------------------------------------------------------- */

struct sending {
    struct link *link;
    enum message_type type;
    json_t *body;
};

static void send_now(void *arg)
{
    struct sending *s = arg;
    int err = message_send(s->link->events.fd, s->type, s->body, NULL, 0, false);
    if (err < 0 && err != -EPIPE)
        log_line(LOG_LEVEL_ERROR, "the master is not told '%s': %s", message_name(s->type),
                 error_text(err));
}

void link_send(struct link *l, enum message_type type, json_t *body)
{
    struct sending s = {.link = l, .type = type, .body = body};
    fiber_call(send_now, &s);
}

/* --- receiving --------------------------------------------------------------------------- */

static void take_family(struct link *l, const struct message *m)
{
    l->family = (struct link_family){
        .restarts = (uint64_t)message_integer(m, "restarts"),
        .leaving = (uint64_t)message_integer(m, "leaving"),
        .left = (uint64_t)message_integer(m, "left"),
    };
}

static void take_message(struct link *l, struct message *m)
{
    switch (m->type) {
    case MESSAGE_DRAIN:
        control_drain(l->control, message_true(m, "stop"));
        break;
    case MESSAGE_END:
        control_end(l->control);
        break;
    case MESSAGE_REOPEN:
        control_reopen_log(l->control, message_string(m, "path"), message_take_fd(m, 0));
        break;
    case MESSAGE_RELOAD:
        control_reload(l->control, m);
        break;
    case MESSAGE_VERDICT:
        control_verdict(l->control, m);
        break;
    case MESSAGE_FAMILY:
        take_family(l, m);
        break;
    default:
        log_line(LOG_LEVEL_ERROR, "unexpected message '%s' from the master", message_name(m->type));
    }
}

static void lose_master(struct link *l)
{
    if (l->lost)
        return;
    l->lost = true;
    log_line(LOG_LEVEL_ERROR, "the master is gone");
    control_drain(l->control, true);
}

/* Messages want more stack than a fiber has. */
static void receive_all(void *arg)
{
    struct link *l = arg;
    struct message m;
    int err;
    while ((err = message_receive(l->events.fd, &m, false)) == 0) {
        take_message(l, &m);
        message_free(&m);
    }
    if (err != -EAGAIN)
        lose_master(l);
}

static void receiver_run(void *arg)
{
    struct link *l = arg;
    int fd = l->events.fd;
    if (netpoll_open(&l->events, fd) < 0)
        return;
    do {
        l->events.ready &= (uint8_t)~NETPOLL_READ;
        fiber_call(receive_all, l);
    } while (!l->lost && netpoll_wait(&l->events, NETPOLL_READ, CLOCK_NEVER) == 0);
    netpoll_detach(&l->events);
    l->events.fd = fd;
}

/* --- signs of life ----------------------------------------------------------------------- */

static void report(void *arg)
{
    struct link *l = arg;
    struct text why;
    text_init(&why);
    if (!control_find_stuck(l->control, STUCK_LIMIT, &why)) {
        l->stuck_told = false;
        send_now(&(struct sending){
            .link = l,
            .type = MESSAGE_ALIVE,
            .body = json_pack("{s:I}", "connections", (json_int_t)control_active(l->control))});
    } else if (!l->stuck_told) {
        l->stuck_told = true;
        send_now(&(struct sending){
            .link = l, .type = MESSAGE_STUCK, .body = json_pack("{s:s}", "text", why.data)});
    }
    text_free(&why);
}

static void reporter_run(void *arg)
{
    struct link *l = arg;
    do
        fiber_call(report, l);
    while (fiber_sleep(clock_now() + REPORT_INTERVAL) == 0);
}

void link_start(struct link *l)
{
    l->receiver = fiber_spawn("link", receiver_run, l, true);
    l->reporter = fiber_spawn("reporter", reporter_run, l, true);
}

static void stop_fiber(struct fiber *f)
{
    if (f == NULL)
        return;
    fiber_cancel(f);
    (void)!fiber_join(f);
}

void link_stop(struct link *l)
{
    stop_fiber(l->reporter);
    stop_fiber(l->receiver);
}
