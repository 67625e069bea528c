#include "proxy/route.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "alloc.h"
#include "unit.h"

static char *names[] = {"example.org", "*.example.org", "*.deep.example.net", "localhost"};
static char *protocols[] = {"h2", "acme-tls/1"};

static struct client_hello hello(const char *name, const char *protocol)
{
    struct client_hello h;
    client_hello_init(&h);
    strcpy(h.name, name);
    h.alpn_length = strlen(protocol) > 0 ? 1 + strlen(protocol) : 0;
    h.alpn[0] = (uint8_t)strlen(protocol);
    memcpy(h.alpn + 1, protocol, strlen(protocol));
    return h;
}

START_TEST(names_match_exactly_or_below)
{
    static const struct {
        const char *name;
        bool taken;
    } cases[] = {
        {"example.org", true},
        {"www.example.org", true},
        {"a.b.example.org", true},
        {"localhost", true},
        {"deep.example.net", false},
        {"x.deep.example.net", true},
        {"example.net", false},
        {"wwwexample.org", false},
        {"example.org.evil.net", false},
        {"org", false},
        {"", false},
        {".example.org", false},
        {"a.localhost", false},
        {"*.example.org", true},
        {"example.orga", false},
    };
    const struct conf_route conf = {.names = names, .name_count = array_size(names)};
    struct route r;
    ck_assert_int_eq(route_init(&r, &conf), 0);
    ck_assert(route_asks_hello(&r));
    for (size_t i = 0; i < array_size(cases); i++) {
        struct client_hello h = hello(cases[i].name, "");
        ck_assert_msg(route_takes_hello(&r, &h) == cases[i].taken, "%s", cases[i].name);
    }
    route_free(&r);
}
END_TEST

START_TEST(the_longest_name_is_looked_for_in_bounds)
{
    const struct conf_route conf = {.names = names, .name_count = array_size(names)};
    struct route r;
    char longest[CLIENT_HELLO_NAME_MAX + 1];
    memset(longest, '.', sizeof(longest));
    longest[CLIENT_HELLO_NAME_MAX] = '\0';
    struct client_hello h = hello(longest, "");
    ck_assert_int_eq(route_init(&r, &conf), 0);
    ck_assert(!route_takes_hello(&r, &h));
    route_free(&r);
}
END_TEST

START_TEST(all_that_a_route_asks_for_must_fit)
{
    const struct conf_route conf = {.names = names,
                                    .name_count = array_size(names),
                                    .protocols = protocols,
                                    .protocol_count = array_size(protocols)};
    struct route r;
    ck_assert_int_eq(route_init(&r, &conf), 0);
    struct client_hello both = hello("example.org", "h2"), name = hello("example.org", ""),
                        other = hello("example.org", "http/1.1"), alone = hello("", "acme-tls/1");
    ck_assert(route_takes_hello(&r, &both));
    ck_assert(!route_takes_hello(&r, &name));
    ck_assert(!route_takes_hello(&r, &other));
    ck_assert(!route_takes_hello(&r, &alone));
    route_free(&r);
    const struct conf_route by_alpn = {.protocols = protocols, .protocol_count = 2};
    ck_assert_int_eq(route_init(&r, &by_alpn), 0);
    ck_assert(route_asks_hello(&r));
    ck_assert(route_takes_hello(&r, &alone));
    ck_assert(!route_takes_hello(&r, &name));
    route_free(&r);
}
END_TEST

START_TEST(sources_need_no_hello)
{
    struct sockaddr_in in = {.sin_family = AF_INET}, out = {.sin_family = AF_INET};
    struct prefix network;
    const char *why;
    ck_assert_int_eq(prefix_parse("10.0.0.0/8", &network, &why), 0);
    const struct conf_route conf = {.sources = &network, .source_count = 1};
    const struct conf_route all = {.source_count = 0};
    struct route r;
    in.sin_addr.s_addr = htonl(0x0a010203);
    out.sin_addr.s_addr = htonl(0x0b010203);
    ck_assert_int_eq(route_init(&r, &conf), 0);
    ck_assert(!route_asks_hello(&r));
    ck_assert(route_takes_source(&r, (struct sockaddr *)&in));
    ck_assert(!route_takes_source(&r, (struct sockaddr *)&out));
    route_free(&r);
    ck_assert_int_eq(route_init(&r, &all), 0);
    ck_assert(!route_asks_hello(&r));
    ck_assert(route_takes_source(&r, (struct sockaddr *)&out));
    route_free(&r);
}
END_TEST

START_TEST(leaves_nothing_behind)
{
    struct prefix network = {.family = PREFIX_V4};
    const struct conf_route conf = {
        .names = names, .name_count = array_size(names), .sources = &network, .source_count = 1};
    for (int allowed = 0;; allowed++) {
        struct route r;
        long live = alloc_live;
        alloc_limit(allowed);
        int rc = route_init(&r, &conf);
        alloc_limit(-1);
        if (rc == 0)
            route_free(&r);
        long left = alloc_live - live;
        ck_assert_int_eq(left, 0);
        if (rc == 0)
            break;
        ck_assert_int_eq(rc, -ENOMEM);
    }
}
END_TEST

UNIT_MAIN("route", names_match_exactly_or_below, the_longest_name_is_looked_for_in_bounds,
          all_that_a_route_asks_for_must_fit, sources_need_no_hello, leaves_nothing_behind)
