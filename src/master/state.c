/*
 * What outlives an upgrade: the master's state as JSON in memory, and its descriptors, which stay
 * open under their numbers while the process becomes the new program.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "ctl/listen_order.h"
#include "master/internal.h"

/* Of what is written here, and of what master and worker process say to each other: a new program
 * takes over from its own version's master only. */
#define STATE_VERSION 2

/* --- writing ----------------------------------------------------------------------------- */

/* Add to an array, or make it NULL without memory. */
static void append(json_t **array, json_t *value)
{
    if (*array == NULL || json_array_append_new(*array, value) == 0)
        return;
    json_decref(*array);
    *array = NULL;
}

static json_t *save_fds(const int *fds, unsigned count)
{
    json_t *array = json_array();
    for (unsigned i = 0; i < count; i++)
        append(&array, json_integer(fds[i]));
    return array;
}

static json_t *save_entry(const struct vault_entry *e)
{
    json_t *claims = json_array();
    for (unsigned i = 0; i < e->claim_count; i++)
        append(&claims, json_integer((json_int_t)e->claims[i]));
    return json_pack("{s:s, s:o, s:b, s:b, s:b, s:I, s:I, s:s?, s:o, s:o}", "key", e->key,
                     "address", listen_order_write_addr(&e->addr), "any", (int)e->any, "control",
                     (int)e->control, "stored", (int)e->stored, "device", (json_int_t)e->device,
                     "inode", (json_int_t)e->inode, "directory", e->directory, "fds",
                     save_fds(e->fds, e->count), "claims", claims);
}

static json_t *save_vault(const struct vault *v)
{
    json_t *array = json_array();
    list_for_each (l, &v->entries)
        append(&array, save_entry(container_of(l, struct vault_entry, link)));
    return array;
}

static json_t *save_process(const struct process *p)
{
    json_t *logs = json_array();
    list_for_each (l, &p->logs)
        append(&logs, json_string(container_of(l, struct log_path, link)->path));
    return json_pack("{s:I, s:I, s:i, s:i, s:i, s:I, s:I, s:I, s:I, s:I, s:b, s:o}", "id",
                     (json_int_t)p->id, "pid", (json_int_t)p->pid, "events", p->events, "orders",
                     p->orders, "stage", (int)p->stage, "generation", (json_int_t)p->generation,
                     "connections", (json_int_t)p->connections, "ticket", (json_int_t)p->ticket,
                     "drain_timeout", (json_int_t)p->drain_timeout, "deadline",
                     (json_int_t)p->deadline, "killed", (int)p->killed, "logs", logs);
}

static json_t *save_family(const struct family *f)
{
    json_t *array = json_array();
    list_for_each (l, &f->processes)
        append(&array, save_process(container_of(l, struct process, link)));
    return array;
}

static json_t *save_orders(const struct orders_files *f)
{
    return json_pack("{s:s?, s:i, s:s?}", "pid_file", f->pid_file, "error_log", f->error_log,
                     "error_path", f->error_path);
}

static json_t *save(const struct master *m)
{
    return json_pack("{s:i, s:o, s:I, s:I, s:I, s:b, s:b, s:o, s:o, s:o, s:o}", "version",
                     STATE_VERSION, "binary", message_text(m->binary), "generation",
                     (json_int_t)m->generation, "restarts", (json_int_t)m->restarts, "last_id",
                     (json_int_t)m->family.last_id, "reload", (int)m->reload_wanted, "upgrade",
                     (int)m->upgrade_wanted, "vault", save_vault(&m->vault), "processes",
                     save_family(&m->family), "orders", save_orders(&m->orders.now), "accepted",
                     snapshot_save(m->accepted));
}

int state_save(const struct master *m)
{
    json_t *state = save(m);
    if (state == NULL)
        return -ENOMEM;
    int fd = memfd_create("weft-state", MFD_CLOEXEC);
    int err = fd < 0 ? -errno : 0;
    if (err == 0 && json_dumpfd(state, fd, JSON_COMPACT) < 0)
        err = -EIO;
    json_decref(state);
    if (err == 0 && lseek(fd, 0, SEEK_SET) < 0)
        err = -errno;
    if (err == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return err;
}

/* --- descriptors -------------------------------------------------------------------------- */

/* All but the standard streams. */
static void close_on_exec(void)
{
    (void)close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC);
}

/* --- reading ----------------------------------------------------------------------------- */

