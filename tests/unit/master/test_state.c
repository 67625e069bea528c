#include <errno.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "ctl/listen_order.h"
#include "master/internal.h"
#include "places.h"

static char *arguments[] = {(char *)"weft", (char *)"-c", (char *)"weft.yaml", (char *)"--", NULL};
static struct master_options options = {.argv = arguments, .resume = -1};
static struct master master;

static void init(struct master *m)
{
    *m = (struct master){.options = &options, .signals = -1};
    family_init(&m->family);
    vault_init(&m->vault);
    orders_init(&m->orders, &m->vault);
}

static void open_one(const char *text, unsigned count, uint64_t id)
{
    struct socket_listen_options o = {.backlog = 16, .reuse_port = true};
    char key[LISTEN_KEY_SIZE];
    struct addr a = address(text);
    struct vault_entry *e;
    struct text why;
    text_init(&why);
    listen_order_key(&a, false, key);
    const struct vault_order order = {.key = key, .addr = a, .count = count, .options = &o};
    ck_assert_int_eq(vault_open(&master.vault, &order, id, &e, &why), 0);
}

static void open_control(const char *path)
{
    struct addr a = unix_address(path);
    struct vault_entry *e;
    struct text why;
    text_init(&why);
    ck_assert_int_eq(vault_open_control(&master.vault, &a, getegid(), 2, &e, &why), 0);
}

static struct process *add_process(uint64_t id, enum stage stage)
{
    int pair[2];
    struct process *p = family_restore(&master.family, id);
    p->stage = stage;
    p->pid = (pid_t)(1000 + id);
    p->snapshot = snapshot_ref(master.accepted);
    ck_assert_int_eq(message_pair(pair), 0);
    p->events = pair[0];
    p->orders = pair[1];
    return p;
}

/* A master that has come around. */
static void set_up(void)
{
    const struct snapshot_include *i;
    char text[160];
    make_directory();
    clock_update();
    init(&master);
    write_file(path_of("weft.yaml"), "main");
    write_file(path_of("a.inc"), "a");
    ck_assert_int_eq(snapshot_take(path_of("weft.yaml"), &master.accepted), 0);
    ck_assert_int_eq(snapshot_include(master.accepted, path_of("*.inc"), false, &i), 0);
    master.binary = strdup(path_of("program"));
    master.generation = 7;
    master.restarts = 3;
    master.reload_wanted = true;
    open_one(own_address(20001), 3, 2);
    open_one(own_address(20001), 3, 3);
    snprintf(text, sizeof(text), "unix:%s", path_of("a.sock"));
    open_one(text, 1, 0);
    open_control(path_of("run/control.sock"));
    struct process *p = add_process(2, STAGE_LEAVING);
    p->deadline = clock_now() + 5;
    p->connections = 11;
    p->killed = true;
    p = add_process(3, STAGE_SERVING);
    p->generation = 7;
    p->ticket = 4;
    p->drain_timeout = 30 * NSEC_PER_SEC;
    ck_assert_int_eq(process_note_log(p, "/var/log/a"), 0);
    ck_assert_int_eq(process_note_log(p, "/var/log/b"), 0);
    family_remove(family_restore(&master.family, 9));
    master.orders.now.pid_file = strdup(path_of("pid"));
    master.orders.now.error_path = strdup("/var/log/a");
    master.orders.now.error_log = open("/dev/null", O_WRONLY | O_CLOEXEC);
}

static void tear_down(void)
{
    orders_close(&master.orders);
    vault_close(&master.vault);
    while (!list_empty(&master.family.processes))
        family_remove(container_of(master.family.processes.next, struct process, link));
    snapshot_unref(master.accepted);
    free(master.binary);
    remove_directory();
}

static json_t *saved(void)
{
    int fd = state_save(&master);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
    json_t *state = json_loadfd(fd, 0, NULL);
    close(fd);
    ck_assert_ptr_nonnull(state);
    return state;
}

