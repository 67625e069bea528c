#include "proxy/client_hello.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hello_maker.h"
#include "mutation.h"
#include "unit.h"

/* What OpenSSL 3.0 sends for www.Example.org with h2 and http/1.1, the rest being zeroes. */
static const uint8_t openssl[517] = {
    0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03, 0xf4, 0x35, 0xb9, 0x2c, 0x5c,
    0x16, 0x63, 0xfe, 0xf3, 0x53, 0x60, 0xcf, 0x0a, 0xcc, 0x94, 0x06, 0xf8, 0x1b, 0xf4, 0x64, 0x89,
    0x12, 0x32, 0x4e, 0x50, 0x3f, 0x83, 0xc7, 0x90, 0xb9, 0xbf, 0x81, 0x20, 0x31, 0x35, 0xa2, 0xd2,
    0xea, 0xfd, 0x1a, 0x76, 0x0a, 0x92, 0x2e, 0x61, 0x3a, 0xce, 0x6f, 0x28, 0x00, 0xe6, 0x05, 0x98,
    0x97, 0x12, 0x53, 0xeb, 0xe2, 0x84, 0x34, 0xbc, 0x05, 0x7b, 0xee, 0x1d, 0x00, 0x24, 0x13, 0x02,
    0x13, 0x03, 0x13, 0x01, 0xc0, 0x2c, 0xc0, 0x30, 0xc0, 0x2b, 0xc0, 0x2f, 0xcc, 0xa9, 0xcc, 0xa8,
    0xc0, 0x24, 0xc0, 0x28, 0xc0, 0x23, 0xc0, 0x27, 0x00, 0x9f, 0x00, 0x9e, 0x00, 0x6b, 0x00, 0x67,
    0x00, 0xff, 0x01, 0x00, 0x01, 0x8f, 0x00, 0x00, 0x00, 0x14, 0x00, 0x12, 0x00, 0x00, 0x0f, 0x77,
    0x77, 0x77, 0x2e, 0x45, 0x78, 0x61, 0x6d, 0x70, 0x6c, 0x65, 0x2e, 0x6f, 0x72, 0x67, 0x00, 0x0b,
    0x00, 0x04, 0x03, 0x00, 0x01, 0x02, 0x00, 0x0a, 0x00, 0x16, 0x00, 0x14, 0x00, 0x1d, 0x00, 0x17,
    0x00, 0x1e, 0x00, 0x19, 0x00, 0x18, 0x01, 0x00, 0x01, 0x01, 0x01, 0x02, 0x01, 0x03, 0x01, 0x04,
    0x00, 0x23, 0x00, 0x00, 0x00, 0x10, 0x00, 0x0e, 0x00, 0x0c, 0x02, 0x68, 0x32, 0x08, 0x68, 0x74,
    0x74, 0x70, 0x2f, 0x31, 0x2e, 0x31, 0x00, 0x16, 0x00, 0x00, 0x00, 0x17, 0x00, 0x00, 0x00, 0x0d,
    0x00, 0x2a, 0x00, 0x28, 0x04, 0x03, 0x05, 0x03, 0x06, 0x03, 0x08, 0x07, 0x08, 0x08, 0x08, 0x09,
    0x08, 0x0a, 0x08, 0x0b, 0x08, 0x04, 0x08, 0x05, 0x08, 0x06, 0x04, 0x01, 0x05, 0x01, 0x06, 0x01,
    0x03, 0x03, 0x03, 0x01, 0x03, 0x02, 0x04, 0x02, 0x05, 0x02, 0x06, 0x02, 0x00, 0x2b, 0x00, 0x05,
    0x04, 0x03, 0x04, 0x03, 0x03, 0x00, 0x2d, 0x00, 0x02, 0x01, 0x01, 0x00, 0x33, 0x00, 0x26, 0x00,
    0x24, 0x00, 0x1d, 0x00, 0x20, 0xb6, 0xb5, 0x4a, 0x50, 0xe3, 0x7a, 0x66, 0xe6, 0xb1, 0x44, 0xd3,
    0x81, 0x79, 0x29, 0x77, 0x99, 0x04, 0x61, 0xfd, 0x40, 0x34, 0xc1, 0xd8, 0x0d, 0xd1, 0x07, 0xb5,
    0x93, 0xbd, 0xe2, 0x20, 0x1e, 0x00, 0x15, 0x00, 0xcc,
};

