#include "master/snapshot.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/expand.h"
#include "base/text.h"
#include "ctl/message.h"
#include "master/spare.h"

#define COPY_CHUNK   (1 << 20)  /* [bytes] */
#define COPY_MAX     (17 << 20) /* [bytes] of a file; a configuration may have a little less */
#define SIZE_MAX_ALL (64 << 20) /* [bytes] of a snapshot */
#define INCLUDES_MAX 1000       /* patterns of a snapshot */
#define WRITER_LIMIT 5000       /* [ms] to wait for what is to be read from a FIFO */

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

/* Returns how much was read, 0 at the end, or -errno. */
static ssize_t read_some(int from, char *chunk, size_t n)
{
    for (;;) {
        ssize_t got = read(from, chunk, n);
        if (got >= 0)
            return got;
        struct pollfd wait = {.fd = from, .events = POLLIN};
        if (errno == EAGAIN && poll(&wait, 1, WRITER_LIMIT) == 0)
            return -ETIMEDOUT;
        if (errno != EINTR && errno != EAGAIN)
            return -errno;
    }
}

/* By read and write: the source may be a pipe. Returns the size or -errno. */
static ssize_t copy(int from, int to)
{
    char *chunk = malloc(COPY_CHUNK);
    if (chunk == NULL)
        return -ENOMEM;
    ssize_t sum = 0, got;
    while (sum < COPY_MAX && (got = read_some(from, chunk, COPY_CHUNK)) != 0) {
        int err = got < 0 ? (int)got : write_all(to, chunk, (size_t)got);
        sum = err < 0 ? err : sum + got;
        if (err < 0)
            break;
    }
    free(chunk);
    return sum;
}

