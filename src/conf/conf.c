#include "conf/conf.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"
#include "conf/content.h"
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

/* The main file is open: with its descriptor it is known when something includes it. */
static int load_open(const struct conf_source *source, const struct conf **ret,
                     struct conf_faults **ret_faults)
{
    struct content main;
    int rc = content_read(source->fd, TREE_SIZE_MAX, &main);
    if (rc < 0)
        return unreadable(source->path, rc, ret_faults);
    rc = load_source(source, &main, ret, ret_faults);
    content_free(&main);
    return rc;
}

int conf_load_from(const struct conf_source *source, const struct conf **ret,
                   struct conf_faults **ret_faults)
{
    if (source->fd >= 0)
        return load_open(source, ret, ret_faults);
    struct conf_source opened = *source;
    opened.fd = open(source->path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (opened.fd < 0)
        return unreadable(source->path, -errno, ret_faults);
    int rc = load_open(&opened, ret, ret_faults);
    close(opened.fd);
    return rc;
}

int conf_load(const char *path, const struct conf **ret, struct conf_faults **ret_faults)
{
    const struct conf_source source = {.path = path, .fd = -1};
    return conf_load_from(&source, ret, ret_faults);
}
