#include "proxy/proxy_header.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "mutation.h"
#include "unit.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"

/* A literal with zeroes in it, as a case's bytes. */
#define BYTES(literal) literal, sizeof(literal) - 1

/* As parsed from an allocation of just so many bytes: a read beyond them does not go unnoticed. */
static int parse(const void *bytes, size_t n, struct proxy_header *ret)
{
    uint8_t *copy = malloc(n > 0 ? n : 1);
    memcpy(copy, bytes, n);
    int rc = proxy_header_parse(copy, n, ret);
    if (rc > 0 && ret->tlvs_length > 0)
        ret->tlvs = (const uint8_t *)bytes + (ret->tlvs - copy);
    free(copy);
    return rc;
}

static void check_addr(const struct addr *a, const char *want)
{
    char buf[ADDR_TEXT_SIZE];
    addr_format(a, buf);
    ck_assert_str_eq(buf, want);
}

static const struct valid {
    const char *bytes;
    size_t length;
    const char *source, *destination;
    const char *tlvs;
    size_t tlvs_length;
    bool local;
} valid[] = {
    /* Version 1: the specification's own examples, and what its grammar allows. */
    {BYTES("PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n"), "192.168.0.1:56324",
     "192.168.0.11:443", BYTES(""), false},
    {BYTES("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"), "255.255.255.255:65535",
     "255.255.255.255:65535", BYTES(""), false},
    {BYTES("PROXY TCP4 0.0.0.0 1.2.3.4 0 1\r\n"), "0.0.0.0:0", "1.2.3.4:1", BYTES(""), false},
    {BYTES("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
           "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"),
     "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
     "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535", BYTES(""), false},
    {BYTES("PROXY TCP6 2001:db8::1 ::1 1 2\r\n"), "[2001:db8::1]:1", "[::1]:2", BYTES(""), false},
    {BYTES("PROXY TCP6 ::ffff:10.0.0.1 ::ffff:10.0.0.2 1 2\r\n"), "10.0.0.1:1", "10.0.0.2:2",
     BYTES(""), false},
    {BYTES("PROXY UNKNOWN\r\n"), "none", "none", BYTES(""), false},
    {BYTES("PROXY UNKNOWN whatever there is to say\r\n"), "none", "none", BYTES(""), false},
    {BYTES("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
           "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"),
     "none", "none", BYTES(""), false},
    /* Version 2. */
    {BYTES(SIGNATURE "\x21\x11\0\x0c\x0a\x01\x02\x03\xc0\x00\x02\x07\x1f\x90\x01\xbb"),
     "10.1.2.3:8080", "192.0.2.7:443", BYTES(""), false},
    {BYTES(SIGNATURE "\x21\x21\0\x24"
                     "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"
                     "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02"
                     "\x1f\x90\x01\xbb"),
     "[2001:db8::1]:8080", "[2001:db8::2]:443", BYTES(""), false},
    {BYTES(SIGNATURE "\x20\0\0\0"), "none", "none", BYTES(""), true},
    {BYTES(SIGNATURE "\x21\0\0\0"), "none", "none", BYTES(""), false},
    /* LOCAL: whatever follows is to be dropped, be it a family that there is not. */
    {BYTES(SIGNATURE "\x20\xff\0\x05xxxxx"), "none", "none", BYTES(""), true},
    {BYTES(SIGNATURE "\x20\x11\0\x0c\x0a\x01\x02\x03\xc0\x00\x02\x07\x1f\x90\x01\xbb"), "none",
     "none", BYTES(""), true},
    /* Datagrams: the header is right, and its addresses are no stream's. */
    {BYTES(SIGNATURE "\x21\x12\0\x0c\x0a\x01\x02\x03\xc0\x00\x02\x07\x1f\x90\x01\xbb"), "none",
     "none", BYTES(""), false},
    /* TLVs: ALPN, AUTHORITY, UNIQUE_ID, NOOP, SSL, an unknown type, and empty ones. */
    {BYTES(SIGNATURE "\x21\x11\0\x2f\x0a\x01\x02\x03\xc0\x00\x02\x07\x1f\x90\x01\xbb"
                     "\x01\0\x02h2"
                     "\x02\0\x0b"
                     "example.org"
                     "\x05\0\x03uid"
                     "\x04\0\0"
                     "\xee\0\x01x"
                     "\x20\0\0"),
     "10.1.2.3:8080", "192.0.2.7:443",
     BYTES("\x01\0\x02h2"
           "\x02\0\x0b"
           "example.org"
           "\x05\0\x03uid"
           "\x04\0\0"
           "\xee\0\x01x"
           "\x20\0\0"),
     false},
    {BYTES(SIGNATURE "\x21\0\0\x04\xee\0\x01x"), "none", "none", BYTES("\xee\0\x01x"), false},
    /* A checksum, computed with another implementation. */
    {BYTES(SIGNATURE "\x21\x11\0\x13\x0a\x01\x02\x03\xc0\x00\x02\x07\x1f\x90\x01\xbb"
                     "\x03\0\x04"
                     "\xd9\xa1\xf6\x6a"),
     "10.1.2.3:8080", "192.0.2.7:443",
     BYTES("\x03\0\x04"
           "\xd9\xa1\xf6\x6a"),
     false},
    {BYTES(SIGNATURE "\x21\x11\0\x18\x0a\x01\x02\x03\xc0\x00\x02\x07\x1f\x90\x01\xbb"
                     "\x03\0\x04"
                     "\x18\x70\x40\x64"
                     "\x01\0\x02h2"),
     "10.1.2.3:8080", "192.0.2.7:443",
     BYTES("\x03\0\x04"
           "\x18\x70\x40\x64"
           "\x01\0\x02h2"),
     false},
};

