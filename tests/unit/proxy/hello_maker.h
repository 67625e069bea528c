/* ClientHellos as clients send them, well made or not. */
#ifndef WEFT_UNIT_HELLO_MAKER_H
#define WEFT_UNIT_HELLO_MAKER_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define HELLO_ROOM (160 << 10) /* [bytes] */

struct bytes {
    uint8_t data[HELLO_ROOM];
    size_t n;
};

static inline void put(struct bytes *b, const void *data, size_t n)
{
    if (n > 0)
        memcpy(b->data + b->n, data, n);
    b->n += n;
}

static inline void put_number(struct bytes *b, size_t value, int width)
{
    while (width-- > 0)
        b->data[b->n++] = (uint8_t)(value >> 8 * width);
}

/* Leave room for a length of `width` bytes. Returns where it is, for close_vector(). */
static inline size_t open_vector(struct bytes *b, int width)
{
    put_number(b, 0, width);
    return b->n;
}

static inline void close_vector(struct bytes *b, size_t start, int width)
{
    size_t end = b->n;
    b->n = start - (size_t)width;
    put_number(b, end - start, width);
    b->n = end;
}

static inline void put_extension(struct bytes *b, unsigned type, const void *data, size_t n)
{
    put_number(b, type, 2);
    put_number(b, n, 2);
    put(b, data, n);
}

static inline void put_server_name(struct bytes *b, const char *name)
{
    put_number(b, 0, 2);
    size_t extension = open_vector(b, 2), list = open_vector(b, 2);
    put_number(b, 0, 1);
    put_number(b, strlen(name), 2);
    put(b, name, strlen(name));
    close_vector(b, list, 2);
    close_vector(b, extension, 2);
}

/* `protocols`: separated by spaces. */
static inline void put_alpn(struct bytes *b, const char *protocols)
{
    put_number(b, 16, 2);
    size_t extension = open_vector(b, 2), list = open_vector(b, 2);
    while (*protocols != '\0') {
        size_t n = strcspn(protocols, " ");
        put_number(b, n, 1);
        put(b, protocols, n);
        protocols += n + (protocols[n] == ' ');
    }
    close_vector(b, list, 2);
    close_vector(b, extension, 2);
}

/* What a hello is made of. */
struct hello {
    const char *name;    /* NULL: no such extension */
    const char *alpn;    /* separated by spaces; NULL: no such extension */
    size_t key_share;    /* [bytes] of another extension; 0: none */
    const void *extra;   /* whole extensions */
    size_t extra_length; /* [bytes] */
    int no_extensions;   /* not even their length */
};

/* The handshake message, without records. */
static inline void make_message(struct bytes *b, const struct hello *h)
{
    static const uint8_t random[32] = "0123456789abcdef0123456789abcde";
    static const uint8_t zeroes[65535];
    b->n = 0;
    put_number(b, 1, 1);
    size_t message = open_vector(b, 3);
    put_number(b, 0x0303, 2);
    put(b, random, sizeof(random));
    put_number(b, 32, 1);
    put(b, random, sizeof(random));
    put_number(b, 4, 2);
    put_number(b, 0x13011302, 4);
    put_number(b, 0x0100, 2);
    if (!h->no_extensions) {
        size_t extensions = open_vector(b, 2);
        if (h->key_share > 0)
            put_extension(b, 51, zeroes, h->key_share);
        if (h->name != NULL)
            put_server_name(b, h->name);
        put_extension(b, 0x3a3a, zeroes, 1); /* a GREASE one */
        if (h->alpn != NULL)
            put_alpn(b, h->alpn);
        put(b, h->extra, h->extra_length);
        close_vector(b, extensions, 2);
    }
    close_vector(b, message, 3);
}

/* Cut a message into records of at most `size` bytes. */
static inline void wrap(struct bytes *out, const struct bytes *message, size_t size)
{
    out->n = 0;
    for (size_t at = 0; at < message->n; at += size) {
        size_t n = message->n - at < size ? message->n - at : size;
        put_number(out, 22, 1);
        put_number(out, 0x0301, 2);
        put_number(out, n, 2);
        put(out, message->data + at, n);
    }
}

#endif