/* Owns: consumes `state`. */
static int written(json_t *state)
{
    int fd = open(path_of("state"), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ck_assert_int_eq(json_dumpfd(state, fd, 0), 0);
    json_decref(state);
    ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
    return fd;
}

/* --- there and back -------------------------------------------------------------------------- */

static void expect_same_entries(const struct vault *a, const struct vault *b)
{
    const struct list *l = a->entries.next, *k = b->entries.next;
    for (; l != &a->entries && k != &b->entries; l = l->next, k = k->next) {
        const struct vault_entry *x = container_of(l, const struct vault_entry, link);
        const struct vault_entry *y = container_of(k, const struct vault_entry, link);
        ck_assert_str_eq(x->key, y->key);
        ck_assert(addr_equal(&x->addr, &y->addr));
        ck_assert_int_eq(x->control, y->control);
        ck_assert_uint_eq(x->device, y->device);
        ck_assert_uint_eq(x->inode, y->inode);
        ck_assert_uint_eq(x->count, y->count);
        ck_assert_mem_eq(x->fds, y->fds, x->count * sizeof(*x->fds));
        ck_assert_uint_eq(x->claim_count, y->claim_count);
        ck_assert_mem_eq(x->claims, y->claims, x->claim_count * sizeof(*x->claims));
        ck_assert_pstr_eq(x->directory, y->directory);
    }
    ck_assert_ptr_eq(l, &a->entries);
    ck_assert_ptr_eq(k, &b->entries);
}

static void expect_same_process(const struct master *m, uint64_t id)
{
    const struct process *p = family_find(&master.family, (pid_t)(1000 + id));
    const struct process *q = family_find(&m->family, (pid_t)(1000 + id));
    ck_assert_ptr_nonnull(q);
    ck_assert_uint_eq(q->id, id);
    ck_assert_int_eq(q->stage, p->stage);
    ck_assert_int_eq(q->events, p->events);
    ck_assert_int_eq(q->orders, p->orders);
    ck_assert_uint_eq(q->generation, p->generation);
    ck_assert_uint_eq(q->connections, p->connections);
    ck_assert_uint_eq(q->ticket, p->ticket);
    ck_assert_int_eq(q->drain_timeout, p->drain_timeout);
    ck_assert_int_eq(q->deadline, p->deadline);
    ck_assert_int_eq(q->killed, p->killed);
    ck_assert_ptr_eq(q->snapshot, m->accepted);
}

/* The second master has the descriptors of the first: it is not freed. */
START_TEST(everything_is_read_as_it_was_saved)
{
    static struct master again;
    init(&again);
    int fd = state_save(&master);
    ck_assert_int_eq(state_load(&again, fd), 0);
    close(fd);
    ck_assert_str_eq(again.binary, master.binary);
    ck_assert_uint_eq(again.generation, 7);
    ck_assert_uint_eq(again.restarts, 3);
    ck_assert(again.reload_wanted);
    ck_assert(!again.upgrade_wanted);
    ck_assert_uint_eq(again.family.last_id, 9);
    expect_same_entries(&again.vault, &master.vault);
    expect_same_process(&again, 2);
    expect_same_process(&again, 3);
    ck_assert_str_eq(again.orders.now.pid_file, path_of("pid"));
    ck_assert_str_eq(again.orders.now.error_path, "/var/log/a");
    ck_assert_int_eq(again.orders.now.error_log, master.orders.now.error_log);
    ck_assert_int_eq(again.orders.next.error_log, -1);
    ck_assert_str_eq(text_of(again.accepted->main.fd), "main");
    ck_assert_str_eq(text_of(again.accepted->includes[0].files[0].fd), "a");
    unsigned logs = 0;
    list_for_each (l, &family_find(&again.family, 1003)->logs)
        logs++;
    ck_assert_uint_eq(logs, 2);
    for (int i = STDERR_FILENO + 1; i < 64; i++)
        ck_assert(fcntl(i, F_GETFD) < 0 || fcntl(i, F_GETFD) == FD_CLOEXEC);
}
END_TEST

START_TEST(a_check_takes_nothing)
{
    unsigned before = open_descriptors();
    int fd = state_save(&master);
    ck_assert_int_eq(master_check_state(fd), 0);
    ck_assert_uint_eq(open_descriptors(), before);
}
END_TEST

/* --- what is not understood ------------------------------------------------------------------ */

/* As in a worker process, which ends with what it has read. */
static void expect_no_state(int fd)
{
    int status;
    pid_t pid = fork();
    if (pid == 0)
        _exit(master_check_state(fd) < 0 ? 0 : 1);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    if (fd >= 0)
        close(fd);
}

static void expect_not_understood(json_t *state)
{
    expect_no_state(written(state));
}

START_TEST(another_version_is_refused)
{
    json_t *state = saved();
    json_int_t version = json_integer_value(json_object_get(state, "version"));
    ck_assert_int_gt(version, 0);
    json_object_set_new(state, "version", json_integer(version + 1));
    expect_not_understood(json_incref(state));
    json_object_set_new(state, "version", json_integer(version - 1));
    expect_not_understood(json_incref(state));
    json_object_del(state, "version");
    expect_not_understood(state);
}
END_TEST

START_TEST(what_is_no_state_is_refused)
{
    static const char *const keys[] = {"binary", "orders", "accepted"};
    for (size_t i = 0; i < array_size(keys); i++) {
        json_t *state = saved();
        json_object_del(state, keys[i]);
        expect_not_understood(state);
    }
    expect_not_understood(json_object());
    expect_not_understood(json_array());
    expect_no_state(open("/dev/null", O_RDONLY));
    write_file(path_of("cut"), "{\"version\": 2, \"binary");
    expect_no_state(open(path_of("cut"), O_RDONLY));
    expect_no_state(-1);
}
END_TEST

START_TEST(a_part_that_is_wrong_spoils_all)
{
    static const char *const of_entries[] = {"key", "address", "fds"};
    for (size_t i = 0; i < array_size(of_entries); i++) {
        json_t *state = saved();
        json_object_del(json_array_get(json_object_get(state, "vault"), 1), of_entries[i]);
        expect_not_understood(state);
    }
    static const char *const of_processes[] = {"id", "pid"};
    for (size_t i = 0; i < array_size(of_processes); i++) {
        json_t *state = saved();
        json_object_del(json_array_get(json_object_get(state, "processes"), 1), of_processes[i]);
        expect_not_understood(state);
    }
}
END_TEST

/* --- becoming another program ----------------------------------------------------------------- */

static void make_program(void)
{
    char text[512];
    snprintf(text, sizeof(text),
             "#!/bin/sh\ncd %s\necho \"$$ $*\" > said\nreadlink /proc/$$/fd/* > open\nexit 0\n",
             directory);
    write_file(path_of("program"), text);
    ck_assert_int_eq(chmod(path_of("program"), 0700), 0);
}

static pid_t become(void)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(state_become(&master) < 0 ? 1 : 2);
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 0);
    return pid;
}

