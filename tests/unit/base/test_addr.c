#include "base/addr.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "unit.h"

static struct addr_spec parsed(const char *text)
{
    struct addr_spec spec;
    const char *why = "";
    int rc = addr_parse(text, &spec, &why);
    if (rc != 0)
        ck_abort_msg("%s: %s", text, why);
    return spec;
}

static void refused(const char *text, const char *why_has)
{
    struct addr_spec spec, before;
    const char *why = NULL;
    memset(&spec, 0x5a, sizeof(spec));
    before = spec;
    if (addr_parse(text, &spec, &why) != -WEFT_EADDR)
        ck_abort_msg("'%s' was accepted", text);
    ck_assert_mem_eq(&spec, &before, sizeof(spec));
    if (strstr(why, why_has) == NULL)
        ck_abort_msg("'%s': \"%s\" does not say \"%s\"", text, why, why_has);
}

/* Read and written again. */
static void round_trip(const char *text, const char *want)
{
    struct addr_spec spec = parsed(text);
    char buf[ADDR_TEXT_SIZE];
    ck_assert_int_eq(spec.kind, ADDR_SOCKET);
    ck_assert_uint_eq(addr_format(&spec.addr, buf), strlen(want));
    ck_assert_str_eq(buf, want);
}

START_TEST(numeric_forms)
{
    round_trip("10.0.0.1:80", "10.0.0.1:80");
    round_trip("255.255.255.255:65535", "255.255.255.255:65535");
    round_trip("0.0.0.0:1", "0.0.0.0:1");
    round_trip("[::1]:443", "[::1]:443");
    round_trip("[2001:DB8:0::1]:80", "[2001:db8::1]:80");
    round_trip("[::]:65535", "[::]:65535");
    round_trip("[fe80::1%lo]:80", "[fe80::1%1]:80");
    round_trip("[fe80::1%7]:80", "[fe80::1%7]:80");
    round_trip("[::ffff:10.1.2.3]:80", "10.1.2.3:80");
    struct addr_spec spec = parsed("127.0.0.1:8080");
    ck_assert_int_eq(spec.addr.sa.sa_family, AF_INET);
    ck_assert_uint_eq(spec.addr.len, sizeof(struct sockaddr_in));
    ck_assert(!spec.any);
}
END_TEST

START_TEST(every_address)
{
    struct addr_spec spec = parsed(":8080");
    ck_assert_int_eq(spec.kind, ADDR_SOCKET);
    ck_assert(spec.any);
    ck_assert_int_eq(spec.addr.sa.sa_family, AF_INET6);
    ck_assert_uint_eq(addr_port(&spec.addr), 8080);
    round_trip(":8080", "[::]:8080");
}
END_TEST

START_TEST(names)
{
    struct addr_spec spec = parsed("app.example.org:8080");
    ck_assert_int_eq(spec.kind, ADDR_NAME);
    ck_assert_str_eq(spec.host, "app.example.org");
    ck_assert_uint_eq(spec.port, 8080);
    ck_assert_str_eq(parsed("localhost:1").host, "localhost");
    ck_assert_str_eq(parsed("_srv._tcp.a-b.org.:1").host, "_srv._tcp.a-b.org.");
    ck_assert_str_eq(parsed("3com.com:1").host, "3com.com");
}
END_TEST

START_TEST(unix_forms)
{
    char path[200] = "unix:/";
    round_trip("unix:/run/weft.sock", "unix:/run/weft.sock");
    round_trip("unix:@name", "unix:@name");
    struct addr_spec spec = parsed("unix:@ab");
    ck_assert_uint_eq(spec.addr.len, offsetof(struct sockaddr_un, sun_path) + 3);
    ck_assert_mem_eq(spec.addr.un.sun_path, "\0ab", 3);
    ck_assert_uint_eq(addr_port(&spec.addr), 0);
    memset(path + 6, 'p', 106);
    round_trip(path, path); /* 107 bytes */
    path[112] = 'p';
    refused(path, "107");
    path[5] = '@';
    round_trip("unix:@x", "unix:@x");
    path[112] = '\0';
    path[5] = '@'; /* '@' and 106 more */
    round_trip(path, path);
    path[112] = 'p'; /* 107 */
    round_trip(path, path);
    path[113] = 'p';
    refused(path, "107");
}
END_TEST

START_TEST(systemd_form)
{
    struct addr_spec spec = parsed("systemd:web");
    ck_assert_int_eq(spec.kind, ADDR_SYSTEMD);
    ck_assert_str_eq(spec.host, "web");
    refused("systemd:", "name");
    refused("systemd:a:b", "name");
    refused("systemd:a b", "name");
}
END_TEST

