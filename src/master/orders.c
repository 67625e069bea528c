#include "master/orders.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "ctl/listen_order.h"

#define ANSWER_TRIES 1000        /* of a millisecond, for a process that is slow to read answers */
#define PATHS_MAX    (12 * 1024) /* [bytes] of paths in one message, escapes not counted */

/* --- answers ----------------------------------------------------------------------------- */

/* Whoever waits for an answer reads it: that there is no room for one passes. Owns: consumes
 * `body`.
 */
static int send_patiently(const struct process *p, enum message_type type, json_t *body,
                          const int *fds, unsigned count)
{
    int err = -ENOMEM;
    for (int tries = 0; body != NULL && tries < ANSWER_TRIES; tries++) {
        err = message_send(p->orders, type, json_incref(body), fds, count, false);
        if (err != -EAGAIN && err != -ETOOMANYREFS)
            break;
        poll(NULL, 0, 1);
    }
    json_decref(body);
    return err;
}

/* One that takes no answer is not well, and would wait for this one for ever. */
static void give_up(struct process *p, int err)
{
    if (err == 0 || err == -EPIPE)
        return;
    log_line(LOG_LEVEL_ERROR, "worker process %d takes no answer: %s: killed", (int)p->pid,
             error_text(err));
    process_kill(p);
}

static void refuse(struct process *p, int err, const char *why)
{
    json_t *body = json_pack("{s:i, s:o}", "error", -err, "text", message_text(why));
    give_up(p, send_patiently(p, MESSAGE_REFUSED, body, NULL, 0));
}

/* What can't be sent becomes a refusal. */
static int answer(struct process *p, json_t *body, const int *fds, unsigned count)
{
    int err = send_patiently(p, MESSAGE_OPENED, body, fds, count);
    if (err == -EAGAIN || err == -ETOOMANYREFS)
        give_up(p, err);
    else if (err < 0 && err != -EPIPE)
        refuse(p, err, error_text(err));
    return err;
}

static void answer_done(struct process *p)
{
    (void)!answer(p, json_object(), NULL, 0);
}

/* As one error: EPERM means "through a new process, and it will be". */
static bool may_open(const struct process *p)
{
    return p->stage == STAGE_STARTING || geteuid() != 0;
}

/*
 * The configuration is the master's own copy: what it has as a log or to listen on, its user wants
 * as that. Other paths in it, those of files that are included for one, are not to be written to.
 */
static bool may_open_path(const struct process *p, const char *before, const char *path)
{
    return may_open(p) || snapshot_mentions(p->snapshot, before, path);
}

/* --- sockets ----------------------------------------------------------------------------- */

/* In as many messages as it takes. */
static void pass_sockets(struct process *p, const struct vault_entry *e)
{
    unsigned sent = 0;
    int err;
    do {
        unsigned n = e->count - sent < MESSAGE_FDS_MAX ? e->count - sent : MESSAGE_FDS_MAX;
        bool more = sent + n < e->count;
        err = answer(p, json_pack("{s:b}", "more", (int)more), e->fds + sent, n);
        sent += n;
    } while (err == 0 && sent < e->count);
}

static bool is_path(const struct addr *a)
{
    return a->len > 0 && a->sa.sa_family == AF_UNIX && a->un.sun_path[0] != '\0';
}

