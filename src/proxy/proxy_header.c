#include "proxy/proxy_header.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/crc32c.h"

/* The two begin differently, so that the first byte tells them apart. */
static const char v1_start[] = "PROXY ";
static const uint8_t v2_signature[12] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d,
                                         0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};

#define V1_START   (sizeof(v1_start) - 1)
#define V2_FIXED   16  /* [bytes] before the addresses */
#define UNIX_BYTES 108 /* [bytes] of a path */

/* The thirteenth byte: version and command. */
#define V2_LOCAL 0x20
#define V2_PROXY 0x21

/* The fourteenth: family and transport protocol. */
enum v2_family {
    V2_UNSPEC = 0x00,
    V2_TCP4 = 0x11,
    V2_UDP4 = 0x12,
    V2_TCP6 = 0x21,
    V2_UDP6 = 0x22,
    V2_UNIX_STREAM = 0x31,
    V2_UNIX_DGRAM = 0x32,
};

#define TLV_HEAD   3    /* [bytes] type and length */
#define TLV_CRC32C 0x03 /* PP2_TYPE_CRC32C */

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static struct addr addr_v4(const void *ip, uint16_t port)
{
    struct addr a = {.in = {.sin_family = AF_INET, .sin_port = port}, .len = sizeof(a.in)};
    memcpy(&a.in.sin_addr, ip, sizeof(a.in.sin_addr));
    return a;
}

static struct addr addr_v6(const void *ip, uint16_t port)
{
    struct addr a = {.in6 = {.sin6_family = AF_INET6, .sin6_port = port}, .len = sizeof(a.in6)};
    memcpy(&a.in6.sin6_addr, ip, sizeof(a.in6.sin6_addr));
    return a;
}

/* --- version 1: reading ------------------------------------------------------------------ */

/* Returns the line's length with its CRLF, -EAGAIN or -EBADMSG. */
static int v1_length(const uint8_t *bytes, size_t n)
{
    size_t limit = min_size(n, PROXY_HEADER_V1_MAX);
    for (size_t i = V1_START; i < limit; i++) {
        if (bytes[i] == '\r')
            return i + 1 == PROXY_HEADER_V1_MAX ? -EBADMSG
                   : i + 1 == n                 ? -EAGAIN
                   : bytes[i + 1] == '\n'       ? (int)i + 2
                                                : -EBADMSG;
        if (bytes[i] < 0x20 || bytes[i] > 0x7e)
            return -EBADMSG;
    }
    return n < PROXY_HEADER_V1_MAX ? -EAGAIN : -EBADMSG;
}

/* Cut the next word off a line, whose words have one space between them. */
static char *next_word(char **line)
{
    char *word = *line, *space = strchr(word, ' ');
    if (space == NULL)
        *line = word + strlen(word);
    else {
        *space = '\0';
        *line = space + 1;
    }
    return word;
}

/* Returns the port in network byte order, or -1. */
static int v1_port(const char *word)
{
    unsigned value = 0;
    if (word[0] == '\0' || (word[0] == '0' && word[1] != '\0'))
        return -1;
    for (; *word != '\0'; word++) {
        if (*word < '0' || *word > '9')
            return -1;
        value = value * 10 + (unsigned)(*word - '0');
        if (value > UINT16_MAX)
            return -1;
    }
    return htons((uint16_t)value);
}

static int v1_addresses(int family, char *line, struct proxy_header *ret)
{
    struct in6_addr source, destination;
    bool right = inet_pton(family, next_word(&line), &source) == 1;
    right = inet_pton(family, next_word(&line), &destination) == 1 && right;
    int from = v1_port(next_word(&line));
    int to = v1_port(line);
    if (!right || from < 0 || to < 0)
        return -EBADMSG;
    struct addr (*make)(const void *ip, uint16_t port) = family == AF_INET ? addr_v4 : addr_v6;
    ret->source = make(&source, (uint16_t)from);
    ret->destination = make(&destination, (uint16_t)to);
    return 0;
}

