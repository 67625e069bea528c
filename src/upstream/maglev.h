/*
 * Maglev hashing: a table whose entries are spread over the servers as evenly as can be, and which
 * changes little when the servers do.
 *
 * Source: Eisenbud et al., Maglev: A Fast and Reliable Software Network Load Balancer, NSDI 2016,
 * section 3.4.
 */
#ifndef WEFT_UPSTREAM_MAGLEV_H
#define WEFT_UPSTREAM_MAGLEV_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

#define MAGLEV_SIZE 65537 /* [entries] prime, as the method wants it; the paper's small one */

/**
 * Fill a table of MAGLEV_SIZE entries with numbers of `count` servers: of each as many as its
 * weight is of all weights, none of one with weight 0. One weight at least is not 0.
 *
 * `ids`: what each server is known by, a hash of its name. The order of the servers does not count.
 * Returns 0, or -ENOMEM with the table untouched.
 */
int maglev_fill(uint16_t *table, const uint64_t *ids, const unsigned *weights,
                size_t count) WEFT_MUSTCHECK;

#endif
