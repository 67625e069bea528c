#include "io/splice.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define FLAGS (SPLICE_F_MOVE | SPLICE_F_NONBLOCK)

ssize_t splice_fill(struct pipe *p, struct conn *from, uint64_t limit)
{
    if (!conn_readable(from))
        return -EAGAIN;
    size_t most = limit < p->size ? (size_t)limit : p->size;
    from->poll.ready &= (uint8_t)~NETPOLL_READ;
    ssize_t got = TEMP_FAILURE_RETRY(splice(from->poll.fd, NULL, p->in, NULL, most, FLAGS));
    if (got < 0)
        got = -errno;
    if (got > 0)
        p->length = (size_t)got;
    if (got > 0 || got == -EINVAL)
        from->poll.ready |= NETPOLL_READ;
    return got;
}

ssize_t splice_drain(struct pipe *p, struct conn *to)
{
    if ((to->poll.ready & (NETPOLL_WRITE | NETPOLL_ERROR)) == 0)
        return -EAGAIN;
    ssize_t put = TEMP_FAILURE_RETRY(splice(p->out, NULL, to->poll.fd, NULL, p->length, FLAGS));
    if (put < 0 ? errno == EAGAIN : (size_t)put < p->length)
        to->poll.ready &= (uint8_t)~NETPOLL_WRITE;
    if (put < 0)
        return -errno;
    to->connecting = false;
    p->length -= (size_t)put;
    return put;
}
