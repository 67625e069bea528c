#include "base/prefix.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define V4_BITS     32
#define V6_BITS     128
#define MAPPED_BITS 96 /* ::ffff:0:0/96 is all of v4 */

static const char why_form[] = "a network is an IPv4 or IPv6 address, alone or with /BITS behind "
                               "it, or the word unix";
static const char why_v4_bits[] = "an IPv4 network has 0 to 32 bits";
static const char why_v6_bits[] = "an IPv6 network has 0 to 128 bits";

/* --- single networks --------------------------------------------------------------------- */

/* Read all of `s` as a number. Returns -1 for what is not in 0..max; no zero before other digits.
 */
static int parse_bits(const char *s, int max)
{
    int value = 0;
    if (s[0] == '\0' || (s[0] == '0' && s[1] != '\0'))
        return -1;
    for (; *s != '\0'; s++) {
        if (*s < '0' || *s > '9')
            return -1;
        value = value * 10 + (*s - '0');
        if (value > max)
            return -1;
    }
    return value;
}

static void drop_bits(struct prefix *p)
{
    for (unsigned i = 0; i < sizeof(p->bytes); i++) {
        unsigned from = i * 8;
        if (from >= p->length)
            p->bytes[i] = 0;
        else if (from + 8 > p->length)
            p->bytes[i] &= (uint8_t)(0xff << (from + 8 - p->length));
    }
}

static struct prefix prefix_v4(const void *ip, unsigned length)
{
    struct prefix p = {.family = PREFIX_V4, .length = (uint8_t)length};
    memcpy(p.bytes, ip, 4);
    drop_bits(&p);
    return p;
}

static bool is_mapped(const struct in6_addr *ip)
{
    return IN6_IS_ADDR_V4MAPPED(ip);
}

static struct prefix prefix_v6(const struct in6_addr *ip, unsigned length)
{
    struct prefix p = {.family = PREFIX_V6, .length = (uint8_t)length};
    memcpy(p.bytes, ip, sizeof(*ip));
    drop_bits(&p);
    return p;
}

/* `bits`: what is behind the slash; NULL: there is none. */
static const char *parse_address(const char *host, const char *bits, struct prefix *ret)
{
    struct in6_addr ip;
    bool v4 = inet_pton(AF_INET, host, &ip) == 1;
    if (!v4 && inet_pton(AF_INET6, host, &ip) != 1)
        return why_form;
    int max = v4 ? V4_BITS : V6_BITS;
    int length = bits != NULL ? parse_bits(bits, max) : max;
    if (length < 0)
        return v4 ? why_v4_bits : why_v6_bits;
    if (v4)
        *ret = prefix_v4(&ip, (unsigned)length);
    else if (is_mapped(&ip) && length >= MAPPED_BITS)
        *ret = prefix_v4(&ip.s6_addr[12], (unsigned)(length - MAPPED_BITS));
    else
        *ret = prefix_v6(&ip, (unsigned)length);
    return NULL;
}

int prefix_parse(const char *text, struct prefix *ret, const char **ret_why)
{
    char host[INET6_ADDRSTRLEN];
    if (strcmp(text, "unix") == 0) {
        *ret = (struct prefix){.family = PREFIX_UNIX};
        return 0;
    }
    const char *slash = strchr(text, '/');
    size_t n = slash != NULL ? (size_t)(slash - text) : strlen(text);
    *ret_why = why_form;
    if (n >= sizeof(host))
        return -WEFT_EADDR;
    memcpy(host, text, n);
    host[n] = '\0';
    *ret_why = parse_address(host, slash != NULL ? slash + 1 : NULL, ret);
    return *ret_why == NULL ? 0 : -WEFT_EADDR;
}

void prefix_write(const struct prefix *p, struct text *out)
{
    char host[INET6_ADDRSTRLEN];
    if (p->family == PREFIX_UNIX || p->family == PREFIX_NONE) {
        text_add_string(out, p->family == PREFIX_UNIX ? "unix" : "none");
        return;
    }
    bool v4 = p->family == PREFIX_V4;
    inet_ntop(v4 ? AF_INET : AF_INET6, p->bytes, host, sizeof(host));
    text_add_string(out, host);
    if (p->length != (v4 ? V4_BITS : V6_BITS))
        text_format(out, "/%u", (unsigned)p->length);
}

struct prefix prefix_of(const struct sockaddr *sa, unsigned v4, unsigned v6)
{
    if (sa->sa_family == AF_INET)
        return prefix_v4(&((const struct sockaddr_in *)sa)->sin_addr, v4);
    if (sa->sa_family == AF_INET6) {
        const struct in6_addr *ip = &((const struct sockaddr_in6 *)sa)->sin6_addr;
        return is_mapped(ip) ? prefix_v4(&ip->s6_addr[12], v4) : prefix_v6(ip, v6);
    }
    return (struct prefix){.family = sa->sa_family == AF_UNIX ? PREFIX_UNIX : PREFIX_NONE};
}

/* --- numbers ----------------------------------------------------------------------------- */

static uint32_t v4_number(const void *ip)
{
    uint32_t n;
    memcpy(&n, ip, sizeof(n));
    return ntohl(n);
}

static struct prefix_bits v6_number(const void *ip)
{
    uint64_t half[2];
    memcpy(half, ip, sizeof(half));
    return (struct prefix_bits){be64toh(half[0]), be64toh(half[1])};
}

/* The last address of a network that begins at `first`. */
static uint32_t v4_end(uint32_t first, unsigned length)
{
    return length == 0 ? UINT32_MAX : first | (uint32_t)((UINT64_C(1) << (V4_BITS - length)) - 1);
}

