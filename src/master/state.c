/*
 * What outlives an upgrade: the master's state as JSON in memory, and its descriptors, which stay
 * open under their numbers while the process becomes the new program.
 */
#include <dirent.h>
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

#define STATE_VERSION                                                                              \
    1 /* of what is written here; a master takes over from its own version's only */

/* --- writing ----------------------------------------------------------------------------- */

static json_t *save_fds(const int *fds, unsigned count)
{
    json_t *array = json_array();
    for (unsigned i = 0; i < count; i++)
        json_array_append_new(array, json_integer(fds[i]));
    return array;
}

static json_t *save_entry(const struct vault_entry *e)
{
    json_t *claims = json_array();
    for (unsigned i = 0; i < e->claim_count; i++)
        json_array_append_new(claims, json_integer((json_int_t)e->claims[i]));
    return json_pack("{s:s, s:o, s:b, s:b, s:b, s:o, s:o}", "key", e->key, "address",
                     listen_order_write_addr(&e->addr), "any", (int)e->any, "control",
                     (int)e->control, "stored", (int)e->stored, "fds", save_fds(e->fds, e->count),
                     "claims", claims);
}

static json_t *save_vault(const struct vault *v)
{
    json_t *array = json_array();
    list_for_each (l, &v->entries)
        json_array_append_new(array, save_entry(container_of(l, struct vault_entry, link)));
    return array;
}

static json_t *save_process(const struct process *p)
{
    json_t *logs = json_array();
    list_for_each (l, &p->logs)
        json_array_append_new(logs, json_string(container_of(l, struct log_path, link)->path));
    return json_pack("{s:I, s:I, s:i, s:i, s:i, s:I, s:I, s:I, s:I, s:I, s:o}", "id",
                     (json_int_t)p->id, "pid", (json_int_t)p->pid, "events", p->events, "orders",
                     p->orders, "stage", (int)p->stage, "generation", (json_int_t)p->generation,
                     "connections", (json_int_t)p->connections, "ticket", (json_int_t)p->ticket,
                     "drain_timeout", (json_int_t)p->drain_timeout, "deadline",
                     (json_int_t)p->deadline, "logs", logs);
}

static json_t *save_family(const struct family *f)
{
    json_t *array = json_array();
    list_for_each (l, &f->processes)
        json_array_append_new(array, save_process(container_of(l, struct process, link)));
    return array;
}

static json_t *save_orders(const struct orders *o)
{
    return json_pack("{s:s?, s:i, s:s?}", "pid_file", o->pid_file, "error_log", o->error_log,
                     "error_path", o->error_path);
}

static json_t *save(const struct master *m)
{
    return json_pack("{s:i, s:s, s:I, s:I, s:b, s:b, s:o, s:o, s:o, s:o}", "version", STATE_VERSION,
                     "binary", m->binary, "generation", (json_int_t)m->generation, "restarts",
                     (json_int_t)m->restarts, "reload", (int)m->reload_wanted, "upgrade",
                     (int)m->upgrade_wanted, "vault", save_vault(&m->vault), "processes",
                     save_family(&m->family), "orders", save_orders(&m->orders), "accepted",
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
    m->accepted = snapshot_load(json_object_get(state, "accepted"));
    m->orders.pid_file = copy_string(orders, "pid_file");
    m->orders.error_path = copy_string(orders, "error_path");
    m->orders.error_log = (int)integer(orders, "error_log");
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
    if (err == 0 && m->orders.error_log >= 0)
        log_direct_to(m->orders.error_log);
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

/* Let every descriptor but the signals' live on in the next program. */
static void keep_descriptors(const struct master *m)
{
    DIR *d = opendir("/proc/self/fd");
    if (d == NULL)
        return;
    for (const struct dirent *e; (e = readdir(d)) != NULL;) {
        int fd = atoi(e->d_name);
        if (fd > STDERR_FILENO && fd != dirfd(d) && fd != m->signals)
            (void)fcntl(fd, F_SETFD, 0);
    }
    closedir(d);
}

static char **make_arguments(const struct master *m, char *state)
{
    size_t n = 0;
    while (m->options->argv[n] != NULL)
        n++;
    if (m->options->resume >= 0) /* the last upgrade's two */
        n -= 2;
    char **arguments = calloc(n + 3, sizeof(*arguments));
    if (arguments == NULL)
        return NULL;
    memcpy(arguments, m->options->argv, n * sizeof(*arguments));
    arguments[n] = (char *)"--resume";
    arguments[n + 1] = state;
    return arguments;
}

int state_become(struct master *m)
{
    char number[16];
    int fd = state_save(m);
    if (fd < 0)
        return fd;
    snprintf(number, sizeof(number), "%d", fd);
    char **arguments = make_arguments(m, number);
    int err = -ENOMEM;
    if (arguments != NULL) {
        keep_descriptors(m);
        execv(m->binary, arguments);
        err = -errno;
        close_on_exec();
    }
    free(arguments);
    close(fd);
    return err;
}
