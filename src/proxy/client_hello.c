#include "proxy/client_hello.h"

#include <string.h>

#define RECORD_HEAD    5     /* [bytes] type, version, length */
#define RECORD_MAX     16384 /* [bytes] of a record's content */
#define TYPE_HANDSHAKE 22    /* of a record */
#define TYPE_HELLO     1     /* of a handshake message */
#define MESSAGE_HEAD   4     /* [bytes] type and length */
#define VERSION_MAJOR  3     /* SSL 3.0 to TLS 1.3 */
#define MINOR_MAX      4

#define RANDOM_LENGTH  32 /* [bytes] */
#define SESSION_ID_MAX 32 /* [bytes] */
#define EXTENSION_NAME 0  /* server_name */
#define EXTENSION_ALPN 16 /* application_layer_protocol_negotiation */
#define NAME_TYPE_HOST 0

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

void client_hello_init(struct client_hello *h)
{
    h->name[0] = '\0';
    h->alpn_length = h->walked = h->gathered = 0;
}

/* --- pieces ------------------------------------------------------------------------------ */

/* Where one is in the bytes. */
struct place {
    const struct iovec *piece;
    size_t offset; /* [bytes] in the piece */
};

/* Take `n` bytes, of which there are so many, to `out`; NULL: skip them. */
static void take(struct place *p, void *out, size_t n)
{
    char *to = out;
    while (n > 0) {
        size_t step = min_size(p->piece->iov_len - p->offset, n);
        if (to != NULL) {
            memcpy(to, (const char *)p->piece->iov_base + p->offset, step);
            to += step;
        }
        n -= step;
        p->offset += step;
        if (p->offset == p->piece->iov_len) {
            p->piece++;
            p->offset = 0;
        }
    }
}

static size_t total_length(const struct iovec *bytes, int n)
{
    size_t total = 0;
    for (int i = 0; i < n; i++)
        total += bytes[i].iov_len;
    return total;
}

/* --- records ----------------------------------------------------------------------------- */

static size_t record_length(const uint8_t head[RECORD_HEAD])
{
    return (size_t)head[3] << 8 | head[4];
}

/* Whether a record can be part of a handshake; RFC 8446 forbids empty ones. */
static bool record_right(const uint8_t head[RECORD_HEAD])
{
    size_t length = record_length(head);
    return head[0] == TYPE_HANDSHAKE && head[1] == VERSION_MAJOR && head[2] <= MINOR_MAX &&
           length > 0 && length <= RECORD_MAX;
}

/* Whether the first bytes are of something else than TLS, as far as they are there. */
static bool is_foreign(struct place p, size_t total)
{
    uint8_t first[RECORD_HEAD + 1] = {TYPE_HANDSHAKE, VERSION_MAJOR};
    take(&p, first, min_size(total, sizeof(first)));
    return first[0] != TYPE_HANDSHAKE || first[1] != VERSION_MAJOR ||
           (total >= RECORD_HEAD && !record_right(first)) ||
           (total > RECORD_HEAD && first[RECORD_HEAD] != TYPE_HELLO);
}

