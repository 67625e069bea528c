/* What the tests of orders have in common: a process that orders, played by the test. */
#ifndef MASTER_ORDERING_H
#define MASTER_ORDERING_H

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/log.h"
#include "ctl/listen_order.h"
#include "master/orders.h"
#include "places.h"

/* The process under test: the test is the other end of its two sockets. */
static struct family family;
static struct vault vault;
static struct orders orders;
static struct process *process;
static int events, wants;

static uid_t user; /* that the master is */

/* The linker sends the module's call here, see --wrap in Makefile.inc. */
uid_t __wrap_geteuid(void);
uid_t __wrap_geteuid(void)
{
    return user;
}

static inline struct process *make(void)
{
    int pair[2];
    struct process *p = family_restore(&family, family.last_id + 1);
    p->pid = fork(); /* to be killed, where it comes to that */
    if (p->pid == 0) {
        pause();
        _exit(0);
    }
    ck_assert_int_eq(message_pair(pair), 0);
    p->events = pair[0];
    events = pair[1];
    ck_assert_int_eq(message_pair(pair), 0);
    p->orders = pair[0];
    wants = pair[1];
    ck_assert_int_eq(snapshot_take(path_of("weft.yaml"), &p->snapshot), 0);
    return p;
}

static inline void set_up(void)
{
    make_directory();
    write_file(path_of("weft.yaml"), "main");
    log_direct_to(open(path_of("log"), O_WRONLY | O_CREAT | O_APPEND, 0600));
    user = 1000;
    clock_update();
    family_init(&family);
    vault_init(&vault);
    orders_init(&orders, &vault);
    process = make();
}

static inline void tear_down(void)
{
    orders_close(&orders);
    vault_close(&vault);
    while (!list_empty(&family.processes)) {
        struct process *p = container_of(family.processes.next, struct process, link);
        kill(p->pid, SIGKILL);
        ck_assert_int_eq(waitpid(p->pid, NULL, 0), p->pid);
        family_remove(p);
    }
    remove_directory();
}

/* Not root is trusted with no more than it may itself, and so is one that has no connection yet. */
static inline void serve_as_root(void)
{
    user = 0;
    process->stage = STAGE_SERVING;
}

/* --- asking -------------------------------------------------------------------------------- */

static inline struct message ask(enum message_type type, json_t *body)
{
    struct message m;
    ck_assert_ptr_nonnull(body);
    ck_assert_int_eq(message_send(wants, type, body, NULL, 0, false), 0);
    orders_answer(&orders, process);
    ck_assert_int_eq(message_receive(wants, &m, false), 0);
    return m;
}

static inline void expect_opened(enum message_type type, json_t *body, unsigned fds)
{
    struct message m = ask(type, body);
    ck_assert_msg(m.type == MESSAGE_OPENED, "%s", message_string(&m, "text"));
    ck_assert(!message_true(&m, "more"));
    ck_assert_uint_eq(m.fd_count, fds);
    message_free(&m);
}

/* Nobody waits for an answer to this one. */
static inline void forget(json_t *body)
{
    struct message m;
    ck_assert_int_eq(message_send(wants, MESSAGE_FORGET, body, NULL, 0, false), 0);
    orders_answer(&orders, process);
    ck_assert_int_eq(message_receive(wants, &m, false), -EAGAIN);
}

static inline void expect_refused(enum message_type type, json_t *body, int err)
{
    struct message m = ask(type, body);
    ck_assert_int_eq(m.type, MESSAGE_REFUSED);
    ck_assert_msg(message_integer(&m, "error") == -err, "%s", message_string(&m, "text"));
    ck_assert_str_ne(message_string(&m, "text"), "");
    ck_assert_uint_eq(m.fd_count, 0);
    message_free(&m);
}

static inline json_t *listen_order(const char *text, unsigned count)
{
    char key[LISTEN_KEY_SIZE];
    struct listen_order o = {.key = key, .addr = address(text), .count = count};
    o.options = (struct socket_listen_options){.backlog = 16, .reuse_port = true};
    listen_order_key(&o.addr, false, key);
    return listen_order_write(&o);
}

static inline json_t *unix_order(const char *path)
{
    char text[160];
    snprintf(text, sizeof(text), "unix:%s", path);
    return listen_order(text, 1);
}

static inline json_t *path_order(const char *path)
{
    return json_pack("{s:s}", "path", path);
}

static inline json_t *log_order(const char *path, int errors)
{
    return json_pack("{s:s, s:b}", "path", path, "errors", errors);
}

static inline json_t *control_order(const char *path)
{
    struct addr a = unix_address(path);
    return json_pack("{s:o, s:I}", "address", listen_order_write_addr(&a), "group",
                     (json_int_t)getegid());
}

static inline json_t *include_order(const char *pattern)
{
    return json_pack("{s:s}", "pattern", pattern);
}

#endif
