/*
 * Bytes from a connection to a connection through a pipe, inside the kernel. Nothing here waits.
 *
 *      socket ──splice_fill──> [ pipe ] ──splice_drain──> socket
 *
 * SPLICE_F_MORE is not used: it can hold the tail of a stream back by 200 ms.
 */
#ifndef WEFT_IO_SPLICE_H
#define WEFT_IO_SPLICE_H

#include <stdint.h>
#include <sys/types.h>

#include "base/attr.h"
#include "io/conn.h"
#include "io/pipes.h"

/**
 * Fill an empty pipe with what is there, at most `limit` bytes.
 *
 * Returns > 0, 0 at the end of the stream, -EAGAIN when nothing is there, -EINVAL where this kind
 * of socket can't be spliced, or another -errno. Fewer bytes than the pipe takes say nothing about
 * what is left: a pipe may be full of short pieces. Urgent data stops it for good: a read goes on,
 * which is to be tried after -EAGAIN where the peer has hung up or sent such (NETPOLL_HANGUP).
 */
ssize_t splice_fill(struct pipe *p, struct conn *from, uint64_t limit) WEFT_MUSTCHECK;

/** Send what is in a pipe. Returns > 0, -EAGAIN, or -errno. Fewer bytes than the pipe has mean that
 * the rest would be refused. */
ssize_t splice_drain(struct pipe *p, struct conn *to) WEFT_MUSTCHECK;

#endif
