#include "worker/load.h"

void load_add(struct load *l, int64_t now, int64_t busy)
{
    l->samples[l->count++ % LOAD_SAMPLES] = (struct load_sample){.at = now, .busy = busy};
}

double load_share(const struct load *l, int64_t now, int64_t busy)
{
    const struct load_sample *oldest =
        &l->samples[l->count > LOAD_SAMPLES ? l->count % LOAD_SAMPLES : 0];
    if (l->count == 0 || now <= oldest->at)
        return 0;
    double share = (double)(busy - oldest->busy) / (double)(now - oldest->at);
    return share < 0 ? 0 : share > 1 ? 1 : share;
}
