#include "upstream/schedule.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

/*
 * Servers of one weight keep the same distance to each other: those that had fewer turns are before
 * the others, and of them the first is next. So they take turns, and a step has to compare no more
 * than the server of each weight whose turn it is.
 */
struct class
{
    int64_t lead; /* how far its next server is behind the share that is due to it */
    unsigned weight;
    unsigned next; /* of `count`, the server whose turn it is */
    unsigned count;
    const uint16_t *servers; /* in the scratch's order */
};

/* What only the computation needs. */
struct scratch {
    uint16_t *order; /* servers with a weight, by weight, those of one weight in their order */
    struct class *classes;
    size_t class_count;
};

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

static int compare_weights(const void *a, const void *b, void *weights)
{
    uint16_t x = *(const uint16_t *)a, y = *(const uint16_t *)b;
    unsigned wx = ((const unsigned *)weights)[x], wy = ((const unsigned *)weights)[y];
    return wx != wy ? (wx > wy) - (wx < wy) : (x > y) - (x < y);
}

static void classify(struct scratch *s, const unsigned *weights, size_t count)
{
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        if (weights[i] > 0)
            s->order[used++] = (uint16_t)i;
    }
    qsort_r(s->order, used, sizeof(*s->order), compare_weights, (void *)weights);
    for (size_t i = 0; i < used; i++) {
        unsigned weight = weights[s->order[i]];
        if (s->class_count == 0 || s->classes[s->class_count - 1].weight != weight)
            s->classes[s->class_count++] =
                (struct class){.weight = weight, .servers = &s->order[i]};
        s->classes[s->class_count - 1].count++;
    }
}

static bool is_before(const struct class *a, const struct class *b)
{
    return a->lead > b->lead || (a->lead == b->lead && a->servers[a->next] < b->servers[b->next]);
}

/* One step: of equals the first is taken. */
static uint16_t take_best(struct scratch *s, int64_t sum)
{
    struct class *best = s->classes;
    for (struct class *c = s->classes; c < s->classes + s->class_count; c++) {
        c->lead += c->weight;
        if (is_before(c, best))
            best = c;
    }
    uint16_t server = best->servers[best->next];
    if (++best->next == best->count) {
        best->next = 0;
        best->lead -= sum;
    }
    return server;
}

int schedule_init(struct schedule *ret, const unsigned *weights, size_t count)
{
    unsigned divisor;
    size_t length = cycle_length(weights, count, &divisor);
    if (length == 0) {
        *ret = (struct schedule){0};
        return 0;
    }
    uint16_t *turns = malloc(length * sizeof(*turns));
    struct scratch s = {
        .order = calloc(count, sizeof(*s.order)),
        .classes = calloc(count, sizeof(*s.classes)),
    };
    int err = turns != NULL && s.order != NULL && s.classes != NULL ? 0 : -ENOMEM;
    if (err == 0) {
        classify(&s, weights, count);
        for (size_t i = 0; i < length; i++)
            turns[i] = take_best(&s, (int64_t)length * divisor);
        *ret = (struct schedule){.turns = turns, .length = length};
    } else {
        free(turns);
    }
    free(s.order);
    free(s.classes);
    return err;
}

void schedule_free(struct schedule *s)
{
    free(s->turns);
    *s = (struct schedule){0};
}
