#include "io/buffers.h"

#include <errno.h>
#include <stddef.h>

#include "base/ring.h"

static struct pool *nodes;

int io_buffers_init(void)
{
    if (nodes == NULL)
        nodes = ring_pool_new();
    return nodes != NULL ? 0 : -ENOMEM;
}

void io_buffers_free(void)
{
    pool_free(nodes);
    nodes = NULL;
}

struct pool *io_buffers(void)
{
    return nodes;
}
