/*
 * The header of the PROXY protocol, which a proxy sends before the client's bytes to say who the
 * client is. Source: haproxy.org, proxy-protocol.txt of 2020, sections 2.1 (version 1, a line of
 * text) and 2.2 (version 2, binary).
 *
 *      v1   PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n
 *      v2   signature(12) version|command(1) family|protocol(1) length(2) addresses TLVs
 *
 * The parser is given all bytes from the connection's first on, as many as there are; it says that
 * it needs more for as long as they may still become a header. It keeps nothing between two calls.
 */
#ifndef WEFT_PROXY_PROXY_HEADER_H
#define WEFT_PROXY_PROXY_HEADER_H

#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/attr.h"

#define PROXY_HEADER_V1_MAX 107 /* [bytes] with the CRLF */
#define PROXY_HEADER_MAX                                                                           \
    (16 + 4096) /* [bytes] the protocol allows 64 KiB; a longer one is refused */
#define PROXY_HEADER_ALONE (16 + 216) /* [bytes] the longest there is without TLVs */

enum proxy_version { PROXY_V1 = 1, PROXY_V2 = 2 };

/*
 * What a header says. Without addresses (LOCAL, UNKNOWN, or those of no stream connection) those
 * of the connection itself count.
 */
struct proxy_header {
    struct addr source; /* len 0: none given; the destination then neither */
    struct addr destination;
    bool local;          /* the proxy speaks for itself, as for a health check */
    const uint8_t *tlvs; /* v2: type(1) length(2) value, one after the other; not owned */
    size_t tlvs_length;  /* [bytes] */
};

/**
 * Read a header of either version from the `n` bytes that came first.
 *
 * TLVs are kept as they are, whatever their type, once they are known to end where they should and
 * a CRC32C among them fits. `ret->tlvs` is in `bytes`. A LOCAL header's are dropped.
 *
 * Returns the header's length [bytes]; -EAGAIN when more bytes are needed; -EBADMSG when this is no
 * header, or one that is malformed or too long.
 */
int proxy_header_parse(const uint8_t *bytes, size_t n, struct proxy_header *ret) WEFT_MUSTCHECK;

/**
 * Write a header, with the TLVs in version 2, and a CRC32C among them computed anew. TLVs with
 * which the header would be longer than PROXY_HEADER_MAX are left out, all of them.
 *
 * What version 1 can't say, it says as UNKNOWN. `out` has PROXY_HEADER_ALONE + `h->tlvs_length`
 * bytes. Formats: not for a fiber's stack. Returns the length [bytes].
 */
size_t proxy_header_write(const struct proxy_header *h, enum proxy_version version, uint8_t *out);

#endif
