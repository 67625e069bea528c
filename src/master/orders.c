#include "master/orders.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "ctl/listen_order.h"

/* Whoever waits for an answer reads it: there is always room for one. */
static void answer(const struct process *p, enum message_type type, json_t *body, const int *fds,
                   unsigned count)
{
    int err = message_send(p->orders, type, body, fds, count, false);
    if (err < 0 && err != -EPIPE)
        log_line(LOG_LEVEL_ERROR, "worker process %d gets no answer: %s", (int)p->pid,
                 error_text(err));
}

static void refuse(const struct process *p, int err, const char *why)
{
    answer(p, MESSAGE_REFUSED, json_pack("{s:i, s:s}", "error", -err, "text", why), NULL, 0);
}

/* As one error: EPERM means "through a new process, and it will be". */
static bool may_open(const struct process *p)
{
    return p->stage == STAGE_STARTING || geteuid() != 0;
}

/* --- sockets ----------------------------------------------------------------------------- */

/* In as many messages as it takes. */
static void pass_sockets(const struct process *p, const struct vault_entry *e)
{
    unsigned sent = 0;
    do {
        unsigned n = e->count - sent < MESSAGE_FDS_MAX ? e->count - sent : MESSAGE_FDS_MAX;
        bool more = sent + n < e->count;
        answer(p, MESSAGE_OPENED, json_pack("{s:b}", "more", (int)more), e->fds + sent, n);
        sent += n;
    } while (sent < e->count);
}

static void open_listen(struct orders *o, struct process *p, const struct message *m)
{
    struct listen_order want;
    if (!listen_order_read(m->body, &want)) {
        refuse(p, -EPROTO, "no such order");
        return;
    }
    const struct vault_order order = {.key = want.key,
                                      .addr = want.addr,
                                      .any = want.any,
                                      .count = want.count,
                                      .options = &want.options};
    struct vault_entry *e;
    struct text why;
    text_init(&why);
    int err = vault_open(o->vault, &order, p->id, &e, &why);
    if (err == 0)
        pass_sockets(p, e);
    else
        refuse(p, err, why.data != NULL ? why.data : error_text(err));
    text_free(&why);
}

static void open_control(struct orders *o, struct process *p, const struct message *m)
{
    struct addr addr;
    if (!listen_order_read_addr(json_object_get(m->body, "address"), &addr) ||
        addr.sa.sa_family != AF_UNIX) {
        refuse(p, -EPROTO, "no such order");
        return;
    }
    if (!may_open(p)) {
        refuse(p, -EPERM, error_text(EPERM));
        return;
    }
    struct vault_entry *e;
    struct text why;
    text_init(&why);
    int err = vault_open_control(o->vault, message_string(m, "key"), &addr,
                                 (gid_t)message_integer(m, "group"), p->id, &e, &why);
    if (err == 0)
        pass_sockets(p, e);
    else
        refuse(p, err, why.data != NULL ? why.data : error_text(err));
    text_free(&why);
}

/* --- files ------------------------------------------------------------------------------- */

/* The master's own lines go where the worker process's errors go. */
static void share_error_log(struct orders *o, const char *path, int fd)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    char *name = strdup(path);
    if (copy < 0 || name == NULL) {
        if (copy >= 0)
            close(copy);
        free(name);
        return;
    }
    if (o->error_log >= 0)
        close(o->error_log);
    free(o->error_path);
    o->error_log = copy;
    o->error_path = name;
    log_direct_to(copy);
}

static void open_log(struct orders *o, struct process *p, const struct message *m)
{
    const char *path = message_string(m, "path");
    int fd = may_open(p) ? log_open_file(path) : -EPERM;
    int err = fd < 0 ? fd : process_note_log(p, path);
    if (err == 0 && message_true(m, "errors"))
        share_error_log(o, path, fd);
    if (err == 0)
        answer(p, MESSAGE_OPENED, NULL, &fd, 1);
    else
        refuse(p, err, error_text(err));
    if (fd >= 0)
        close(fd);
}

/* Whether a path is below the directory of the main file, links followed. */
static bool is_beside(const struct snapshot *s, const char *path)
{
    char *main = s->main.path != NULL ? realpath(s->main.path, NULL) : NULL;
    char *real = realpath(path, NULL);
    char *slash = main != NULL ? strrchr(main, '/') : NULL;
    bool beside =
        slash != NULL && real != NULL && strncmp(real, main, (size_t)(slash + 1 - main)) == 0;
    free(main);
    free(real);
    return beside;
}

static bool may_include(const struct process *p, const struct snapshot_include *i)
{
    for (unsigned n = 0; !may_open(p) && n < i->count; n++) {
        if (!is_beside(p->snapshot, i->files[n].path))
            return false;
    }
    return true;
}