/* Every prefix of a header asks for more; whatever comes behind it changes nothing. */
static void check_valid(const struct valid *v)
{
    struct proxy_header h;
    uint8_t longer[512];
    ck_assert_uint_lt(v->length, sizeof(longer) - 2);
    for (size_t n = 0; n < v->length; n++)
        ck_assert_msg(parse(v->bytes, n, &h) == -EAGAIN, "%s: not asked for more at %zu", v->source,
                      n);
    memset(longer, '\r', sizeof(longer));
    memcpy(longer, v->bytes, v->length);
    for (size_t n = v->length; n < v->length + 2; n++) {
        ck_assert_int_eq(parse(longer, n, &h), (int)v->length);
        check_addr(&h.source, v->source);
        check_addr(&h.destination, v->destination);
        ck_assert(h.local == v->local);
        ck_assert_uint_eq(h.tlvs_length, v->tlvs_length);
        ck_assert(v->tlvs_length == 0 || memcmp(h.tlvs, v->tlvs, v->tlvs_length) == 0);
    }
}

START_TEST(reads_headers_in_any_pieces)
{
    for (size_t i = 0; i < array_size(valid); i++)
        check_valid(&valid[i]);
}
END_TEST

static const struct {
    const char *bytes;
    size_t length;
    size_t enough; /* [bytes] after so many it is known to be no header */
} malformed[] = {
    {BYTES("GET / HTTP/1.1\r\n"), 1},
    {BYTES("POST / HTTP/1.1\r\n"), 2},
    {BYTES("\x16\x03\x01"), 1},
    {BYTES("PROXY\r\n"), 6},
    {BYTES("PROXY \r\n"), 8},
    {BYTES("proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n"), 1},
    {BYTES("PROXY  TCP4 1.2.3.4 1.2.3.4 1 2\r\n"), 33},
    {BYTES("PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n"), 32},
    {BYTES("PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n"), 31},
    {BYTES("PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\r\n"), 32},
    {BYTES("PROXY TCP4 1.2.3.4 1.2.3.4 1 2\0\r\n"), 31},
    {BYTES("PROXY TCP4 1.2.3.4\t1.2.3.4 1 2\r\n"), 19},
    {BYTES("PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n"), 30},
    {BYTES("PROXY TCP4 1.2.3.4 1.2.3.4 1 \r\n"), 31},
    {BYTES("PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n"), 33},
    {BYTES("PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n"), 34},
    {BYTES("PROXY TCP4 1.2.3.4  1.2.3.4 1 2\r\n"), 33},
    {BYTES("PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n"), 36},
    {BYTES("PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n"), 33},
    {BYTES("PROXY TCP4 1.2.3.4 1.2.3.4 -1 2\r\n"), 33},
    {BYTES("PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n"), 33},
    {BYTES("PROXY TCP4 1.2.3.4 1.2.3.4 1 99999999999999999999\r\n"), 51},
    {BYTES("PROXY TCP4 1.2.3.400 1.2.3.4 1 2\r\n"), 34},
    {BYTES("PROXY TCP4 1.2.3.04 1.2.3.4 1 2\r\n"), 33},
    {BYTES("PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n"), 30},
    {BYTES("PROXY TCP4 ::1 ::1 1 2\r\n"), 24},
    {BYTES("PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n"), 32},
    {BYTES("PROXY TCP6 ::1 ::g 1 2\r\n"), 24},
    {BYTES("PROXY TCP4\r\n"), 12},
    {BYTES("PROXY UNKNOWNS\r\n"), 16},
    /* 107 bytes without an end, and with one that is a byte too late. */
    {BYTES("PROXY UNKNOWN ........................................................................."
           "....................\r\n"),
     107},
    {BYTES("PROXY UNKNOWN ........................................................................."
           "...................\r\n"),
     107},
    /* Version 2: the signature, the version, the command and the family. */
    {BYTES("\r\n\r\n\0\r\nQUIT\r"), 12},
    {BYTES(SIGNATURE "\x11\x11\0\0"), 13},
    {BYTES(SIGNATURE "\x31\x11\0\0"), 13},
    {BYTES(SIGNATURE "\x22\x11\0\0"), 13},
    {BYTES(SIGNATURE "\x21\x10\0\0"), 16},
    {BYTES(SIGNATURE "\x21\x13\0\0"), 16},
    {BYTES(SIGNATURE "\x21\x41\0\0"), 16},
    {BYTES(SIGNATURE "\x21\x01\0\0"), 16},
    /* Too short for its addresses, and too long for anybody. */
    {BYTES(SIGNATURE "\x21\x11\0\x0b\x0a\x01\x02\x03\xc0\x00\x02\x07\x1f\x90\x01"), 27},
    {BYTES(SIGNATURE "\x21\x21\0\x01x"), 17},
    {BYTES(SIGNATURE "\x21\x11\x10\x01"), 16},
    {BYTES(SIGNATURE "\x20\x11\xff\xff"), 16},
    /* TLVs that are cut off, and checksums that are wrong, of a wrong length, or two. */
    {BYTES(SIGNATURE "\x21\0\0\x01\x01"), 17},
    {BYTES(SIGNATURE "\x21\0\0\x02\x01\0"), 18},
    {BYTES(SIGNATURE "\x21\0\0\x04\x01\0\x02h"), 20},
    {BYTES(SIGNATURE "\x21\0\0\x05\x01\0\x01h\x01"), 21},
    {BYTES(SIGNATURE "\x21\0\0\x05\x01\xff\xffhh"), 21},
    {BYTES(SIGNATURE "\x21\0\0\x07\x03\0\x04\x12\x34\x56\x78"), 23},
    {BYTES(SIGNATURE "\x21\0\0\x06\x03\0\x03\x12\x34\x56"), 22},
    {BYTES(SIGNATURE "\x21\0\0\x03\x03\0\0"), 19},
    {BYTES(SIGNATURE "\x21\0\0\x0e\x03\0\x04\0\0\0\0\x03\0\x04\0\0\0\0"), 30},
    {BYTES(SIGNATURE "\x21\x11\0\x13\x0a\x01\x02\x04\xc0\x00\x02\x07\x1f\x90\x01\xbb"
                     "\x03\0\x04\xd9\xa1\xf6\x6a"),
     35},
};

