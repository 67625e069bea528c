/* Asking the running daemon, over its control socket. */
#ifndef WEFT_CMD_CLIENT_H
#define WEFT_CMD_CLIENT_H

#include <jansson.h>
#include <stdbool.h>

#include "base/attr.h"
#include "base/text.h"

/* What has come back. */
struct answer {
    json_t *rows;   /* owned; an array of objects */
    json_t *faults; /* owned; an array of strings */
    bool done;      /* all of it has come, and it was no failure */
};

/**
 * Connect to the daemon's socket; waits some seconds where too many others do so, too.
 *
 * Returns the descriptor, which the caller owns, or -errno: -ENOENT and -ECONNREFUSED say that no
 * daemon is there.
 */
int client_connect(const char *path) WEFT_MUSTCHECK;

/** Whether client_connect() says that no daemon is there. */
bool client_found_nobody(int err);

/** Say why client_connect() has failed. */
void client_explain(const char *path, int err, struct text *why);

/**
 * Send a request, with a copy of the descriptor `passed` (-1: none), and wait for all of its
 * answer, however long that takes.
 *
 * Returns 0 with `ret->done` or, where the daemon has refused or failed, its reason in `why`;
 * -errno with a reason in `why`, where there is no such answer. The caller frees the answer in any
 * case.
 */
int client_ask(int fd, const json_t *request, int passed, struct answer *ret,
               struct text *why) WEFT_MUSTCHECK;

void answer_free(struct answer *a);

#endif