static int v1_parse(const uint8_t *bytes, size_t n, struct proxy_header *ret)
{
    char text[PROXY_HEADER_V1_MAX], *line = text;
    int length = v1_length(bytes, n);
    if (length < 0)
        return length;
    size_t words = (size_t)length - V1_START - 2;
    memcpy(text, bytes + V1_START, words);
    text[words] = '\0';
    const char *protocol = next_word(&line);
    int rc = strcmp(protocol, "UNKNOWN") == 0 ? 0 /* what follows is to be ignored */
             : strcmp(protocol, "TCP4") == 0  ? v1_addresses(AF_INET, line, ret)
             : strcmp(protocol, "TCP6") == 0  ? v1_addresses(AF_INET6, line, ret)
                                              : -EBADMSG;
    return rc < 0 ? rc : length;
}

/* --- version 2: TLVs --------------------------------------------------------------------- */

static size_t read_u16(const uint8_t *b)
{
    return (size_t)b[0] << 8 | b[1];
}

/* The length of the TLV at `b`, its head included; 0 where it does not fit in the `n` bytes. */
static size_t tlv_size(const uint8_t *b, size_t n)
{
    size_t size = n < TLV_HEAD ? 0 : TLV_HEAD + read_u16(b + 1);
    return size <= n ? size : 0;
}

/*
 * Look for a CRC32C, and whether each TLV ends where it should. Returns how many checksums there
 * are, `*ret_value` being where the last one is, or -EBADMSG.
 */
static int find_crc(const uint8_t *tlvs, size_t n, const uint8_t **ret_value)
{
    int found = 0;
    while (n > 0) {
        size_t size = tlv_size(tlvs, n);
        if (size == 0)
            return -EBADMSG;
        if (tlvs[0] == TLV_CRC32C) {
            if (size != TLV_HEAD + sizeof(uint32_t))
                return -EBADMSG;
            *ret_value = tlvs + TLV_HEAD;
            found++;
        }
        tlvs += size;
        n -= size;
    }
    return found;
}

/* The checksum of a header of `n` bytes, computed as if the one at `value` in it were zero. */
static uint32_t crc_of(const uint8_t *header, size_t n, const uint8_t *value)
{
    static const uint8_t zero[sizeof(uint32_t)];
    const uint8_t *rest = value + sizeof(zero);
    uint32_t crc = crc32c(0, header, (size_t)(value - header));
    crc = crc32c(crc, zero, sizeof(zero));
    return crc32c(crc, rest, (size_t)(header + n - rest));
}

static int check_tlvs(const uint8_t *header, size_t n, const struct proxy_header *h)
{
    const uint8_t *value = NULL;
    int found = find_crc(h->tlvs, h->tlvs_length, &value);
    if (found < 0 || found > 1)
        return -EBADMSG;
    if (found == 0)
        return 0;
    uint32_t crc;
    memcpy(&crc, value, sizeof(crc));
    return ntohl(crc) == crc_of(header, n, value) ? 0 : -EBADMSG;
}

/* --- version 2: reading ------------------------------------------------------------------ */

/* A path is padded with zeroes; one that begins with a zero is an abstract name, or none. */
static struct addr addr_unix(const uint8_t *path)
{
    struct addr a = {.un.sun_family = AF_UNIX};
    size_t n = UNIX_BYTES;
    while (n > 0 && path[n - 1] == 0)
        n--;
    memcpy(a.un.sun_path, path, n);
    a.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
    return a;
}

/* The addresses' length [bytes] for a family, or -1 for one that there is not. */
static int v2_addresses_length(uint8_t family)
{
    switch (family) {
    case V2_UNSPEC:
        return 0;
    case V2_TCP4:
    case V2_UDP4:
        return 12;
    case V2_TCP6:
    case V2_UDP6:
        return 36;
    case V2_UNIX_STREAM:
    case V2_UNIX_DGRAM:
        return 2 * UNIX_BYTES;
    default:
        return -1;
    }
}