/* Every file with its error, and the descriptors of those that have none. */
static int pass_include(const struct process *p, const struct snapshot_include *i)
{
    int fds[MESSAGE_FDS_MAX];
    unsigned count = 0;
    json_t *files = json_array();
    int err = i->count <= MESSAGE_FDS_MAX ? 0 : -EMFILE;
    for (unsigned n = 0; err == 0 && n < i->count; n++) {
        int fd = snapshot_open(&i->files[n]);
        if (fd >= 0)
            fds[count++] = fd;
        json_array_append_new(
            files, json_pack("{s:s, s:i}", "path", i->files[n].path, "error", fd >= 0 ? 0 : -fd));
    }
    if (err == 0)
        answer(p, MESSAGE_OPENED, json_pack("{s:O}", "files", files), fds, count);
    for (unsigned n = 0; n < count; n++)
        close(fds[n]);
    json_decref(files);
    return err;
}

static void open_include(struct process *p, const struct message *m)
{
    const struct snapshot_include *i = NULL;
    int err = snapshot_include(p->snapshot, message_string(m, "pattern"), &i);
    if (err == 0 && !may_include(p, i))
        err = -EPERM;
    if (err == 0)
        err = pass_include(p, i);
    if (err < 0)
        refuse(p, err, error_text(err));
}

static int write_pid(struct orders *o, const char *path)
{
    char *copy = strdup(path);
    if (copy == NULL)
        return -ENOMEM;
    FILE *f = fopen(path, "we");
    int err = f != NULL ? 0 : -errno;
    if (f != NULL && (fprintf(f, "%d\n", (int)getpid()) < 0 || fflush(f) != 0))
        err = -errno;
    if (f != NULL)
        fclose(f);
    if (err < 0) {
        free(copy);
        return err;
    }
    if (o->pid_file != NULL && strcmp(o->pid_file, path) != 0)
        unlink(o->pid_file);
    free(o->pid_file);
    o->pid_file = copy;
    return 0;
}

static void take_pid_order(struct orders *o, struct process *p, const struct message *m)
{
    int err = may_open(p) ? write_pid(o, message_string(m, "path")) : -EPERM;
    if (err == 0)
        answer(p, MESSAGE_OPENED, NULL, NULL, 0);
    else
        refuse(p, err, error_text(err));
}

/* --- all of them ------------------------------------------------------------------------- */

static void answer_one(struct orders *o, struct process *p, const struct message *m)
{
    switch (m->type) {
    case MESSAGE_OPEN_LISTEN:
        open_listen(o, p, m);
        break;
    case MESSAGE_OPEN_CONTROL:
        open_control(o, p, m);
        break;
    case MESSAGE_OPEN_LOG:
        open_log(o, p, m);
        break;
    case MESSAGE_OPEN_INCLUDE:
        open_include(p, m);
        break;
    case MESSAGE_WRITE_PID:
        take_pid_order(o, p, m);
        break;
    case MESSAGE_FORGET:
        vault_forget(o->vault, message_string(m, "key"), p->id);
        vault_sweep(o->vault);
        answer(p, MESSAGE_OPENED, NULL, NULL, 0);
        break;
    default:
        refuse(p, -EPROTO, "no such order");
    }
}

void orders_answer(struct orders *o, struct process *p)
{
    struct message m;
    int err;
    while ((err = message_receive(p->orders, &m, false)) == 0) {
        answer_one(o, p, &m);
        message_free(&m);
    }
    if (err == -EAGAIN)
        return;
    close(p->orders);
    p->orders = -1;
}

/* --- logs -------------------------------------------------------------------------------- */

static void pass_log(struct orders *o, const struct process *p, const char *path)
{
    int fd = log_open_file(path);
    if (fd < 0) {
        log_line(LOG_LEVEL_ERROR, "cannot reopen %s: %s", path, error_text(fd));
        return;
    }
    if (o->error_path != NULL && strcmp(o->error_path, path) == 0)
        share_error_log(o, path, fd);
    int err =
        message_send(p->events, MESSAGE_REOPEN, json_pack("{s:s}", "path", path), &fd, 1, false);
    if (err < 0)
        log_line(LOG_LEVEL_ERROR, "worker process %d goes on with the old %s: %s", (int)p->pid,
                 path, error_text(err));
    close(fd);
}

void orders_reopen_logs(struct orders *o, const struct family *f)
{
    list_for_each (l, &f->processes) {
        const struct process *p = container_of(l, struct process, link);
        if (p->events < 0)
            continue;
        list_for_each (k, &p->logs)
            pass_log(o, p, container_of(k, struct log_path, link)->path);
    }
}

void orders_close(struct orders *o)
{
    if (o->pid_file != NULL)
        unlink(o->pid_file);
    free(o->pid_file);
    free(o->error_path);
    if (o->error_log >= 0) {
        log_direct_to(-1);
        close(o->error_log);
    }
    *o = (struct orders){.vault = o->vault, .error_log = -1};
}
