#include "conf/element.h"

#include <errno.h>
#include <string.h>

#include "base/prefix.h"
#include "unit.h"

static union {
    struct prefix network;
    char *string;
} room;

static struct arena arena;
static struct text why, out;

static void set_up(void)
{
    arena_init(&arena);
    text_init(&why);
    text_init(&out);
}

static void tear_down(void)
{
    arena_free(&arena);
    text_free(&why);
    text_free(&out);
}

static int set(enum schema_type type, const char *text)
{
    text_clear(&why);
    return element_set(type, text, &room, &arena, &why);
}

/* Read, written as `want`, and read again. */
static void check(enum schema_type type, const char *text, const char *want)
{
    ck_assert_msg(set(type, text) == 0, "%s: %s", text, why.data);
    text_clear(&out);
    element_write(type, &room, &out);
    ck_assert_str_eq(out.data, want);
}

static void refuse(enum schema_type type, const char *text, const char *want)
{
    ck_assert_msg(set(type, text) == -EINVAL, "'%s' was accepted", text);
    ck_assert_str_eq(why.data, want);
}

START_TEST(networks)
{
    check(SCHEMA_NETWORKS, "10.1.2.3/8", "\"10.0.0.0/8\"");
    check(SCHEMA_NETWORKS, "2001:db8::/32", "\"2001:db8::/32\"");
    check(SCHEMA_NETWORKS, "fe80::/10", "fe80::/10");
    check(SCHEMA_NETWORKS, "unix", "unix");
    refuse(SCHEMA_NETWORKS, "10.0.0.0/33",
           "bad network '10.0.0.0/33': an IPv4 network has 0 to 32 bits");
    refuse(SCHEMA_NETWORKS, "office",
           "bad network 'office': a network is an IPv4 or IPv6 address, alone or with /BITS behind "
           "it, or the word unix");
}
END_TEST

START_TEST(server_names)
{
    static const char *const bad[] = {
        "",   "*",  "*.",   "*example.org", "www.*.org", "www.*", "**.org",       ".",
        "a.", ".a", "a..b", "a b",          "a/b",       "*.a.",  "\xc3\xa4.org",
    };
    char longest[256];
    check(SCHEMA_HOSTS, "example.org", "example.org");
    check(SCHEMA_HOSTS, "WWW.Example.ORG", "www.example.org");
    check(SCHEMA_HOSTS, "*.Example.org", "\"*.example.org\"");
    check(SCHEMA_HOSTS, "*.org", "\"*.org\"");
    check(SCHEMA_HOSTS, "localhost", "localhost");
    check(SCHEMA_HOSTS, "_x-1.xn--bcher-kva.de", "\"_x-1.xn--bcher-kva.de\"");
    check(SCHEMA_HOSTS, "192.0.2.1", "\"192.0.2.1\"");
    for (size_t i = 0; i < array_size(bad); i++)
        ck_assert_msg(set(SCHEMA_HOSTS, bad[i]) == -EINVAL, "%s", bad[i]);
    refuse(
        SCHEMA_HOSTS, "a b",
        "bad server name 'a b': it has letters, digits, '-', '_' and '.', with '*.' in front for "
        "all names below it");
    memset(longest, 'x', sizeof(longest));
    for (size_t i = 63; i < sizeof(longest); i += 64)
        longest[i] = '.';
    longest[253] = '\0';
    check(SCHEMA_HOSTS, longest, longest);
    longest[253] = 'x';
    longest[254] = '\0';
    ck_assert_int_eq(set(SCHEMA_HOSTS, longest), -EINVAL);
    longest[63] = 'x';
    longest[200] = '\0';
    ck_assert_int_eq(set(SCHEMA_HOSTS, longest), -EINVAL);
}
END_TEST

START_TEST(protocols)
{
    char longest[257];
    check(SCHEMA_PROTOCOLS, "h2", "h2");
    check(SCHEMA_PROTOCOLS, "http/1.1", "http/1.1");
    check(SCHEMA_PROTOCOLS, "acme-tls/1", "acme-tls/1");
    check(SCHEMA_PROTOCOLS, "H2", "H2");
    refuse(SCHEMA_PROTOCOLS, "", "bad protocol '': it has 1 to 255 bytes, as h2 and http/1.1 have");
    ck_assert_int_eq(set(SCHEMA_PROTOCOLS, "a\nb"), -EINVAL);
    memset(longest, 'p', sizeof(longest));
    longest[255] = '\0';
    check(SCHEMA_PROTOCOLS, longest, longest);
    longest[255] = 'p';
    longest[256] = '\0';
    ck_assert_int_eq(set(SCHEMA_PROTOCOLS, longest), -EINVAL);
}
END_TEST

START_TEST(other_types_have_no_elements)
{
    ck_assert_uint_eq(element_size(SCHEMA_NETWORKS), sizeof(struct prefix));
    ck_assert_uint_eq(element_size(SCHEMA_HOSTS), sizeof(char *));
    ck_assert_uint_eq(element_size(SCHEMA_BINDS), 0);
    ck_assert_uint_eq(element_size(SCHEMA_NAME), 0);
    ck_assert_str_eq(element_noun(SCHEMA_PROTOCOLS), "a protocol");
}
END_TEST

UNIT_MAIN_AROUND("element", set_up, tear_down, networks, server_names, protocols,
                 other_types_have_no_elements)