static uint16_t port_at(const uint8_t *b)
{
    uint16_t port;
    memcpy(&port, b, sizeof(port));
    return port;
}

/* Those of datagrams are no stream's: they are passed over. */
static void v2_addresses(uint8_t family, const uint8_t *b, struct proxy_header *ret)
{
    if (family == V2_TCP4) {
        ret->source = addr_v4(b, port_at(b + 8));
        ret->destination = addr_v4(b + 4, port_at(b + 10));
    } else if (family == V2_TCP6) {
        ret->source = addr_v6(b, port_at(b + 32));
        ret->destination = addr_v6(b + 16, port_at(b + 34));
    } else if (family == V2_UNIX_STREAM) {
        ret->source = addr_unix(b);
        ret->destination = addr_unix(b + UNIX_BYTES);
    }
}

static int v2_body(const uint8_t *bytes, size_t length, struct proxy_header *ret)
{
    uint8_t family = bytes[13];
    int addresses = v2_addresses_length(family);
    if (addresses < 0 || length < V2_FIXED + (size_t)addresses)
        return -EBADMSG;
    v2_addresses(family, bytes + V2_FIXED, ret);
    ret->tlvs = bytes + V2_FIXED + addresses;
    ret->tlvs_length = length - V2_FIXED - (size_t)addresses;
    return check_tlvs(bytes, length, ret);
}

static int v2_parse(const uint8_t *bytes, size_t n, struct proxy_header *ret)
{
    if (n > 12 && bytes[12] != V2_LOCAL && bytes[12] != V2_PROXY)
        return -EBADMSG;
    if (n < V2_FIXED)
        return -EAGAIN;
    size_t length = V2_FIXED + read_u16(bytes + 14);
    if (length > PROXY_HEADER_MAX)
        return -EBADMSG;
    if (n < length)
        return -EAGAIN;
    ret->local = bytes[12] == V2_LOCAL;
    int rc = ret->local ? 0 : v2_body(bytes, length, ret);
    return rc < 0 ? rc : (int)length;
}

int proxy_header_parse(const uint8_t *bytes, size_t n, struct proxy_header *ret)
{
    *ret = (struct proxy_header){.local = false};
    if (memcmp(bytes, v2_signature, min_size(n, sizeof(v2_signature))) == 0)
        return n < sizeof(v2_signature) ? -EAGAIN : v2_parse(bytes, n, ret);
    if (memcmp(bytes, v1_start, min_size(n, V1_START)) == 0)
        return n < V1_START ? -EAGAIN : v1_parse(bytes, n, ret);
    return -EBADMSG;
}

/* --- writing ----------------------------------------------------------------------------- */

static bool is_v4(const struct addr *a)
{
    return a->sa.sa_family == AF_INET ||
           (a->sa.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&a->in6.sin6_addr));
}

static bool is_ip(const struct addr *a)
{
    return a->len > 0 && (a->sa.sa_family == AF_INET || a->sa.sa_family == AF_INET6);
}

static bool is_unix(const struct addr *a)
{
    return a->len > 0 && a->sa.sa_family == AF_UNIX;
}

/* The family that both addresses can be said in. */
static enum v2_family common_family(const struct proxy_header *h)
{
    if (is_ip(&h->source) && is_ip(&h->destination))
        return is_v4(&h->source) && is_v4(&h->destination) ? V2_TCP4 : V2_TCP6;
    return is_unix(&h->source) && is_unix(&h->destination) ? V2_UNIX_STREAM : V2_UNSPEC;
}

/* The address as one of v6, a v4 one mapped into it. */
static struct in6_addr as_v6(const struct addr *a)
{
    if (a->sa.sa_family == AF_INET6)
        return a->in6.sin6_addr;
    struct in6_addr ip = {.s6_addr = {[10] = 0xff, [11] = 0xff}};
    memcpy(&ip.s6_addr[12], &a->in.sin_addr, 4);
    return ip;
}