START_TEST(refuses_what_is_malformed_as_soon_as_it_is)
{
    for (size_t i = 0; i < array_size(malformed); i++) {
        struct proxy_header h;
        for (size_t n = 0; n <= malformed[i].length; n++) {
            int want = n < malformed[i].enough ? -EAGAIN : -EBADMSG;
            int got = parse(malformed[i].bytes, n, &h);
            ck_assert_msg(got == want, "case %zu, %zu bytes: %d", i, n, got);
        }
        ck_assert_uint_ge(malformed[i].length, malformed[i].enough);
    }
}
END_TEST

/* Make a header of version 2 with UNIX addresses. Returns its length. */
static size_t unix_header(uint8_t *out, const char *source, size_t source_length,
                          const char *destination, size_t destination_length)
{
    memset(out, 0, 16 + 216);
    memcpy(out, SIGNATURE "\x21\x31\0\xd8", 16);
    memcpy(out + 16, source, source_length);
    memcpy(out + 16 + 108, destination, destination_length);
    return 16 + 216;
}

START_TEST(reads_unix_addresses)
{
    uint8_t bytes[16 + 216];
    char longest[108];
    struct proxy_header h;
    memset(longest, 'x', sizeof(longest));
    longest[0] = '/';
    size_t n = unix_header(bytes, BYTES("/run/a.sock"), BYTES("\0abstract"));
    for (size_t k = 0; k < n; k++)
        ck_assert_int_eq(parse(bytes, k, &h), -EAGAIN);
    ck_assert_int_eq(parse(bytes, n, &h), (int)n);
    check_addr(&h.source, "unix:/run/a.sock");
    check_addr(&h.destination, "unix:@abstract");
    n = unix_header(bytes, "", 0, longest, sizeof(longest));
    ck_assert_int_eq(parse(bytes, n, &h), (int)n);
    check_addr(&h.source, "unix:");
    ck_assert_uint_eq(h.destination.len, offsetof(struct sockaddr_un, sun_path) + 108);
    ck_assert_mem_eq(h.destination.un.sun_path, longest, sizeof(longest));
    n = unix_header(bytes, BYTES("/run/a.sock"), BYTES("/run/b.sock"));
    bytes[13] = 0x32;
    ck_assert_int_eq(parse(bytes, n, &h), (int)n);
    check_addr(&h.source, "none");
}
END_TEST

