/* The conversation with one client of the control socket: a request, its reply, the next one. */
#ifndef WEFT_WORKER_CONTROL_CLIENT_H
#define WEFT_WORKER_CONTROL_CLIENT_H

#include "base/attr.h"
#include "base/list.h"
#include "ctl/frame.h"
#include "fiber/fiber.h"
#include "io/conn.h"
#include "io/reader.h"
#include "worker/commands.h"

struct control_client;

struct control_client_options {
    int fd;              /* connected, non-blocking */
    struct call about;   /* what its commands are told */
    const char *refusal; /* NULL; or all that it gets to hear */
    int64_t patience;    /* [ns] for each request to come, and for each frame of a reply to go */
    void (*ended)(struct control_client *c); /* on the loop's stack; calls control_client_free() */
    void *arg;                               /* of `ended` */
};

struct control_client {
    struct fiber fiber; /* cancelled, it ends */
    struct list link;   /* the server's */
    struct control_client_options options;
    struct conn conn;
    struct stream input; /* the conn's, with what else comes along */
    int passed;          /* descriptor that came with the request, owned; -1: none */
    struct reader reader;
    struct frame_decoder decoder; /* of requests */
    struct reply reply;           /* the present one */
    struct text frame;            /* what is being sent */
    struct text why;              /* what was wrong with the request, or went wrong with it */
};

/**
 * Begin to talk to a client, on a fiber of its own.
 *
 * Returns NULL without memory. Owns: the descriptor, from success on.
 */
struct control_client *control_client_start(const struct control_client_options *o) WEFT_MUSTCHECK;

void control_client_free(struct control_client *c);

#endif
