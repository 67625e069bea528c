/* Who is at the other end of a UNIX connection, and whether they may give orders. */
#ifndef WEFT_WORKER_PEER_H
#define WEFT_WORKER_PEER_H

#include <sys/socket.h>
#include <sys/types.h>

#include "base/attr.h"

/**
 * Whether the process that has connected may give orders: root, whoever this process runs as, and
 * the members of `group` may.
 *
 * Returns 0; -EACCES when it may not, with who it is in `*ret_peer`; or another -errno.
 */
int peer_check(int fd, gid_t group, struct ucred *ret_peer) WEFT_MUSTCHECK;

#endif