START_TEST(takes_no_more_than_it_says)
{
    static uint8_t bytes[PROXY_HEADER_MAX + 1];
    struct proxy_header h;
    memcpy(bytes, SIGNATURE "\x21\0\x10\0", 16);
    memcpy(bytes + 16, "\xee\x0f\xfd", 3);
    for (size_t n = 0; n < PROXY_HEADER_MAX; n++)
        unit_assert(parse(bytes, n, &h) == -EAGAIN);
    ck_assert_int_eq(parse(bytes, PROXY_HEADER_MAX, &h), PROXY_HEADER_MAX);
    ck_assert_uint_eq(h.tlvs_length, 4096);
    bytes[15] = 1;
    ck_assert_int_eq(parse(bytes, sizeof(bytes), &h), -EBADMSG);
}
END_TEST

/* --- writing ----------------------------------------------------------------------------- */

static struct addr address(const char *text)
{
    struct addr_spec spec = {.addr.len = 0};
    const char *why = "";
    if (text[0] != '\0' && addr_parse(text, &spec, &why) != 0)
        ck_abort_msg("%s: %s", text, why);
    return spec.addr;
}

static const struct written {
    const char *source, *destination; /* empty: none */
    bool local;
    const char *v1;
    const char *v2; /* without the signature */
    size_t v2_length;
} written[] = {
    {"10.1.2.3:8080", "192.0.2.7:443", false, "PROXY TCP4 10.1.2.3 192.0.2.7 8080 443\r\n",
     BYTES("\x21\x11\0\x0c\x0a\x01\x02\x03\xc0\x00\x02\x07\x1f\x90\x01\xbb")},
    {"[::ffff:10.1.2.3]:8080", "[::ffff:192.0.2.7]:443", false,
     "PROXY TCP4 10.1.2.3 192.0.2.7 8080 443\r\n",
     BYTES("\x21\x11\0\x0c\x0a\x01\x02\x03\xc0\x00\x02\x07\x1f\x90\x01\xbb")},
    {"[2001:db8::1]:8080", "[2001:db8::2]:443", false,
     "PROXY TCP6 2001:db8::1 2001:db8::2 8080 443\r\n",
     BYTES("\x21\x21\0\x24"
           "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"
           "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02"
           "\x1f\x90\x01\xbb")},
    {"10.1.2.3:8080", "[2001:db8::2]:443", false,
     "PROXY TCP6 ::ffff:10.1.2.3 2001:db8::2 8080 443\r\n",
     BYTES("\x21\x21\0\x24"
           "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\x01\x02\x03"
           "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02"
           "\x1f\x90\x01\xbb")},
    {"[ffff:ffff:ffff:ffff:ffff:ffff:ffff:fff1]:65535",
     "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:fff2]:65535", false,
     "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:fff1 ffff:ffff:ffff:ffff:ffff:ffff:ffff:fff2 "
     "65535 65535\r\n",
     BYTES("\x21\x21\0\x24"
           "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xf1"
           "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xf2"
           "\xff\xff\xff\xff")},
    {"10.1.2.3:8080", "192.0.2.7:443", true, "PROXY UNKNOWN\r\n", BYTES("\x20\0\0\0")},
    {"", "", true, "PROXY UNKNOWN\r\n", BYTES("\x20\0\0\0")},
    {"", "", false, "PROXY UNKNOWN\r\n", BYTES("\x21\0\0\0")},
    {"unix:/a", "10.1.2.3:1", false, "PROXY UNKNOWN\r\n", BYTES("\x21\0\0\0")},
};

