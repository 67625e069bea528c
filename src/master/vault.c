#include "master/vault.h"

#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "ctl/endpoint.h"
#include "ctl/listen_order.h"
#include "master/notify.h"
#include "master/spare.h"

#define CONTROL_KEY "control:" /* in front of the control socket's path */

void vault_init(struct vault *v)
{
    list_init(&v->entries);
    v->index = NULL;
}

/* --- entries ----------------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
    const struct vault_entry *x = a, *y = b;
    return strcmp(x->key, y->key);
}

struct vault_entry *vault_find(const struct vault *v, const char *key)
{
    const struct vault_entry sought = {.key = (char *)(uintptr_t)key};
    struct vault_entry *const *found = tfind(&sought, &v->index, compare);
    return found != NULL ? *found : NULL;
}

static bool is_unix(const struct vault_entry *e)
{
    return e->addr.len > 0 && e->addr.sa.sa_family == AF_UNIX;
}

static const char *path_of(const struct vault_entry *e)
{
    bool named = is_unix(e) && e->addr.len > sizeof(sa_family_t) && e->addr.un.sun_path[0] != '\0';
    return named ? e->addr.un.sun_path : NULL;
}

static void entry_free(struct vault_entry *e)
{
    for (unsigned i = 0; i < e->count; i++)
        close(e->fds[i]);
    free(e->fds);
    free(e->claims);
    free(e->directory);
    free(e->key);
    free(e);
}

static struct vault_entry *entry_new(struct vault *v, const char *key, const struct addr *addr,
                                     bool any)
{
    struct vault_entry *e = calloc(1, sizeof(*e));
    if (e == NULL)
        return NULL;
    e->addr = *addr;
    e->any = any;
    e->key = strdup(key);
    if (e->key == NULL || tsearch(e, &v->index, compare) == NULL) {
        entry_free(e);
        return NULL;
    }
    list_push_back(&v->entries, &e->link);
    return e;
}

/* Remember what has been made at a path, to know it again. */
static void note_node(struct vault_entry *e)
{
    struct stat st;
    const char *path = path_of(e);
    if (path == NULL || lstat(path, &st) != 0 || !S_ISSOCK(st.st_mode))
        return;
    e->device = st.st_dev;
    e->inode = st.st_ino;
}

