/*
 * The configuration, typed and immutable: made from YAML once, then only read, by any thread, for
 * as long as somebody holds a reference. Every default is filled in.
 */
#ifndef WEFT_CONF_CONF_H
#define WEFT_CONF_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/addr.h"
#include "base/attr.h"
#include "base/expand.h"
#include "base/log.h"
#include "base/prefix.h"
#include "base/text.h"

/* Where something stands in a file, from 1. */
struct conf_mark {
    const char *file;
    unsigned line;
    unsigned column;
};

enum conf_log_format { CONF_LOG_JSON, CONF_LOG_TEXT };

enum conf_hash_key { CONF_HASH_SOURCE, CONF_HASH_SOURCE_PORT };

enum conf_balance {
    CONF_ROUND_ROBIN,
    CONF_LEAST_CONN,
    CONF_RANDOM, /* the better of two */
    CONF_SOURCE_HASH,
    CONF_MAGLEV
};

enum conf_send_proxy { CONF_SEND_PROXY_OFF, CONF_SEND_PROXY_V1, CONF_SEND_PROXY_V2 };

enum conf_splice { CONF_SPLICE_AUTO, CONF_SPLICE_ON, CONF_SPLICE_OFF };

/* What becomes of connections that a reload concerns. */
enum conf_on_change { CONF_ON_CHANGE_KEEP, CONF_ON_CHANGE_DRAIN, CONF_ON_CHANGE_CLOSE };

/* A user or a group, looked up. */
struct conf_account {
    const char *name; /* its number, where it has no name */
    id_t id;
    bool given; /* in the file; else it is the default there is on this system */
    struct conf_mark mark;
};

/* The path of something that weft makes. */
struct conf_path {
    const char *path; /* NULL: off */
    bool given;       /* in the file, off included; else it is the default */
    struct conf_mark mark;
};

struct conf_process {
    unsigned workers;          /* threads; never 0: auto is worked out */
    struct conf_account user;  /* to become, where that is possible */
    struct conf_account group; /* likewise */
    struct conf_path pid_file;
    struct conf_path control; /* socket; fits into a struct sockaddr_un */
    bool pin;                 /* worker n on the n-th CPU this process may use */
    unsigned max_connections; /* 0: auto, what the descriptor limit allows */
    int64_t drain_timeout;    /* [ns] */
    int64_t busy_poll;        /* [ns] 0: off */
};

struct conf_log {
    struct log_target access;
    enum conf_log_format access_format;
    struct log_target error;
    enum log_level error_level;
};

/* An address with the text it came from, for messages. */
struct conf_address {
    char *text;
    const char *systemd; /* name of sockets that systemd hands over; NULL: it is an address */
    struct addr addr;    /* resolved; of systemd's sockets: none */
    bool any;            /* :PORT, both families */
    struct conf_mark mark;
};

struct conf_keepalive {
    int64_t idle;     /* [ns] 0: off */
    int64_t interval; /* [ns] */
    unsigned count;
};

/* So many events in each period. */
struct conf_rate {
    unsigned count; /* 0: no limit */
    int64_t period; /* [ns] */
};

/* Which connections a pool takes: those that every list which is not empty has something for. */
struct conf_route {
    char **names; /* server names, in small letters; "*.example.org" has all that end so */
    size_t name_count;
    struct prefix *sources;
    size_t source_count;
    char **protocols; /* of ALPN */
    size_t protocol_count;
    const struct conf_pool *pool;
};

struct conf_listener {
    char *name;
    struct conf_mark mark;
    struct conf_address *binds;
    size_t bind_count;
    const struct conf_pool *pool; /* NULL: there are routes */
    struct conf_route *routes;    /* in the order in which they are tried */
    size_t route_count;
    int64_t sni_timeout; /* [ns] 0: idle_timeout */
    bool accept_proxy;
    struct prefix *allow; /* none: everybody */
    size_t allow_count;
    struct prefix *deny;
    size_t deny_count;
    unsigned max_connections_per_source;         /* 0: unlimited */
    struct conf_rate connection_rate_per_source; /* count 0: unlimited */
    int64_t max_connection_age;                  /* [ns] 0: unlimited */
    int64_t idle_timeout;                        /* [ns] 0: never */
    int64_t half_close_timeout;                  /* [ns] 0: never */
    unsigned max_connections;                    /* 0: unlimited */
    enum conf_on_change on_change;
    enum conf_splice splice;
    bool nodelay;
    struct conf_keepalive keepalive;
    unsigned backlog;
    int64_t defer_accept;    /* [ns] 0: off */
    unsigned fastopen;       /* queue length; 0: off */
    uint64_t receive_buffer; /* [bytes] 0: the kernel's own tuning */
    uint64_t send_buffer;    /* [bytes] 0: the kernel's own tuning */
};

