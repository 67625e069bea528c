#include "base/addr.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netdb.h>
#include <string.h>

#include "base/error.h"

#define UNIX_PATH_MAX (sizeof((struct sockaddr_un){0}.sun_path) - 1) /* [bytes] without the NUL */

static const char why_form[] =
    "HOST:PORT, :PORT, [IPV6]:PORT, unix:/PATH, unix:@NAME or systemd:NAME is expected";
static const char why_port[] = "the port must be a number from 1 to 65535";
static const char why_v4[] = "an IPv4 address has four numbers from 0 to 255";
static const char why_v6[] = "what is in the brackets is not an IPv6 address";
static const char why_brackets[] = "an IPv6 address needs brackets and a port: [IPV6]:PORT";
static const char why_name[] =
    "a host name has letters, digits, '-', '_' and '.', at most 253, and 63 between two dots";
static const char why_star[] = "write :PORT to mean every address";
static const char why_interface[] = "there is no such network interface after the '%'";
static const char why_unix[] = "a UNIX address is unix:/PATH (absolute) or unix:@NAME";
static const char why_unix_long[] = "a UNIX path has at most 107 bytes";
static const char why_systemd[] =
    "a systemd socket has a name of at most 255 visible characters, without ':'";

_Static_assert(UNIX_PATH_MAX == 107, "the message says 107");

/* --- reading ----------------------------------------------------------------------------- */

/* A piece of the text; addresses are cut in pieces, not copied. */
struct slice {
    const char *at;
    size_t n;
};

/* Read decimal digits and nothing else. Returns 0 for whatever is not in 1..max. */
static unsigned parse_number(const char *s, unsigned max)
{
    unsigned value = 0;
    if (*s == '\0')
        return 0;
    for (; *s != '\0'; s++) {
        if (*s < '0' || *s > '9')
            return 0;
        value = value * 10 + (unsigned)(*s - '0');
        if (value > max)
            return 0;
    }
    return value;
}

/* Copy a slice as a string; what does not fit is refused. */
static bool slice_copy(struct slice s, char *buf, size_t size)
{
    if (s.n >= size)
        return false;
    memcpy(buf, s.at, s.n);
    buf[s.n] = '\0';
    return true;
}

static void set_v6(struct addr *a, const struct in6_addr *ip, uint16_t port, uint32_t scope)
{
    a->in6 = (struct sockaddr_in6){.sin6_family = AF_INET6,
                                   .sin6_port = htons(port),
                                   .sin6_addr = *ip,
                                   .sin6_scope_id = scope};
    a->len = sizeof(a->in6);
}

static const char *parse_v6(struct slice host, uint16_t port, struct addr *ret)
{
    char buf[INET6_ADDRSTRLEN + IF_NAMESIZE + 1];
    if (!slice_copy(host, buf, sizeof(buf)))
        return why_v6;
    uint32_t scope = 0;
    char *percent = strchr(buf, '%');
    if (percent != NULL) {
        *percent = '\0';
        scope = if_nametoindex(percent + 1);
        if (scope == 0)
            scope = parse_number(percent + 1, INT32_MAX);
        if (scope == 0)
            return why_interface;
    }
    struct in6_addr ip;
    if (inet_pton(AF_INET6, buf, &ip) != 1)
        return why_v6;
    set_v6(ret, &ip, port, scope);
    return NULL;
}

/* Only digits and dots: meant as an IPv4 address, so no name if it is none. */
static bool looks_like_v4(struct slice host)
{
    for (size_t i = 0; i < host.n; i++)
        if (host.at[i] != '.' && (host.at[i] < '0' || host.at[i] > '9'))
            return false;
    return true;
}

static const char *parse_v4(struct slice host, uint16_t port, struct addr *ret)
{
    char buf[INET_ADDRSTRLEN];
    struct in_addr ip;
    if (!slice_copy(host, buf, sizeof(buf)) || inet_pton(AF_INET, buf, &ip) != 1)
        return why_v4;
    ret->in = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = ip};
    ret->len = sizeof(ret->in);
    return NULL;
}

static bool name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

/* RFC 1123 section 2.1, and '_', which names have in practice. One dot may end the name. */
static bool valid_name(struct slice host)
{
    size_t label = 0;
    if (host.n > 0 && host.at[host.n - 1] == '.')
        host.n--;
    if (host.n == 0 || host.n > 253)
        return false;
    for (size_t i = 0; i < host.n; i++) {
        if (host.at[i] == '.' ? label == 0 : !name_char(host.at[i]))
            return false;
        label = host.at[i] == '.' ? 0 : label + 1;
        if (label > 63)
            return false;
    }
    return label > 0;
}

