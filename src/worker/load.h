/* How busy a worker's loop has been of late: from samples of the time it has worked. */
#ifndef WEFT_WORKER_LOAD_H
#define WEFT_WORKER_LOAD_H

#include <stdint.h>

#define LOAD_SAMPLES 11 /* ten seconds, at a sample a second */

struct load_sample {
    int64_t at;   /* [monotonic ns] */
    int64_t busy; /* [ns] that it had worked by then, ever */
};

struct load {
    struct load_sample samples[LOAD_SAMPLES]; /* a ring */
    unsigned count;                           /* of samples taken, ever */
};

/** Take a sample: it had worked for `busy` [ns] by `now` [monotonic ns]. Forgets the oldest. */
void load_add(struct load *l, int64_t now, int64_t busy);

/** The share of the time since the oldest sample that it has worked, 0 to 1. */
double load_share(const struct load *l, int64_t now, int64_t busy);

#endif
