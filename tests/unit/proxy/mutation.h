/* Inputs spoilt at random, the same ones in each run, for what reads bytes from the network. */
#ifndef WEFT_UNIT_MUTATION_H
#define WEFT_UNIT_MUTATION_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* xorshift64 (Marsaglia, 2003) */
static inline uint64_t mutation_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Bytes that lengths and types are made of, more telling than any others. */
static inline uint8_t mutation_byte(uint64_t *state)
{
    static const uint8_t telling[] = {0, 1, 2, 3, 4, 0x16, 0x20, 0x21, 0x7f, 0x80, 0xfe, 0xff};
    uint64_t r = mutation_random(state);
    return (r & 1) != 0 ? (uint8_t)(r >> 8) : telling[(r >> 8) % sizeof(telling)];
}

/* Overwrite, insert, cut out or append up to four times. Returns the new length. */
static inline size_t mutate(uint64_t *state, uint8_t *bytes, size_t n, size_t room)
{
    for (uint64_t times = mutation_random(state) % 4 + 1; times > 0; times--) {
        size_t at = n > 0 ? mutation_random(state) % n : 0;
        uint8_t byte = mutation_byte(state);
        uint64_t way = mutation_random(state) % 8;
        if (way < 5 && n > 0) {
            bytes[at] = way < 4 ? byte : (uint8_t)(bytes[at] ^ 1 << byte % 8);
        } else if (way == 5 && n < room) {
            memmove(bytes + at + 1, bytes + at, n - at);
            bytes[at] = byte;
            n++;
        } else if (way == 6 && n > 0) {
            memmove(bytes + at, bytes + at + 1, n - at - 1);
            n--;
        } else if (n < room) {
            bytes[n++] = byte;
        }
    }
    return n;
}

#endif
