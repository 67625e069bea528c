#include "conf/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_SIZE 8192 /* [bytes] of a usual chunk; a larger piece gets a chunk of its own */

struct arena_chunk {
    struct arena_chunk *older;
    size_t used; /* [bytes] of `bytes` */
    size_t size; /* [bytes] of `bytes` */
    alignas(max_align_t) unsigned char bytes[];
};

void arena_init(struct arena *a)
{
    a->newest = NULL;
}

void arena_free(struct arena *a)
{
    while (a->newest != NULL) {
        struct arena_chunk *c = a->newest;
        a->newest = c->older;
        free(c);
    }
}

static struct arena_chunk *chunk_add(struct arena *a, size_t n)
{
    size_t size = n > CHUNK_SIZE ? n : CHUNK_SIZE;
    struct arena_chunk *c = calloc(1, sizeof(*c) + size);
    if (c == NULL)
        return NULL;
    c->size = size;
    c->older = a->newest;
    a->newest = c;
    return c;
}

void *arena_alloc(struct arena *a, size_t n)
{
    if (n > SIZE_MAX / 2)
        return NULL;
    n = (n + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
    struct arena_chunk *c = a->newest;
    if (c == NULL || c->size - c->used < n)
        c = chunk_add(a, n);
    if (c == NULL)
        return NULL;
    void *piece = c->bytes + c->used;
    c->used += n;
    return piece;
}

char *arena_copy(struct arena *a, const char *bytes, size_t n)
{
    char *copy = arena_alloc(a, n + 1);
    if (copy != NULL)
        memcpy(copy, bytes, n);
    return copy;
}
