#include "ctl/reply.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "ctl/request.h"

#define REPLY_SIZE  (16 * 1024) /* [bytes] of items that go out as one frame */
#define REPLY_VALUE 24          /* [bytes] of a value besides its text, about */

void reply_init(struct reply *r, const struct command *command, reply_send_fn *send)
{
    *r = (struct reply){.command = command, .send = send};
}

void reply_destroy(struct reply *r)
{
    json_decref(r->row);
    json_decref(r->items);
    r->row = r->items = NULL;
}

static void fail(struct reply *r, int err)
{
    if (r->error == 0)
        r->error = err;
}

/* Owns: `object`. */
static void send_object(struct reply *r, json_t *object)
{
    if (object == NULL)
        fail(r, -ENOMEM);
    if (r->error == 0)
        fail(r, r->send(r, object));
    json_decref(object);
}

static void send_items(struct reply *r)
{
    if (r->items == NULL)
        return;
    json_t *items = r->items;
    r->items = NULL;
    r->size = 0;
    send_object(r, json_pack("{s:i, s:o}", "protocol", REQUEST_PROTOCOL, r->kind, items));
}

/* Owns: `item`. */
static void add_item(struct reply *r, const char *kind, json_t *item)
{
    if (r->items != NULL && r->kind != kind)
        send_items(r);
    if (r->items == NULL)
        r->items = json_array();
    r->kind = kind;
    if (json_array_append_new(r->items, item) != 0)
        fail(r, -ENOMEM);
    if (r->size >= REPLY_SIZE)
        send_items(r);
}

/* --- values ------------------------------------------------------------------------------ */

/*
 * A string that may not be UTF-8, as a path on a disk may be. What has to be replaced goes through
 * JSON's text, where base knows how to.
 */
static json_t *string_of(const char *value)
{
    json_t *string = json_string(value);
    if (string != NULL)
        return string;
    struct text text;
    text_init(&text);
    text_add_json(&text, value);
    if (!text.failed)
        string = json_loadb(text.data, text.length, JSON_DECODE_ANY, NULL);
    text_free(&text);
    return string;
}

static void end_row(struct reply *r)
{
    static const char rows[] = "rows";
    assert(r->next->key == NULL);
    json_t *row = r->row;
    r->row = NULL;
    add_item(r, rows, row);
}

void reply_row(struct reply *r)
{
    if (r->row != NULL)
        end_row(r);
    r->next = r->command->columns;
    r->row = json_object();
    if (r->row == NULL)
        fail(r, -ENOMEM);
}

/* Owns: `value`, NULL: there was no memory for it. */
static void put(struct reply *r, const char *key, json_t *value)
{
    assert(r->next->key != NULL && strcmp(r->next->key, key) == 0);
    if (json_object_set_new(r->row, key, value) != 0)
        fail(r, -ENOMEM);
    r->size += strlen(key) + REPLY_VALUE;
    r->next++;
}

void reply_text(struct reply *r, const char *key, const char *value)
{
    assert(r->next->type == COLUMN_TEXT);
    r->size += strlen(value);
    put(r, key, string_of(value));
}

void reply_count(struct reply *r, const char *key, uint64_t value)
{
    assert(r->next->type == COLUMN_COUNT);
    put(r, key, json_integer((json_int_t)value));
}

void reply_bytes(struct reply *r, const char *key, uint64_t value)
{
    assert(r->next->type == COLUMN_BYTES);
    put(r, key, json_integer((json_int_t)value));
}

void reply_duration(struct reply *r, const char *key, int64_t ns)
{
    assert(r->next->type == COLUMN_DURATION);
    put(r, key, json_real((double)ns / (double)NSEC_PER_SEC));
}

void reply_time(struct reply *r, const char *key, int64_t wall)
{
    assert(r->next->type == COLUMN_TIME);
    struct text text;
    text_init(&text);
    text_add_time(&text, wall);
    put(r, key, text.failed ? NULL : json_string(text.data));
    text_free(&text);
}

void reply_share(struct reply *r, const char *key, double value)
{
    assert(r->next->type == COLUMN_SHARE);
    put(r, key, json_real(value));
}

void reply_flag(struct reply *r, const char *key, bool value)
{
    assert(r->next->type == COLUMN_FLAG);
    put(r, key, json_boolean(value));
}

void reply_none(struct reply *r, const char *key)
{
    put(r, key, json_null());
}

void reply_list(struct reply *r, const char *key)
{
    assert(r->next->type == COLUMN_LIST);
    put(r, key, json_array());
}

void reply_list_add(struct reply *r, const char *value)
{
    const struct command_column *list = r->next - 1;
    assert(list->type == COLUMN_LIST);
    r->size += strlen(value) + REPLY_VALUE;
    if (json_array_append_new(json_object_get(r->row, list->key), string_of(value)) != 0)
        fail(r, -ENOMEM);
}

void reply_fault(struct reply *r, const char *line)
{
    static const char faults[] = "faults";
    r->size += strlen(line) + REPLY_VALUE;
    add_item(r, faults, string_of(line));
}

/* --- the end ----------------------------------------------------------------------------- */

int reply_done(struct reply *r)
{
    if (r->row != NULL)
        end_row(r);
    send_items(r);
    send_object(r, json_pack("{s:i, s:b}", "protocol", REQUEST_PROTOCOL, "done", 1));
    return r->error;
}

int reply_failed(struct reply *r, const char *why)
{
    json_decref(r->row);
    r->row = NULL;
    send_items(r);
    send_object(r, json_pack("{s:i, s:o}", "protocol", REQUEST_PROTOCOL, "error", string_of(why)));
    return r->error;
}