static size_t message_length(const uint8_t head[MESSAGE_HEAD])
{
    return (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
}

/* Count a whole record's content, which `p` is at, as gathered. */
static void gather(struct client_hello *h, struct place p, size_t length)
{
    if (h->gathered < MESSAGE_HEAD)
        take(&p, h->head + h->gathered, min_size(MESSAGE_HEAD - h->gathered, length));
    h->gathered += length;
    h->walked += RECORD_HEAD + length;
}

/* Walk over the next record. */
static enum client_hello_state walk(struct client_hello *h, struct place p, size_t total)
{
    uint8_t head[RECORD_HEAD];
    if (total - h->walked < RECORD_HEAD)
        return CLIENT_HELLO_MORE;
    take(&p, NULL, h->walked);
    take(&p, head, sizeof(head));
    size_t length = record_length(head);
    if (!record_right(head) || h->walked + RECORD_HEAD + length > CLIENT_HELLO_WIRE_MAX)
        return CLIENT_HELLO_MALFORMED;
    if (total - h->walked < RECORD_HEAD + length)
        return CLIENT_HELLO_MORE;
    gather(h, p, length);
    if (h->gathered < MESSAGE_HEAD)
        return CLIENT_HELLO_MORE;
    if (message_length(h->head) > CLIENT_HELLO_MAX)
        return CLIENT_HELLO_MALFORMED;
    return h->gathered - MESSAGE_HEAD < message_length(h->head) ? CLIENT_HELLO_MORE
                                                                : CLIENT_HELLO_DONE;
}

/* --- the message ------------------------------------------------------------------------- */

/* Reads what is in the records, from one vector of the message into the next inner one. */
struct reader {
    struct place place;
    size_t record; /* [bytes] left of the record */
    size_t left;   /* [bytes] left of the vector; no read goes beyond */
    bool failed;   /* one would have; all that follows reads zeroes */
};

static void get(struct reader *r, void *out, size_t n)
{
    char *to = out;
    if (n > r->left)
        r->failed = true;
    if (r->failed) {
        if (to != NULL)
            memset(to, 0, n);
        return;
    }
    r->left -= n;
    while (n > 0) {
        if (r->record == 0) {
            uint8_t head[RECORD_HEAD];
            take(&r->place, head, sizeof(head));
            r->record = record_length(head);
        }
        size_t step = min_size(r->record, n);
        take(&r->place, to, step);
        to = to != NULL ? to + step : NULL;
        r->record -= step;
        n -= step;
    }
}

static void skip(struct reader *r, size_t n)
{
    get(r, NULL, n);
}

static size_t get_u8(struct reader *r)
{
    uint8_t b;
    get(r, &b, sizeof(b));
    return b;
}

static size_t get_u16(struct reader *r)
{
    uint8_t b[2];
    get(r, b, sizeof(b));
    return (size_t)b[0] << 8 | b[1];
}

static bool more(const struct reader *r)
{
    return r->left > 0 && !r->failed;
}

static void require(struct reader *r, bool right)
{
    if (!right)
        r->failed = true;
}

/* Go into a vector of `n` bytes. Returns what is left outside, for leave(). */
static size_t enter(struct reader *r, size_t n)
{
    require(r, n <= r->left);
    size_t outside = r->failed ? 0 : r->left - n;
    r->left = r->failed ? 0 : n;
    return outside;
}

/* Nothing may be left in the vector. */
static void leave(struct reader *r, size_t outside)
{
    require(r, r->left == 0);
    r->left = outside;
}

/* A host name as it can be shown and compared: visible ASCII, in small letters, no dot behind. */
static void get_host(struct reader *r, struct client_hello *h, size_t n)
{
    require(r, n > 0 && n <= CLIENT_HELLO_NAME_MAX && h->name[0] == '\0');
    if (r->failed)
        return;
    get(r, h->name, n);
    for (size_t i = 0; i < n; i++) {
        char c = h->name[i];
        require(r, c > 0x20 && c < 0x7f);
        h->name[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
    if (n > 1 && h->name[n - 1] == '.')
        n--;
    h->name[n] = '\0';
}

static void get_names(struct reader *r, struct client_hello *h)
{
    size_t outside = enter(r, get_u16(r));
    require(r, r->left > 0);
    while (more(r)) {
        size_t type = get_u8(r), length = get_u16(r);
        if (type == NAME_TYPE_HOST)
            get_host(r, h, length);
        else
            skip(r, length);
    }
    leave(r, outside);
}

static void get_protocols(struct reader *r, struct client_hello *h)
{
    size_t n = get_u16(r);
    require(r, n > 0 && n <= sizeof(h->alpn) && h->alpn_length == 0);
    if (r->failed)
        return;
    get(r, h->alpn, n);
    h->alpn_length = n;
    for (size_t at = 0; at < n && !r->failed; at += 1 + h->alpn[at])
        require(r, h->alpn[at] > 0 && h->alpn[at] < n - at);
}

static void get_extension(struct reader *r, struct client_hello *h)
{
    size_t type = get_u16(r);
    size_t outside = enter(r, get_u16(r));
    if (type == EXTENSION_NAME)
        get_names(r, h);
    else if (type == EXTENSION_ALPN)
        get_protocols(r, h);
    else
        skip(r, r->left);
    leave(r, outside);
}

static void get_hello(struct reader *r, struct client_hello *h)
{
    require(r, get_u8(r) == VERSION_MAJOR);
    skip(r, 1 + RANDOM_LENGTH);
    size_t session_id = get_u8(r);
    require(r, session_id <= SESSION_ID_MAX);
    skip(r, session_id);
    size_t cipher_suites = get_u16(r);
    require(r, cipher_suites > 0 && cipher_suites % 2 == 0);
    skip(r, cipher_suites);
    size_t compression = get_u8(r);
    require(r, compression > 0);
    skip(r, compression);
    if (!more(r)) /* before TLS 1.3 there may be no extensions */
        return;
    size_t outside = enter(r, get_u16(r));
    require(r, outside == 0 && r->left < CLIENT_HELLO_EXTENSIONS_MAX);
    while (more(r))
        get_extension(r, h);
    leave(r, outside);
}

static enum client_hello_state read_message(struct client_hello *h, struct place p)
{
    struct reader r = {.place = p, .left = MESSAGE_HEAD + message_length(h->head)};
    skip(&r, MESSAGE_HEAD);
    get_hello(&r, h);
    return r.failed ? CLIENT_HELLO_MALFORMED : CLIENT_HELLO_DONE;
}

enum client_hello_state client_hello_read(struct client_hello *h, const struct iovec *bytes, int n)
{
    const struct place start = {.piece = bytes};
    size_t total = total_length(bytes, n), before;
    if (h->walked == 0 && is_foreign(start, total))
        return CLIENT_HELLO_NOT_TLS;
    enum client_hello_state state;
    do {
        before = h->walked;
        state = walk(h, start, total);
    } while (state == CLIENT_HELLO_MORE && h->walked != before);
    return state == CLIENT_HELLO_DONE ? read_message(h, start) : state;
}

bool client_hello_offers(const struct client_hello *h, const char *protocol)
{
    size_t length = strlen(protocol);
    for (size_t at = 0; at < h->alpn_length; at += 1 + h->alpn[at])
        if (h->alpn[at] == length && memcmp(h->alpn + at + 1, protocol, length) == 0)
            return true;
    return false;
}
