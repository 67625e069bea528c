/*
 * Schedules: the order of weighted round robin, one whole cycle of it.
 *
 * Source: the smooth weighted round robin of nginx (ngx_http_upstream_round_robin, commit 52327e0):
 * each step adds to every server its weight, takes the highest and subtracts the sum from it.
 * Ours looks at one server of each weight in a step, however many servers there are.
 */
#ifndef WEFT_UPSTREAM_SCHEDULE_H
#define WEFT_UPSTREAM_SCHEDULE_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

struct schedule {
    uint16_t *turns; /* owned; a server's number at each step */
    size_t length;   /* sum of the weights over their greatest common divisor */
};

/**
 * Compute the cycle for `count` servers; one with weight 0 has no turn.
 *
 * Returns 0, or -ENOMEM with `ret` untouched. With no turn at all the length is 0.
 */
int schedule_init(struct schedule *ret, const unsigned *weights, size_t count) WEFT_MUSTCHECK;

void schedule_free(struct schedule *s);

#endif