static const char *parse_host(struct slice host, uint16_t port, struct addr_spec *ret)
{
    if (host.n == 0) {
        ret->any = true;
        set_v6(&ret->addr, &in6addr_any, port, 0);
        return NULL;
    }
    if (host.n == 1 && *host.at == '*')
        return why_star;
    if (looks_like_v4(host))
        return parse_v4(host, port, &ret->addr);
    if (!valid_name(host) || !slice_copy(host, ret->host, sizeof(ret->host)))
        return why_name;
    ret->kind = ADDR_NAME;
    return NULL;
}

static bool bare_v6(const char *text)
{
    return strchr(text, ':') != strrchr(text, ':') &&
           text[strspn(text, "0123456789abcdefABCDEF:.")] == '\0';
}

/* [V6]:PORT, HOST:PORT, :PORT */
static const char *parse_inet(const char *text, struct addr_spec *ret)
{
    bool bracket = text[0] == '[';
    const char *end = bracket ? strchr(text, ']') : strchr(text, ':');
    if (end == NULL)
        return why_form;
    struct slice host = {text + bracket, (size_t)(end - text) - bracket};
    end += bracket;
    if (*end != ':' || (!bracket && bare_v6(text)))
        return why_brackets;
    if (strchr(end + 1, ':') != NULL)
        return why_form;
    ret->port = (uint16_t)parse_number(end + 1, UINT16_MAX);
    if (ret->port == 0)
        return why_port;
    return bracket ? parse_v6(host, ret->port, &ret->addr) : parse_host(host, ret->port, ret);
}

/*
 * The length of a UNIX address says what it is: a path counts its NUL, an abstract name begins
 * with a NUL and has none at the end (unix(7)).
 */
static const char *parse_unix(const char *name, struct addr_spec *ret)
{
    size_t n = strlen(name);
    bool abstract = name[0] == '@';
    if (n < 2 || (!abstract && name[0] != '/'))
        return why_unix;
    if (n - abstract > UNIX_PATH_MAX)
        return why_unix_long;
    struct sockaddr_un *un = &ret->addr.un;
    *un = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(un->sun_path, name, n);
    if (abstract)
        un->sun_path[0] = '\0';
    ret->addr.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + !abstract);
    return NULL;
}

/* As systemd.socket(5) says of FileDescriptorName=. */
static const char *parse_systemd(const char *name, struct addr_spec *ret)
{
    struct slice s = {name, strlen(name)};
    for (size_t i = 0; i < s.n; i++)
        if (name[i] <= ' ' || name[i] > '~' || name[i] == ':')
            return why_systemd;
    if (s.n == 0 || !slice_copy(s, ret->host, sizeof(ret->host)))
        return why_systemd;
    ret->kind = ADDR_SYSTEMD;
    return NULL;
}

int addr_parse(const char *text, struct addr_spec *ret, const char **ret_why)
{
    struct addr_spec spec = {.kind = ADDR_SOCKET};
    const char *why;
    if (strncmp(text, "unix:", 5) == 0)
        why = parse_unix(text + 5, &spec);
    else if (strncmp(text, "systemd:", 8) == 0)
        why = parse_systemd(text + 8, &spec);
    else
        why = parse_inet(text, &spec);
    if (why != NULL) {
        *ret_why = why;
        return -WEFT_EADDR;
    }
    *ret = spec;
    return 0;
}

static void set_port(struct addr *a, uint16_t port)
{
    if (a->sa.sa_family == AF_INET)
        a->in.sin_port = htons(port);
    else
        a->in6.sin6_port = htons(port);
}

int addr_resolve(const struct addr_spec *spec, struct addr *ret)
{
    if (spec->kind == ADDR_SOCKET) {
        *ret = spec->addr;
        return 0;
    }
    if (spec->kind != ADDR_NAME)
        return -WEFT_ERESOLVE;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    struct addrinfo *found;
    if (getaddrinfo(spec->host, NULL, &hints, &found) != 0)
        return -WEFT_ERESOLVE;
    int rc = -WEFT_ERESOLVE;
    for (struct addrinfo *i = found; i != NULL && rc != 0; i = i->ai_next) {
        if (i->ai_family != AF_INET && i->ai_family != AF_INET6)
            continue;
        memcpy(&ret->sa, i->ai_addr, i->ai_addrlen);
        ret->len = i->ai_addrlen;
        set_port(ret, spec->port);
        rc = 0;
    }
    freeaddrinfo(found);
    return rc;
}

