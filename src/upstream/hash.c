#include "upstream/hash.h"

#include <netinet/in.h>
#include <string.h>
#include <xxhash.h>

#define SOURCE_SEED UINT64_C(1)
#define SNI_SEED    UINT64_C(2)
#define SNI_MAX     256 /* [bytes] longer than a DNS name can be: the rest is not looked at */

/* An address as bytes that compare: mapped into v6, then the port where it counts. */
struct source {
    struct in6_addr address;
    in_port_t port;
};

#define ADDRESS_SIZE offsetof(struct source, port)
#define WHOLE_SIZE   (ADDRESS_SIZE + sizeof(in_port_t))

uint64_t hash_bytes(const void *bytes, size_t length, uint64_t seed)
{
    return XXH3_64bits_withSeed(bytes, length, seed);
}

static struct source source_of(const struct sockaddr *sa)
{
    struct source s = {.port = 0};
    if (sa->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)sa;
        s.address.s6_addr[10] = s.address.s6_addr[11] = 0xff;
        memcpy(&s.address.s6_addr[12], &in->sin_addr, sizeof(in->sin_addr));
        s.port = in->sin_port;
    } else if (sa->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const void *)sa;
        s.address = in6->sin6_addr;
        s.port = in6->sin6_port;
    }
    return s;
}

uint64_t hash_source(const struct sockaddr *sa)
{
    struct source s = source_of(sa);
    return hash_bytes(&s, ADDRESS_SIZE, SOURCE_SEED);
}

uint64_t hash_source_port(const struct sockaddr *sa)
{
    struct source s = source_of(sa);
    return hash_bytes(&s, WHOLE_SIZE, SOURCE_SEED);
}

uint64_t hash_sni(const char *name, size_t length)
{
    char lower[SNI_MAX];
    if (length > sizeof(lower))
        length = sizeof(lower);
    for (size_t i = 0; i < length; i++)
        lower[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] | 0x20 : name[i]);
    return hash_bytes(lower, length, SNI_SEED);
}
