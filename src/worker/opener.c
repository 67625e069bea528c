#include "worker/opener.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"
#include "ctl/message.h"

void opener_init(struct opener *o, int orders)
{
    o->orders = orders;
    pthread_mutex_init(&o->lock, NULL);
}

void opener_destroy(struct opener *o)
{
    if (o->orders < 0)
        return;
    close(o->orders);
    o->orders = -1;
    pthread_mutex_destroy(&o->lock);
}

/* --- what comes back --------------------------------------------------------------------- */

void opened_free(struct opened *o)
{
    for (unsigned i = 0; i < o->count; i++) {
        if (o->fds[i] >= 0)
            close(o->fds[i]);
    }
    free(o->fds);
    *o = (struct opened){.fds = NULL};
}

static int add_fds(struct opened *to, struct message *m)
{
    if (m->fd_count == 0)
        return 0;
    int *more = realloc(to->fds, (to->count + m->fd_count) * sizeof(*more));
    if (more == NULL)
        return -ENOMEM;
    to->fds = more;
    for (unsigned i = 0; i < m->fd_count; i++)
        to->fds[to->count++] = message_take_fd(m, i);
    return 0;
}

static int refusal(const struct message *m, struct text *why)
{
    json_int_t err = message_integer(m, "error");
    if (why != NULL)
        text_add_string(why, message_string(m, "text"));
    return err > 0 && err < 4096 ? -(int)err : -EPROTO;
}

/* Take one message of an answer in; `files`, where wanted, gets those that it lists. */
static int take_answer(struct message *m, struct opened *to, json_t *files, struct text *why)
{
    if (m->type == MESSAGE_REFUSED)
        return refusal(m, why);
    if (m->type != MESSAGE_OPENED)
        return -EPROTO;
    json_t *listed = json_object_get(m->body, "files");
    int err = add_fds(to, m);
    if (err == 0 && files != NULL && json_is_array(listed) && json_array_extend(files, listed) < 0)
        err = -ENOMEM;
    return err;
}

/* Wait for an answer, in as many messages as it has: what is left there would be taken for the next
 * one's. */
static int await_answer(const struct opener *o, struct opened *to, json_t *files, struct text *why)
{
    int err = 0;
    bool more = true;
    while (more) {
        struct message m;
        int received = message_receive(o->orders, &m, true);
        if (received < 0)
            return received;
        if (err == 0)
            err = take_answer(&m, to, files, why);
        more = m.type == MESSAGE_OPENED && message_true(&m, "more");
        message_free(&m);
    }
    return err;
}

/* Order, and wait. Each `ret` may be NULL where it is not wanted, as may `files`. */
static int order_all(struct opener *o, enum message_type type, json_t *body, struct opened *ret,
                     json_t *files, struct text *why)
{
    struct opened got = {.fds = NULL};
    pthread_mutex_lock(&o->lock);
    int err = message_send(o->orders, type, body, NULL, 0, true);
    if (err == 0)
        err = await_answer(o, &got, files, why);
    o->refused |= err == -EPERM;
    pthread_mutex_unlock(&o->lock);
    if (err < 0 && why != NULL && why->length == 0)
        text_add_string(why, error_text(err));
    if (err < 0 || ret == NULL)
        opened_free(&got);
    else
        *ret = got;
    return err;
}

static int order(struct opener *o, enum message_type type, json_t *body, struct opened *ret,
                 struct text *why)
{
    return order_all(o, type, body, ret, NULL, why);
}

/* --- orders ------------------------------------------------------------------------------ */

int opener_listen(struct opener *o, const struct listen_order *want, struct opened *ret,
                  struct text *why)
{
    return order(o, MESSAGE_OPEN_LISTEN, listen_order_write(want), ret, why);
}

int opener_control(struct opener *o, const struct addr *addr, gid_t group, struct opened *ret,
                   struct text *why)
{
    json_t *body = json_pack("{s:o, s:I}", "address", listen_order_write_addr(addr), "group",
                             (json_int_t)group);
    return order(o, MESSAGE_OPEN_CONTROL, body, ret, why);
}

int opener_forget(struct opener *o, const char *key)
{
    int err =
        message_send(o->orders, MESSAGE_FORGET, json_pack("{s:s}", "key", key), NULL, 0, false);
    return err == -EPIPE ? 0 : err;
}

bool opener_take_refused(struct opener *o)
{
    pthread_mutex_lock(&o->lock);
    bool refused = o->refused;
    o->refused = false;
    pthread_mutex_unlock(&o->lock);
    return refused;
}

int opener_log(struct opener *o, const char *path, bool errors)
{
    struct opened got;
    json_t *body = json_pack("{s:s, s:b}", "path", path, "errors", (int)errors);
    int err = order(o, MESSAGE_OPEN_LOG, body, &got, NULL);
    if (err < 0)
        return err;
    int fd = -EPROTO;
    if (got.count > 0) {
        fd = got.fds[0];
        got.fds[0] = -1;
    }
    opened_free(&got);
    return fd;
}

/* The descriptors come in the order of the files that could be read. */
static int hand_out(struct opened *got, const json_t *files, expand_fn *take, void *taker)
{
    unsigned next = 0;
    for (size_t i = 0; i < json_array_size(files); i++) {
        const json_t *file = json_array_get(files, i);
        const char *path = json_string_value(json_object_get(file, "path"));
        int fd = -(int)json_integer_value(json_object_get(file, "error"));
        if (path == NULL || fd > 0 || (fd == 0 && next == got->count))
            return -EPROTO;
        if (fd == 0) {
            fd = got->fds[next];
            got->fds[next++] = -1;
        }
        int err = take(taker, path, fd);
        if (err < 0)
            return err;
    }
    return 0;
}

int opener_include(struct opener *o, const char *pattern, expand_fn *take, void *taker)
{
    struct opened got;
    json_t *files = json_array();
    if (files == NULL)
        return -ENOMEM;
    json_t *body = json_pack("{s:o}", "pattern", message_text(pattern));
    int err = order_all(o, MESSAGE_OPEN_INCLUDE, body, &got, files, NULL);
    if (err == 0) {
        err = hand_out(&got, files, take, taker);
        opened_free(&got);
    }
    json_decref(files);
    return err;
}

int opener_write_pid(struct opener *o, const char *path)
{
    return order(o, MESSAGE_WRITE_PID, json_pack("{s:s}", "path", path), NULL, NULL);
}