struct conf_queue {
    unsigned size;   /* connections; 0: none waits */
    int64_t timeout; /* [ns] 0: as long as it takes */
};

/* When a server that fails is left alone. */
struct conf_outlier {
    unsigned failures;    /* 0: never */
    int64_t window;       /* [ns] */
    int64_t eject;        /* [ns] */
    unsigned max_ejected; /* [per cent] of the pool's servers */
};

struct conf_server {
    char *name; /* as configured, else the address as written */
    struct conf_address address;
    unsigned weight;          /* 1 to 256 */
    unsigned max_connections; /* 0: unlimited */
    bool backup;
};

/* What connections to servers are bound to. */
struct conf_outgoing {
    bool transparent; /* to the client's address */
    struct addr addr; /* port 0; len 0: to nothing */
};

struct conf_pool {
    char *name;
    struct conf_mark mark;
    enum conf_balance balance;
    enum conf_hash_key hash_key;
    struct conf_server *servers;
    size_t server_count;
    int64_t connect_timeout; /* [ns] 0: the kernel's */
    enum conf_send_proxy send_proxy;
    unsigned retries; /* other servers tried when a connect fails */
    struct conf_queue queue;
    struct conf_outlier outlier;
    int64_t slow_start; /* [ns] 0: off */
};

struct conf {
    struct conf_process process;
    struct conf_log log;
    struct conf_listener *listeners;
    size_t listener_count;
    struct conf_pool *pools;
    size_t pool_count;
};

/* What is wrong with a file, in the order of its lines. */
struct conf_faults;

/* Where a configuration is read from, by a process that may not open all of it. */
struct conf_source {
    const char *path; /* of the main file: its name in messages, and where relative ones begin */
    int fd;           /* the main file, open already; the caller's. -1: opened by its path */

    /* What opens included files, as expand_open() does; NULL: that itself. */
    int (*expand)(void *arg, const char *pattern, expand_fn *take, void *taker);
    void *arg; /* for it */
};

/**
 * Read a file, and those that it includes.
 *
 * May block in the resolver: for start-up and the control thread, never on a fiber.
 * Returns 0 with a reference in `*ret`; -WEFT_ECONF with `*ret_faults`, which the caller frees,
 * holding every fault (a file that can't be read is one too).
 */
int conf_load(const char *path, const struct conf **ret,
              struct conf_faults **ret_faults) WEFT_MUSTCHECK;

/** As conf_load(), from files that others may have to open. */
int conf_load_from(const struct conf_source *source, const struct conf **ret,
                   struct conf_faults **ret_faults) WEFT_MUSTCHECK;

/**
 * Quick mode: a configuration of one listener and one pool, both called "quick", from addresses
 * on the command line. Faults speak of `--listen` and `--backend`.
 */
int conf_quick(const char *const *listen, size_t listen_count, const char *const *backend,
               size_t backend_count, const struct conf **ret,
               struct conf_faults **ret_faults) WEFT_MUSTCHECK;

/** Take another reference. Thread: any. */
const struct conf *conf_ref(const struct conf *c);

/** Drop a reference; the last one frees it. NULL is fine. Thread: any. */
void conf_unref(const struct conf *c);

/** Write the effective configuration as YAML that conf_load() takes, every default filled in. */
void conf_dump(const struct conf *c, struct text *out);

/** Write the faults, one `FILE:LINE:COL: error: WHAT` a line. */
void conf_faults_write(const struct conf_faults *f, struct text *out);

size_t conf_faults_count(const struct conf_faults *f);

/** NULL is fine. */
void conf_faults_free(struct conf_faults *f);

#endif
