#include "ctl/frame.h"

#include <errno.h>
#include <string.h>

#include "unit.h"

static struct frame_decoder decoder;
static struct text wire; /* the bytes of a stream */
static struct text why;

static void set_up(void)
{
    frame_decoder_init(&decoder, FRAME_REQUEST_MAX);
    text_init(&wire);
    text_init(&why);
}

static void tear_down(void)
{
    frame_decoder_free(&decoder);
    text_free(&wire);
    text_free(&why);
}

/* Append a frame with any bytes for a body. */
static void add_frame(const char *body, size_t n)
{
    const char header[] = {(char)(n >> 24), (char)(n >> 16), (char)(n >> 8), (char)n};
    text_add(&wire, header, sizeof(header));
    text_add(&wire, body, n);
}

/* Feed the bytes from `from` to `to` of the stream; returns how far the decoder came. */
static size_t feed(size_t from, size_t to)
{
    while (from < to && !frame_is_whole(&decoder)) {
        ssize_t taken = frame_decode(&decoder, wire.data + from, to - from);
        unit_assert(taken > 0);
        from += (size_t)taken;
    }
    return from;
}

static void expect_body(const char *body)
{
    ck_assert(frame_is_whole(&decoder));
    ck_assert_uint_eq(decoder.body.length, strlen(body));
    ck_assert_mem_eq(decoder.body.data, body, strlen(body));
    frame_next(&decoder);
    ck_assert(frame_is_empty(&decoder));
}

START_TEST(an_encoded_object_comes_back)
{
    json_t *object = json_pack("{s:s, s:[i, i]}", "command", "info", "numbers", 1, 2);
    ck_assert_int_eq(frame_encode(object, FRAME_REQUEST_MAX, &wire), 0);
    ck_assert_mem_eq(wire.data, "\0\0\0\x22", FRAME_HEADER);
    ck_assert_uint_eq(feed(0, wire.length), wire.length);
    ck_assert(frame_is_whole(&decoder));
    json_t *back = frame_parse(decoder.body.data, decoder.body.length, &why);
    ck_assert(json_equal(object, back));
    json_decref(back);
    json_decref(object);
}
END_TEST

/* Two frames, cut at any two places: what is taken never reaches into the second too early. */
START_TEST(frames_may_come_in_any_pieces)
{
    const char *first = "{\"command\":\"info\"}", *second = "{}";
    add_frame(first, strlen(first));
    size_t border = wire.length;
    add_frame(second, strlen(second));
    for (size_t a = 0; a <= wire.length; a++) {
        for (size_t b = a; b <= wire.length; b++) {
            const size_t cuts[] = {a, b, wire.length};
            size_t at = 0;
            for (size_t i = 0; i < array_size(cuts) && !frame_is_whole(&decoder); i++)
                at = feed(at, cuts[i]);
            ck_assert_uint_eq(at, border);
            expect_body(first);
            for (size_t i = 0; i < array_size(cuts) && !frame_is_whole(&decoder); i++)
                at = feed(at, cuts[i]);
            ck_assert_uint_eq(at, wire.length);
            expect_body(second);
        }
    }
}
END_TEST

START_TEST(a_whole_frame_takes_no_more)
{
    add_frame("{}", 2);
    ck_assert(frame_is_empty(&decoder));
    ck_assert_uint_eq(feed(0, 2), 2);
    ck_assert(!frame_is_empty(&decoder) && !frame_is_whole(&decoder));
    ck_assert_uint_eq(feed(2, wire.length), wire.length);
    ck_assert_int_eq(frame_decode(&decoder, "xyz", 3), 0);
    expect_body("{}");
}
END_TEST

START_TEST(an_empty_body_is_whole_with_its_header)
{
    add_frame("", 0);
    ck_assert_uint_eq(feed(0, 3), 3);
    ck_assert(!frame_is_whole(&decoder));
    ck_assert_uint_eq(feed(3, 4), 4);
    ck_assert(frame_is_whole(&decoder));
}
END_TEST

static char long_body[FRAME_REQUEST_MAX];

