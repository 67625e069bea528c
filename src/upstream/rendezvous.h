/*
 * Rendezvous hashing of the slots of a table: every slot belongs to the server that scores highest
 * for it. When a server goes, its slots alone find others; when one comes, it takes over what it is
 * due, and no slot moves between two that stay.
 *
 * Source: Thaler and Ravishankar, A Name-Based Mapping Scheme for Rendezvous, 1996; weights in the
 * manner of Schindelhauer and Schomaker, Weighted Distributed Hash Tables, SPAA 2005.
 */
#ifndef WEFT_UPSTREAM_RENDEZVOUS_H
#define WEFT_UPSTREAM_RENDEZVOUS_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

#define RENDEZVOUS_SIZE 131072 /* [slots] */

/**
 * Fill a table of RENDEZVOUS_SIZE slots with numbers of `count` servers: each slot is a server's
 * with a chance of its weight in all weights, never one's with weight 0. One weight at least is not
 * 0.
 *
 * `ids`: what each server is known by, a hash of its name. The order of the servers does not count.
 * Returns 0, or -ENOMEM with the table untouched.
 */
int rendezvous_fill(uint16_t *table, const uint64_t *ids, const unsigned *weights,
                    size_t count) WEFT_MUSTCHECK;

#endif
