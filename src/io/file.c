#include "io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static struct file_stream *file_of(struct stream *s)
{
    return container_of(s, struct file_stream, stream);
}

static ssize_t file_readv(struct stream *s, const struct iovec *iov, int n)
{
    ssize_t got = TEMP_FAILURE_RETRY(readv(file_of(s)->fd, iov, n));
    return got < 0 ? -errno : got;
}

static ssize_t file_writev(struct stream *s, const struct iovec *iov, int n)
{
    ssize_t put = TEMP_FAILURE_RETRY(writev(file_of(s)->fd, iov, n));
    return put < 0 ? -errno : put;
}

static int file_shutdown(struct stream *s)
{
    (void)s;
    return 0;
}

static void file_close(struct stream *s)
{
    struct file_stream *f = file_of(s);
    if (f->fd >= 0)
        close(f->fd);
    f->fd = -1;
}

static const struct stream_ops file_ops = {
    .readv = file_readv,
    .writev = file_writev,
    .shutdown = file_shutdown,
    .close = file_close,
};

int file_stream_open(struct file_stream *f, const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0640);
    if (fd < 0)
        return -errno;
    f->stream.ops = &file_ops;
    f->fd = fd;
    return 0;
}
