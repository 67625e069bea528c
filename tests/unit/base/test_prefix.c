#include "base/prefix.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "alloc.h"
#include "base/error.h"
#include "unit.h"

static struct prefix parsed(const char *text)
{
    struct prefix p;
    const char *why = "";
    if (prefix_parse(text, &p, &why) != 0)
        ck_abort_msg("%s: %s", text, why);
    return p;
}

static void round_trip(const char *text, const char *want)
{
    struct text out;
    text_init(&out);
    struct prefix p = parsed(text);
    prefix_write(&p, &out);
    ck_assert_str_eq(out.data, want);
    struct prefix again = parsed(out.data);
    ck_assert_mem_eq(&again, &p, sizeof(p));
    text_free(&out);
}

static void refused(const char *text, const char *why_has)
{
    struct prefix p, before;
    const char *why = NULL;
    memset(&p, 0x5a, sizeof(p));
    before = p;
    if (prefix_parse(text, &p, &why) != -WEFT_EADDR)
        ck_abort_msg("'%s' was accepted", text);
    ck_assert_mem_eq(&p, &before, sizeof(p));
    if (strstr(why, why_has) == NULL)
        ck_abort_msg("'%s': \"%s\" does not say \"%s\"", text, why, why_has);
}

/* The socket address that a text stands for: v4, v6, or `unix`. */
static struct sockaddr_storage peer(const char *text)
{
    struct sockaddr_storage at = {.ss_family = AF_UNIX};
    struct sockaddr_in *in = (void *)&at;
    struct sockaddr_in6 *in6 = (void *)&at;
    if (inet_pton(AF_INET, text, &in->sin_addr) == 1)
        at.ss_family = AF_INET;
    else if (inet_pton(AF_INET6, text, &in6->sin6_addr) == 1)
        at.ss_family = AF_INET6;
    else
        ck_assert_str_eq(text, "unix");
    return at;
}

static bool has(const struct prefix_set *s, const char *text)
{
    struct sockaddr_storage at = peer(text);
    return prefix_set_has(s, (const struct sockaddr *)&at);
}

#define LIST_MAX 8

/* Whether an address is in the set of the networks named, which ends with NULL. */
static void check_set(const char *const networks[LIST_MAX], const char *address, bool want)
{
    struct prefix list[LIST_MAX];
    struct prefix_set s;
    size_t n = 0;
    for (; networks[n] != NULL; n++)
        list[n] = parsed(networks[n]);
    ck_assert_int_eq(prefix_set_init(&s, list, n), 0);
    if (has(&s, address) != want)
        ck_abort_msg("%s is %sin the set of %s ...", address, want ? "not " : "", networks[0]);
    ck_assert(prefix_set_is_empty(&s) == (n == 0));
    prefix_set_free(&s);
    ck_assert(prefix_set_is_empty(&s));
}

START_TEST(reads_and_writes_networks)
{
    round_trip("10.0.0.0/8", "10.0.0.0/8");
    round_trip("0.0.0.0/0", "0.0.0.0/0");
    round_trip("192.0.2.7", "192.0.2.7");
    round_trip("192.0.2.7/32", "192.0.2.7");
    round_trip("10.1.2.3/8", "10.0.0.0/8");
    round_trip("255.255.255.255/31", "255.255.255.254/31");
    round_trip("255.255.255.255/25", "255.255.255.128/25");
    round_trip("2001:DB8::/32", "2001:db8::/32");
    round_trip("2001:db8::1", "2001:db8::1");
    round_trip("2001:db8:ffff::/33", "2001:db8:8000::/33");
    round_trip("::/0", "::/0");
    round_trip("::1/128", "::1");
    round_trip("::ffff:10.9.9.9/104", "10.0.0.0/8");
    round_trip("::ffff:10.9.9.9", "10.9.9.9");
    round_trip("::ffff:0:0/96", "0.0.0.0/0");
    round_trip("::ffff:0:0/95", "::fffe:0:0/95");
    round_trip("unix", "unix");
}
END_TEST

START_TEST(refuses_what_is_no_network)
{
    refused("", "a network is");
    refused("10.0.0", "a network is");
    refused("10.0.0.256", "a network is");
    refused("10.0.0.01", "a network is");
    refused("example.org", "a network is");
    refused("UNIX", "a network is");
    refused(":80", "a network is");
    refused("10.0.0.1:80", "a network is");
    refused("[::1]", "a network is");
    refused("fe80::1%lo", "a network is");
    refused("/8", "a network is");
    refused(" 10.0.0.0/8", "a network is");
    refused("10.0.0.0/33", "0 to 32");
    refused("10.0.0.0/", "0 to 32");
    refused("10.0.0.0/-1", "0 to 32");
    refused("10.0.0.0/08", "0 to 32");
    refused("10.0.0.0/8 ", "0 to 32");
    refused("10.0.0.0/8/8", "0 to 32");
    refused("10.0.0.0/4294967304", "0 to 32");
    refused("::/129", "0 to 128");
    refused("::/x", "0 to 128");
    refused("1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa/64", "a network is");
}
END_TEST

