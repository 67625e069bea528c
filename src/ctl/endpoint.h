/*
 * The control socket's place in the file system: taken at the start, left at the end.
 */
#ifndef WEFT_CTL_ENDPOINT_H
#define WEFT_CTL_ENDPOINT_H

#include <sys/types.h>

#include "base/attr.h"
#include "base/text.h"

struct endpoint {
    int fd;          /* listening, non-blocking, owned; -1: none */
    char *path;      /* owned */
    gid_t group;     /* whose members may connect */
    dev_t device;    /* of what was made at `path` */
    ino_t inode;     /* of what was made at `path` */
    char *directory; /* owned; that was made for it, NULL: it was there */
};

/**
 * Listen at `path` with mode 0660, for the owner and `group` ((gid_t)-1: as the system has it).
 *
 * A directory that is missing is made; a socket that nobody listens on any more is replaced.
 * Returns 0; -EADDRINUSE where somebody does, or another -errno, with a line on it added to `why`.
 * May block for a second: for start-up, never on a fiber.
 */
int endpoint_open(const char *path, gid_t group, struct endpoint *ret,
                  struct text *why) WEFT_MUSTCHECK;

/**
 * Close it, and remove what it made, unless somebody else has put something in its place. Fine on
 * one that is closed.
 */
void endpoint_close(struct endpoint *e);

/**
 * Connect to the socket of a daemon, non-blocking.
 *
 * Returns the descriptor, which the caller owns, or -errno: -ENOENT or -ECONNREFUSED where there is
 * no daemon, -EAGAIN where its queue is full, -ENAMETOOLONG.
 */
int endpoint_connect(const char *path) WEFT_MUSTCHECK;

#endif