static struct bytes message, wire;
static struct client_hello hello;

/* Look at bytes in pieces, each in an allocation of its own: no read beyond one goes unnoticed. */
static enum client_hello_state look(struct client_hello *h, const uint8_t *bytes, size_t n,
                                    size_t cut)
{
    size_t lengths[2] = {cut < n ? cut : n, cut < n ? n - cut : 0};
    struct iovec pieces[2];
    int count = lengths[1] > 0 ? 2 : 1;
    for (int i = 0; i < count; i++) {
        void *copy = malloc(lengths[i] > 0 ? lengths[i] : 1);
        memcpy(copy, bytes + (i > 0 ? lengths[0] : 0), lengths[i]);
        pieces[i] = (struct iovec){copy, lengths[i]};
    }
    enum client_hello_state state = client_hello_read(h, pieces, count);
    for (int i = 0; i < count; i++)
        free(pieces[i].iov_base);
    return state;
}

static enum client_hello_state look_once(const uint8_t *bytes, size_t n)
{
    client_hello_init(&hello);
    return look(&hello, bytes, n, n);
}

static enum client_hello_state look_at(const struct hello *h, size_t record)
{
    make_message(&message, h);
    wrap(&wire, &message, record);
    return look_once(wire.data, wire.n);
}

static void check_found(const char *name, const char *alpn)
{
    ck_assert_str_eq(hello.name, name);
    char protocol[256];
    size_t at = 0;
    for (; *alpn != '\0'; alpn += strlen(protocol) + (alpn[strlen(protocol)] == ' ')) {
        size_t n = strcspn(alpn, " ");
        memcpy(protocol, alpn, n);
        protocol[n] = '\0';
        ck_assert_msg(client_hello_offers(&hello, protocol), "%s is not offered", protocol);
        at += 1 + n;
    }
    ck_assert_uint_eq(hello.alpn_length, at);
}

/* Byte by byte, and in two pieces cut anywhere: the same is found, as soon as all is there. */
static void check_pieces(const uint8_t *bytes, size_t n, const char *name, const char *alpn)
{
    client_hello_init(&hello);
    for (size_t k = 0; k < n; k++)
        unit_assert(look(&hello, bytes, k, k / 2) == CLIENT_HELLO_MORE);
    ck_assert_int_eq(look(&hello, bytes, n, n), CLIENT_HELLO_DONE);
    check_found(name, alpn);
    for (size_t cut = 0; cut <= n; cut++) {
        client_hello_init(&hello);
        if (cut < n)
            unit_assert(look(&hello, bytes, cut, cut) == CLIENT_HELLO_MORE);
        unit_assert(look(&hello, bytes, n, cut) == CLIENT_HELLO_DONE);
        unit_assert(strcmp(hello.name, name) == 0);
    }
    check_found(name, alpn);
}

START_TEST(reads_what_openssl_sends_in_any_pieces)
{
    check_pieces(openssl, sizeof(openssl), "www.example.org", "h2 http/1.1");
    ck_assert(!client_hello_offers(&hello, "h3"));
    ck_assert(!client_hello_offers(&hello, "http/1.0"));
    ck_assert(!client_hello_offers(&hello, "h"));
    ck_assert(!client_hello_offers(&hello, ""));
}
END_TEST