static json_int_t integer(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static bool truth(const json_t *object, const char *key)
{
    return json_is_true(json_object_get(object, key));
}

static char *copy_string(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value != NULL ? strdup(value) : NULL;
}

static int load_entry(struct vault *v, const json_t *saved)
{
    const char *key = json_string_value(json_object_get(saved, "key"));
    const json_t *list = json_object_get(saved, "fds");
    const json_t *claims = json_object_get(saved, "claims");
    size_t count = json_array_size(list);
    struct addr addr;
    if (key == NULL || count == 0 ||
        !listen_order_read_addr(json_object_get(saved, "address"), &addr))
        return -EPROTO;
    int *fds = calloc(count, sizeof(*fds));
    for (size_t i = 0; fds != NULL && i < count; i++)
        fds[i] = (int)json_integer_value(json_array_get(list, i));
    struct vault_entry *e =
        fds != NULL ? vault_restore(v, key, &addr, truth(saved, "any"), fds, (unsigned)count)
                    : NULL;
    if (e == NULL) {
        free(fds);
        return -ENOMEM;
    }
    e->control = truth(saved, "control");
    e->stored = truth(saved, "stored");
    e->device = (dev_t)integer(saved, "device");
    e->inode = (ino_t)integer(saved, "inode");
    e->directory = copy_string(saved, "directory");
    int err = 0;
    for (size_t i = 0; err == 0 && i < json_array_size(claims); i++)
        err = vault_claim(e, (uint64_t)json_integer_value(json_array_get(claims, i)));
    return err;
}

/* Whatever it runs on, what it may yet be asked to load is the configuration in effect. */
static int load_process(struct master *m, const json_t *saved)
{
    json_int_t id = integer(saved, "id");
    struct process *p = id > 0 ? family_restore(&m->family, (uint64_t)id) : NULL;
    if (p == NULL)
        return id > 0 ? -ENOMEM : -EPROTO;
    p->pid = (pid_t)integer(saved, "pid");
    p->events = (int)integer(saved, "events");
    p->orders = (int)integer(saved, "orders");
    p->stage = (enum stage)integer(saved, "stage");
    p->snapshot = snapshot_ref(m->accepted);
    p->generation = (uint64_t)integer(saved, "generation");
    p->connections = (uint64_t)integer(saved, "connections");
    p->ticket = (uint64_t)integer(saved, "ticket");
    p->drain_timeout = integer(saved, "drain_timeout");
    p->deadline = integer(saved, "deadline");
    p->killed = truth(saved, "killed");
    p->heard = p->served_since = clock_update();
    const json_t *logs = json_object_get(saved, "logs");
    int err = p->pid > 0 ? 0 : -EPROTO;
    for (size_t i = 0; err == 0 && i < json_array_size(logs); i++) {
        const char *path = json_string_value(json_array_get(logs, i));
        err = path != NULL ? process_note_log(p, path) : -EPROTO;
    }
    return err;
}

static int load_all(struct master *m, const json_t *state)
{
    const json_t *vault = json_object_get(state, "vault");
    const json_t *processes = json_object_get(state, "processes");
    const json_t *orders = json_object_get(state, "orders");
    if (integer(state, "version") != STATE_VERSION || !json_is_object(orders))
        return -EPROTO;
    m->binary = copy_string(state, "binary");
    m->generation = (uint64_t)integer(state, "generation");
    m->restarts = (uint64_t)integer(state, "restarts");
    m->reload_wanted = truth(state, "reload");
    m->upgrade_wanted = truth(state, "upgrade");
    m->family.last_id = (uint64_t)integer(state, "last_id");
    m->accepted = snapshot_load(json_object_get(state, "accepted"));
    m->orders.now.pid_file = copy_string(orders, "pid_file");
    m->orders.now.error_path = copy_string(orders, "error_path");
    m->orders.now.error_log = (int)integer(orders, "error_log");
    int err = m->binary != NULL && m->accepted != NULL ? 0 : -EPROTO;
    for (size_t i = 0; err == 0 && i < json_array_size(vault); i++)
        err = load_entry(&m->vault, json_array_get(vault, i));
    for (size_t i = 0; err == 0 && i < json_array_size(processes); i++)
        err = load_process(m, json_array_get(processes, i));
    return err;
}

/* Read it all into a master. */
static int load(struct master *m, int fd)
{
    json_t *state = json_loadfd(fd, JSON_REJECT_DUPLICATES, NULL);
    if (state == NULL)
        return -EPROTO;
    int err = load_all(m, state);
    json_decref(state);
    return err;
}

int state_load(struct master *m, int fd)
{
    close_on_exec();
    int err = load(m, fd);
    if (err == 0)
        log_direct_to(m->orders.now.error_log);
    return err;
}

/* The descriptors in it are another process's: what is made of them is never freed, nor used. */
int master_check_state(int fd)
{
    static struct master never_run;
    family_init(&never_run.family);
    vault_init(&never_run.vault);
    int err = load(&never_run, fd);
    close(fd);
    return err;
}

/* --- becoming another program ------------------------------------------------------------ */

static void keep(int fd)
{
    if (fd >= 0)
        (void)fcntl(fd, F_SETFD, 0);
}

/* Let the descriptors that the state speaks of live on in the next program. */
static void keep_descriptors(const struct master *m)
{
    list_for_each (l, &m->vault.entries) {
        const struct vault_entry *e = container_of(l, struct vault_entry, link);
        for (unsigned i = 0; i < e->count; i++)
            keep(e->fds[i]);
    }
    list_for_each (l, &m->family.processes) {
        keep(container_of(l, struct process, link)->events);
        keep(container_of(l, struct process, link)->orders);
    }
    keep(m->orders.now.error_log);
    keep(m->accepted->main.fd);
    for (unsigned i = 0; i < m->accepted->include_count; i++) {
        const struct snapshot_include *include = &m->accepted->includes[i];
        for (unsigned n = 0; n < include->count; n++)
            keep(include->files[n].fd);
    }
}

/* As this one was started, the option in front: behind a "--" it would be none. */
static char **make_arguments(const struct master *m, char *option)
{
    char *const *given = m->options->argv;
    size_t n = 0;
    while (given[n] != NULL)
        n++;
    char **arguments = calloc(n + 2, sizeof(*arguments));
    if (arguments == NULL)
        return NULL;
    size_t first = m->options->resume >= 0 ? 2 : 1; /* without the last upgrade's */
    arguments[0] = given[0];
    arguments[1] = option;
    memcpy(arguments + 2, given + first, (n - first) * sizeof(*arguments));
    return arguments;
}

int state_become(struct master *m)
{
    char option[32];
    int fd = state_save(m);
    if (fd < 0)
        return fd;
    snprintf(option, sizeof(option), "--resume=%d", fd);
    char **arguments = make_arguments(m, option);
    int err = -ENOMEM;
    if (arguments != NULL) {
        keep(fd);
        keep_descriptors(m);
        execv(m->binary, arguments);
        err = -errno;
        close_on_exec();
    }
    free(arguments);
    close(fd);
    return err;
}
