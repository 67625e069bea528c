/* What the tests of the vault have in common: orders. */
#ifndef MASTER_VAULTING_H
#define MASTER_VAULTING_H

#include <errno.h>

#include "ctl/listen_order.h"
#include "master/vault.h"
#include "places.h"

static struct vault vault;
static struct text why;

static inline void set_up(void)
{
    make_directory();
    text_init(&why);
    vault_init(&vault);
}

static inline void tear_down(void)
{
    vault_close(&vault);
    ck_assert(list_empty(&vault.entries));
    ck_assert_ptr_null(vault.index);
    text_free(&why);
    remove_directory();
}

/* --- ordering ------------------------------------------------------------------------------ */

static const struct socket_listen_options options = {
    .common = {.nodelay = true}, .backlog = 16, .reuse_port = true};

static char key[LISTEN_KEY_SIZE]; /* of the last order */

static inline int try_open_addr(const struct addr *a, bool any, unsigned count, uint64_t id,
                                struct vault_entry **ret)
{
    struct socket_listen_options o = options;
    o.dual_stack = any;
    listen_order_key(a, any, key);
    const struct vault_order order = {
        .key = key, .addr = *a, .any = any, .count = count, .options = &o};
    text_clear(&why);
    return vault_open(&vault, &order, id, ret, &why);
}

static inline int try_open(const char *text, unsigned count, uint64_t id, struct vault_entry **ret)
{
    struct addr_spec spec;
    const char *wrong = "?";
    ck_assert_msg(addr_parse(text, &spec, &wrong) == 0, "%s: %s", text, wrong);
    return try_open_addr(&spec.addr, spec.any, count, id, ret);
}

static inline struct vault_entry *open_for(const char *text, unsigned count, uint64_t id)
{
    struct vault_entry *e = NULL;
    int err = try_open(text, count, id, &e);
    ck_assert_msg(err == 0, "%s: %s", text, why.data);
    ck_assert_ptr_eq(vault_find(&vault, key), e);
    return e;
}

static inline struct vault_entry *open_path(const char *path, uint64_t id)
{
    char text[160];
    snprintf(text, sizeof(text), "unix:%s", path);
    return open_for(text, 1, id);
}

static inline int try_open_path(const char *path, uint64_t id)
{
    struct vault_entry *e;
    struct addr a = unix_address(path);
    return try_open_addr(&a, false, 1, id, &e);
}

static inline int try_open_control(const char *path, struct vault_entry **ret)
{
    struct addr a = unix_address(path);
    text_clear(&why);
    return vault_open_control(&vault, &a, getegid(), 1, ret, &why);
}

static inline unsigned entries(void)
{
    unsigned count = 0;
    list_for_each (l, &vault.entries)
        count++;
    return count;
}

static inline int option(int fd, int level, int name)
{
    int value = -1;
    socklen_t len = sizeof(value);
    ck_assert_int_eq(getsockopt(fd, level, name, &value, &len), 0);
    return value;
}

#endif
