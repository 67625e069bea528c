/*
 * The vault: every socket that listens, held for as long as any worker process has a claim to it.
 * A worker process gets copies; it may die, and what clients have queued up is still there.
 *
 *      key                        sockets                 claims
 *      "10.0.0.1:80"              one a worker thread     processes 4, 5
 *      "unix:/run/app.sock"       one                     process 5
 *      "systemd:web"              as systemd handed over  process 5
 *      "control:/run/weft/c.sock" one, mode 0660          process 5
 *
 * The number of an address's sockets only grows: were one closed, what has queued up on it would be
 * lost.
 */
#ifndef WEFT_MASTER_VAULT_H
#define WEFT_MASTER_VAULT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/addr.h"
#include "base/attr.h"
#include "base/list.h"
#include "base/socket.h"
#include "base/text.h"

struct vault_entry {
    struct list link;
    char *key;        /* owned */
    struct addr addr; /* len 0: handed over by systemd under the key's name */
    bool any;         /* :PORT, both families */
    bool control;     /* the control socket, which outlasts the others at a stop */
    bool stored;      /* systemd's descriptor store has copies */
    dev_t device;     /* of what was made at a UNIX path; nothing else is removed there */
    ino_t inode;      /* likewise; 0: nothing is known of it */
    char *directory;  /* owned; that was made for the control socket; NULL: it was there */
    int *fds;         /* owned, as are they */
    unsigned count;
    uint64_t *claims; /* owned; ids of processes */
    unsigned claim_count;
};

struct vault {
    struct list entries;
    void *index; /* by key; of the C library's tree */
};

/* What is asked for. */
struct vault_order {
    const char *key;
    struct addr addr; /* len 0: what systemd has handed over under this key */
    bool any;
    unsigned count; /* TCP sockets wanted, at the least */
    const struct socket_listen_options *options;
};

void vault_init(struct vault *v);

/**
 * Take the sockets that systemd has passed: what an earlier master has put into the descriptor
 * store, and what socket units hand over. To be called once. Returns 0 or -ENOMEM.
 */
int vault_adopt(struct vault *v) WEFT_MUSTCHECK;

/**
 * Have sockets listen, unless they do already, and enter a claim of process `id`.
 *
 * Where there are fewer than wanted, those that are missing are only bound: they listen when
 * somebody accepts from them (socket_listen_on()). The key is the address's own, see
 * ctl/listen_order.h. Returns 0 with the entry, or -errno with the reason added to `why`,
 * everything being as before. Owns: the vault.
 */
int vault_open(struct vault *v, const struct vault_order *o, uint64_t id, struct vault_entry **ret,
               struct text *why) WEFT_MUSTCHECK;

/**
 * As vault_open, for the control socket at `addr`: one that accepts its owner's and `group`'s
 * connections alone. Where its path's directory is missing it is made.
 */
int vault_open_control(struct vault *v, const struct addr *addr, gid_t group, uint64_t id,
                       struct vault_entry **ret, struct text *why) WEFT_MUSTCHECK;

/** The entry of a key; NULL: there is none. */
struct vault_entry *vault_find(const struct vault *v, const char *key);

/** Withdraw a process's claim to a key. The socket stays until vault_sweep(). */
void vault_forget(struct vault *v, const char *key, uint64_t id);

/** Withdraw all claims of a process. */
void vault_forget_all(struct vault *v, uint64_t id);

/** Have the claims of a process that died stand for the master itself (id 0), until another process
 * has taken over. */
void vault_inherit(struct vault *v, uint64_t id);

/** Close what nobody claims, and remove its path unless something else is there now. What systemd's
 * units own stays. */
void vault_sweep(struct vault *v);

/** Enter an entry as it was in another life of this process. Owns: the vault, `fds` too. Returns
 * the entry or NULL without memory. */
struct vault_entry *vault_restore(struct vault *v, const char *key, const struct addr *addr,
                                  bool any, int *fds, unsigned count) WEFT_MUSTCHECK;

/** Enter a claim. Returns 0 or -ENOMEM. */
int vault_claim(struct vault_entry *e, uint64_t id) WEFT_MUSTCHECK;

/** As vault_close, but for the control socket: whoever connects now is refused. */
void vault_close_listeners(struct vault *v);

/** Close everything and remove the paths. */
void vault_close(struct vault *v);

#endif