static const struct {
    struct hello hello;
    const char *name, *alpn;
} found[] = {
    {{.name = "example.org", .alpn = "h2"}, "example.org", "h2"},
    {{.name = "a", .alpn = "a"}, "a", "a"},
    {{.name = "EXAMPLE.ORG."}, "example.org", ""},
    {{.name = "192.0.2.1"}, "192.0.2.1", ""},
    {{.name = "_a-b.xn--bcher-kva.example"}, "_a-b.xn--bcher-kva.example", ""},
    {{.alpn = "h2 http/1.1 http/1.0 spdy/3.1"}, "", "h2 http/1.1 http/1.0 spdy/3.1"},
    {{.name = NULL}, "", ""},
    {{.no_extensions = 1}, "", ""},
    /* Post-quantum: a key share of 1,216 bytes, and larger ones. */
    {{.name = "pq.example.org", .alpn = "h2", .key_share = 1216}, "pq.example.org", "h2"},
    {{.name = "pq.example.org", .alpn = "h2", .key_share = 4000}, "pq.example.org", "h2"},
};

START_TEST(reads_any_hello_in_any_pieces_and_records)
{
    static const size_t records[] = {1, 2, 3, 4, 5, 7, 100, 16384};
    for (size_t i = 0; i < array_size(found); i++) {
        make_message(&message, &found[i].hello);
        for (size_t k = 0; k < array_size(records); k++) {
            wrap(&wire, &message, records[k]);
            if (wire.n < 2000)
                check_pieces(wire.data, wire.n, found[i].name, found[i].alpn);
            ck_assert_int_eq(look_once(wire.data, wire.n), CLIENT_HELLO_DONE);
            check_found(found[i].name, found[i].alpn);
        }
    }
}
END_TEST

/* A record ends anywhere, also in the middle of a name. */
START_TEST(reads_a_hello_of_two_records_cut_anywhere)
{
    make_message(&message, &found[0].hello);
    for (size_t cut = 1; cut < message.n; cut++) {
        static struct bytes part, second;
        part = message;
        part.n = cut;
        wrap(&wire, &part, cut);
        part.n = 0;
        put(&part, message.data + cut, message.n - cut);
        wrap(&second, &part, part.n);
        put(&wire, second.data, second.n);
        ck_assert_int_eq(look_once(wire.data, wire.n), CLIENT_HELLO_DONE);
        check_found("example.org", "h2");
        ck_assert_int_eq(look_once(wire.data, wire.n - 1), CLIENT_HELLO_MORE);
    }
}
END_TEST

/* In a ring the bytes lie in several nodes: here in pieces of one size. */
START_TEST(reads_from_many_pieces)
{
    static struct iovec pieces[4096];
    make_message(&message, &(struct hello){.name = "example.org", .alpn = "h2", .key_share = 500});
    wrap(&wire, &message, 50);
    for (size_t size = 1; size <= 40; size++) {
        int n = 0;
        for (size_t at = 0; at < wire.n; at += size)
            pieces[n++] = (struct iovec){wire.data + at, wire.n - at < size ? wire.n - at : size};
        client_hello_init(&hello);
        ck_assert_int_eq(client_hello_read(&hello, pieces, n - 1), CLIENT_HELLO_MORE);
        ck_assert_int_eq(client_hello_read(&hello, pieces, n), CLIENT_HELLO_DONE);
        check_found("example.org", "h2");
    }
}
END_TEST

/* What follows the hello is none of its business. */
START_TEST(leaves_what_follows_alone)
{
    make_message(&message, &found[0].hello);
    wrap(&wire, &message, 16384);
    put(&wire, "\x14\x03\x03\x00\x01\x01", 6);
    ck_assert_int_eq(look_once(wire.data, wire.n), CLIENT_HELLO_DONE);
    check_found("example.org", "h2");
}
END_TEST

#define BYTES(literal) literal, sizeof(literal) - 1

