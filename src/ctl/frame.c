#include "ctl/frame.h"

#include <errno.h>

void frame_decoder_init(struct frame_decoder *d, size_t max)
{
    *d = (struct frame_decoder){.max = max};
    text_init(&d->body);
}

void frame_decoder_free(struct frame_decoder *d)
{
    text_free(&d->body);
}

bool frame_is_whole(const struct frame_decoder *d)
{
    return d->header == FRAME_HEADER && d->body.length == d->length;
}

bool frame_is_empty(const struct frame_decoder *d)
{
    return d->header == 0;
}

void frame_next(struct frame_decoder *d)
{
    d->header = 0;
    d->length = 0;
    text_clear(&d->body);
}

/* Returns how many of the bytes belong to the header. */
static size_t take_header(struct frame_decoder *d, const char *bytes, size_t n)
{
    size_t taken = 0;
    while (taken < n && d->header < FRAME_HEADER) {
        d->length = d->length << 8 | (unsigned char)bytes[taken++];
        d->header++;
    }
    return taken;
}

ssize_t frame_decode(struct frame_decoder *d, const char *bytes, size_t n)
{
    size_t header = take_header(d, bytes, n);
    if (d->header < FRAME_HEADER)
        return (ssize_t)header;
    if (d->length > d->max)
        return -EMSGSIZE;
    size_t missing = d->length - d->body.length;
    size_t body = n - header < missing ? n - header : missing;
    text_add(&d->body, bytes + header, body);
    return d->body.failed ? -ENOMEM : (ssize_t)(header + body);
}

json_t *frame_parse(const char *body, size_t n, struct text *why)
{
    json_error_t error;
    json_t *object = json_loadb(body, n, JSON_REJECT_DUPLICATES, &error);
    if (object == NULL) {
        text_format(why, "not JSON: %s", error.text);
        return NULL;
    }
    if (!json_is_object(object)) {
        text_add_string(why, "not a JSON object");
        json_decref(object);
        return NULL;
    }
    return object;
}

static int append(const char *bytes, size_t n, void *out)
{
    text_add(out, bytes, n);
    return 0;
}

static void write_header(char *at, size_t length)
{
    for (int i = FRAME_HEADER - 1; i >= 0; i--) {
        at[i] = (char)(length & 0xff);
        length >>= 8;
    }
}

int frame_encode(const json_t *object, size_t max, struct text *out)
{
    text_clear(out);
    text_add(out, (const char[FRAME_HEADER]){0}, FRAME_HEADER);
    int err = json_dump_callback(object, append, out, FRAME_JSON) == 0 ? 0 : -ENOMEM;
    if (out->failed)
        err = -ENOMEM;
    else if (err == 0 && out->length - FRAME_HEADER > max)
        err = -EMSGSIZE;
    if (err == 0)
        write_header(out->data, out->length - FRAME_HEADER);
    else
        text_clear(out);
    return err;
}