/* --- writing ----------------------------------------------------------------------------- */

static char *put_string(char *p, const char *s)
{
    size_t n = strlen(s);
    memcpy(p, s, n);
    return p + n;
}

static char *put_decimal(char *p, unsigned value)
{
    char digits[10];
    size_t n = 0;
    do
        digits[n++] = (char)('0' + value % 10);
    while ((value /= 10) > 0);
    while (n > 0)
        *p++ = digits[--n];
    return p;
}

static char *put_port(char *p, in_port_t port)
{
    *p++ = ':';
    return put_decimal(p, ntohs(port));
}

/* inet_ntop() goes through sprintf for this: it shows in a busy access log. */
static char *put_v4(char *p, const unsigned char ip[4])
{
    for (int i = 0; i < 4; i++) {
        if (i > 0)
            *p++ = '.';
        p = put_decimal(p, ip[i]);
    }
    return p;
}

static char *put_v6(char *p, const struct sockaddr_in6 *in6)
{
    if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr))
        return put_v4(p, in6->sin6_addr.s6_addr + 12);
    char ip[INET6_ADDRSTRLEN];
    inet_ntop(AF_INET6, &in6->sin6_addr, ip, sizeof(ip));
    *p++ = '[';
    p = put_string(p, ip);
    if (in6->sin6_scope_id != 0) { /* by number: its name would take system calls */
        *p++ = '%';
        p = put_decimal(p, in6->sin6_scope_id);
    }
    *p++ = ']';
    return p;
}

/* The bytes of a UNIX address's name, without the NUL that ends a path. */
static struct slice unix_name(const struct addr *a)
{
    size_t head = offsetof(struct sockaddr_un, sun_path);
    struct slice s = {a->un.sun_path, a->len > head ? a->len - head : 0};
    if (s.n > sizeof(a->un.sun_path))
        s.n = sizeof(a->un.sun_path);
    if (s.n > 0 && s.at[0] != '\0')
        s.n = strnlen(s.at, s.n);
    return s;
}

/* A peer chooses its name: nothing of it may break a log line. */
static char *put_unix(char *p, const struct addr *a)
{
    struct slice name = unix_name(a);
    p = put_string(p, "unix:");
    for (size_t i = 0; i < name.n; i++) {
        unsigned char c = (unsigned char)name.at[i];
        if (c == '\0')
            *p++ = '@';
        else
            *p++ = c < 0x20 || c == 0x7f ? '?' : (char)c;
    }
    return p;
}

size_t addr_format(const struct addr *a, char *buf)
{
    _Static_assert(ADDR_TEXT_SIZE > sizeof("unix:") + sizeof(a->un.sun_path), "room for a path");
    char *p = buf;
    if (a->len == 0)
        p = put_string(p, "none");
    else if (a->sa.sa_family == AF_INET)
        p = put_port(put_v4(p, (const unsigned char *)&a->in.sin_addr), a->in.sin_port);
    else if (a->sa.sa_family == AF_INET6)
        p = put_port(put_v6(p, &a->in6), a->in6.sin6_port);
    else if (a->sa.sa_family == AF_UNIX)
        p = put_unix(p, a);
    else
        p = put_string(p, "unknown");
    *p = '\0';
    return (size_t)(p - buf);
}

bool addr_equal(const struct addr *a, const struct addr *b)
{
    if (a->len == 0 || b->len == 0)
        return a->len == b->len;
    if (a->sa.sa_family != b->sa.sa_family)
        return false;
    switch (a->sa.sa_family) {
    case AF_INET:
        return a->in.sin_port == b->in.sin_port && a->in.sin_addr.s_addr == b->in.sin_addr.s_addr;
    case AF_INET6:
        return a->in6.sin6_port == b->in6.sin6_port &&
               a->in6.sin6_scope_id == b->in6.sin6_scope_id &&
               IN6_ARE_ADDR_EQUAL(&a->in6.sin6_addr, &b->in6.sin6_addr);
    case AF_UNIX: {
        struct slice x = unix_name(a), y = unix_name(b);
        return x.n == y.n && memcmp(x.at, y.at, x.n) == 0;
    }
    default:
        return false;
    }
}

uint16_t addr_port(const struct addr *a)
{
    if (a->len == 0)
        return 0;
    if (a->sa.sa_family == AF_INET)
        return ntohs(a->in.sin_port);
    if (a->sa.sa_family == AF_INET6)
        return ntohs(a->in6.sin6_port);
    return 0;
}
