#include "histogram.h"

#include <string.h>

void histogram_clear(struct histogram *h)
{
    memset(h, 0, sizeof(*h));
}

/* How far a value is shifted right until it is below twice the buckets of a step. */
static unsigned shift_of(uint64_t value)
{
    unsigned bits = 64 - (unsigned)__builtin_clzll(value | 1);
    return bits <= HISTOGRAM_BITS + 1 ? 0 : bits - HISTOGRAM_BITS - 1;
}

static unsigned bucket_of(uint64_t value)
{
    unsigned shift = shift_of(value);
    return (shift << HISTOGRAM_BITS) + (unsigned)(value >> shift);
}

/* The greatest value that bucket_of() puts into this bucket. */
static uint64_t upper_end(unsigned bucket)
{
    if (bucket < 2u << HISTOGRAM_BITS)
        return bucket;
    unsigned shift = (bucket >> HISTOGRAM_BITS) - 1;
    uint64_t scaled = bucket - (shift << HISTOGRAM_BITS);
    return ((scaled + 1) << shift) - 1;
}

void histogram_add(struct histogram *h, uint64_t value)
{
    h->buckets[bucket_of(value)]++;
    h->count++;
    if (value > h->max)
        h->max = value;
}

uint64_t histogram_quantile(const struct histogram *h, double share)
{
    double wanted = share * (double)h->count;
    uint64_t seen = 0;
    if (h->count == 0)
        return 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += h->buckets[i];
        if (seen > 0 && (double)seen >= wanted)
            return upper_end(i) < h->max ? upper_end(i) : h->max;
    }
    return h->max;
}