START_TEST(tells_what_is_not_tls)
{
    static const struct {
        const char *bytes;
        size_t length, enough;
    } cases[] = {
        {BYTES("GET / HTTP/1.1\r\n"), 1},
        {BYTES("SSH-2.0-x\r\n"), 1},
        {BYTES("\0\0\0\x08\x04\xd2\x16\x2f"), 1}, /* PostgreSQL's SSLRequest */
        {BYTES("\x80\x2e\x01\x03\x01"), 1},       /* SSL 2 */
        {BYTES("\x15\x03\x01\0\x02\x01\0"), 1},
        {BYTES("\x16\x02\x01\0\x02\x01\0"), 2},
        {BYTES("\x16\x16\x16"), 2},
        {BYTES("\x16\x03\x01\0\x04\x02\0\0\0"), 6},
        {BYTES("\x16\x03\x01\0\x04\0\0\0\0"), 6},
        {BYTES("\x16\x03\x05\0\x02\x01\0"), 5}, /* no such version */
        {BYTES("\x16\x03\x01\x40\x01\x01"), 5}, /* longer than a record may be */
        {BYTES("\x16\x03\x01\xff\xff\x01"), 5},
        {BYTES("\x16\x03\x01\0\0\x01"), 5}, /* empty */
    };
    for (size_t i = 0; i < array_size(cases); i++)
        for (size_t n = 0; n <= cases[i].length; n++)
            ck_assert_int_eq(look_once((const uint8_t *)cases[i].bytes, n),
                             n < cases[i].enough ? CLIENT_HELLO_MORE : CLIENT_HELLO_NOT_TLS);
}
END_TEST

START_TEST(refuses_bad_records)
{
    static const char *const bad[] = {
        "\x16\x03\x01\0\x04\x01\0\x50\x01", /* a message longer than any */
        "\x16\x03\x01\0\x04\x01\xff\xff\xff",
        "\x16\x03\x01\0\x01\x01\x16\x03\x01\0\0",         /* an empty record */
        "\x16\x03\x01\0\x01\x01\x15\x03\x01\0\x02\x01\0", /* an alert in between */
        "\x16\x03\x01\0\x01\x01\x16\x02\x01\0\x01\0",
        "\x16\x03\x01\0\x04\x01\0\0\0", /* an empty message */
    };
    static const size_t lengths[] = {9, 9, 11, 13, 12, 9};
    for (size_t i = 0; i < array_size(bad); i++)
        ck_assert_msg(look_once((const uint8_t *)bad[i], lengths[i]) == CLIENT_HELLO_MALFORMED,
                      "case %zu", i);
}
END_TEST

/* Extensions as they must not be: type, length and content. */
static const struct {
    const char *extension;
    size_t length;
} bad_extensions[] = {
    {BYTES("\0")},
    {BYTES("\0\x17\0")},
    {BYTES("\0\x17\0\x01")},
    {BYTES("\0\x17\xff\xff")},
    {BYTES("\0\0\0\0")},                           /* no list */
    {BYTES("\0\0\0\x02\0\0")},                     /* an empty one */
    {BYTES("\0\0\0\x05\0\x03\0\0\0")},             /* an empty name */
    {BYTES("\0\0\0\x06\0\x05\0\0\x01x")},          /* a list longer than the extension */
    {BYTES("\0\0\0\x07\0\x04\0\0\x01xy")},         /* a shorter one */
    {BYTES("\0\0\0\x06\0\x04\0\0\x02x")},          /* a name longer than the list */
    {BYTES("\0\0\0\x07\0\x05\0\0\x02x\0")},        /* a zero in a name */
    {BYTES("\0\0\0\x07\0\x05\0\0\x02x\x20")},      /* a space */
    {BYTES("\0\0\0\x07\0\x05\0\0\x02x\x80")},      /* what is not ASCII */
    {BYTES("\0\0\0\x0a\0\x08\0\0\x01x\0\0\x01y")}, /* two names */
    {BYTES("\0\0\0\x06\0\x04\0\0\x01x\0\0\0\x06\0\x04\0\0\x01y")}, /* two extensions with one */
    {BYTES("\0\x10\0\0")},                                         /* no list of protocols */
    {BYTES("\0\x10\0\x02\0\0")},                                   /* an empty one */
    {BYTES("\0\x10\0\x03\0\x01\0")},                               /* an empty protocol */
    {BYTES("\0\x10\0\x05\0\x03\x02h2\0")},                         /* likewise, behind another */
    {BYTES("\0\x10\0\x04\0\x02\x02h")},                            /* one longer than the list */
    {BYTES("\0\x10\0\x05\0\x04\x02h2")},  /* a list longer than the extension */
    {BYTES("\0\x10\0\x06\0\x03\x02h2x")}, /* a shorter one */
    {BYTES("\0\x10\0\x05\0\x03\x02h2\0\x10\0\x05\0\x03\x02h2")}, /* two lists */
};

