/* Every key of every type of the table: the edges of its range, and the way there and back. */
#include "conf/field.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "conf/value.h"
#include "unit.h"

static union {
    char bytes[4096];
    max_align_t align;
} room; /* for one structure of any kind */

static struct arena arena;
static struct text why;

static int set(const struct schema_key *key, const char *text)
{
    text_clear(&why);
    return field_set(key, text, &room, &arena, &why);
}

static const char *get(const struct schema_key *key)
{
    static struct text out; /* reachable to the end: no leak */
    text_clear(&out);
    field_write(key, &room, &out);
    return out.data;
}

/* An amount as one writes it, exact to its least unit. */
static const char *amount(const struct schema_key *key, int64_t value)
{
    static char text[32];
    const char *unit = key->type == SCHEMA_SIZE       ? "B"
                       : key->type == SCHEMA_DURATION ? "us"
                       : key->type == SCHEMA_SHARE    ? "%"
                                                      : "";
    int64_t scale = key->type == SCHEMA_DURATION ? 1000 : 1;
    snprintf(text, sizeof(text), "%" PRId64 "%s", value / scale, unit);
    return text;
}

static void check_back(const struct schema_key *key, const char *written)
{
    char first[64];
    ck_assert_uint_lt(strlen(written), sizeof(first));
    strcpy(first, written);
    ck_assert_msg(set(key, first) == 0, "%s: %s: %s", key->name, first, why.data);
    ck_assert_str_eq(get(key), first);
}

static void check_amount(const struct schema_key *key)
{
    int64_t step = key->step > 0 ? key->step : key->type == SCHEMA_DURATION ? 1000 : 1;
    ck_assert_msg(set(key, amount(key, key->min)) == 0, "%s: min: %s", key->name, why.data);
    check_back(key, get(key));
    ck_assert_msg(set(key, amount(key, key->max)) == 0, "%s: max: %s", key->name, why.data);
    check_back(key, get(key));
    ck_assert_msg(set(key, amount(key, key->max + step)) == -EINVAL, "%s: max + 1", key->name);
    ck_assert_msg(strstr(why.data, "is out of range: ") != NULL, "%s", why.data);
    ck_assert_msg(set(key, amount(key, -step)) == -EINVAL, "%s: -1", key->name);
    if (key->min - step > 0)
        ck_assert_msg(set(key, amount(key, key->min - step)) == -EINVAL, "%s: min - 1", key->name);
    if (key->step > 0) {
        ck_assert_msg(set(key, amount(key, key->min + 1000)) == -EINVAL, "%s: step", key->name);
        ck_assert_msg(strstr(why.data, "is not a multiple of ") != NULL, "%s", why.data);
    }
}

/* 0, and the words for it. */
static void check_zero(const struct schema_key *key)
{
    bool off = key->zero != NULL && strcmp(key->zero, "off") == 0;
    bool takes_zero = off || (key->min == 0 && key->type == SCHEMA_NUMBER);
    ck_assert_msg((set(key, "0") == 0) == takes_zero, "%s: 0", key->name);
    ck_assert_msg((set(key, amount(key, 0)) == 0) == (off || key->min == 0), "%s: 0", key->name);
    ck_assert_msg((set(key, "off") == 0) == off, "%s: off", key->name);
    ck_assert_msg((set(key, "No") == 0) == off, "%s: No", key->name);
    ck_assert_msg((set(key, "false") == 0) == off, "%s: false", key->name);
    ck_assert_msg(set(key, "on") == -EINVAL, "%s: on", key->name);
    ck_assert_msg((set(key, "auto") == 0) == (key->zero != NULL && !off), "%s: auto", key->name);
    if (key->zero != NULL)
        check_back(key, key->zero);
}

static void check_words(const struct schema_key *key)
{
    for (const struct schema_word *w = key->words; w->name != NULL; w++) {
        if (w->built)
            check_back(key, w->name);
        else
            ck_assert_int_eq(set(key, w->name), -EINVAL);
    }
    ck_assert_int_eq(set(key, "nothing_like_it"), -EINVAL);
}

static bool is_amount(const struct schema_key *key)
{
    return key->type == SCHEMA_NUMBER || key->type == SCHEMA_DURATION || key->type == SCHEMA_SIZE ||
           key->type == SCHEMA_SHARE;
}

static size_t check_group(const struct schema_group *g)
{
    size_t checked = 0;
    for (const struct schema_key *key = g->keys; key->name != NULL; key++) {
        if (is_amount(key)) {
            check_amount(key);
            check_zero(key);
        }
        if (key->words != NULL)
            check_words(key);
        checked += is_amount(key) || key->words != NULL;
        if (key->group != NULL)
            checked += check_group(key->group);
    }
    return checked;
}

START_TEST(every_range_and_word)
{
    arena_init(&arena);
    ck_assert_uint_eq(check_group(&schema_root), 38);
    text_free(&why);
    arena_free(&arena);
}
END_TEST

static const struct schema_key bool_key = {.name = "pin", .type = SCHEMA_BOOL};
static const struct schema_key name_key = {.name = "name", .type = SCHEMA_NAME};