START_TEST(tells_the_network_of_an_address)
{
    static const struct {
        const char *address, *network;
    } cases[] = {
        {"192.0.2.7", "192.0.2.7"},
        {"::ffff:192.0.2.7", "192.0.2.7"},
        {"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"},
        {"unix", "unix"},
    };
    for (size_t i = 0; i < array_size(cases); i++) {
        struct sockaddr_storage at = peer(cases[i].address);
        struct prefix got = prefix_of((const struct sockaddr *)&at, 32, 64);
        struct prefix want = parsed(cases[i].network);
        ck_assert_mem_eq(&got, &want, sizeof(got));
    }
    const struct sockaddr none = {.sa_family = AF_UNSPEC};
    ck_assert_int_eq(prefix_of(&none, 32, 64).family, PREFIX_NONE);
}
END_TEST

START_TEST(knows_its_members)
{
    static const struct {
        const char *networks[LIST_MAX];
        const char *address;
        bool in;
    } cases[] = {
        {{NULL}, "10.0.0.1", false},
        {{NULL}, "unix", false},
        {{"10.0.0.0/8"}, "10.0.0.0", true},
        {{"10.0.0.0/8"}, "10.255.255.255", true},
        {{"10.0.0.0/8"}, "9.255.255.255", false},
        {{"10.0.0.0/8"}, "11.0.0.0", false},
        {{"10.0.0.0/8"}, "::ffff:10.1.2.3", true},
        {{"10.0.0.0/8"}, "::ffff:11.1.2.3", false},
        {{"10.0.0.0/8"}, "::a00:1", false},
        {{"10.0.0.0/8"}, "unix", false},
        {{"::ffff:10.0.0.0/104"}, "10.1.2.3", true},
        {{"0.0.0.0/0"}, "0.0.0.0", true},
        {{"0.0.0.0/0"}, "255.255.255.255", true},
        {{"0.0.0.0/0"}, "::1", false},
        {{"0.0.0.0/0"}, "::ffff:1.2.3.4", true},
        {{"::/0"}, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", true},
        {{"::/0"}, "::", true},
        {{"::/0"}, "1.2.3.4", false},
        {{"::/0"}, "::ffff:1.2.3.4", false},
        {{"192.0.2.7"}, "192.0.2.7", true},
        {{"192.0.2.7"}, "192.0.2.6", false},
        {{"192.0.2.7"}, "192.0.2.8", false},
        {{"2001:db8::/32"}, "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", true},
        {{"2001:db8::/32"}, "2001:db9::", false},
        {{"2001:db8::/32"}, "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", false},
        {{"2001:db8::/64"}, "2001:db8::ffff:ffff:ffff:ffff", true},
        {{"2001:db8::/64"}, "2001:db8:0:1::", false},
        {{"2001:db8::8/125"}, "2001:db8::f", true},
        {{"2001:db8::8/125"}, "2001:db8::10", false},
        {{"2001:db8::8/125"}, "2001:db8::7", false},
        {{"unix"}, "unix", true},
        {{"unix"}, "127.0.0.1", false},
        /* Within one another, side by side, twice, and in no order. */
        {{"10.1.0.0/16", "10.0.0.0/8", "10.1.2.0/24"}, "10.200.0.1", true},
        {{"10.1.0.0/16", "10.0.0.0/8", "10.1.2.0/24"}, "11.0.0.1", false},
        {{"11.0.0.0/8", "10.0.0.0/8"}, "10.255.255.255", true},
        {{"11.0.0.0/8", "10.0.0.0/8"}, "12.0.0.0", false},
        {{"255.0.0.0/8", "0.0.0.0/8", "255.255.255.255"}, "255.255.255.255", true},
        {{"255.0.0.0/8", "0.0.0.0/8", "255.255.255.255"}, "0.0.0.0", true},
        {{"255.0.0.0/8", "0.0.0.0/8", "255.255.255.255"}, "128.0.0.0", false},
        {{"ffff::/16", "::/16", "ffff:ffff::/32"}, "ffff:8000::", true},
        {{"ffff::/16", "::/16", "ffff:ffff::/32"}, "0:ffff::", true},
        {{"ffff::/16", "::/16", "ffff:ffff::/32"}, "8000::", false},
        {{"1::/64", "1:0:0:1::/64", "1:0:0:3::/64"}, "1:0:0:1:ffff::", true},
        {{"1::/64", "1:0:0:1::/64", "1:0:0:3::/64"}, "1:0:0:2::", false},
        {{"1::/64", "1::/64", "unix", "10.0.0.0/8"}, "1::1", true},
        {{"1::/64", "1::/64", "unix", "10.0.0.0/8"}, "10.0.0.1", true},
        {{"1::/64", "1::/64", "unix", "10.0.0.0/8"}, "unix", true},
    };
    for (size_t i = 0; i < array_size(cases); i++)
        check_set(cases[i].networks, cases[i].address, cases[i].in);
}
END_TEST

static uint64_t seed = 88172645463325252u;

/* xorshift64 (Marsaglia, 2003): the same numbers in each run. */
static uint64_t next_random(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

/* Addresses close together, so that many are in one network and right beside it. */
static struct sockaddr_storage random_peer(void)
{
    struct sockaddr_storage at = {.ss_family = next_random() % 2 ? AF_INET : AF_INET6};
    uint64_t r = next_random();
    if (at.ss_family == AF_INET) {
        ((struct sockaddr_in *)&at)->sin_addr.s_addr = htonl((uint32_t)(r & 0xc0000fff));
    } else {
        uint8_t *ip = ((struct sockaddr_in6 *)&at)->sin6_addr.s6_addr;
        ip[0] = r & 0x80;
        ip[7] = (uint8_t)(r >> 8 & 3);
        ip[8] = (uint8_t)(r >> 16 & 0xc0);
        ip[15] = (uint8_t)(r >> 24);
    }
    return at;
}

static struct prefix random_network(void)
{
    struct sockaddr_storage at = random_peer();
    unsigned r = (unsigned)(next_random() & 0xff);
    /* Mostly long ones: short ones would soon cover all there is. */
    unsigned v4 = r < 4 ? r : 20 + r % 13, v6 = r < 4 ? r : 56 + r % 73;
    return prefix_of((const struct sockaddr *)&at, v4, v6);
}

static bool in_any(const struct prefix *list, size_t n, const struct sockaddr *sa)
{
    for (size_t i = 0; i < n; i++) {
        unsigned length = list[i].length;
        struct prefix p = prefix_of(sa, length > 32 ? 32 : length, length);
        if (memcmp(&p, &list[i], sizeof(p)) == 0)
            return true;
    }
    return false;
}

START_TEST(agrees_with_a_look_at_each_network)
{
    for (int round = 0; round < 200; round++) {
        struct prefix list[64];
        struct prefix_set s;
        size_t n = next_random() % array_size(list), inside = 0;
        for (size_t i = 0; i < n; i++)
            list[i] = random_network();
        ck_assert_int_eq(prefix_set_init(&s, list, n), 0);
        for (int i = 0; i < 500; i++) {
            struct sockaddr_storage at = random_peer();
            bool want = in_any(list, n, (const struct sockaddr *)&at);
            unit_assert(prefix_set_has(&s, (const struct sockaddr *)&at) == want);
            inside += want;
        }
        ck_assert(n < 32 || inside > 0);
        prefix_set_free(&s);
    }
}
END_TEST

/* One in two /32 of v4, in a shuffled order. */
START_TEST(holds_a_million)
{
    size_t n = UNIT_WORK(1000000);
    struct prefix *list = calloc(n, sizeof(*list));
    struct prefix_set s;
    for (uint32_t i = 0; i < n; i++) {
        struct sockaddr_in at = {.sin_family = AF_INET};
        at.sin_addr.s_addr = htonl((uint32_t)((i * UINT64_C(2654435761)) % n) * 2);
        list[i] = prefix_of((const struct sockaddr *)&at, 32, 64);
    }
    ck_assert_int_eq(prefix_set_init(&s, list, n), 0);
    for (uint32_t i = 0; i < n; i++) {
        struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(i)};
        unit_assert(prefix_set_has(&s, (const struct sockaddr *)&at) == (i % 2 == 0));
    }
    prefix_set_free(&s);
    free(list);
}
END_TEST

START_TEST(leaves_nothing_behind)
{
    const struct prefix list[] = {parsed("10.0.0.0/8"), parsed("1::/16")};
    struct prefix_set s, before;
    memset(&s, 0x5a, sizeof(s));
    before = s;
    for (int allowed = 0; allowed < 3; allowed++) {
        long live = alloc_live;
        alloc_limit(allowed);
        int rc = prefix_set_init(&s, list, array_size(list));
        alloc_limit(-1);
        long left = alloc_live - live;
        ck_assert_int_eq(rc, -ENOMEM);
        ck_assert_mem_eq(&s, &before, sizeof(s));
        ck_assert_int_eq(left, 0);
    }
    long live = alloc_live;
    int rc = prefix_set_init(&s, list, array_size(list));
    prefix_set_free(&s);
    long left = alloc_live - live;
    ck_assert_int_eq(rc, 0);
    ck_assert_int_eq(left, 0);
}
END_TEST

UNIT_MAIN("prefix", reads_and_writes_networks, refuses_what_is_no_network,
          tells_the_network_of_an_address, knows_its_members, agrees_with_a_look_at_each_network,
          holds_a_million, leaves_nothing_behind)