static void open_listen(struct orders *o, struct process *p, const struct message *m)
{
    struct listen_order want;
    if (!listen_order_read(m->body, &want)) {
        refuse(p, -EPROTO, "no such order");
        return;
    }
    if (is_path(&want.addr) && vault_find(o->vault, want.key) == NULL &&
        !may_open_path(p, "unix:", want.addr.un.sun_path)) {
        refuse(p, -EPERM, error_text(EPERM));
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
    if (!listen_order_read_addr(json_object_get(m->body, "address"), &addr) || !is_path(&addr)) {
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
    int err =
        vault_open_control(o->vault, &addr, (gid_t)message_integer(m, "group"), p->id, &e, &why);
    if (err == 0)
        pass_sockets(p, e);
    else
        refuse(p, err, why.data != NULL ? why.data : error_text(err));
    text_free(&why);
}

/* --- files ------------------------------------------------------------------------------- */

/* The master's own lines go where the worker process's errors go. */
static void share_error_log(struct orders_files *f, const char *path, int fd)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    char *name = strdup(path);
    if (copy < 0 || name == NULL) {
        if (copy >= 0)
            close(copy);
        free(name);
        return;
    }
    if (f->error_log >= 0)
        close(f->error_log);
    free(f->error_path);
    f->error_log = copy;
    f->error_path = name;
}

static void open_log(struct orders *o, struct process *p, const struct message *m)
{
    const char *path = message_string(m, "path");
    int fd = may_open_path(p, "output:", path) ? log_open_file(path) : -EPERM;
    int err = fd < 0 ? fd : process_note_log(p, path);
    if (err == 0 && message_true(m, "errors"))
        share_error_log(&o->next, path, fd);
    if (err == 0)
        (void)!answer(p, json_object(), &fd, 1);
    else
        refuse(p, err, error_text(err));
    if (fd >= 0)
        close(fd);
}

/* What goes into one message of an include, and where the next one goes on. */
struct piece {
    json_t *files;
    int fds[MESSAGE_FDS_MAX];
    unsigned count; /* of `fds` */
    unsigned next;  /* of the include's files */
};

/* Every file with its error, and the descriptors of those that have none. */
static int fill_piece(struct piece *piece, const struct snapshot_include *i)
{
    size_t bytes = 0;
    while (piece->next < i->count && piece->count < MESSAGE_FDS_MAX && bytes < PATHS_MAX) {
        const struct snapshot_file *f = &i->files[piece->next];
        int fd = snapshot_open(f);
        if (fd == -EMFILE || fd == -ENFILE)
            return fd;
        if (fd >= 0)
            piece->fds[piece->count++] = fd;
        json_t *file =
            json_pack("{s:o, s:i}", "path", message_text(f->path), "error", fd >= 0 ? 0 : -fd);
        if (json_array_append_new(piece->files, file) < 0)
            return -ENOMEM;
        bytes += strlen(f->path);
        piece->next++;
    }
    return 0;
}

/* Returns 1 when there is more to pass, else 0 or -errno; an error has been told. */
static int pass_piece(struct process *p, const struct snapshot_include *i, unsigned *next)
{
    struct piece piece = {.files = json_array(), .count = 0, .next = *next};
    int err = piece.files != NULL ? fill_piece(&piece, i) : -ENOMEM;
    bool more = piece.next < i->count;
    if (err < 0)
        refuse(p, err, error_text(err));
    else
        err = answer(p, json_pack("{s:O, s:b}", "files", piece.files, "more", (int)more), piece.fds,
                     piece.count);
    for (unsigned n = 0; n < piece.count; n++)
        close(piece.fds[n]);
    json_decref(piece.files);
    *next = piece.next;
    return err == 0 ? more : err;
}

static void open_include(struct process *p, const struct message *m)
{
    const struct snapshot_include *i = NULL;
    int err = snapshot_include(p->snapshot, message_string(m, "pattern"), !may_open(p), &i);
    if (err < 0) {
        refuse(p, err, error_text(err));
        return;
    }
    unsigned next = 0;
    while (pass_piece(p, i, &next) > 0)
        continue;
}

/* A link may have been put there by whoever the directory belongs to. Who reads it meanwhile finds
 * what was there or what is, never nothing. */
static int write_pid(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0644);
    if (fd < 0)
        return -errno;
    int n = dprintf(fd, "%d\n", (int)getpid());
    int err = n > 0 && ftruncate(fd, n) == 0 ? 0 : -errno;
    close(fd);
    return err;
}

