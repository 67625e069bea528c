#include "conf/field.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/log.h"
#include "conf/conf.h"
#include "conf/fault.h"
#include "conf/nearest.h"
#include "conf/utf8.h"
#include "conf/value.h"

#define NAME_MAX_BYTES 128 /* [bytes] names become labels of metrics and fields of records */

/* One value on its way into a structure. */
struct assignment {
    const struct schema_key *key;
    const char *text;
    void *at; /* the key's place, as wide as its type */
    struct arena *arena;
    struct text *why;
};

/* --- numbers ----------------------------------------------------------------------------- */

/* How a kind of number is read, written and spoken of. */
static const struct kind {
    enum value_verdict (*read)(const char *text, int64_t *ret);
    void (*write)(struct text *out, int64_t value);
    const char *malformed;
    const char *no_unit;
    const char *bad_unit;
    const char *too_fine;
} kinds[] = {
    [SCHEMA_NUMBER] = {.read = value_number,
                       .malformed = "is not a whole number in decimal digits"},
    [SCHEMA_DURATION] = {.read = value_duration,
                         .write = value_write_duration,
                         .malformed = "is not a duration: write a number and a unit, as in 30s",
                         .no_unit = "durations need a unit, as in 30s",
                         .bad_unit = "has an unknown unit: use us, ms, s, m or h",
                         .too_fine = "is finer than a microsecond"},
    [SCHEMA_RATE] = {.malformed = "is not a rate: write a number and a unit, as in 50/s",
                     .no_unit = "rates need a unit, as in 50/s",
                     .bad_unit = "has an unknown unit: use /s, /m or /h"},
    [SCHEMA_SHARE] = {.read = value_share,
                      .write = value_write_share,
                      .malformed = "is not a share: write whole per cent, as in 50%",
                      .no_unit = "shares need a unit, as in 50%"},
    [SCHEMA_SIZE] = {.read = value_size,
                     .write = value_write_size,
                     .malformed = "is not a size: write a number and a unit, as in 16KiB",
                     .no_unit = "sizes need a unit, as in 16KiB",
                     .bad_unit = "has an unknown unit: use B, KiB, MiB or GiB",
                     .too_fine = "is not a whole number of bytes"},
};

static bool is_zero_word(const struct schema_key *key, const char *text)
{
    if (key->zero == NULL)
        return false;
    return strcmp(key->zero, "off") == 0 ? value_is_off(text) : strcmp(text, key->zero) == 0;
}

static int complain(const struct assignment *a, enum value_verdict verdict)
{
    const struct kind *kind = &kinds[a->key->type];
    if (verdict == VALUE_NO_UNIT) {
        text_add_string(a->why, kind->no_unit);
        return -EINVAL;
    }
    const char *what = verdict == VALUE_MALFORMED  ? kind->malformed
                       : verdict == VALUE_BAD_UNIT ? kind->bad_unit
                                                   : kind->too_fine;
    text_format(a->why, "'%s' %s", fault_show(a->text).text, what);
    return -EINVAL;
}

static int check_range(const struct assignment *a, int64_t value)
{
    const struct schema_key *key = a->key;
    bool off = value == 0 && key->zero != NULL && strcmp(key->zero, "off") == 0;
    if (!off && (value < key->min || value > key->max)) {
        text_format(a->why, "'%s' is out of range: ", fault_show(a->text).text);
        schema_range(key, a->why);
        return -EINVAL;
    }
    if (key->step > 0 && value % key->step != 0) {
        text_format(a->why, "'%s' is not a multiple of ", fault_show(a->text).text);
        kinds[key->type].write(a->why, key->step);
        return -EINVAL;
    }
    return 0;
}

static int read_amount(const struct assignment *a, int64_t *ret)
{
    if (is_zero_word(a->key, a->text)) {
        *ret = 0;
        return 0;
    }
    enum value_verdict verdict = kinds[a->key->type].read(a->text, ret);
    if (verdict == VALUE_TOO_LARGE)
        *ret = a->text[0] == '-' ? INT64_MIN : INT64_MAX;
    else if (verdict != VALUE_OK)
        return complain(a, verdict);
    return check_range(a, *ret);
}

static int set_amount(const struct assignment *a)
{
    int64_t value;
    int rc = read_amount(a, &value);
    if (rc < 0)
        return rc;
    if (a->key->type == SCHEMA_NUMBER || a->key->type == SCHEMA_SHARE)
        *(unsigned *)a->at = (unsigned)value;
    else if (a->key->type == SCHEMA_DURATION)
        *(int64_t *)a->at = value;
    else
        *(uint64_t *)a->at = (uint64_t)value;
    return 0;
}

static void write_amount(const struct schema_key *key, const void *at, struct text *out)
{
    int64_t value;
    if (key->type == SCHEMA_NUMBER || key->type == SCHEMA_SHARE)
        value = *(const unsigned *)at;
    else if (key->type == SCHEMA_DURATION)
        value = *(const int64_t *)at;
    else
        value = (int64_t)(*(const uint64_t *)at);
    if (value == 0 && key->zero != NULL)
        text_add_string(out, key->zero);
    else if (kinds[key->type].write != NULL)
        kinds[key->type].write(out, value);
    else
        text_format(out, "%" PRId64, value);
}

