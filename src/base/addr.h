/*
 * Addresses as users write them:
 *
 *      HOST:PORT   :PORT   [V6]:PORT   unix:/PATH   unix:@ABSTRACT   systemd:NAME
 *
 * A link-local V6 has its interface behind a '%': [fe80::1%eth0]:80.
 */
#ifndef WEFT_BASE_ADDR_H
#define WEFT_BASE_ADDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/attr.h"

/* A socket address of any family that weft speaks. Owner: whoever holds it; no pointer inside. */
struct addr {
    union {
        struct sockaddr sa;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
    };
    socklen_t len; /* [bytes] 0: no address */
};

#define ADDR_TEXT_SIZE 128 /* [bytes] room for the longest addr_format, NUL included */

enum addr_kind {
    ADDR_SOCKET,  /* `addr` is complete */
    ADDR_NAME,    /* `host` must be resolved, `port` is known */
    ADDR_SYSTEMD, /* `host` is the name of a socket handed over by systemd */
};

/* An address as it was written, before names are resolved. */
struct addr_spec {
    enum addr_kind kind;
    bool any;         /* :PORT, every address of both families; `addr` is then [::]:PORT */
    uint16_t port;    /* of ADDR_NAME, host byte order */
    char host[256];   /* of ADDR_NAME and ADDR_SYSTEMD, NUL-terminated */
    struct addr addr; /* of ADDR_SOCKET */
};

/**
 * Read an address in one of the forms above.
 *
 * Returns 0, or -WEFT_EADDR with `ret_why` (never freed) saying what is wrong with it; `ret` is
 * then untouched.
 */
int addr_parse(const char *text, struct addr_spec *ret, const char **ret_why) WEFT_MUSTCHECK;

/**
 * The first address of a name, by the system's resolver.
 *
 * May block for seconds: for start-up, never on a fiber.
 * Returns 0, or -WEFT_ERESOLVE.
 */
int addr_resolve(const struct addr_spec *spec, struct addr *ret) WEFT_MUSTCHECK;

/**
 * Write an address as a user would: 10.0.0.1:80, [::1]:80, unix:/PATH, unix:@NAME, unix: (unnamed),
 * none.
 *
 * A v4 address mapped into v6 reads as v4. Control characters in a UNIX name become '?'. `buf` has
 * ADDR_TEXT_SIZE bytes. Returns the length without the NUL.
 */
size_t addr_format(const struct addr *a, char *buf);

/** Whether two addresses are the same to bind() and connect(): a v4 and its v6 mapping are not. */
bool addr_equal(const struct addr *a, const struct addr *b);

/** The port in host byte order; 0 for UNIX addresses. */
uint16_t addr_port(const struct addr *a);

#endif