START_TEST(booleans)
{
    ck_assert_int_eq(set(&bool_key, "yes"), 0);
    ck_assert_str_eq(get(&bool_key), "true");
    ck_assert_int_eq(set(&bool_key, "OFF"), 0);
    ck_assert_str_eq(get(&bool_key), "false");
    ck_assert_int_eq(set(&bool_key, "0"), -EINVAL);
    ck_assert_str_eq(why.data, "'0' is not a boolean: use on or off");
    text_free(&why);
}
END_TEST

START_TEST(outputs)
{
    const struct schema_group *log = schema_find(&schema_root, "log")->group;
    const struct schema_key *key = schema_find(schema_find(log, "access")->group, "output");
    arena_init(&arena);
    check_back(key, "/var/log/a.log");
    ck_assert_int_eq(set(key, "./a.log"), 0);
    ck_assert_str_eq(get(key), "\"./a.log\"");
    ck_assert_int_eq(set(key, "False"), 0);
    ck_assert_str_eq(get(key), "off");
    ck_assert_int_eq(set(key, "0"), 0);
    ck_assert_str_eq(get(key), "off");
    ck_assert_int_eq(set(key, "/a\nb"), -EINVAL);
    ck_assert_int_eq(set(key, "a.log"), -EINVAL);
    text_free(&why);
    arena_free(&arena);
}
END_TEST

START_TEST(names)
{
    char longest[129 + 1];
    memset(longest, 'n', 128);
    longest[128] = '\0';
    arena_init(&arena);
    check_back(&name_key, "web-1");
    ck_assert_int_eq(set(&name_key, longest), 0);
    longest[128] = 'n';
    longest[129] = '\0';
    ck_assert_int_eq(set(&name_key, longest), -EINVAL);
    ck_assert_ptr_nonnull(strstr(why.data, "is longer than 128 bytes"));
    ck_assert_int_eq(set(&name_key, ""), -EINVAL);
    ck_assert_str_eq(why.data, "a name can't be empty");
    ck_assert_int_eq(set(&name_key, "a\tb"), -EINVAL);
    ck_assert_str_eq(why.data, "'a?b' has characters that can't be shown");
    text_free(&why);
    arena_free(&arena);
}
END_TEST

static const struct schema_key rate_key = {
    .name = "rate", .type = SCHEMA_RATE, .min = 1, .max = 1000000, .zero = "off"};

START_TEST(rates)
{
    check_back(&rate_key, "1/s");
    check_back(&rate_key, "1000000/s");
    check_back(&rate_key, "20/m");
    check_back(&rate_key, "5/h");
    check_back(&rate_key, "off");
    ck_assert_int_eq(set(&rate_key, "0"), 0);
    ck_assert_str_eq(get(&rate_key), "off");
    ck_assert_int_eq(set(&rate_key, "0/s"), 0);
    ck_assert_str_eq(get(&rate_key), "off");
    ck_assert_int_eq(set(&rate_key, "50"), -EINVAL);
    ck_assert_str_eq(why.data, "rates need a unit, as in 50/s");
    ck_assert_int_eq(set(&rate_key, "50/day"), -EINVAL);
    ck_assert_str_eq(why.data, "'50/day' has an unknown unit: use /s, /m or /h");
    ck_assert_int_eq(set(&rate_key, "many"), -EINVAL);
    ck_assert_str_eq(why.data, "'many' is not a rate: write a number and a unit, as in 50/s");
    ck_assert_int_eq(set(&rate_key, "1000001/s"), -EINVAL);
    ck_assert_str_eq(why.data, "'1000001/s' is out of range: 1/s to 1000000/s, or off");
    ck_assert_int_eq(set(&rate_key, "-1/m"), -EINVAL);
    ck_assert_int_eq(set(&rate_key, "99999999999999999999/s"), -EINVAL);
    text_free(&why);
}
END_TEST

static const struct schema_key outgoing_key = {
    .name = "source_address", .type = SCHEMA_OUTGOING, .fallback = "null"};

START_TEST(addresses_to_connect_from)
{
    static const char *const bad[] = {
        "10.0.0.256", "10.0.0.1:80", "[::1]", "::1:", "Transparent", "localhost", ""};
    check_back(&outgoing_key, "null");
    check_back(&outgoing_key, "transparent");
    ck_assert_int_eq(set(&outgoing_key, "10.0.0.1"), 0);
    ck_assert_str_eq(get(&outgoing_key), "\"10.0.0.1\"");
    ck_assert_int_eq(set(&outgoing_key, "2001:DB8::1"), 0);
    ck_assert_str_eq(get(&outgoing_key), "\"2001:db8::1\"");
    for (size_t i = 0; i < array_size(bad); i++)
        ck_assert_msg(set(&outgoing_key, bad[i]) == -EINVAL, "%s", bad[i]);
    ck_assert_str_eq(why.data, "'' is not an IP address, transparent, or null");
    text_free(&why);
}
END_TEST

UNIT_MAIN("field", every_range_and_word, booleans, outputs, names, rates, addresses_to_connect_from)