START_TEST(refuses_bad_extensions)
{
    for (size_t i = 0; i < array_size(bad_extensions); i++) {
        const struct hello h = {.extra = bad_extensions[i].extension,
                                .extra_length = bad_extensions[i].length};
        ck_assert_msg(look_at(&h, 16384) == CLIENT_HELLO_MALFORMED, "case %zu", i);
    }
}
END_TEST

/* Every length in the message made one too large and one too small. */
START_TEST(refuses_lengths_that_do_not_fit)
{
    static const size_t at[] = {
        3,               /* of the message */
        4 + 2 + 32,      /* of the session id */
        4 + 67 + 1,      /* of the cipher suites */
        4 + 67 + 6,      /* of the compression methods */
        4 + 67 + 8 + 1,  /* of the extensions */
        4 + 67 + 10 + 3, /* of the name's extension */
        4 + 67 + 10 + 5, /* of its list */
        4 + 67 + 10 + 8, /* of the name */
    };
    for (size_t i = 0; i < array_size(at); i++) {
        for (int change = -1; change <= 1; change += 2) {
            make_message(&message, &(struct hello){.name = "example.org"});
            message.data[at[i]] = (uint8_t)(message.data[at[i]] + change);
            /* One too short a message has a byte behind it. */
            wrap(&wire, &message, 16384);
            enum client_hello_state want =
                i == 0 && change == 1 ? CLIENT_HELLO_MORE : CLIENT_HELLO_MALFORMED;
            ck_assert_msg(look_once(wire.data, wire.n) == want, "byte %zu, %+d", at[i], change);
        }
    }
}
END_TEST

START_TEST(refuses_more_than_the_bounds_allow)
{
    /* With the extensions around it, 16,383 bytes are all right and 16,384 are not. */
    const size_t rest = 4 + 5;
    struct hello h = {.key_share = CLIENT_HELLO_EXTENSIONS_MAX - 1 - rest};
    ck_assert_int_eq(look_at(&h, 16384), CLIENT_HELLO_DONE);
    h.key_share++;
    ck_assert_int_eq(look_at(&h, 16384), CLIENT_HELLO_MALFORMED);
    h.key_share = 60000;
    ck_assert_int_eq(look_at(&h, 16384), CLIENT_HELLO_MALFORMED);
    ck_assert_int_eq(look_once(wire.data, 5 + 16384), CLIENT_HELLO_MALFORMED);
    /* Records of a byte each are too many for a large message. */
    h.key_share = 16000;
    ck_assert_int_eq(look_at(&h, 1), CLIENT_HELLO_MALFORMED);
    ck_assert_int_eq(look_at(&h, 2), CLIENT_HELLO_DONE);
}
END_TEST