static struct prefix_bits v6_end(struct prefix_bits first, unsigned length)
{
    if (length >= 64)
        first.low |= length == V6_BITS ? 0 : UINT64_MAX >> (length - 64);
    else {
        first.low = UINT64_MAX;
        first.high |= UINT64_MAX >> length;
    }
    return first;
}

static bool v6_below(struct prefix_bits a, struct prefix_bits b)
{
    return a.high < b.high || (a.high == b.high && a.low < b.low);
}

/* Whether `next` lies within what ends at `last`, or right behind it. */
static bool v6_touches(struct prefix_bits last, struct prefix_bits next)
{
    struct prefix_bits behind = {last.high + (last.low == UINT64_MAX), last.low + 1};
    bool none_behind = behind.high == 0 && behind.low == 0;
    return none_behind || !v6_below(behind, next);
}

/* --- sets -------------------------------------------------------------------------------- */

/* A longer network comes behind the one that it is in. */
static int compare(const void *a, const void *b)
{
    const struct prefix *x = *(const struct prefix *const *)a;
    const struct prefix *y = *(const struct prefix *const *)b;
    int order = memcmp(x->bytes, y->bytes, sizeof(x->bytes));
    return order != 0 ? order : (int)x->length - (int)y->length;
}

/* The networks of one family, sorted. Returns how many there are. */
static size_t sort_family(const struct prefix **sorted, enum prefix_family family,
                          const struct prefix *networks, size_t count)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++)
        if (networks[i].family == family)
            sorted[n++] = &networks[i];
    if (n > 0)
        qsort(sorted, n, sizeof(*sorted), compare);
    return n;
}

static int fill_v4(struct prefix_set *s, const struct prefix *const *sorted, size_t n)
{
    if (n == 0)
        return 0;
    uint32_t *first = malloc(2 * n * sizeof(*first));
    if (first == NULL)
        return -ENOMEM;
    uint32_t *last = first + n;
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t from = v4_number(sorted[i]->bytes), to = v4_end(from, sorted[i]->length);
        if (k > 0 && (last[k - 1] == UINT32_MAX || from <= last[k - 1] + 1)) {
            last[k - 1] = to > last[k - 1] ? to : last[k - 1];
            continue;
        }
        first[k] = from;
        last[k++] = to;
    }
    s->v4_first = first;
    s->v4_last = last;
    s->v4_count = k;
    return 0;
}

static int fill_v6(struct prefix_set *s, const struct prefix *const *sorted, size_t n)
{
    if (n == 0)
        return 0;
    struct prefix_bits *first = malloc(2 * n * sizeof(*first));
    if (first == NULL)
        return -ENOMEM;
    struct prefix_bits *last = first + n;
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        struct prefix_bits from = v6_number(sorted[i]->bytes);
        struct prefix_bits to = v6_end(from, sorted[i]->length);
        if (k > 0 && v6_touches(last[k - 1], from)) {
            last[k - 1] = v6_below(last[k - 1], to) ? to : last[k - 1];
            continue;
        }
        first[k] = from;
        last[k++] = to;
    }
    s->v6_first = first;
    s->v6_last = last;
    s->v6_count = k;
    return 0;
}

int prefix_set_init(struct prefix_set *ret, const struct prefix *networks, size_t count)
{
    struct prefix_set s = {.unix_peers = false};
    const struct prefix **sorted = malloc((count > 0 ? count : 1) * sizeof(const struct prefix *));
    if (sorted == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        s.unix_peers |= networks[i].family == PREFIX_UNIX;
    int rc = fill_v4(&s, sorted, sort_family(sorted, PREFIX_V4, networks, count));
    if (rc == 0)
        rc = fill_v6(&s, sorted, sort_family(sorted, PREFIX_V6, networks, count));
    free(sorted);
    if (rc == 0)
        *ret = s;
    else
        prefix_set_free(&s);
    return rc;
}

void prefix_set_free(struct prefix_set *s)
{
    free(s->v4_first);
    free(s->v6_first);
    *s = (struct prefix_set){.unix_peers = false};
}

/* In the end `base` is at the last stretch that begins at or below the address, if one does. */
static bool has_v4(const struct prefix_set *s, uint32_t ip)
{
    const uint32_t *base = s->v4_first;
    if (s->v4_count == 0)
        return false;
    for (size_t left = s->v4_count; left > 1; left -= left / 2)
        base += base[left / 2] <= ip ? left / 2 : 0;
    return *base <= ip && ip <= s->v4_last[base - s->v4_first];
}

static bool has_v6(const struct prefix_set *s, struct prefix_bits ip)
{
    const struct prefix_bits *base = s->v6_first;
    if (s->v6_count == 0)
        return false;
    for (size_t left = s->v6_count; left > 1; left -= left / 2)
        base += !v6_below(ip, base[left / 2]) ? left / 2 : 0;
    return !v6_below(ip, *base) && !v6_below(s->v6_last[base - s->v6_first], ip);
}

bool prefix_set_has(const struct prefix_set *s, const struct sockaddr *sa)
{
    if (sa->sa_family == AF_INET)
        return has_v4(s, v4_number(&((const struct sockaddr_in *)sa)->sin_addr));
    if (sa->sa_family == AF_INET6) {
        const struct in6_addr *ip = &((const struct sockaddr_in6 *)sa)->sin6_addr;
        return is_mapped(ip) ? has_v4(s, v4_number(&ip->s6_addr[12])) : has_v6(s, v6_number(ip));
    }
    return sa->sa_family == AF_UNIX && s->unix_peers;
}

bool prefix_set_is_empty(const struct prefix_set *s)
{
    return s->v4_count == 0 && s->v6_count == 0 && !s->unix_peers;
}
