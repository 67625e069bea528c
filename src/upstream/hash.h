/*
 * Hashes: what the hashing methods know a client and a server by. The same on every machine and in
 * every run, so that a client gets to the same server through another weft of the same servers.
 */
#ifndef WEFT_UPSTREAM_HASH_H
#define WEFT_UPSTREAM_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

/** Of bytes. `seed` tells several hashes of the same bytes apart. */
uint64_t hash_bytes(const void *bytes, size_t length, uint64_t seed);

/**
 * Of a client's address without its port; a v4 address is the same one mapped into v6.
 *
 * All UNIX clients are the same one.
 */
uint64_t hash_source(const struct sockaddr *source);

/** Of a client's address and port. */
uint64_t hash_source_port(const struct sockaddr *source);

/** Of the name a client asks for, in whatever letters: names are compared without their case. */
uint64_t hash_sni(const char *name, size_t length);

/** Another hash made of one: the `n`-th; the 0th is the hash itself. */
static inline uint64_t hash_again(uint64_t hash, unsigned n)
{
    /* The generator splitmix64 (Steele, Lea, Flood 2014), started at the hash. */
    if (n == 0)
        return hash;
    uint64_t z = hash + n * UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/** A number below `n` made of a hash's upper half, as evenly spread as that is. n: up to 2^32 */
static inline size_t hash_below(uint64_t hash, size_t n)
{
    return (size_t)((hash >> 32) * n >> 32); /* Lemire 2019, without the rejection */
}

#endif