START_TEST(writes_headers_of_both_versions)
{
    for (size_t i = 0; i < array_size(written); i++) {
        const struct written *w = &written[i];
        const struct proxy_header h = {.source = address(w->source),
                                       .destination = address(w->destination),
                                       .local = w->local};
        uint8_t out[PROXY_HEADER_ALONE];
        ck_assert_uint_eq(proxy_header_write(&h, PROXY_V1, out), strlen(w->v1));
        ck_assert_mem_eq(out, w->v1, strlen(w->v1));
        ck_assert_uint_eq(proxy_header_write(&h, PROXY_V2, out), 12 + w->v2_length);
        ck_assert_mem_eq(out, SIGNATURE, 12);
        ck_assert_mem_eq(out + 12, w->v2, w->v2_length);
    }
}
END_TEST

START_TEST(writes_unix_addresses)
{
    struct proxy_header h = {.source = address("unix:@name"), .destination = address("unix:/b")};
    uint8_t out[PROXY_HEADER_ALONE], want[PROXY_HEADER_ALONE];
    size_t n = unix_header(want, BYTES("\0name"), BYTES("/b"));
    ck_assert_uint_eq(proxy_header_write(&h, PROXY_V2, out), n);
    ck_assert_mem_eq(out, want, n);
    n = proxy_header_write(&h, PROXY_V1, out);
    ck_assert_uint_eq(n, 15);
    ck_assert_mem_eq(out, "PROXY UNKNOWN\r\n", 15);
    /* A client has no name, as a rule. */
    h.source.len = offsetof(struct sockaddr_un, sun_path);
    n = unix_header(want, "", 0, BYTES("/b"));
    ck_assert_uint_eq(proxy_header_write(&h, PROXY_V2, out), n);
    ck_assert_mem_eq(out, want, n);
}
END_TEST

/* TLVs go on as they came, with a checksum that is right for the new header. */
START_TEST(passes_tlvs_on)
{
    static const char tlvs[] = "\x01\0\x02h2\x03\0\x04....\xee\0\x01x";
    struct proxy_header h = {.source = address("10.1.2.3:8080"),
                             .destination = address("192.0.2.7:443"),
                             .tlvs = (const uint8_t *)tlvs,
                             .tlvs_length = sizeof(tlvs) - 1};
    uint8_t out[PROXY_HEADER_ALONE + sizeof(tlvs)];
    struct proxy_header again;
    size_t n = proxy_header_write(&h, PROXY_V2, out);
    ck_assert_uint_eq(n, 16 + 12 + sizeof(tlvs) - 1);
    ck_assert_int_eq(proxy_header_parse(out, n, &again), (int)n); /* checks the checksum */
    ck_assert(addr_equal(&again.source, &h.source));
    ck_assert_uint_eq(again.tlvs_length, h.tlvs_length);
    ck_assert_mem_eq(again.tlvs, tlvs, 8);
    ck_assert_mem_eq(again.tlvs + 12, tlvs + 12, h.tlvs_length - 12);
    ck_assert_mem_ne(again.tlvs + 8, tlvs + 8, 4);
    h.local = true;
    ck_assert_uint_eq(proxy_header_write(&h, PROXY_V2, out), 16);
    h.local = false;
    ck_assert_uint_eq(proxy_header_write(&h, PROXY_V1, out), strlen(written[0].v1));
}
END_TEST