START_TEST(takes_names_and_lists_up_to_their_bounds)
{
    char name[CLIENT_HELLO_NAME_MAX + 2], alpn[CLIENT_HELLO_ALPN_MAX + 2];
    memset(name, 'x', sizeof(name));
    name[CLIENT_HELLO_NAME_MAX] = '\0';
    ck_assert_int_eq(look_at(&(struct hello){.name = name}, 16384), CLIENT_HELLO_DONE);
    ck_assert_str_eq(hello.name, name);
    name[CLIENT_HELLO_NAME_MAX] = 'x';
    name[CLIENT_HELLO_NAME_MAX + 1] = '\0';
    ck_assert_int_eq(look_at(&(struct hello){.name = name}, 16384), CLIENT_HELLO_MALFORMED);
    memset(alpn, 'p', sizeof(alpn));
    for (size_t i = 255; i < sizeof(alpn); i += 256)
        alpn[i] = ' ';
    alpn[CLIENT_HELLO_ALPN_MAX - 1] = '\0';
    ck_assert_int_eq(look_at(&(struct hello){.alpn = alpn}, 16384), CLIENT_HELLO_DONE);
    ck_assert_uint_eq(hello.alpn_length, CLIENT_HELLO_ALPN_MAX);
    alpn[CLIENT_HELLO_ALPN_MAX - 1] = ' ';
    alpn[CLIENT_HELLO_ALPN_MAX] = 'p';
    alpn[CLIENT_HELLO_ALPN_MAX + 1] = '\0';
    ck_assert_int_eq(look_at(&(struct hello){.alpn = alpn}, 16384), CLIENT_HELLO_MALFORMED);
}
END_TEST

/* --- at random --------------------------------------------------------------------------- */

/* Whatever it is: in pieces the verdict is the same, and what is found is sound. */
static void check_any(const uint8_t *bytes, size_t n, uint64_t *state)
{
    static struct client_hello whole;
    client_hello_init(&whole);
    enum client_hello_state want = look(&whole, bytes, n, n), got = CLIENT_HELLO_MORE;
    client_hello_init(&hello);
    for (size_t k = 0; got == CLIENT_HELLO_MORE && k < n;) {
        size_t step = mutation_random(state) % 200 + 1;
        k = n - k < step ? n : k + step;
        got = look(&hello, bytes, k, mutation_random(state) % (k + 1));
    }
    unit_assert(got == want);
    if (got != CLIENT_HELLO_DONE)
        return;
    unit_assert(strcmp(hello.name, whole.name) == 0);
    unit_assert(hello.alpn_length == whole.alpn_length);
    unit_assert(memchr(hello.name, '\0', sizeof(hello.name)) != NULL);
    unit_assert(!client_hello_offers(&hello, "no such protocol"));
}

START_TEST(stands_whatever_comes)
{
    static const size_t records[] = {16384, 100, 20, 3};
    static uint8_t bytes[2048];
    uint64_t state = 8446;
    for (long i = 0; i < UNIT_WORK(1000000L); i++) {
        size_t n = sizeof(openssl);
        if (i % 2 == 0) {
            memcpy(bytes, openssl, n);
        } else {
            if (i % 1000 == 1) {
                make_message(&message, &found[(size_t)i / 1000 % 8].hello);
                wrap(&wire, &message, records[i / 8000 % 4]);
            }
            n = wire.n;
            memcpy(bytes, wire.data, n);
        }
        n = mutate(&state, bytes, n, sizeof(bytes));
        if (mutation_random(&state) % 4 == 0)
            n = mutation_random(&state) % (n + 1);
        check_any(bytes, n, &state);
    }
}
END_TEST

UNIT_MAIN("client_hello", reads_what_openssl_sends_in_any_pieces,
          reads_any_hello_in_any_pieces_and_records, reads_a_hello_of_two_records_cut_anywhere,
          reads_from_many_pieces, leaves_what_follows_alone, tells_what_is_not_tls,
          refuses_bad_records, refuses_bad_extensions, refuses_lengths_that_do_not_fit,
          refuses_more_than_the_bounds_allow, takes_names_and_lists_up_to_their_bounds,
          stands_whatever_comes)
