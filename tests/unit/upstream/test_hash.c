#include "upstream/hash.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <string.h>

#include "unit.h"

static struct sockaddr_storage address(const char *text, uint16_t port)
{
    struct sockaddr_storage s = {.ss_family = AF_INET};
    struct sockaddr_in *in = (void *)&s;
    struct sockaddr_in6 *in6 = (void *)&s;
    in->sin_port = htons(port);
    if (inet_pton(AF_INET, text, &in->sin_addr) == 1)
        return s;
    memset(&s, 0, sizeof(s));
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(port);
    ck_assert_int_eq(inet_pton(AF_INET6, text, &in6->sin6_addr), 1);
    return s;
}

static uint64_t source(const char *text, uint16_t port)
{
    struct sockaddr_storage s = address(text, port);
    return hash_source((const struct sockaddr *)&s);
}

static uint64_t source_port(const char *text, uint16_t port)
{
    struct sockaddr_storage s = address(text, port);
    return hash_source_port((const struct sockaddr *)&s);
}

static const struct pair {
    const char *one;
    const char *other;
    uint16_t one_port;
    uint16_t other_port;
    bool same_source;
    bool same_source_port;
} pairs[] = {
    {"10.0.0.1", "10.0.0.1", 1000, 1000, true, true},
    {"10.0.0.1", "10.0.0.1", 1000, 1001, true, false},
    {"10.0.0.1", "10.0.0.2", 1000, 1000, false, false},
    {"10.0.0.1", "::ffff:10.0.0.1", 1000, 1000, true, true},
    {"10.0.0.1", "::10.0.0.1", 1000, 1000, false, false},
    {"2001:db8::1", "2001:db8::1", 1000, 1000, true, true},
    {"2001:db8::1", "2001:db8::1", 1000, 7, true, false},
    {"2001:db8::1", "2001:db8::2", 1000, 1000, false, false},
};

START_TEST(clients_are_told_apart)
{
    for (size_t i = 0; i < array_size(pairs); i++) {
        const struct pair *p = &pairs[i];
        bool same = source(p->one, p->one_port) == source(p->other, p->other_port);
        ck_assert_msg(same == p->same_source, "source of %s and %s", p->one, p->other);
        same = source_port(p->one, p->one_port) == source_port(p->other, p->other_port);
        ck_assert_msg(same == p->same_source_port, "source_port of %s and %s", p->one, p->other);
    }
}
END_TEST

START_TEST(a_unix_client_is_like_any_other)
{
    struct sockaddr_storage a, b;
    memset(&a, 0x11, sizeof(a));
    memset(&b, 0x22, sizeof(b));
    a.ss_family = b.ss_family = AF_UNIX;
    ck_assert_uint_eq(hash_source((void *)&a), hash_source((void *)&b));
    ck_assert_uint_eq(hash_source_port((void *)&a), hash_source_port((void *)&b));
}
END_TEST

START_TEST(names_are_compared_without_their_case)
{
    ck_assert_uint_eq(hash_sni("Example.ORG", 11), hash_sni("example.org", 11));
    ck_assert_uint_ne(hash_sni("example.org", 11), hash_sni("example.com", 11));
    ck_assert_uint_ne(hash_sni("[", 1), hash_sni("{", 1)); /* a bit apart, and no letters */
    ck_assert_uint_ne(hash_sni("@", 1), hash_sni("`", 1));
}
END_TEST

START_TEST(a_name_may_be_of_any_length)
{
    char name[1000];
    memset(name, 'x', sizeof(name));
    uint64_t whole = hash_sni(name, sizeof(name));
    ck_assert_uint_eq(hash_sni(name, 256), whole);
    ck_assert_uint_ne(hash_sni(name, 255), whole);
    ck_assert_uint_ne(hash_sni(name, 0), whole);
}
END_TEST

/* Another weft, on another machine, is to come to the same. */
START_TEST(hashes_stay_what_they_are)
{
    ck_assert_uint_eq(hash_bytes("weft", 4, 0), UINT64_C(0x15d05235f1304082));
    ck_assert_uint_eq(source("192.0.2.1", 1), UINT64_C(0x30efc3893aa3dbcb));
    ck_assert_uint_eq(source_port("192.0.2.1", 1), UINT64_C(0x6ab4cf985a1078d1));
    ck_assert_uint_eq(hash_sni("example.org", 11), UINT64_C(0x2252b90f384bd54a));
    ck_assert_uint_eq(hash_again(1, 0), 1);
    ck_assert_uint_eq(hash_again(0, 1), UINT64_C(0xe220a8397b1dcdaf)); /* splitmix64 of seed 0 */
}
END_TEST

START_TEST(seeds_make_other_hashes)
{
    ck_assert_uint_ne(hash_bytes("weft", 4, 0), hash_bytes("weft", 4, 1));
}
END_TEST

START_TEST(numbers_below_are_evenly_spread)
{
    enum { BELOW = 10, PICKS = 100000 };
    unsigned counts[BELOW] = {0};
    for (unsigned i = 0; i < PICKS; i++) {
        size_t n = hash_below(hash_again(1, i + 1), BELOW);
        unit_assert(n < BELOW);
        counts[n]++;
    }
    for (int i = 0; i < BELOW; i++) {
        ck_assert_uint_gt(counts[i], PICKS / BELOW * 95 / 100); /* five standard deviations */
        ck_assert_uint_lt(counts[i], PICKS / BELOW * 105 / 100);
    }
    ck_assert_uint_eq(hash_below(UINT64_MAX, 7), 6);
    ck_assert_uint_eq(hash_below(0, 7), 0);
}
END_TEST

UNIT_MAIN("hash", clients_are_told_apart, a_unix_client_is_like_any_other,
          names_are_compared_without_their_case, a_name_may_be_of_any_length,
          hashes_stay_what_they_are, seeds_make_other_hashes, numbers_below_are_evenly_spread)