/* What came with no addresses goes on with the connection's, which may be too much. */
START_TEST(leaves_tlvs_out_where_there_is_no_room)
{
    static uint8_t tlvs[4096], out[PROXY_HEADER_ALONE + sizeof(tlvs)];
    memcpy(tlvs, "\xee\x0f\xf1", 3);
    struct proxy_header h = {.source = address("10.1.2.3:8080"),
                             .destination = address("192.0.2.7:443"),
                             .tlvs = tlvs,
                             .tlvs_length = 4096 - 12};
    ck_assert_uint_eq(proxy_header_write(&h, PROXY_V2, out), PROXY_HEADER_MAX);
    ck_assert_int_eq(proxy_header_parse(out, PROXY_HEADER_MAX, &h), PROXY_HEADER_MAX);
    h.tlvs_length = 4096 - 11;
    ck_assert_uint_eq(proxy_header_write(&h, PROXY_V2, out), 16 + 12);
    ck_assert_int_eq(proxy_header_parse(out, 16 + 12, &h), 16 + 12);
}
END_TEST

/* --- at random --------------------------------------------------------------------------- */

/* What must hold of any bytes: once decided, it stays so, and nothing points out of them. */
static void check_any(const uint8_t *bytes, size_t n)
{
    struct proxy_header h;
    int got = parse(bytes, n, &h);
    if (got > 0) {
        unit_assert((size_t)got <= n && got <= PROXY_HEADER_MAX);
        unit_assert(parse(bytes, (size_t)got, &h) == got);
        unit_assert(parse(bytes, (size_t)got - 1, &h) == -EAGAIN);
        unit_assert(h.source.len <= sizeof(struct sockaddr_un));
    } else {
        unit_assert(got == -EAGAIN || got == -EBADMSG);
        unit_assert(got != -EAGAIN || n < PROXY_HEADER_MAX);
        unit_assert(n == 0 || parse(bytes, n - 1, &h) == -EAGAIN || got == -EBADMSG);
    }
}

/* What was read can be written, and reads the same. */
static void check_again(const uint8_t *bytes, size_t n)
{
    struct proxy_header h, again;
    uint8_t out[1024];
    if (proxy_header_parse(bytes, n, &h) <= 0 || h.tlvs_length > sizeof(out) - PROXY_HEADER_ALONE)
        return;
    size_t length = proxy_header_write(&h, PROXY_V2, out);
    unit_assert(proxy_header_parse(out, length, &again) == (int)length);
    unit_assert(again.local == h.local && again.tlvs_length == h.tlvs_length);
    unit_assert(addr_equal(&again.source, &h.source) || h.source.sa.sa_family == AF_INET6);
    length = proxy_header_write(&h, PROXY_V1, out);
    unit_assert(proxy_header_parse(out, length, &again) == (int)length);
}

START_TEST(stands_whatever_comes)
{
    uint64_t state = 20200305;
    for (long i = 0; i < UNIT_WORK(2000000L); i++) {
        uint8_t bytes[600];
        const struct valid *v = &valid[(size_t)i % array_size(valid)];
        memcpy(bytes, v->bytes, v->length);
        size_t n = mutate(&state, bytes, v->length, sizeof(bytes));
        check_any(bytes, n);
        check_again(bytes, n);
    }
}
END_TEST

UNIT_MAIN("proxy_header", reads_headers_in_any_pieces, refuses_what_is_malformed_as_soon_as_it_is,
          reads_unix_addresses, takes_no_more_than_it_says, writes_headers_of_both_versions,
          writes_unix_addresses, passes_tlvs_on, leaves_tlvs_out_where_there_is_no_room,
          stands_whatever_comes)