static int set_rate(const struct assignment *a)
{
    struct conf_rate *rate = a->at;
    int64_t count, period;
    if (is_zero_word(a->key, a->text)) {
        *rate = (struct conf_rate){.count = 0};
        return 0;
    }
    enum value_verdict verdict = value_rate(a->text, &count, &period);
    if (verdict == VALUE_TOO_LARGE)
        count = INT64_MAX;
    else if (verdict != VALUE_OK)
        return complain(a, verdict);
    int rc = check_range(a, count);
    if (rc == 0)
        *rate = (struct conf_rate){.count = (unsigned)count, .period = count > 0 ? period : 0};
    return rc;
}

static void write_rate(const struct schema_key *key, const void *at, struct text *out)
{
    const struct conf_rate *rate = at;
    if (rate->count == 0)
        text_add_string(out, key->zero);
    else
        value_write_rate(out, rate->count, rate->period);
}

/* --- words ------------------------------------------------------------------------------- */

static int set_bool(const struct assignment *a)
{
    if (value_bool(a->text, a->at) == VALUE_OK)
        return 0;
    text_format(a->why, "'%s' is not a boolean: use on or off", fault_show(a->text).text);
    return -EINVAL;
}

static void write_bool(const struct schema_key *key, const void *at, struct text *out)
{
    (void)key;
    text_add_string(out, *(const bool *)at ? "true" : "false");
}

/* The word of the table that `text` is; `on` and `off` in any spelling. */
static const struct schema_word *find_word(const struct schema_word *words, const char *text)
{
    bool truth;
    if (value_is_off(text))
        text = "off";
    else if (value_bool(text, &truth) == VALUE_OK)
        text = "on";
    for (const struct schema_word *w = words; w->name != NULL; w++)
        if (strcmp(w->name, text) == 0)
            return w;
    return NULL;
}

static int read_word(const struct assignment *a, unsigned *ret)
{
    const struct schema_word *found = find_word(a->key->words, a->text);
    if (found == NULL) {
        struct nearest near;
        nearest_init(&near, a->text);
        for (const struct schema_word *w = a->key->words; w->name != NULL; w++)
            nearest_try(&near, w->name);
        text_format(a->why, "'%s' is not ", fault_show(a->text).text);
        schema_describe(a->key, a->why);
        if (near.best != NULL)
            text_format(a->why, ": did you mean '%s'?", near.best);
        return -EINVAL;
    }
    if (!found->built) {
        text_format(a->why, "'%s' is not built into this version yet", found->name);
        return -EINVAL;
    }
    *ret = found->value;
    return 0;
}

static void write_word(const struct schema_key *key, unsigned value, struct text *out)
{
    for (const struct schema_word *w = key->words; w->name != NULL; w++)
        if (w->built && w->value == value)
            text_add_string(out, w->name);
}

static int set_choice(const struct assignment *a)
{
    _Static_assert(sizeof(enum conf_log_format) == sizeof(unsigned), "enums are stored so");
    return read_word(a, a->at);
}

static void write_choice(const struct schema_key *key, const void *at, struct text *out)
{
    write_word(key, *(const unsigned *)at, out);
}

/* --- strings ----------------------------------------------------------------------------- */

/* A path has a slash in it, so that a misspelt word does not become a file. */
static bool is_path(const char *text)
{
    return strchr(text, '/') != NULL;
}

/* A default is in the table, and needs no copy. */
static int copy_path(const struct assignment *a, const char **ret)
{
    if (!utf8_printable(a->text)) {
        text_format(a->why, "'%s' has characters that can't be shown", fault_show(a->text).text);
        return -EINVAL;
    }
    const char *path = a->arena != NULL ? arena_copy(a->arena, a->text, strlen(a->text)) : a->text;
    if (path == NULL)
        return -ENOMEM;
    *ret = path;
    return 0;
}

static int set_path(const struct assignment *a)
{
    const char **path = &((struct conf_path *)a->at)->path;
    if (is_zero_word(a->key, a->text)) {
        *path = NULL;
        return 0;
    }
    if (!is_path(a->text)) {
        text_format(a->why, "'%s' is not ", fault_show(a->text).text);
        schema_describe(a->key, a->why);
        return -EINVAL;
    }
    if (a->key->max > 0 && strlen(a->text) > (size_t)a->key->max) {
        text_format(a->why, "'%s' has more than %" PRId64 " bytes", fault_show(a->text).text,
                    a->key->max);
        return -EINVAL;
    }
    return copy_path(a, path);
}

static void write_path(const struct schema_key *key, const void *at, struct text *out)
{
    const char *path = ((const struct conf_path *)at)->path;
    if (path != NULL)
        value_write_string(out, path);
    else
        text_add_string(out, key->zero);
}

