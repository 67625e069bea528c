/*
 * The ClientHello with which a TLS client begins: which server it asks for, and which protocols it
 * would speak there. Only looked at: the bytes stay where they are. Sources: RFC 8446 sections
 * 4.1.2 and 5.1, RFC 6066 section 3 (server name), RFC 7301 section 3.1 (ALPN).
 *
 *      record  22  3.x  length  | handshake  1  length(3)  version  random  session id
 *      record  22  3.x  length  |   cipher suites  compression  extensions
 *                                                       a message over any number of records
 *
 * All bytes from the connection's first on are given each time, as they lie in a ring. What was
 * gone through is remembered, so that the work does not grow with the pieces they came in: the
 * records are walked over once, and the message is read once, when all of it is there.
 */
#ifndef WEFT_PROXY_CLIENT_HELLO_H
#define WEFT_PROXY_CLIENT_HELLO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/attr.h"

#define CLIENT_HELLO_EXTENSIONS_MAX 16384 /* [bytes] so many or more are refused */
#define CLIENT_HELLO_MAX            (CLIENT_HELLO_EXTENSIONS_MAX + 4096) /* [bytes] of the message */
#define CLIENT_HELLO_WIRE_MAX       (64 << 10) /* [bytes] with the records' heads */
#define CLIENT_HELLO_NAME_MAX       255        /* [bytes] of the server name */
#define CLIENT_HELLO_ALPN_MAX       1024       /* [bytes] of the list of protocols */

enum client_hello_state {
    CLIENT_HELLO_MORE,      /* it may become one */
    CLIENT_HELLO_DONE,      /* `name` and `alpn` are filled in */
    CLIENT_HELLO_NOT_TLS,   /* the first bytes are of something else */
    CLIENT_HELLO_MALFORMED, /* it begins as one, and is none; or it is more than the bounds allow */
};

struct client_hello {
    char name[CLIENT_HELLO_NAME_MAX + 1]; /* in small letters; empty: the client gave none */
    uint8_t alpn[CLIENT_HELLO_ALPN_MAX];  /* length(1) name, one after the other */
    size_t alpn_length;                   /* [bytes] */
    size_t walked;                        /* private [bytes] of whole records */
    size_t gathered;                      /* private [bytes] of the message that are in them */
    uint8_t head[4];                      /* private: the message's first bytes */
};

/** Begin with a connection's first byte. */
void client_hello_init(struct client_hello *h);

/**
 * Look at the bytes that have come, as `n` pieces.
 *
 * `bytes` must have all that there were the last time, and be called again after
 * CLIENT_HELLO_MORE only.
 */
enum client_hello_state client_hello_read(struct client_hello *h, const struct iovec *bytes,
                                          int n) WEFT_MUSTCHECK;

/** Whether the client would speak a protocol, `h2` for one. */
bool client_hello_offers(const struct client_hello *h, const char *protocol);

#endif
