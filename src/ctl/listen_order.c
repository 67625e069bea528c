#include "ctl/listen_order.h"

#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#define COUNT_MAX 65535

/* The bytes of the kernel's own structure, in hexadecimal: a UNIX name may hold anything. */
json_t *listen_order_write_addr(const struct addr *a)
{
    char digits[2 * sizeof(a->un) + 1];
    const unsigned char *bytes = (const unsigned char *)&a->sa;
    digits[0] = '\0';
    for (socklen_t i = 0; i < a->len && i < sizeof(a->un); i++)
        snprintf(digits + 2 * i, 3, "%02x", bytes[i]);
    return json_string(digits);
}

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_control(char c)
{
    return (unsigned char)c < 0x20 || c == 0x7f;
}

/* An absolute path with a NUL and nothing behind it, or a NUL and an abstract name; neither has
 * what could not be shown. */
static bool is_name(const char *name, size_t n)
{
    if (n < 2 || (name[0] != '/' && name[0] != '\0'))
        return false;
    size_t end = name[0] == '/' ? strnlen(name, n) : n;
    for (size_t i = 1; i < n; i++) {
        if (i < end ? is_control(name[i]) : name[i] != '\0')
            return false;
    }
    return name[0] == '\0' || end < n;
}

/* Whether the kernel's structure is all there. */
static bool is_whole(const struct addr *a)
{
    size_t head = offsetof(struct sockaddr_un, sun_path);
    switch (a->sa.sa_family) {
    case AF_INET:
        return a->len == sizeof(a->in);
    case AF_INET6:
        return a->len == sizeof(a->in6);
    case AF_UNIX:
        return a->len > head && is_name(a->un.sun_path, a->len - head);
    default:
        return false;
    }
}

bool listen_order_read_addr(const json_t *value, struct addr *ret)
{
    const char *digits = json_string_value(value);
    size_t n = digits != NULL ? strlen(digits) : 1;
    struct addr a = {.len = 0};
    unsigned char *bytes = (unsigned char *)&a.sa;
    if (n % 2 != 0 || n / 2 > sizeof(a.un))
        return false;
    for (size_t i = 0; i < n / 2; i++) {
        int high = digit(digits[2 * i]), low = digit(digits[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        bytes[i] = (unsigned char)(high << 4 | low);
    }
    a.len = (socklen_t)(n / 2);
    if (n > 0 && !is_whole(&a))
        return false;
    *ret = a;
    return true;
}

void listen_order_key(const struct addr *a, bool any, char *key)
{
    if (any)
        snprintf(key, LISTEN_KEY_SIZE, ":%u", addr_port(a));
    else
        addr_format(a, key);
}

json_t *listen_order_write(const struct listen_order *o)
{
    const struct socket_listen_options *l = &o->options;
    const struct socket_options *c = &l->common;
    return json_pack("{s:s, s:o, s:b, s:i, s:b, s:I, s:I, s:i, s:i, s:i, s:i, s:I, s:i}", "key",
                     o->key, "address", listen_order_write_addr(&o->addr), "any", (int)o->any,
                     "count", (int)o->count, "nodelay", (int)c->nodelay, "keepalive_idle",
                     (json_int_t)c->keepalive.idle, "keepalive_interval",
                     (json_int_t)c->keepalive.interval, "keepalive_count", c->keepalive.count,
                     "receive_buffer", c->receive_buffer, "send_buffer", c->send_buffer, "backlog",
                     l->backlog, "defer_accept", (json_int_t)l->defer_accept, "fastopen",
                     l->fastopen);
}

/* One process must not get hold of the name of another one's address. */
static bool is_called_right(const struct listen_order *o)
{
    char key[LISTEN_KEY_SIZE];
    if (o->addr.len == 0)
        return !o->any && strncmp(o->key, LISTEN_KEY_HANDED, strlen(LISTEN_KEY_HANDED)) == 0;
    if (o->any &&
        (o->addr.sa.sa_family != AF_INET6 || !IN6_IS_ADDR_UNSPECIFIED(&o->addr.in6.sin6_addr)))
        return false;
    listen_order_key(&o->addr, o->any, key);
    return strcmp(o->key, key) == 0;
}

bool listen_order_read(const json_t *body, struct listen_order *ret)
{
    struct listen_order o = {.options.reuse_port = true};
    struct socket_listen_options *l = &o.options;
    struct socket_options *c = &l->common;
    json_t *address, *count;
    int any, nodelay;
    json_int_t idle, interval, defer;
    if (json_unpack((json_t *)(uintptr_t)body,
                    "{s:s, s:o, s:b, s:o, s:b, s:I, s:I, s:i, s:i, s:i, s:i, s:I, s:i}", "key",
                    &o.key, "address", &address, "any", &any, "count", &count, "nodelay", &nodelay,
                    "keepalive_idle", &idle, "keepalive_interval", &interval, "keepalive_count",
                    &c->keepalive.count, "receive_buffer", &c->receive_buffer, "send_buffer",
                    &c->send_buffer, "backlog", &l->backlog, "defer_accept", &defer, "fastopen",
                    &l->fastopen) < 0)
        return false;
    json_int_t wanted = json_integer_value(count);
    if (wanted < 1 || wanted > COUNT_MAX || !listen_order_read_addr(address, &o.addr))
        return false;
    o.any = any;
    o.count = (unsigned)wanted;
    if (!is_called_right(&o))
        return false;
    c->nodelay = nodelay;
    c->keepalive.idle = idle;
    c->keepalive.interval = interval;
    l->defer_accept = defer;
    l->dual_stack = o.any;
    *ret = o;
    return true;
}