static int set_output(const struct assignment *a)
{
    struct log_target *target = a->at;
    unsigned value = LOG_OUTPUT_FILE;
    if (!is_path(a->text)) {
        int rc = read_word(a, &value);
        if (rc == 0)
            *target = (struct log_target){.output = (enum log_output)value, .fd = -1};
        return rc;
    }
    const char *path;
    int rc = copy_path(a, &path);
    if (rc < 0)
        return rc;
    *target = (struct log_target){.output = LOG_OUTPUT_FILE, .path = path, .fd = -1};
    return 0;
}

static void write_output(const struct schema_key *key, const void *at, struct text *out)
{
    const struct log_target *target = at;
    if (target->output == LOG_OUTPUT_FILE)
        value_write_string(out, target->path);
    else
        write_word(key, target->output, out);
}

int field_check_name(const char *text, struct text *why)
{
    if (text[0] == '\0')
        text_add_string(why, "a name can't be empty");
    else if (!utf8_printable(text))
        text_format(why, "'%s' has characters that can't be shown", fault_show(text).text);
    else if (strlen(text) > NAME_MAX_BYTES)
        text_format(why, "'%s' is longer than %d bytes", fault_show(text).text, NAME_MAX_BYTES);
    else
        return 0;
    return -EINVAL;
}

static int set_name(const struct assignment *a)
{
    int rc = field_check_name(a->text, a->why);
    if (rc < 0)
        return rc;
    char *name = arena_copy(a->arena, a->text, strlen(a->text));
    if (name == NULL)
        return -ENOMEM;
    *(char **)a->at = name;
    return 0;
}

static void write_name(const struct schema_key *key, const void *at, struct text *out)
{
    (void)key;
    value_write_string(out, *(char *const *)at);
}

/* --- addresses ----------------------------------------------------------------------------- */

static int set_outgoing(const struct assignment *a)
{
    struct conf_outgoing o = {.transparent = strcmp(a->text, "transparent") == 0};
    if (inet_pton(AF_INET, a->text, &o.addr.in.sin_addr) == 1) {
        o.addr.sa.sa_family = AF_INET;
        o.addr.len = sizeof(o.addr.in);
    } else if (inet_pton(AF_INET6, a->text, &o.addr.in6.sin6_addr) == 1) {
        o.addr.sa.sa_family = AF_INET6;
        o.addr.len = sizeof(o.addr.in6);
    } else if (!o.transparent && strcmp(a->text, a->key->fallback) != 0) {
        text_format(a->why, "'%s' is not ", fault_show(a->text).text);
        schema_describe(a->key, a->why);
        return -EINVAL;
    }
    *(struct conf_outgoing *)a->at = o;
    return 0;
}

static void write_outgoing(const struct schema_key *key, const void *at, struct text *out)
{
    const struct conf_outgoing *o = at;
    char ip[INET6_ADDRSTRLEN];
    if (o->addr.len == 0) {
        text_add_string(out, o->transparent ? "transparent" : key->fallback);
        return;
    }
    bool v4 = o->addr.sa.sa_family == AF_INET;
    const void *bytes = v4 ? (const void *)&o->addr.in.sin_addr : &o->addr.in6.sin6_addr;
    inet_ntop(o->addr.sa.sa_family, bytes, ip, sizeof(ip));
    value_write_string(out, ip);
}

/* --- by type ----------------------------------------------------------------------------- */

static const struct {
    int (*set)(const struct assignment *a);
    void (*write)(const struct schema_key *key, const void *at, struct text *out);
} types[SCHEMA_RESERVED + 1] = {
    [SCHEMA_BOOL] = {set_bool, write_bool},
    [SCHEMA_NUMBER] = {set_amount, write_amount},
    [SCHEMA_DURATION] = {set_amount, write_amount},
    [SCHEMA_SIZE] = {set_amount, write_amount},
    [SCHEMA_CHOICE] = {set_choice, write_choice},
    [SCHEMA_OUTPUT] = {set_output, write_output},
    [SCHEMA_RATE] = {set_rate, write_rate},
    [SCHEMA_SHARE] = {set_amount, write_amount},
    [SCHEMA_OUTGOING] = {set_outgoing, write_outgoing},
    [SCHEMA_NAME] = {set_name, write_name},
    [SCHEMA_PATH] = {set_path, write_path},
};

bool field_is_scalar(enum schema_type type)
{
    return types[type].set != NULL;
}

int field_set(const struct schema_key *key, const char *text, void *into, struct arena *arena,
              struct text *why)
{
    const struct assignment a = {
        .key = key, .text = text, .at = (char *)into + key->offset, .arena = arena, .why = why};
    return types[key->type].set(&a);
}

void field_write(const struct schema_key *key, const void *from, struct text *out)
{
    types[key->type].write(key, (const char *)from + key->offset, out);
}

void field_defaults(const struct schema_group *g, void *into)
{
    struct text why;
    text_init(&why);
    for (const struct schema_key *key = g->keys; key->name != NULL; key++) {
        if (key->type == SCHEMA_GROUP)
            field_defaults(key->group, (char *)into + key->offset);
        if (!field_is_scalar(key->type) || key->fallback == NULL)
            continue;
        int rc = field_set(key, key->fallback, into, NULL, &why);
        assert(rc == 0);
        (void)rc;
    }
    text_free(&why);
}