static unsigned count(const char *text, const char *what)
{
    unsigned n = 0;
    for (const char *found = strstr(text, what); found != NULL; found = strstr(found + 1, what))
        n++;
    return n;
}

START_TEST(the_new_program_is_started_as_this_one_was)
{
    int pid, state;
    make_program();
    pid_t became = become();
    const char *said = content(path_of("said"));
    ck_assert_int_eq(sscanf(said, "%d --resume=%d -c weft.yaml --\n", &pid, &state), 2);
    ck_assert_int_eq(pid, became);
    ck_assert_ptr_nonnull(strstr(said, " -c weft.yaml --\n"));
}
END_TEST

/* The last upgrade's option makes way for the next one's. */
START_TEST(arguments_do_not_pile_up)
{
    char *resumed[] = {(char *)"weft", (char *)"--resume=99", (char *)"-c", (char *)"weft.yaml",
                       NULL};
    int pid, state;
    make_program();
    options.argv = resumed;
    options.resume = 99;
    become();
    ck_assert_int_eq(
        sscanf(content(path_of("said")), "%d --resume=%d -c weft.yaml\n", &pid, &state), 2);
    ck_assert_uint_eq(count(content(path_of("said")), "--resume"), 1);
}
END_TEST

/* Sockets, copies of files, the log, the state; nothing that it would not know of. */
START_TEST(the_new_program_inherits_what_the_state_speaks_of_alone)
{
    int other = open("/dev/full", O_RDONLY | O_CLOEXEC);
    struct snapshot *older;
    ck_assert_int_eq(snapshot_take(path_of("a.inc"), &older), 0);
    make_program();
    become();
    const char *open = content(path_of("open"));
    ck_assert_uint_eq(count(open, "socket:"), 3 + 1 + 1 + 4);
    ck_assert_uint_eq(count(open, "memfd:weft-configuration"), 2);
    ck_assert_uint_eq(count(open, "memfd:weft-state"), 1);
    ck_assert_uint_eq(count(open, "/dev/full"), 0);
    snapshot_unref(older);
    close(other);
}
END_TEST

START_TEST(where_it_can_not_be_run_all_is_as_before)
{
    unsigned before = open_descriptors();
    ck_assert_int_eq(state_become(&master), -ENOENT);
    write_file(path_of("program"), "garbage");
    ck_assert_int_eq(state_become(&master), -EACCES);
    ck_assert_int_eq(chmod(path_of("program"), 0700), 0);
    ck_assert_int_eq(state_become(&master), -ENOEXEC);
    ck_assert_uint_eq(open_descriptors(), before);
    list_for_each (l, &master.vault.entries) {
        const struct vault_entry *e = container_of(l, struct vault_entry, link);
        ck_assert_int_eq(fcntl(e->fds[0], F_GETFD), FD_CLOEXEC);
    }
}
END_TEST

UNIT_MAIN_AROUND("state", set_up, tear_down, everything_is_read_as_it_was_saved,
                 a_check_takes_nothing, another_version_is_refused, what_is_no_state_is_refused,
                 a_part_that_is_wrong_spoils_all, the_new_program_is_started_as_this_one_was,
                 arguments_do_not_pile_up, the_new_program_inherits_what_the_state_speaks_of_alone,
                 where_it_can_not_be_run_all_is_as_before)
