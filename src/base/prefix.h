/*
 * Networks as users write them, and sets of them:
 *
 *      10.0.0.0/8   192.0.2.7   2001:db8::/32   ::ffff:10.0.0.0/104   unix
 *
 * A v4 address mapped into v6 is that v4 address, here and in every look-up, so that it does not
 * matter whether a client came to a v4 socket or to one of both families. The other way round, a
 * v6 network has no v4 address in it: ::/0 is all of v6.
 */
#ifndef WEFT_BASE_PREFIX_H
#define WEFT_BASE_PREFIX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/attr.h"
#include "base/text.h"

enum prefix_family { PREFIX_NONE, PREFIX_UNIX, PREFIX_V4, PREFIX_V6 };

/* A network, or a single address as one of full length. Equal ones are equal byte by byte. */
struct prefix {
    uint8_t
        bytes[16];  /* the address, network byte order, zeroes behind `length`; v4: the first 4 */
    uint8_t length; /* [bits] */
    uint8_t family; /* enum prefix_family */
};

/**
 * Read a network in one of the forms above. Bits beyond its length are dropped.
 *
 * Returns 0, or -WEFT_EADDR with `ret_why` (never freed) saying what is wrong with it; `ret` is
 * then untouched.
 */
int prefix_parse(const char *text, struct prefix *ret, const char **ret_why) WEFT_MUSTCHECK;

/** Write it as prefix_parse() takes it. */
void prefix_write(const struct prefix *p, struct text *out);

/**
 * The network that an address is in, where networks have `v4` and `v6` bits. All UNIX sockets are
 * in one network; what is of no family that weft speaks gives PREFIX_NONE.
 */
struct prefix prefix_of(const struct sockaddr *sa, unsigned v4, unsigned v6);

/* 128 bits of a v6 address, as numbers. */
struct prefix_bits {
    uint64_t high;
    uint64_t low;
};

/*
 * A set of networks, immutable once made.
 *
 *      10.0.0.0/8, 10.1.0.0/16, 11.0.0.0/8    is kept as    10.0.0.0 .. 11.255.255.255
 *
 * To be in a set is to be in any of its networks, so that the longest match makes no difference,
 * and a network within another one adds nothing: they become sorted stretches that do not touch. A
 * look-up is a binary search in their first addresses, which lie together, 4 bytes each for v4 and
 * 16 for v6. All in all a network costs 8 and 32 bytes at most.
 */
struct prefix_set {
    uint32_t *v4_first; /* owned, with v4_last behind it; host byte order, ascending */
    const uint32_t *v4_last;
    size_t v4_count;
    struct prefix_bits *v6_first; /* owned, with v6_last behind it; ascending */
    const struct prefix_bits *v6_last;
    size_t v6_count;
    bool unix_peers; /* `unix` is in it */
};

/** Make the set of `count` networks. Returns 0, or -ENOMEM with `ret` untouched. */
int prefix_set_init(struct prefix_set *ret, const struct prefix *networks,
                    size_t count) WEFT_MUSTCHECK;

/** Leave the set empty. */
void prefix_set_free(struct prefix_set *s);

/** Whether an address is in the set. Thread: any. */
bool prefix_set_has(const struct prefix_set *s, const struct sockaddr *sa);

bool prefix_set_is_empty(const struct prefix_set *s);

#endif
