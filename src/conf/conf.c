#include "conf/conf.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"
#include "conf/fault.h"
#include "conf/holder.h"
#include "conf/load.h"
#include "conf/tree.h"

static struct holder *holder_of(const struct conf *c)
{
    return container_of(c, struct holder, conf);
}

struct holder *holder_new(void)
{
    struct holder *h = calloc(1, sizeof(*h));
    if (h == NULL)
        return NULL;
    arena_init(&h->arena);
    atomic_init(&h->references, 1);
    return h;
}

const struct conf *conf_ref(const struct conf *c)
{
    /* Whoever takes a reference has one already: nothing needs to be ordered. */
    unsigned before = atomic_fetch_add_explicit(&holder_of(c)->references, 1, memory_order_relaxed);
    assert(before > 0);
    (void)before;
    return c;
}

void conf_unref(const struct conf *c)
{
    if (c == NULL)
        return;
    struct holder *h = holder_of(c);
    /* Every holder's last look at it comes before the free. */
    if (atomic_fetch_sub_explicit(&h->references, 1, memory_order_acq_rel) > 1)
        return;
    arena_free(&h->arena);
    free(h);
}

/* What is read of a file; `bytes` is owned. */
struct content {
    char *bytes;
    size_t size;
};

static int read_some(int fd, char *to, size_t n, size_t *ret)
{
    ssize_t got;
    do
        got = read(fd, to, n);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return -errno;
    *ret = (size_t)got;
    return 0;
}

/* Read to the end, or one byte further than a file may have. */
static int read_content(int fd, struct content *c)
{
    size_t capacity = 0, got = 1;
    while (got > 0 && c->size <= TREE_SIZE_MAX) {
        if (c->size == capacity) {
            capacity = capacity > 0 ? capacity * 2 : 1 << 16;
            char *bytes = realloc(c->bytes, capacity);
            if (bytes == NULL)
                return -ENOMEM;
            c->bytes = bytes;
        }
        int rc = read_some(fd, c->bytes + c->size, capacity - c->size, &got);
        if (rc < 0)
            return rc;
        c->size += got;
    }
    return 0;
}

static int read_file(const char *path, struct content *ret)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return -errno;
    int rc = read_content(fd, ret);
    close(fd);
    return rc;
}

static int unreadable(const char *path, int err, struct conf_faults **ret_faults)
{
    const struct conf_mark whole = {.file = path};
    struct conf_faults *faults = fault_list_new();
    if (faults == NULL || err == -ENOMEM) {
        conf_faults_free(faults);
        *ret_faults = fault_list_no_memory();
        return -WEFT_ECONF;
    }
    fault_add(faults, &whole, "%s", error_text(err));
    *ret_faults = faults;
    return -WEFT_ECONF;
}

int conf_load(const char *path, const struct conf **ret, struct conf_faults **ret_faults)
{
    struct content c = {.bytes = NULL};
    int rc = read_file(path, &c);
    if (rc < 0)
        rc = unreadable(path, rc, ret_faults);
    else
        rc = load_bytes(path, c.bytes, c.size, ret, ret_faults);
    free(c.bytes);
    return rc;
}
