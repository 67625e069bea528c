#include "ctl/bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"

#define FILE_MAX   (64 << 20)  /* [bytes] of a file: more than a configuration may have */
#define BUNDLE_MAX (512 << 20) /* [bytes] */
#define READ_SIZE  65536       /* [bytes] read at once */

void bundle_free(struct bundle *b)
{
    json_decref(b->root);
    b->root = NULL;
}

/* --- bytes ------------------------------------------------------------------------------- */

static int read_all(int fd, size_t max, struct text *ret)
{
    ssize_t got = 1;
    while (got > 0 && ret->length <= max) {
        char bytes[READ_SIZE];
        got = TEMP_FAILURE_RETRY(read(fd, bytes, sizeof(bytes)));
        text_add(ret, bytes, got > 0 ? (size_t)got : 0);
    }
    if (got < 0)
        return -errno;
    return ret->failed ? -ENOMEM : ret->length > max ? -EFBIG : 0;
}

static int write_all(int fd, const char *bytes, size_t n)
{
    while (n > 0) {
        ssize_t put = TEMP_FAILURE_RETRY(write(fd, bytes, n));
        if (put < 0)
            return -errno;
        bytes += put;
        n -= (size_t)put;
    }
    return lseek(fd, 0, SEEK_SET) < 0 ? -errno : 0;
}

/* A file in memory, at its start. Returns its descriptor or -errno. */
static int memory_file(const char *bytes, size_t n)
{
    int fd = memfd_create("weft", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -errno;
    int err = write_all(fd, bytes, n);
    if (err == 0)
        return fd;
    close(fd);
    return err;
}

/* --- recording --------------------------------------------------------------------------- */

/*
 * Keep a file's content as `ret`, and open it again: it may have come from a pipe. What can't be in
 * JSON can't be in a configuration either: it is null here, and for who reads the file to complain
 * of. Returns a descriptor or -errno.
 */
static int copy_file(int fd, json_t **ret)
{
    struct text content;
    text_init(&content);
    int err = read_all(fd, FILE_MAX, &content);
    int copy = err == 0 ? memory_file(content.data, content.length) : err;
    if (copy >= 0)
        *ret = json_stringn(content.data != NULL ? content.data : "", content.length);
    text_free(&content);
    return copy;
}

int bundle_begin(struct bundle *b, const char *path, int fd, int *ret_fd)
{
    json_t *content = NULL;
    int copy = copy_file(fd, &content);
    if (copy < 0)
        return copy;
    b->root = json_pack("{s:s, s:o*, s:{}}", "path", path, "content", content, "included");
    if (b->root == NULL) {
        close(copy);
        return -EINVAL; /* a path that is no UTF-8 */
    }
    *ret_fd = copy;
    return 0;
}

/* An expansion that is recorded. */
struct recording {
    json_t *files; /* an array; not owned */
    expand_fn *take;
    void *taker;
};

static int record_file(void *arg, const char *path, int fd)
{
    struct recording *r = arg;
    json_t *content = NULL;
    int copy = fd;
    if (fd >= 0) {
        copy = copy_file(fd, &content);
        close(fd);
    }
    json_t *file = copy >= 0 ? json_pack("{s:s, s:o*}", "path", path, "content", content)
                             : json_pack("{s:s, s:i}", "path", path, "error", -copy);
    if (json_array_append_new(r->files, file) == 0)
        return r->take(r->taker, path, copy);
    if (copy >= 0)
        close(copy);
    return -ENOMEM;
}

int bundle_record(void *bundle, const char *pattern, expand_fn *take, void *taker)
{
    struct bundle *b = bundle;
    struct recording r = {.files = json_array(), .take = take, .taker = taker};
    if (json_object_set_new(json_object_get(b->root, "included"), pattern, r.files) != 0)
        return -ENOMEM;
    return expand_open(pattern, record_file, &r);
}

static int append(const char *bytes, size_t n, void *out)
{
    text_add(out, bytes, n);
    return 0;
}

int bundle_pack(const struct bundle *b)
{
    struct text packed;
    text_init(&packed);
    int err = json_dump_callback(b->root, append, &packed, JSON_COMPACT) == 0 ? 0 : -ENOMEM;
    if (packed.failed)
        err = -ENOMEM;
    int fd = err == 0 ? memory_file(packed.data, packed.length) : err;
    text_free(&packed);
    if (fd >= 0 &&
        fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) != 0) {
        err = -errno;
        close(fd);
        return err;
    }
    return fd;
}

/* --- replaying --------------------------------------------------------------------------- */

/* The offset is that of whoever else has the file open, too. */
static int read_packed(int fd, struct text *ret)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -EPROTO;
    if (lseek(fd, 0, SEEK_SET) < 0)
        return -errno;
    return read_all(fd, BUNDLE_MAX, ret);
}

int bundle_unpack(struct bundle *b, int fd)
{
    struct text packed;
    text_init(&packed);
    int err = read_packed(fd, &packed);
    if (err == 0)
        b->root = json_loadb(packed.data != NULL ? packed.data : "", packed.length, 0, NULL);
    text_free(&packed);
    if (err == 0 && !json_is_string(json_object_get(b->root, "path")))
        err = -EPROTO;
    if (err < 0)
        bundle_free(b);
    return err;
}

const char *bundle_path(const struct bundle *b)
{
    return json_string_value(json_object_get(b->root, "path"));
}

/* Returns a descriptor to read a file from, or the -errno that it had. */
static int open_file(const json_t *file)
{
    const json_t *content = json_object_get(file, "content");
    if (json_is_string(content))
        return memory_file(json_string_value(content), json_string_length(content));
    json_int_t error = json_integer_value(json_object_get(file, "error"));
    return error > 0 && error < 4096 ? -(int)error : -EPROTO;
}

int bundle_open(const struct bundle *b)
{
    return open_file(b->root);
}

int bundle_replay(void *bundle, const char *pattern, expand_fn *take, void *taker)
{
    const struct bundle *b = bundle;
    const json_t *files = json_object_get(json_object_get(b->root, "included"), pattern);
    if (!json_is_array(files))
        return -ENOENT;
    int err = 0;
    for (size_t i = 0; err == 0 && i < json_array_size(files); i++) {
        const json_t *file = json_array_get(files, i);
        const char *path = json_string_value(json_object_get(file, "path"));
        err = path != NULL ? take(taker, path, open_file(file)) : -EPROTO;
    }
    return err;
}