START_TEST(faults_say_what_is_wrong)
{
    char text[600];
    static const char *const ports[] = {
        "0", "65536", "", "x", "80x", " 80", "80 ", "+1", "-1", "0x50", "99999999999999999999"};
    for (size_t i = 0; i < array_size(ports); i++) {
        snprintf(text, sizeof(text), "10.0.0.1:%s", ports[i]);
        refused(text, "1 to 65535");
        snprintf(text, sizeof(text), "[::1]:%s", ports[i]);
        refused(text, "1 to 65535");
        snprintf(text, sizeof(text), ":%s", ports[i]);
        refused(text, "1 to 65535");
    }
    refused("", "HOST:PORT");
    refused("8080", "HOST:PORT");
    refused("example.org", "HOST:PORT");
    refused("::1:80", "brackets");
    refused("2001:db8::1", "brackets");
    refused("[::1]", "brackets");
    refused("[::1]80", "brackets");
    refused("[::1:80", "HOST:PORT");
    refused("[]:80", "not an IPv6");
    refused("[10.0.0.1]:80", "not an IPv6");
    refused("[::g]:80", "not an IPv6");
    refused("[::1%nosuchif]:80", "interface");
    refused("[::1%]:80", "interface");
    refused("10.0.0:80", "IPv4");
    refused("10.0.0.256:80", "IPv4");
    refused("1.2.3.4.5:80", "IPv4");
    refused("1234567890.1234567890:80", "IPv4");
    refused("*:80", "every address");
    refused("a b:80", "host name");
    refused("a..b:80", "host name");
    refused(".a:80", "host name");
    refused("\xc3\xa4.org:80", "host name");
    refused("http://a:80", "HOST:PORT");
    refused("[::1]:80:", "HOST:PORT");
    refused("unix:", "UNIX");
    refused("unix:/", "UNIX");
    refused("unix:@", "UNIX");
    refused("unix:rel/path", "absolute");
    refused("unix:a", "absolute");
}
END_TEST

START_TEST(names_have_a_length)
{
    char text[600];
    memset(text, 'a', sizeof(text));
    for (size_t i = 63; i < 256; i += 64)
        text[i] = '.';
    strcpy(text + 253, ":80");
    ck_assert_uint_eq(strlen(parsed(text).host), 253);
    memset(text + 253, 'a', 3);
    strcpy(text + 254, ":80");
    refused(text, "253");
    memset(text, 'a', 64);
    strcpy(text + 64, ":80");
    refused(text, "63");
}
END_TEST

START_TEST(writes_what_the_kernel_gives)
{
    struct addr a = {.len = 0};
    char buf[ADDR_TEXT_SIZE];
    addr_format(&a, buf);
    ck_assert_str_eq(buf, "none");
    a.un.sun_family = AF_UNIX;
    a.len = sizeof(sa_family_t);
    ck_assert_uint_eq(addr_format(&a, buf), 5);
    ck_assert_str_eq(buf, "unix:");
    memcpy(a.un.sun_path, "\0a\nb\0c", 6); /* a peer's choice */
    a.len = offsetof(struct sockaddr_un, sun_path) + 6;
    addr_format(&a, buf);
    ck_assert_str_eq(buf, "unix:@a?b@c");
    memset(a.un.sun_path, 'x', sizeof(a.un.sun_path)); /* no NUL at all */
    a.len = sizeof(a.un);
    ck_assert_uint_eq(addr_format(&a, buf), 5 + sizeof(a.un.sun_path));
}
END_TEST

START_TEST(equality)
{
    static const char *const texts[] = {
        "10.0.0.1:80", "10.0.0.1:81", "10.0.0.2:80", "[::1]:80", "[fe80::1%1]:80", "[fe80::1%2]:80",
        "[::1]:81",    "unix:/a",     "unix:/ab",    "unix:@a",  "unix:@ab"};
    for (size_t i = 0; i < array_size(texts); i++)
        for (size_t k = 0; k < array_size(texts); k++) {
            struct addr_spec a = parsed(texts[i]), b = parsed(texts[k]);
            ck_assert_int_eq(addr_equal(&a.addr, &b.addr), i == k);
        }
    struct addr none = {.len = 0}, longer = parsed("unix:/a").addr;
    ck_assert(addr_equal(&none, &none));
    ck_assert(!addr_equal(&none, &longer));
    longer.len = sizeof(struct sockaddr_un); /* a path ends at its NUL, whatever the length says */
    struct addr_spec path = parsed("unix:/a");
    ck_assert(addr_equal(&longer, &path.addr));
}
END_TEST

START_TEST(resolves)
{
    struct addr a;
    struct addr_spec spec = parsed("localhost:81");
    ck_assert_int_eq(addr_resolve(&spec, &a), 0);
    ck_assert_uint_eq(addr_port(&a), 81);
    ck_assert(a.sa.sa_family == AF_INET || a.sa.sa_family == AF_INET6);
    spec = parsed("127.0.0.1:82");
    ck_assert_int_eq(addr_resolve(&spec, &a), 0);
    ck_assert_uint_eq(a.in.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
    spec = parsed("systemd:x");
    ck_assert_int_eq(addr_resolve(&spec, &a), -WEFT_ERESOLVE);
    spec = parsed("no-such-name.invalid:1"); /* RFC 6761: never resolves */
    ck_assert_int_eq(addr_resolve(&spec, &a), -WEFT_ERESOLVE);
}
END_TEST

UNIT_MAIN("addr", numeric_forms, every_address, names, unix_forms, systemd_form,
          faults_say_what_is_wrong, names_have_a_length, writes_what_the_kernel_gives, equality,
          resolves)