/* In its directory, wherever somebody may have the path lead meanwhile. */
static void remove_node(const struct vault_entry *e, int directory, const char *name)
{
    struct stat st;
    if (fstatat(directory, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_dev == e->device &&
        st.st_ino == e->inode)
        unlinkat(directory, name, 0);
}

static void remove_path(const struct vault_entry *e)
{
    char above[sizeof(e->addr.un.sun_path) + 1];
    const char *path = path_of(e);
    const char *slash = path != NULL ? strrchr(path, '/') : NULL;
    if (slash == NULL || e->inode == 0)
        return;
    snprintf(above, sizeof(above), "%.*s", (int)(slash + 1 - path), path);
    int directory = open(above, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0)
        return;
    remove_node(e, directory, slash + 1);
    close(directory);
    if (e->directory != NULL)
        rmdir(e->directory);
}

/* Out of the index, away with its path, closed. */
static void drop(struct vault *v, struct vault_entry *e)
{
    remove_path(e);
    if (e->stored)
        notify_unstore(e->key);
    tdelete(e, &v->index, compare);
    list_remove(&e->link);
    entry_free(e);
}

static int add_fd(struct vault_entry *e, int fd)
{
    int *more = realloc(e->fds, (e->count + 1) * sizeof(*more));
    if (more == NULL) {
        close(fd);
        return -ENOMEM;
    }
    e->fds = more;
    e->fds[e->count++] = fd;
    return 0;
}

/* --- claims ------------------------------------------------------------------------------ */

int vault_claim(struct vault_entry *e, uint64_t id)
{
    for (unsigned i = 0; i < e->claim_count; i++) {
        if (e->claims[i] == id)
            return 0;
    }
    uint64_t *more = realloc(e->claims, (e->claim_count + 1) * sizeof(*more));
    if (more == NULL)
        return -ENOMEM;
    e->claims = more;
    e->claims[e->claim_count++] = id;
    return 0;
}

static void unclaim(struct vault_entry *e, uint64_t id)
{
    for (unsigned i = 0; i < e->claim_count; i++) {
        if (e->claims[i] == id)
            e->claims[i--] = e->claims[--e->claim_count];
    }
}

void vault_forget(struct vault *v, const char *key, uint64_t id)
{
    struct vault_entry *e = vault_find(v, key);
    if (e != NULL)
        unclaim(e, id);
}

void vault_forget_all(struct vault *v, uint64_t id)
{
    list_for_each (l, &v->entries)
        unclaim(container_of(l, struct vault_entry, link), id);
}

void vault_inherit(struct vault *v, uint64_t id)
{
    list_for_each (l, &v->entries) {
        struct vault_entry *e = container_of(l, struct vault_entry, link);
        for (unsigned i = 0; i < e->claim_count; i++) {
            if (e->claims[i] == id)
                e->claims[i] = 0;
        }
    }
}

void vault_sweep(struct vault *v)
{
    list_for_each_safe (l, &v->entries) {
        struct vault_entry *e = container_of(l, struct vault_entry, link);
        if (e->claim_count == 0 && e->addr.len > 0)
            drop(v, e);
    }
}

void vault_close_listeners(struct vault *v)
{
    list_for_each_safe (l, &v->entries) {
        struct vault_entry *e = container_of(l, struct vault_entry, link);
        if (!e->control)
            drop(v, e);
    }
}

void vault_close(struct vault *v)
{
    while (!list_empty(&v->entries))
        drop(v, container_of(v->entries.next, struct vault_entry, link));
}

/* --- opening ----------------------------------------------------------------------------- */

/* `:PORT` where the kernel has no IPv6: every address there is, is a v4 one. */
static struct addr any_v4(const struct addr *any)
{
    struct addr v4 = {.len = sizeof(struct sockaddr_in)};
    v4.in.sin_family = AF_INET;
    v4.in.sin_port = htons(addr_port(any));
    return v4;
}

/*
 * A socket beside others takes no connection yet: the kernel would give it its share, and who wants
 * it may not come up. It listens when somebody is about to accept from it.
 */
static int open_at(const struct addr *a, const struct socket_listen_options *o, bool beside)
{
    return beside ? socket_bind(a, o) : socket_listen(a, o);
}

static int open_one(const struct vault_entry *e, const struct socket_listen_options *o, bool beside)
{
    int fd = open_at(&e->addr, o, beside);
    if (fd != -EAFNOSUPPORT || !e->any)
        return fd;
    struct addr v4 = any_v4(&e->addr);
    return open_at(&v4, o, beside);
}

static bool is_wildcard(const struct addr *a)
{
    return a->sa.sa_family == AF_INET ? a->in.sin_addr.s_addr == htonl(INADDR_ANY)
                                      : IN6_IS_ADDR_UNSPECIFIED(&a->in6.sin6_addr);
}

/* Whether one of ours has this address already, so that a probe would only find ourselves. */
static bool is_ours(const struct vault *v, const struct addr *addr)
{
    list_for_each (l, &v->entries) {
        const struct vault_entry *e = container_of(l, struct vault_entry, link);
        if (e->count > 0 && e->addr.len > 0 && !is_unix(e) &&
            addr_port(&e->addr) == addr_port(addr) &&
            (is_wildcard(&e->addr) || is_wildcard(addr) || addr_equal(&e->addr, addr)))
            return true;
    }
    return false;
}

/* Another daemon on the address would share it silently. */
static int probe(const struct vault *v, const struct vault_order *o)
{
    if (o->addr.sa.sa_family == AF_UNIX || is_ours(v, &o->addr))
        return 0;
    int err = socket_probe(&o->addr, o->any);
    return err == -EAFNOSUPPORT && o->any ? 0 : err;
}

static int open_more(struct vault_entry *e, unsigned wanted, const struct socket_listen_options *o)
{
    bool beside = e->count > 0;
    while (e->count < wanted) {
        int fd = spare_check(open_one(e, o, beside));
        int err = fd < 0 ? fd : add_fd(e, fd);
        if (err < 0)
            return err;
    }
    return 0;
}

/* systemd keeps copies of the new ones, so that not even the master's death closes a socket. */
static void store(struct vault_entry *e, unsigned first)
{
    if (notify_store(e->key, e->fds + first, e->count - first))
        e->stored = true;
}

static void close_beyond(struct vault_entry *e, unsigned count)
{
    while (e->count > count)
        close(e->fds[--e->count]);
}

/* All that are missing, or none. */
static int open_entry(struct vault_entry *e, const struct vault_order *o)
{
    unsigned before = e->count;
    unsigned wanted = o->addr.sa.sa_family == AF_UNIX ? 1 : o->count;
    int err = open_more(e, wanted, o->options);
    if (err < 0)
        close_beyond(e, before);
    else if (e->count > before)
        store(e, before);
    return err;
}

static void list_handed(const struct vault *v, struct text *why)
{
    const char *comma = "; there are: ";
    bool none = true;
    list_for_each (l, &v->entries) {
        const struct vault_entry *e = container_of(l, struct vault_entry, link);
        if (e->addr.len > 0)
            continue;
        text_format(why, "%s%s", comma, e->key);
        comma = ", ";
        none = false;
    }
    if (none)
        text_add_string(why, "; there is none at all");
}

/* What was handed over is looked at when somebody wants it. */
static int adopt(const struct vault_entry *e, const struct vault_order *o, struct text *why)
{
    for (unsigned i = 0; i < e->count; i++) {
        const char *unfit;
        int err = socket_adopt(e->fds[i], &o->options->common, &unfit);
        if (err < 0) {
            text_format(why, "what systemd has handed over can't be used: %s",
                        unfit != NULL ? unfit : error_text(err));
            return err;
        }
    }
    return 0;
}

static int claim(struct vault_entry *e, uint64_t id, struct vault_entry **ret)
{
    int err = vault_claim(e, id);
    if (err == 0)
        *ret = e;
    return err;
}

/* A new entry, or none: what has failed leaves nothing behind. */
static int open_new(struct vault *v, const struct vault_order *o, uint64_t id,
                    struct vault_entry **ret)
{
    int err = probe(v, o);
    if (err < 0)
        return err;
    struct vault_entry *e = entry_new(v, o->key, &o->addr, o->any);
    if (e == NULL)
        return -ENOMEM;
    err = open_entry(e, o);
    if (err == 0)
        note_node(e);
    if (err == 0)
        err = claim(e, id, ret);
    if (err < 0)
        drop(v, e);
    return err;
}

/* `e`: NULL where there is none of that name. */
static int find_handed(const struct vault *v, const struct vault_entry *e,
                       const struct vault_order *o, struct text *why)
{
    if (e != NULL)
        return adopt(e, o, why);
    text_add_string(why, "systemd has handed over no socket of that name");
    list_handed(v, why);
    return -ENOENT;
}

int vault_open(struct vault *v, const struct vault_order *o, uint64_t id, struct vault_entry **ret,
               struct text *why)
{
    struct vault_entry *e = vault_find(v, o->key);
    int err = o->addr.len == 0 ? find_handed(v, e, o, why) : 0;
    if (err < 0)
        return err;
    if (e != NULL && o->addr.len > 0)
        err = open_entry(e, o);
    if (err == 0)
        err = e != NULL ? claim(e, id, ret) : open_new(v, o, id, ret);
    if (err < 0)
        text_add_string(why, error_text(err));
    return err;
}

/* --- the control socket ------------------------------------------------------------------ */

/* What the endpoint would see to at its end, the vault does: it outlives this master. */
static int open_control(struct vault_entry *e, gid_t group, struct text *why)
{
    struct endpoint endpoint;
    int err = endpoint_open(e->addr.un.sun_path, group, &endpoint, why);
    if (err < 0)
        return err;
    e->device = endpoint.device;
    e->inode = endpoint.inode;
    e->directory = endpoint.directory;
    free(endpoint.path);
    return add_fd(e, endpoint.fd);
}

static int open_new_control(struct vault *v, const char *key, const struct addr *addr, gid_t group,
                            uint64_t id, struct vault_entry **ret, struct text *why)
{
    struct vault_entry *e = entry_new(v, key, addr, false);
    if (e == NULL)
        return -ENOMEM;
    e->control = true;
    int err = open_control(e, group, why);
    if (err == 0)
        err = claim(e, id, ret);
    if (err == 0)
        store(e, 0);
    else
        drop(v, e);
    return err;
}

int vault_open_control(struct vault *v, const struct addr *addr, gid_t group, uint64_t id,
                       struct vault_entry **ret, struct text *why)
{
    char key[sizeof(CONTROL_KEY) + sizeof(addr->un.sun_path)];
    snprintf(key, sizeof(key), CONTROL_KEY "%s", addr->un.sun_path);
    struct vault_entry *e = vault_find(v, key);
    return e != NULL ? claim(e, id, ret) : open_new_control(v, key, addr, group, id, ret, why);
}

/* --- what there was before --------------------------------------------------------------- */

struct vault_entry *vault_restore(struct vault *v, const char *key, const struct addr *addr,
                                  bool any, int *fds, unsigned count)
{
    struct vault_entry *e = entry_new(v, key, addr, any);
    if (e == NULL)
        return NULL;
    e->fds = fds;
    e->count = count;
    return e;
}

/* What a descriptor that systemd has passed is called here, on the heap. Returns NULL where that is
 * not to be had: without memory, or where the store has it under a name that is not its own. */
static char *key_of(int fd, const char *name, struct addr *ret_addr, bool *ret_stored)
{
    char *key = NULL, own[sizeof(CONTROL_KEY) + LISTEN_KEY_SIZE];
    *ret_addr = (struct addr){.len = 0};
    *ret_stored = notify_is_stored(name, &key);
    if (!*ret_stored)
        return asprintf(&key, LISTEN_KEY_HANDED "%s", name) >= 0 ? key : NULL;
    if (key == NULL)
        return NULL;
    socket_local(fd, ret_addr);
    if (strncmp(key, CONTROL_KEY, strlen(CONTROL_KEY)) == 0)
        snprintf(own, sizeof(own), CONTROL_KEY "%s", ret_addr->un.sun_path);
    else
        listen_order_key(ret_addr, key[0] == ':', own);
    if (ret_addr->len > 0 && strcmp(own, key) == 0)
        return key;
    notify_unstore(key);
    free(key);
    return NULL;
}

static struct vault_entry *entry_for(struct vault *v, const char *key, const struct addr *addr)
{
    struct vault_entry *e = vault_find(v, key);
    if (e != NULL)
        return e;
    e = entry_new(v, key, addr, key[0] == ':');
    if (e != NULL) {
        e->control = strncmp(key, CONTROL_KEY, strlen(CONTROL_KEY)) == 0;
        note_node(e);
    }
    return e;
}

/* Owns: takes the descriptor. */
static int adopt_one(struct vault *v, int fd, const char *name)
{
    struct addr addr;
    bool stored;
    char *key = key_of(fd, name, &addr, &stored);
    struct vault_entry *e = key != NULL ? entry_for(v, key, &addr) : NULL;
    int err = key == NULL && stored ? 0 : -ENOMEM;
    if (e != NULL) {
        e->stored = stored;
        err = add_fd(e, fd);
    } else {
        close(fd);
    }
    free(key);
    return err;
}

int vault_adopt(struct vault *v)
{
    char **names = NULL;
    int first, count = notify_handed(&first, &names);
    int err = 0;
    for (int i = 0; i < count; i++) {
        if (adopt_one(v, first + i, names[i]) < 0)
            err = -ENOMEM;
        free(names[i]);
    }
    free(names);
    return err;
}
