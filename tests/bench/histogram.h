/*
 * Counts of durations in buckets whose width grows with the value, as HdrHistogram has them: any
 * 64-bit value, told apart to better than one in a hundred, recorded in constant time.
 *
 *      value      0 .. 127   128 .. 255   256 .. 511   512 .. 1023   ...
 *      step       1          1            2            4             ...
 *      buckets    128        128          128          128           ...
 */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_BITS    7
#define HISTOGRAM_BUCKETS ((64 - HISTOGRAM_BITS + 1) << HISTOGRAM_BITS)

struct histogram {
    uint64_t count;
    uint64_t max;
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_clear(struct histogram *h);
void histogram_add(struct histogram *h, uint64_t value);

/**
 * The value that `share` (0 to 1) of all values do not exceed.
 *
 * Returns the upper end of its bucket, the greatest value for the last one, 0 when there is none.
 */
uint64_t histogram_quantile(const struct histogram *h, double share);

#endif
