/* What tests of the master have in common: a directory, a port, descriptors counted. */
#ifndef MASTER_PLACES_H
#define MASTER_PLACES_H

#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/addr.h"
#include "unit.h"

static char directory[64]; /* of this test's own, without a slash at its end */

static inline void make_directory(void)
{
    strcpy(directory, "/tmp/weft-master-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
}

static inline void remove_directory(void)
{
    char command[128];
    snprintf(command, sizeof(command), "rm -r %s", directory);
    ck_assert_int_eq(system(command), 0);
}

/* A path in the directory; in place until the eighth call after. */
static inline char *path_of(const char *name)
{
    static char paths[8][128];
    static unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof(paths[0]), "%s/%s", directory, name);
    return path;
}

static inline void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    fputs(text, f);
    fclose(f);
}

/* What a descriptor is open on, from its beginning; in place until the next call. */
static inline const char *text_of(int fd)
{
    static char text[4096];
    ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
    ck_assert_int_ge(n, 0);
    text[n] = '\0';
    return text;
}

static inline const char *content(const char *path)
{
    int fd = open(path, O_RDONLY);
    ck_assert_msg(fd >= 0, "%s", path);
    const char *text = text_of(fd);
    close(fd);
    return text;
}

static inline bool is_there(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

static inline unsigned open_descriptors(void)
{
    unsigned count = 0;
    DIR *d = opendir("/proc/self/fd");
    ck_assert_ptr_nonnull(d);
    while (readdir(d) != NULL)
        count++;
    closedir(d);
    return count;
}

static inline struct addr address(const char *text)
{
    struct addr_spec spec;
    const char *why = "?";
    ck_assert_msg(addr_parse(text, &spec, &why) == 0, "%s: %s", text, why);
    return spec.addr;
}

static inline struct addr unix_address(const char *path)
{
    char text[160];
    snprintf(text, sizeof(text), "unix:%s", path);
    return address(text);
}

/* The text of an address that is this process's alone; in place until the next call. */
static inline const char *own_address(unsigned port)
{
    static char text[32];
    unsigned pid = (unsigned)getpid();
    snprintf(text, sizeof(text), "127.%u.%u.%u:%u", 1 + (pid >> 16) % 250, (pid >> 8) % 256,
             pid % 256, port);
    return text;
}

/* A listening socket as another program may have it. */
static inline int listen_as_another(const struct addr *a, bool reuse_port)
{
    int one = 1, fd = socket(a->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (a->sa.sa_family != AF_UNIX)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (reuse_port)
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
    ck_assert_int_eq(bind(fd, &a->sa, a->len), 0);
    ck_assert_int_eq(listen(fd, 4), 0);
    return fd;
}

/* Whether somebody listens there. */
static inline bool accepts(const struct addr *a)
{
    int fd = socket(a->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool yes = connect(fd, &a->sa, a->len) == 0;
    close(fd);
    return yes;
}

#endif
