#include "ctl/endpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"

#define BACKLOG        64
#define MODE           0660
#define DIRECTORY_MODE 0755
#define LOCK_TRIES     100
#define LOCK_PAUSE     10000000 /* [ns] between two tries */

static int open_socket(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    return fd >= 0 ? fd : -errno;
}

static int make_address(const char *path, struct sockaddr_un *ret)
{
    size_t n = strlen(path);
    if (n >= sizeof(ret->sun_path))
        return -ENAMETOOLONG;
    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(ret->sun_path, path, n);
    return 0;
}

int endpoint_connect(const char *path)
{
    struct sockaddr_un address;
    int err = make_address(path, &address);
    if (err < 0)
        return err;
    int fd = open_socket();
    if (fd < 0)
        return fd;
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    err = -errno;
    close(fd);
    return err;
}

/* --- the directory ----------------------------------------------------------------------- */

/* The directory of a path, on the heap. Returns NULL without memory. */
static char *directory_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        return strdup(".");
    return slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
}

/*
 * Two that start at once must not take each other's socket, bound and not yet listening, for one
 * that was left over. The lock is the directory's own, so that nothing more lies around; who can't
 * have it within a second goes on without.
 */
static int lock_directory(const char *directory)
{
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    const struct timespec pause = {.tv_nsec = LOCK_PAUSE};
    for (int i = 0; i < LOCK_TRIES && flock(fd, LOCK_EX | LOCK_NB) != 0; i++)
        nanosleep(&pause, NULL);
    return fd;
}

/* --- taking the path --------------------------------------------------------------------- */

static void say_taken(const char *path, int fd, struct text *why)
{
    struct ucred peer = {.pid = 0};
    socklen_t len = sizeof(peer);
    if (fd >= 0 && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && peer.pid > 0)
        text_format(why, "weft is already running: pid %d listens on %s", (int)peer.pid, path);
    else
        text_format(why, "weft is already running: somebody listens on %s", path);
}

/*
 * Make way at a path that something is at: only a socket that refuses a connection is removed. A
 * full queue (-EAGAIN) has somebody behind it, a missing right (-EACCES) may have.
 */
static int remove_left_over(const char *path, struct text *why)
{
    struct stat st;
    if (lstat(path, &st) != 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISSOCK(st.st_mode))
        return -EEXIST;
    int fd = endpoint_connect(path);
    if (fd == -ECONNREFUSED)
        return unlink(path) == 0 ? 0 : -errno;
    if (fd >= 0 || fd == -EAGAIN) {
        say_taken(path, fd, why);
        if (fd >= 0)
            close(fd);
        return -EADDRINUSE;
    }
    return fd == -ENOENT ? 0 : fd;
}

/*
 * Make the socket's node at its path with the right mode from the start. The umask is the whole
 * process's, and as it was again at once.
 */
static int bind_node(int fd, const char *path)
{
    struct sockaddr_un address;
    int err = make_address(path, &address);
    if (err < 0)
        return err;
    mode_t umask_before = umask(0777 & ~MODE);
    if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) != 0)
        err = -errno;
    umask(umask_before);
    return err;
}

/* By a descriptor of the node: who may write to the directory must not lead us elsewhere. */
static int own_node(struct endpoint *e, int node, gid_t group)
{
    struct stat st;
    if (group != (gid_t)-1 && fchownat(node, "", (uid_t)-1, group, AT_EMPTY_PATH) != 0)
        return -errno;
    if (fstat(node, &st) != 0)
        return -errno;
    if (!S_ISSOCK(st.st_mode))
        return -EEXIST;
    e->group = st.st_gid;
    e->device = st.st_dev;
    e->inode = st.st_ino;
    return 0;
}

static int take_node(struct endpoint *e, gid_t group)
{
    int node = open(e->path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (node < 0)
        return -errno;
    int err = own_node(e, node, group);
    close(node);
    return err;
}

/* Nobody can connect before listen(): the group is set in time. */
static int listen_at(struct endpoint *e, gid_t group)
{
    e->fd = open_socket();
    if (e->fd < 0)
        return e->fd;
    int err = bind_node(e->fd, e->path);
    if (err < 0)
        return err;
    err = take_node(e, group);
    if (err == 0 && listen(e->fd, BACKLOG) != 0)
        err = -errno;
    if (err < 0)
        unlink(e->path);
    return err;
}

static int take_path(struct endpoint *e, gid_t group, struct text *why)
{
    char *directory = directory_of(e->path);
    if (directory == NULL)
        return -ENOMEM;
    if (mkdir(directory, DIRECTORY_MODE) == 0)
        e->directory = strdup(directory); /* without memory it is not removed */
    int lock = lock_directory(directory);
    int err = remove_left_over(e->path, why);
    if (err == 0)
        err = listen_at(e, group);
    if (lock >= 0)
        close(lock);
    free(directory);
    return err;
}

int endpoint_open(const char *path, gid_t group, struct endpoint *ret, struct text *why)
{
    struct endpoint e = {.fd = -1, .path = strdup(path)};
    size_t said = why->length;
    int err = e.path != NULL ? take_path(&e, group, why) : -ENOMEM;
    if (err == 0) {
        *ret = e;
        return 0;
    }
    if (why->length == said)
        text_format(why, "cannot listen on %s: %s", path, error_text(err));
    if (e.fd >= 0)
        close(e.fd);
    free(e.directory);
    free(e.path);
    return err;
}

void endpoint_close(struct endpoint *e)
{
    struct stat st;
    if (e->path == NULL)
        return;
    if (lstat(e->path, &st) == 0 && st.st_dev == e->device && st.st_ino == e->inode)
        unlink(e->path);
    if (e->directory != NULL)
        rmdir(e->directory);
    if (e->fd >= 0)
        close(e->fd);
    free(e->directory);
    free(e->path);
    *e = (struct endpoint){.fd = -1};
}
