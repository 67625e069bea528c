#include "master/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/expand.h"

#define COPY_CHUNK (1 << 20)  /* [bytes] */
#define COPY_MAX   (64 << 20) /* [bytes] a worker process refuses far smaller files */

static void file_close(struct snapshot_file *f)
{
    if (f->fd >= 0)
        close(f->fd);
    f->fd = -1;
    free(f->path);
    f->path = NULL;
}

/* --- copying ----------------------------------------------------------------------------- */

static int write_all(int to, const char *bytes, size_t n)
{
    while (n > 0) {
        ssize_t written = write(to, bytes, n);
        if (written < 0 && errno != EINTR)
            return -errno;
        if (written > 0) {
            bytes += written;
            n -= (size_t)written;
        }
    }
    return 0;
}

/* By read and write: the source may be a pipe. */
static int copy(int from, int to)
{
    char *chunk = malloc(COPY_CHUNK);
    if (chunk == NULL)
        return -ENOMEM;
    int err = 0;
    size_t sum = 0;
    for (;;) {
        ssize_t n = read(from, chunk, COPY_CHUNK);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            err = n < 0 ? -errno : 0;
            break;
        }
        sum += (size_t)n;
        err = sum <= COPY_MAX ? write_all(to, chunk, (size_t)n) : -EFBIG;
        if (err < 0)
            break;
    }
    free(chunk);
    return err;
}

/* Copy an open file. Sealed, so that a worker process can't change what the next one gets. */
static int copy_of(int from)
{
    int to = memfd_create("weft-configuration", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (to < 0)
        return -errno;
    int err = copy(from, to);
    if (err == 0 && fcntl(to, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
        err = -errno;
    if (err == 0)
        return to;
    close(to);
    return err;
}

/* Take an open file, or the error of opening it. Returns 0 or -ENOMEM. */
static int file_take(struct snapshot_file *f, const char *path, int from)
{
    f->fd = from >= 0 ? copy_of(from) : from;
    if (from >= 0)
        close(from);
    f->path = strdup(path);
    return f->path != NULL ? 0 : -ENOMEM;
}

static int take_main(struct snapshot *s, const char *path)
{
    int from = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    int err = file_take(&s->main, path, from >= 0 ? from : -errno);
    return err == 0 && s->main.fd < 0 ? s->main.fd : err;
}

int snapshot_take(const char *path, struct snapshot **ret)
{
    struct snapshot *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return -ENOMEM;
    s->references = 1;
    s->main.fd = -1;
    int err = path != NULL ? take_main(s, path) : 0;
    if (err < 0)
        snapshot_unref(s);
    else
        *ret = s;
    return err;
}

int snapshot_open(const struct snapshot_file *f)
{
    char path[64];
    if (f->fd < 0)
        return f->fd;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", f->fd);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd >= 0 ? fd : -errno;
}

/* --- includes ---------------------------------------------------------------------------- */

static void include_close(struct snapshot_include *i)
{
    for (unsigned n = 0; n < i->count; n++)
        file_close(&i->files[n]);
    free(i->files);
    free(i->pattern);
    *i = (struct snapshot_include){.pattern = NULL};
}

/* An expand_fn. */
static int take_match(void *arg, const char *path, int fd)
{
    struct snapshot_include *i = arg;
    struct snapshot_file *more = realloc(i->files, (i->count + 1) * sizeof(*more));
    if (more == NULL) {
        if (fd >= 0)
            close(fd);
        return -ENOMEM;
    }
    i->files = more;
    return file_take(&i->files[i->count++], path, fd);
}

static struct snapshot_include *include_new(struct snapshot *s, const char *pattern)
{
    struct snapshot_include *more = realloc(s->includes, (s->include_count + 1) * sizeof(*more));
    if (more == NULL)
        return NULL;
    s->includes = more;
    struct snapshot_include *i = &s->includes[s->include_count];
    *i = (struct snapshot_include){.pattern = strdup(pattern)};
    if (i->pattern == NULL)
        return NULL;
    s->include_count++;
    return i;
}

static struct snapshot_include *include_find(struct snapshot *s, const char *pattern)
{
    for (unsigned n = 0; n < s->include_count; n++) {
        if (strcmp(s->includes[n].pattern, pattern) == 0)
            return &s->includes[n];
    }
    return NULL;
}

int snapshot_include(struct snapshot *s, const char *pattern, const struct snapshot_include **ret)
{
    struct snapshot_include *i = include_find(s, pattern);
    if (i == NULL) {
        i = include_new(s, pattern);
        if (i == NULL)
            return -ENOMEM;
        i->error = expand_open(pattern, take_match, i);
    }
    *ret = i;
    return i->error;
}

/* --- references, and the state that outlives an upgrade ---------------------------------- */

struct snapshot *snapshot_ref(struct snapshot *s)
{
    s->references++;
    return s;
}

void snapshot_unref(struct snapshot *s)
{
    if (s == NULL || --s->references > 0)
        return;
    file_close(&s->main);
    for (unsigned i = 0; i < s->include_count; i++)
        include_close(&s->includes[i]);
    free(s->includes);
    free(s);
}

static json_t *file_save(const struct snapshot_file *f)
{
    return json_pack("{s:s?, s:i}", "path", f->path, "fd", f->fd);
}

json_t *snapshot_save(const struct snapshot *s)
{
    json_t *includes = json_array();
    for (unsigned i = 0; i < s->include_count; i++) {
        json_t *files = json_array();
        for (unsigned n = 0; n < s->includes[i].count; n++)
            json_array_append_new(files, file_save(&s->includes[i].files[n]));
        json_array_append_new(
            includes, json_pack("{s:s, s:o}", "pattern", s->includes[i].pattern, "files", files));
    }
    return json_pack("{s:o, s:o}", "main", file_save(&s->main), "includes", includes);
}

static int file_load(struct snapshot_file *f, const json_t *saved)
{
    const char *path = json_string_value(json_object_get(saved, "path"));
    const json_t *fd = json_object_get(saved, "fd");
    f->fd = json_is_integer(fd) ? (int)json_integer_value(fd) : -1;
    f->path = path != NULL ? strdup(path) : NULL;
    return (path == NULL) == (f->path == NULL) && json_is_integer(fd) ? 0 : -EPROTO;
}

static int include_load(struct snapshot *s, const json_t *saved)
{
    const char *pattern = json_string_value(json_object_get(saved, "pattern"));
    const json_t *files = json_object_get(saved, "files");
    struct snapshot_include *i = pattern != NULL ? include_new(s, pattern) : NULL;
    if (i == NULL)
        return -EPROTO;
    i->error = (int)json_integer_value(json_object_get(saved, "error"));
    i->files = calloc(json_array_size(files) + 1, sizeof(*i->files));
    if (i->files == NULL)
        return -ENOMEM;
    for (size_t n = 0; n < json_array_size(files); n++) {
        int err = file_load(&i->files[i->count++], json_array_get(files, n));
        if (err < 0)
            return err;
    }
    return 0;
}

struct snapshot *snapshot_load(const json_t *saved)
{
    struct snapshot *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return NULL;
    s->references = 1;
    int err = file_load(&s->main, json_object_get(saved, "main"));
    const json_t *includes = json_object_get(saved, "includes");
    for (size_t i = 0; err == 0 && i < json_array_size(includes); i++)
        err = include_load(s, json_array_get(includes, i));
    if (err == 0)
        return s;
    snapshot_unref(s);
    return NULL;
}
