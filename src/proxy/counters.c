#include "proxy/counters.h"

#include <stdlib.h>
#include <string.h>

struct counters *counters_new(unsigned shards)
{
    size_t size = shards * sizeof(struct counters);
    struct counters *blocks = aligned_alloc(WEFT_CACHE_LINE, size);
    if (blocks != NULL)
        memset(blocks, 0, size);
    return blocks;
}

void counters_sum(const struct counters *blocks, unsigned shards, struct counters_sum *ret)
{
    *ret = (struct counters_sum){0};
    for (unsigned i = 0; i < shards; i++) {
        ret->connections += counters_read(&blocks[i].connections);
        ret->received += counters_read(&blocks[i].received);
        ret->sent += counters_read(&blocks[i].sent);
    }
}
