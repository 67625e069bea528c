#include "ctl/reply.h"

#include <errno.h>
#include <string.h>

#include "base/attr.h"
#include "ctl/frame.h"
#include "unit.h"

static const struct command_column columns[] = {
    {"name", "Name", COLUMN_TEXT, NULL},
    {"addresses", "Addresses", COLUMN_LIST, NULL},
    {"active", "Active", COLUMN_COUNT, NULL},
    {"size", "Size", COLUMN_BYTES, NULL},
    {"age", "Age", COLUMN_DURATION, NULL},
    {"at", "At", COLUMN_TIME, NULL},
    {"busy", "Busy", COLUMN_SHARE, NULL},
    {"up", "Up", COLUMN_FLAG, NULL},
    {.key = NULL},
};
static const struct command listing = {.name = "listing", .columns = columns};

static struct reply reply;
static json_t *frames; /* all that was sent */
static size_t longest; /* [bytes] the largest frame's body */
static int send_error; /* what sending returns, once `send_budget` is used up */
static int send_budget = -1;

static int keep(struct reply *r, const json_t *object)
{
    ck_assert_ptr_eq(r, &reply);
    if (send_budget-- == 0)
        return send_error;
    struct text wire;
    text_init(&wire);
    ck_assert_int_eq(frame_encode(object, FRAME_REPLY_MAX, &wire), 0);
    if (wire.length - FRAME_HEADER > longest)
        longest = wire.length - FRAME_HEADER;
    json_array_append_new(
        frames, json_loadb(wire.data + FRAME_HEADER, wire.length - FRAME_HEADER, 0, NULL));
    text_free(&wire);
    return 0;
}

static void set_up(void)
{
    frames = json_array();
    reply_init(&reply, &listing, keep);
}

static void tear_down(void)
{
    reply_destroy(&reply);
    json_decref(frames);
}

static void add_row(const char *name)
{
    reply_row(&reply);
    reply_text(&reply, "name", name);
    reply_list(&reply, "addresses");
    reply_list_add(&reply, "127.0.0.1:80");
    reply_list_add(&reply, "[::1]:80");
    reply_count(&reply, "active", 3);
    reply_bytes(&reply, "size", 1 << 20);
    reply_duration(&reply, "age", 1500000000);
    reply_time(&reply, "at", 0);
    reply_share(&reply, "busy", 0.25);
    reply_flag(&reply, "up", true);
}

static void expect_frame(size_t n, const char *json)
{
    json_t *want = json_loads(json, 0, NULL), *got = json_array_get(frames, n);
    char *text = json_dumps(got, 0);
    ck_assert_msg(json_equal(want, got), "%s", text);
    free(text);
    json_decref(want);
}

START_TEST(a_row_is_as_the_table_has_it)
{
    add_row("web");
    ck_assert_int_eq(reply_done(&reply), 0);
    ck_assert_uint_eq(json_array_size(frames), 2);
    expect_frame(0, "{\"protocol\":1,\"rows\":[{\"name\":\"web\","
                    "\"addresses\":[\"127.0.0.1:80\",\"[::1]:80\"],\"active\":3,\"size\":1048576,"
                    "\"age\":1.5,\"at\":\"1970-01-01T00:00:00.000Z\",\"busy\":0.25,\"up\":true}]}");
    expect_frame(1, "{\"protocol\":1,\"done\":true}");
}
END_TEST

START_TEST(what_there_is_not_is_null)
{
    reply_row(&reply);
    for (const struct command_column *c = columns; c->key != NULL; c++)
        reply_none(&reply, c->key);
    ck_assert_int_eq(reply_done(&reply), 0);
    expect_frame(0, "{\"protocol\":1,\"rows\":[{\"name\":null,\"addresses\":null,\"active\":null,"
                    "\"size\":null,\"age\":null,\"at\":null,\"busy\":null,\"up\":null}]}");
}
END_TEST

START_TEST(a_listing_of_nothing_is_done)
{
    ck_assert_int_eq(reply_done(&reply), 0);
    ck_assert_uint_eq(json_array_size(frames), 1);
    expect_frame(0, "{\"protocol\":1,\"done\":true}");
}
END_TEST

START_TEST(many_rows_are_many_frames)
{
    enum { ROWS = 10000 };
    for (int i = 0; i < ROWS; i++)
        add_row("web");
    ck_assert_int_eq(reply_done(&reply), 0);
    size_t rows = 0, count = json_array_size(frames);
    for (size_t i = 0; i + 1 < count; i++)
        rows += json_array_size(json_object_get(json_array_get(frames, i), "rows"));
    ck_assert_uint_eq(rows, ROWS);
    ck_assert_uint_gt(count, 50);
    ck_assert_uint_lt(longest, 32 * 1024);
    expect_frame(count - 1, "{\"protocol\":1,\"done\":true}");
}
END_TEST

START_TEST(bytes_that_are_no_text_do_no_harm)
{
    add_row("a\xff\"b\n");
    ck_assert_int_eq(reply_done(&reply), 0);
    json_t *row = json_array_get(json_object_get(json_array_get(frames, 0), "rows"), 0);
    ck_assert_str_eq(json_string_value(json_object_get(row, "name")), "a\xef\xbf\xbd\"b\n");
}
END_TEST

START_TEST(a_failure_is_the_last_word)
{
    add_row("web");
    reply_row(&reply);
    reply_text(&reply, "name", "half a row");
    reply_fault(&reply, "f.yaml:1:1: error: a");
    reply_fault(&reply, "f.yaml:2:1: error: b");
    ck_assert_int_eq(reply_failed(&reply, "rejected"), 0);
    ck_assert_uint_eq(json_array_size(frames), 3);
    expect_frame(1, "{\"protocol\":1,\"faults\":[\"f.yaml:1:1: error: a\","
                    "\"f.yaml:2:1: error: b\"]}");
    expect_frame(2, "{\"protocol\":1,\"error\":\"rejected\"}");
}
END_TEST

START_TEST(an_unknown_command_can_fail)
{
    reply_init(&reply, NULL, keep);
    ck_assert_int_eq(reply_failed(&reply, "there is no command 'x'"), 0);
    expect_frame(0, "{\"protocol\":1,\"error\":\"there is no command 'x'\"}");
}
END_TEST

/* A client that is gone: the rest is in vain, and costs no memory. */
START_TEST(after_a_failed_send_nothing_is_sent)
{
    send_budget = 2;
    send_error = -EPIPE;
    for (int i = 0; i < 1000; i++)
        add_row("web");
    ck_assert_int_eq(reply.error, -EPIPE);
    ck_assert_uint_lt(json_array_size(reply.items), 500);
    ck_assert_int_eq(reply_done(&reply), -EPIPE);
    ck_assert_uint_eq(json_array_size(frames), 2);
}
END_TEST

UNIT_MAIN_AROUND("reply", set_up, tear_down, a_row_is_as_the_table_has_it,
                 what_there_is_not_is_null, a_listing_of_nothing_is_done, many_rows_are_many_frames,
                 bytes_that_are_no_text_do_no_harm, a_failure_is_the_last_word,
                 an_unknown_command_can_fail, after_a_failed_send_nothing_is_sent)