/* Copy an open file. Sealed, so that a worker process can't change what the next one gets. */
static int copy_of(struct snapshot *s, int from)
{
    int fd = memfd_create("weft-configuration", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    int to = fd >= 0 ? spare_check(fd) : -errno;
    if (to < 0)
        return to;
    ssize_t size = copy(from, to);
    int err = size < 0 ? (int)size : 0;
    if (err == 0 && fcntl(to, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
        err = -errno;
    if (err == 0 && (s->size += (size_t)size) > SIZE_MAX_ALL)
        err = -EFBIG;
    if (err == 0)
        return to;
    close(to);
    return err;
}

static const struct snapshot_file *find_same(const struct snapshot_file *files, unsigned count,
                                             const struct snapshot_file *sought)
{
    for (unsigned n = 0; n < count; n++) {
        if (files[n].fd >= 0 && files[n].device == sought->device &&
            files[n].inode == sought->inode)
            return &files[n];
    }
    return NULL;
}

/* A file that was copied under another name, or for another pattern: it must be known as the same.
 */
static const struct snapshot_file *find_copy(const struct snapshot *s,
                                             const struct snapshot_include *also,
                                             const struct snapshot_file *sought)
{
    const struct snapshot_file *same = find_same(&s->main, 1, sought);
    if (same == NULL && also != NULL)
        same = find_same(also->files, also->count, sought);
    for (unsigned i = 0; same == NULL && i < s->include_count; i++)
        same = find_same(s->includes[i].files, s->includes[i].count, sought);
    return same;
}

static int copy_once(struct snapshot *s, const struct snapshot_include *also,
                     struct snapshot_file *f, int from)
{
    struct stat st;
    if (fstat(from, &st) != 0)
        return -errno;
    f->device = st.st_dev;
    f->inode = st.st_ino;
    const struct snapshot_file *same = find_copy(s, also, f);
    if (same == NULL)
        return copy_of(s, from);
    int fd = fcntl(same->fd, F_DUPFD_CLOEXEC, 0);
    return fd >= 0 ? spare_check(fd) : -errno;
}

/*
 * Take an open file, or the error of opening it, into `f`, which is not part of the snapshot yet;
 * `also`: of an include that is not either. Returns 0 or -ENOMEM.
 */
static int file_take(struct snapshot *s, const struct snapshot_include *also,
                     struct snapshot_file *f, const char *path, int from)
{
    *f = (struct snapshot_file){.fd = from};
    if (from >= 0) {
        f->fd = copy_once(s, also, f, from);
        close(from);
    }
    f->path = strdup(path);
    return f->path != NULL ? 0 : -ENOMEM;
}

static int take_main(struct snapshot *s, const char *path)
{
    struct snapshot_file f;
    int from = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    int err = file_take(s, NULL, &f, path, from >= 0 ? from : -errno);
    s->main = f;
    return err == 0 && f.fd < 0 ? f.fd : err;
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

/* --- what is said in it ------------------------------------------------------------------- */

/* A mapped file. */
struct view {
    const char *bytes;
    const char *end;
};

static bool is_of_path(char c)
{
    return isalnum((unsigned char)c) || strchr("/._-@+", c) != NULL;
}

static bool is_in_comment(const struct view *v, const char *at)
{
    while (at > v->bytes && at[-1] != '\n') {
        if (*--at == '#')
            return true;
    }
    return false;
}

static bool stands_behind(const struct view *v, const char *at, const char *before)
{
    size_t n = strlen(before);
    while (at > v->bytes && memchr(" \t\"'", at[-1], 4) != NULL)
        at--;
    return (size_t)(at - v->bytes) >= n && memcmp(at - n, before, n) == 0 &&
           (at - n == v->bytes || !is_of_path(at[-(ptrdiff_t)n - 1]));
}

/* A part of a longer path is not that path. */
static bool is_whole(const struct view *v, const char *at, size_t n)
{
    return (size_t)(v->end - at) == n || !is_of_path(at[n]);
}

static bool find_path(const struct view *v, const char *before, const char *path)
{
    size_t n = strlen(path);
    const char *at = v->bytes;
    while (n > 0 && (at = memmem(at, (size_t)(v->end - at), path, n)) != NULL) {
        if (is_whole(v, at, n) && stands_behind(v, at, before) && !is_in_comment(v, at))
            return true;
        at++;
    }
    return false;
}

static bool file_mentions(const struct snapshot_file *f, const char *before, const char *path)
{
    struct stat st;
    if (f->fd < 0 || fstat(f->fd, &st) < 0 || st.st_size == 0)
        return false;
    size_t size = (size_t)st.st_size;
    char *bytes = mmap(NULL, size, PROT_READ, MAP_PRIVATE, f->fd, 0);
    if (bytes == MAP_FAILED)
        return false;
    const struct view v = {.bytes = bytes, .end = bytes + size};
    bool found = find_path(&v, before, path);
    munmap(bytes, size);
    return found;
}

bool snapshot_mentions(const struct snapshot *s, const char *before, const char *path)
{
    bool found = file_mentions(&s->main, before, path);
    for (unsigned i = 0; !found && i < s->include_count; i++) {
        for (unsigned n = 0; !found && n < s->includes[i].count; n++)
            found = file_mentions(&s->includes[i].files[n], before, path);
    }
    return found;
}

/* --- what is beside the main file -------------------------------------------------------- */

/* Whether a component of a pattern is the directory above, a backslash or two in it or not. */
static bool leads_up(const char *component, size_t n)
{
    unsigned dots = 0;
    for (size_t i = 0; i < n; i++) {
        if (component[i] == '.')
            dots++;
        else if (component[i] != '\\')
            return false;
    }
    return dots == 2;
}

static bool stays_below(const char *pattern)
{
    while (*pattern != '\0') {
        size_t n = strcspn(pattern, "/");
        if (leads_up(pattern, n))
            return false;
        pattern += n + (pattern[n] == '/');
    }
    return true;
}

static bool begins_with(const char *pattern, const char *directory, const char **ret_rest)
{
    size_t n = directory != NULL ? strlen(directory) : 0;
    *ret_rest = pattern + n;
    return strncmp(pattern, directory != NULL ? directory : "", n) == 0;
}

/* Whether a pattern is one as relative paths in the main file become, so that what it stands for
 * may be looked for at all. */
static bool may_expand(const struct snapshot *s, const char *pattern)
{
    const char *slash = s->main.path != NULL ? strrchr(s->main.path, '/') : NULL;
    const char *rest;
    struct text plain, quoted;
    text_init(&plain);
    text_init(&quoted);
    if (slash != NULL) {
        text_add(&plain, s->main.path, (size_t)(slash + 1 - s->main.path));
        expand_quote(&quoted, plain.data != NULL ? plain.data : "");
    }
    bool may =
        !plain.failed && !quoted.failed &&
        (begins_with(pattern, plain.data, &rest) || begins_with(pattern, quoted.data, &rest)) &&
        rest[0] != '/' && stays_below(rest);
    text_free(&plain);
    text_free(&quoted);
    return may;
}

/* The real path of the directory that the main file is named in, on the heap; with a slash at its
 * end. Returns NULL where it can't be had. */
static char *main_directory(const struct snapshot *s)
{
    const char *slash = s->main.path != NULL ? strrchr(s->main.path, '/') : NULL;
    char *named =
        slash != NULL ? strndup(s->main.path, (size_t)(slash + 1 - s->main.path)) : strdup(".");
    char *real = named != NULL ? realpath(named, NULL) : NULL;
    char *directory = NULL;
    if (real == NULL || asprintf(&directory, "%s%s", real, strcmp(real, "/") != 0 ? "/" : "") < 0)
        directory = NULL;
    free(named);
    free(real);
    return directory;
}

/* By what the descriptor is open on: a path may lead elsewhere by now. */
static bool is_below(const char *directory, int fd)
{
    char link[64], real[PATH_MAX];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, real, sizeof(real));
    size_t prefix = strlen(directory);
    return n > (ssize_t)prefix && memcmp(real, directory, prefix) == 0;
}

/* --- includes ---------------------------------------------------------------------------- */

struct taking {
    struct snapshot *snapshot;
    struct snapshot_include include; /* not in the snapshot yet */
    char *directory;                 /* that files must be below; NULL: anywhere */
};

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
    struct taking *t = arg;
    struct snapshot_include *i = &t->include;
    bool wrong = fd >= 0 && t->directory != NULL && !is_below(t->directory, fd);
    struct snapshot_file *more = wrong ? NULL : realloc(i->files, (i->count + 1) * sizeof(*more));
    if (more == NULL) {
        if (fd >= 0)
            close(fd);
        return wrong ? -EPERM : -ENOMEM;
    }
    i->files = more;
    struct snapshot_file f;
    int err = file_take(t->snapshot, i, &f, path, fd);
    i->files[i->count++] = f;
    return err;
}

/* Owns: takes what is in `i`, whatever comes of it. Returns NULL without memory. */
static struct snapshot_include *add_include(struct snapshot *s, struct snapshot_include *i)
{
    struct snapshot_include *more = realloc(s->includes, (s->include_count + 1) * sizeof(*more));
    if (more == NULL) {
        include_close(i);
        return NULL;
    }
    s->includes = more;
    more[s->include_count] = *i;
    return &more[s->include_count++];
}

static struct snapshot_include *include_find(struct snapshot *s, const char *pattern)
{
    for (unsigned n = 0; n < s->include_count; n++) {
        if (strcmp(s->includes[n].pattern, pattern) == 0)
            return &s->includes[n];
    }
    return NULL;
}

/* Returns 0 with what there is, with its error, or -errno with nothing. */
static int take_include(struct taking *t, const char *pattern)
{
    t->include.pattern = strdup(pattern);
    if (t->include.pattern == NULL)
        return -ENOMEM;
    t->include.error = expand_open(pattern, take_match, t);
    if (t->include.error != -EPERM || t->directory == NULL)
        return 0;
    include_close(&t->include);
    return -EPERM;
}

static int add_new_include(struct snapshot *s, const char *pattern, bool beside,
                           struct snapshot_include **ret)
{
    struct taking t = {.snapshot = s};
    if (s->include_count >= INCLUDES_MAX)
        return -E2BIG;
    if (beside && !may_expand(s, pattern))
        return -EPERM;
    t.directory = beside ? main_directory(s) : NULL;
    int err = beside && t.directory == NULL ? -EPERM : take_include(&t, pattern);
    free(t.directory);
    if (err < 0)
        return err;
    *ret = add_include(s, &t.include);
    return *ret != NULL ? 0 : -ENOMEM;
}

int snapshot_include(struct snapshot *s, const char *pattern, bool beside,
                     const struct snapshot_include **ret)
{
    struct snapshot_include *i = include_find(s, pattern);
    int err = i == NULL ? add_new_include(s, pattern, beside, &i) : 0;
    if (err < 0)
        return err;
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

/* Add to an array, or make it NULL without memory. */
static void append(json_t **array, json_t *value)
{
    if (*array == NULL || json_array_append_new(*array, value) == 0)
        return;
    json_decref(*array);
    *array = NULL;
}

static json_t *file_save(const struct snapshot_file *f)
{
    json_t *path = f->path != NULL ? message_text(f->path) : json_null();
    return json_pack("{s:o, s:i}", "path", path, "fd", f->fd);
}

static json_t *include_save(const struct snapshot_include *i)
{
    json_t *files = json_array();
    for (unsigned n = 0; n < i->count; n++)
        append(&files, file_save(&i->files[n]));
    return json_pack("{s:o, s:i, s:o}", "pattern", message_text(i->pattern), "error", i->error,
                     "files", files);
}

json_t *snapshot_save(const struct snapshot *s)
{
    json_t *includes = json_array();
    for (unsigned i = 0; i < s->include_count; i++)
        append(&includes, include_save(&s->includes[i]));
    return json_pack("{s:o, s:o}", "main", file_save(&s->main), "includes", includes);
}

static int file_load(struct snapshot_file *f, const json_t *saved)
{
    const char *path = json_string_value(json_object_get(saved, "path"));
    const json_t *fd = json_object_get(saved, "fd");
    if (!json_is_integer(fd))
        return -EPROTO;
    f->path = path != NULL ? strdup(path) : NULL;
    if (path != NULL && f->path == NULL)
        return -ENOMEM;
    f->fd = (int)json_integer_value(fd);
    return 0;
}

static int include_load(struct snapshot *s, const json_t *saved)
{
    const char *pattern = json_string_value(json_object_get(saved, "pattern"));
    const json_t *files = json_object_get(saved, "files");
    struct snapshot_include new = {.pattern = pattern != NULL ? strdup(pattern) : NULL};
    if (new.pattern == NULL)
        return -EPROTO;
    new.error = (int)json_integer_value(json_object_get(saved, "error"));
    new.files = calloc(json_array_size(files) + 1, sizeof(*new.files));
    struct snapshot_include *i = add_include(s, &new);
    if (i == NULL || i->files == NULL)
        return -ENOMEM;
    int err = 0;
    for (size_t n = 0; err == 0 && n < json_array_size(files); n++) {
        i->files[n].fd = -1;
        i->count++;
        err = file_load(&i->files[n], json_array_get(files, n));
    }
    return err;
}

/* Descriptors of a state that can't be read may be anybody's. */
static void disown(struct snapshot *s)
{
    s->main.fd = -1;
    for (unsigned i = 0; i < s->include_count; i++) {
        for (unsigned n = 0; n < s->includes[i].count; n++)
            s->includes[i].files[n].fd = -1;
    }
}

struct snapshot *snapshot_load(const json_t *saved)
{
    struct snapshot *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return NULL;
    s->references = 1;
    s->main.fd = -1;
    int err = file_load(&s->main, json_object_get(saved, "main"));
    const json_t *includes = json_object_get(saved, "includes");
    for (size_t i = 0; err == 0 && i < json_array_size(includes); i++)
        err = include_load(s, json_array_get(includes, i));
    if (err == 0)
        return s;
    disown(s);
    snapshot_unref(s);
    return NULL;
}