static uint16_t port_of(const struct addr *a)
{
    return a->sa.sa_family == AF_INET6 ? a->in6.sin6_port : a->in.sin_port;
}

static const char *v1_text(const struct addr *a, enum v2_family family, char *buf)
{
    struct in6_addr ip = as_v6(a);
    return family == V2_TCP4 ? inet_ntop(AF_INET, &ip.s6_addr[12], buf, INET6_ADDRSTRLEN)
                             : inet_ntop(AF_INET6, &ip, buf, INET6_ADDRSTRLEN);
}

static size_t v1_write(const struct proxy_header *h, uint8_t *out)
{
    static const char unknown[] = "PROXY UNKNOWN\r\n";
    enum v2_family family = common_family(h);
    if (h->local || (family != V2_TCP4 && family != V2_TCP6)) {
        memcpy(out, unknown, sizeof(unknown) - 1);
        return sizeof(unknown) - 1;
    }
    char source[INET6_ADDRSTRLEN], destination[INET6_ADDRSTRLEN];
    return (size_t)snprintf((char *)out, PROXY_HEADER_ALONE, "PROXY %s %s %s %u %u\r\n",
                            family == V2_TCP4 ? "TCP4" : "TCP6",
                            v1_text(&h->source, family, source),
                            v1_text(&h->destination, family, destination), addr_port(&h->source),
                            addr_port(&h->destination));
}

static void put_unix(const struct addr *a, uint8_t *out)
{
    size_t n = a->len - offsetof(struct sockaddr_un, sun_path);
    memset(out, 0, UNIX_BYTES);
    memcpy(out, a->un.sun_path, min_size(n, UNIX_BYTES));
}

/* Returns how many bytes the addresses take. */
static size_t v2_put_addresses(const struct proxy_header *h, enum v2_family family, uint8_t *out)
{
    if (family == V2_UNIX_STREAM) {
        put_unix(&h->source, out);
        put_unix(&h->destination, out + UNIX_BYTES);
    } else if (family != V2_UNSPEC) {
        struct in6_addr source = as_v6(&h->source), destination = as_v6(&h->destination);
        uint16_t ports[2] = {port_of(&h->source), port_of(&h->destination)};
        size_t n = family == V2_TCP4 ? 4 : 16;
        memcpy(out, &source.s6_addr[16 - n], n);
        memcpy(out + n, &destination.s6_addr[16 - n], n);
        memcpy(out + 2 * n, ports, sizeof(ports));
    }
    return (size_t)v2_addresses_length(family);
}

static void put_crc(uint8_t *header, size_t n, const uint8_t *tlvs)
{
    const uint8_t *value = NULL;
    if (find_crc(tlvs, (size_t)(header + n - tlvs), &value) <= 0)
        return;
    uint32_t crc = htonl(crc_of(header, n, value));
    memcpy(header + (value - header), &crc, sizeof(crc));
}

static size_t v2_write(const struct proxy_header *h, uint8_t *out)
{
    enum v2_family family = h->local ? V2_UNSPEC : common_family(h);
    memcpy(out, v2_signature, sizeof(v2_signature));
    out[12] = h->local ? V2_LOCAL : V2_PROXY;
    out[13] = (uint8_t)family;
    size_t tlvs = V2_FIXED + v2_put_addresses(h, family, out + V2_FIXED);
    size_t n = tlvs;
    if (!h->local && h->tlvs_length > 0 && n + h->tlvs_length <= PROXY_HEADER_MAX) {
        memcpy(out + n, h->tlvs, h->tlvs_length);
        n += h->tlvs_length;
    }
    out[14] = (uint8_t)((n - V2_FIXED) >> 8);
    out[15] = (uint8_t)(n - V2_FIXED);
    put_crc(out, n, out + tlvs);
    return n;
}

size_t proxy_header_write(const struct proxy_header *h, enum proxy_version version, uint8_t *out)
{
    return version == PROXY_V1 ? v1_write(h, out) : v2_write(h, out);
}
