/*
 * The control server: weftctl's other end, on the control thread.
 *
 *      accept ── not for them, or too many ──> an error, close
 *         │
 *      client ── a fiber each: request ── command ── reply ──┐
 *         │          ^───────────────────────────────────────┘
 *         └── nothing asked for a minute, gone, or not our protocol ──> close
 */
#ifndef WEFT_WORKER_CONTROL_SERVER_H
#define WEFT_WORKER_CONTROL_SERVER_H

#include <stdint.h>
#include <sys/types.h>

#include "base/attr.h"
#include "base/text.h"
#include "conf/conf.h"

struct control;
struct control_server;
struct limits;
struct opener;
struct proxy;

struct control_server_options {
    int fd;        /* listening, non-blocking, owned; -1: there is none */
    gid_t group;   /* whose members may give orders, beside root and this process's own user */
    pid_t master;  /* process id */
    int64_t since; /* [monotonic ns] when the master was started */
    struct control *control;     /* not owned: what the commands are about */
    const struct limits *limits; /* not owned */
    struct proxy *const *proxy;  /* not owned: the generation in use, wherever it is kept */
};

/**
 * Open the socket that a configuration has, by way of the opener: at the start, as the user that
 * weft was started as.
 *
 * One that was asked for must be had. Without the default one weft goes on, as it must for a user
 * who has no right to it, or beside another weft: `no_server` is told why then.
 * Returns 0, with a descriptor in `ret` or -1, or -errno with the reason added to `why`.
 */
int control_server_open(struct control_server_options *ret, const struct conf_process *conf,
                        struct opener *o, struct text *no_server, struct text *why) WEFT_MUSTCHECK;

/** Close the socket, once nobody is served. Fine on one that is closed. */
void control_server_close(struct control_server_options *o);

/**
 * Serve control clients. Returns NULL when there is no socket or no memory. Owns: takes the
 * descriptor, unless it returns NULL. Thread: control, a fiber.
 */
struct control_server *control_server_start(struct control_server_options *o) WEFT_MUSTCHECK;

/** Accept no more clients, and close the socket: those that come are another process's. NULL is
 * fine. */
void control_server_retire(struct control_server *s);

/** Wait until every client has left, until `deadline` [monotonic ns] at most. Yields. NULL is fine.
 */
void control_server_settle(struct control_server *s, int64_t deadline);

/** End with every client, whatever it waits for. Yields. NULL is fine. */
void control_server_stop(struct control_server *s);

#endif
