#include "upstream/schedule.h"

#include <errno.h>
#include <stdlib.h>

static unsigned greatest_common_divisor(unsigned a, unsigned b)
{
    while (b != 0) {
        unsigned rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

static size_t cycle_length(const unsigned *weights, size_t count, unsigned *ret_divisor)
{
    size_t sum = 0;
    unsigned divisor = 0;
    for (size_t i = 0; i < count; i++) {
        sum += weights[i];
        divisor = greatest_common_divisor(weights[i], divisor);
    }
    *ret_divisor = divisor;
    return divisor != 0 ? sum / divisor : 0;
}

/* One step. `lead[i]` is how far server i is behind its due share; of equals the first is taken. */
static uint16_t take_best(int64_t *lead, const unsigned *weights, size_t count, int64_t sum)
{
    size_t best = 0;
    for (size_t i = 0; i < count; i++) {
        lead[i] += weights[i];
        if (lead[i] > lead[best])
            best = i;
    }
    lead[best] -= sum;
    return (uint16_t)best;
}

int schedule_init(struct schedule *ret, const unsigned *weights, size_t count)
{
    unsigned divisor;
    size_t length = cycle_length(weights, count, &divisor);
    if (length == 0) {
        *ret = (struct schedule){0};
        return 0;
    }
    uint16_t *order = malloc(length * sizeof(*order));
    int64_t *lead = calloc(count, sizeof(*lead));
    if (order == NULL || lead == NULL) {
        free(order);
        free(lead);
        return -ENOMEM;
    }
    for (size_t i = 0; i < length; i++)
        order[i] = take_best(lead, weights, count, (int64_t)length * divisor);
    free(lead);
    *ret = (struct schedule){.turns = order, .length = length};
    return 0;
}

void schedule_free(struct schedule *s)
{
    free(s->turns);
    *s = (struct schedule){0};
}