START_TEST(the_longest_body_fits_and_no_longer)
{
    memset(long_body, ' ', sizeof(long_body));
    add_frame(long_body, sizeof(long_body));
    ck_assert_uint_eq(feed(0, wire.length), wire.length);
    ck_assert(frame_is_whole(&decoder));
    frame_next(&decoder);
    ck_assert_int_eq(frame_decode(&decoder, "\0\x01\0\x01", 4), -EMSGSIZE);
}
END_TEST

/* Said by the header alone: nobody has to send, or keep, what will be refused. */
START_TEST(an_overlong_body_is_refused_by_its_header)
{
    ck_assert_int_eq(frame_decode(&decoder, "\xff\xff\xff", 3), 3);
    ck_assert_int_eq(frame_decode(&decoder, "\xff", 1), -EMSGSIZE);
    ck_assert_ptr_null(decoder.body.data);
}
END_TEST

static void expect_unreadable(const char *body, size_t n, const char *what)
{
    text_clear(&why);
    ck_assert_ptr_null(frame_parse(body, n, &why));
    ck_assert_msg(strstr(why.data, what) == why.data, "%s: %s", body, why.data);
}

START_TEST(what_is_no_object_is_refused)
{
    expect_unreadable("", 0, "not JSON: ");
    expect_unreadable("GET / HTTP/1.1", 14, "not JSON: ");
    expect_unreadable("{\"a\":1", 6, "not JSON: ");
    expect_unreadable("{} {}", 5, "not JSON: ");
    expect_unreadable("{\"a\":1,\"a\":2}", 13, "not JSON: ");
    expect_unreadable("{\"a\":\"\\u0000\"}", 14, "not JSON: ");
    expect_unreadable("{\"a\":\"\xff\"}", 9, "not JSON: ");
    expect_unreadable("[1]", 3, "not a JSON object");
    memset(long_body, '[', sizeof(long_body));
    expect_unreadable(long_body, sizeof(long_body), "not JSON: ");
}
END_TEST

START_TEST(an_object_that_is_too_large_is_not_encoded)
{
    json_t *object = json_pack("{s:s}", "a", "0123456789");
    ck_assert_int_eq(frame_encode(object, 17, &wire), -EMSGSIZE);
    ck_assert_uint_eq(wire.length, 0);
    ck_assert_int_eq(frame_encode(object, 18, &wire), 0);
    ck_assert_uint_eq(wire.length, FRAME_HEADER + 18);
    json_decref(object);
}
END_TEST

/* A small generator: the same bytes in every run. */
static unsigned random_number(uint32_t *state)
{
    *state = *state * 1664525 + 1013904223;
    return *state >> 8;
}

/* Whatever comes, the decoder takes all of it up to a frame's end or an error. */
START_TEST(any_bytes_do_no_harm)
{
    uint32_t state = 1;
    for (int round = 0; round < 20000; round++) {
        char bytes[64];
        for (size_t i = 0; i < sizeof(bytes); i++)
            bytes[i] = (char)(i % 16 < 3 ? 0 : random_number(&state));
        struct frame_decoder d;
        frame_decoder_init(&d, 40);
        size_t at = 0;
        while (at < sizeof(bytes)) {
            size_t part = 1 + random_number(&state) % (sizeof(bytes) - at);
            ssize_t taken = frame_decode(&d, bytes + at, part);
            if (taken < 0)
                break;
            unit_assert((size_t)taken == part || frame_is_whole(&d));
            unit_assert(d.body.length <= 40);
            at += (size_t)taken;
            if (frame_is_whole(&d)) {
                text_clear(&why);
                json_decref(frame_parse(d.body.length > 0 ? d.body.data : "", d.body.length, &why));
                frame_next(&d);
            }
        }
        frame_decoder_free(&d);
    }
}
END_TEST

UNIT_MAIN_AROUND("frame", set_up, tear_down, an_encoded_object_comes_back,
                 frames_may_come_in_any_pieces, a_whole_frame_takes_no_more,
                 an_empty_body_is_whole_with_its_header, the_longest_body_fits_and_no_longer,
                 an_overlong_body_is_refused_by_its_header, what_is_no_object_is_refused,
                 an_object_that_is_too_large_is_not_encoded, any_bytes_do_no_harm)