static int open_pid_file(struct orders *o, const char *path)
{
    char *copy = strdup(path);
    if (copy == NULL)
        return -ENOMEM;
    int err = write_pid(path);
    if (err < 0) {
        free(copy);
        return err;
    }
    free(o->next.pid_file);
    o->next.pid_file = copy;
    return 0;
}

static void take_pid_order(struct orders *o, struct process *p, const struct message *m)
{
    int err = may_open(p) ? open_pid_file(o, message_string(m, "path")) : -EPERM;
    if (err == 0)
        answer_done(p);
    else
        refuse(p, err, error_text(err));
}

/* --- all of them ------------------------------------------------------------------------- */

static void answer_one(struct orders *o, struct process *p, const struct message *m)
{
    if (p->stage == STAGE_LEAVING && m->type != MESSAGE_FORGET) {
        refuse(p, -EPERM, "another process has taken over");
        return;
    }
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
        vault_sweep(o->vault); /* nobody waits for an answer */
        break;
    default:
        refuse(p, -EPROTO, "no such order");
    }
}

/* One at a time: who orders without end must not keep the master from all else. */
void orders_answer(struct orders *o, struct process *p)
{
    struct message m;
    int err = message_receive(p->orders, &m, false);
    if (err == 0) {
        answer_one(o, p, &m);
        message_free(&m);
    } else if (err == -EPIPE) {
        close(p->orders);
        p->orders = -1;
    } else if (err == -EPROTO) {
        log_line(LOG_LEVEL_ERROR, "worker process %d orders what is no order: killed", (int)p->pid);
        process_kill(p);
    }
}

/* --- what comes of it -------------------------------------------------------------------- */

static void drop_log(struct orders_files *f)
{
    if (f->error_log >= 0)
        close(f->error_log);
    free(f->error_path);
    f->error_log = -1;
    f->error_path = NULL;
}

static bool is_same(const char *a, const char *b)
{
    return a != NULL && b != NULL && strcmp(a, b) == 0;
}

/* Remove a pid file, unless `but` is the same. */
static void drop_pid_file(struct orders_files *f, const char *but)
{
    if (f->pid_file != NULL && !is_same(f->pid_file, but))
        unlink(f->pid_file);
    free(f->pid_file);
    f->pid_file = NULL;
}

void orders_init(struct orders *o, struct vault *vault)
{
    *o = (struct orders){.vault = vault, .now.error_log = -1, .next.error_log = -1};
}

void orders_commit(struct orders *o, bool all)
{
    struct orders_files *now = &o->now, *next = &o->next;
    if (all || next->pid_file != NULL) {
        drop_pid_file(now, next->pid_file);
        now->pid_file = next->pid_file;
    }
    if (all || next->error_log >= 0) {
        log_direct_to(next->error_log);
        drop_log(now);
        now->error_log = next->error_log;
        now->error_path = next->error_path;
    }
    *next = (struct orders_files){.error_log = -1};
}

void orders_abandon(struct orders *o)
{
    drop_pid_file(&o->next, o->now.pid_file);
    drop_log(&o->next);
}

/* --- logs -------------------------------------------------------------------------------- */

static void pass_log(struct orders *o, const struct process *p, const char *path)
{
    int fd = log_open_file(path);
    if (fd < 0) {
        log_line(LOG_LEVEL_ERROR, "cannot reopen %s: %s", path, error_text(fd));
        return;
    }
    if (is_same(o->now.error_path, path)) {
        share_error_log(&o->now, path, fd);
        log_direct_to(o->now.error_log);
    }
    json_t *body = json_pack("{s:s}", "path", path);
    int err = message_send(p->events, MESSAGE_REOPEN, body, &fd, 1, false);
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
    orders_abandon(o);
    log_direct_to(-1);
    drop_pid_file(&o->now, NULL);
    drop_log(&o->now);
}
