#include "conf/dump.h"

#include <string.h>

#include "conf/conf.h"
#include "conf/element.h"
#include "conf/field.h"
#include "conf/schema.h"
#include "conf/value.h"

/* Where the next line goes. */
struct dumper {
    struct text *out;
    unsigned depth; /* [two spaces] */
    bool element;   /* the line begins an element of a list */
};

static void dump_group(struct dumper *d, const struct schema_group *g, const void *from);

static void begin_line(struct dumper *d)
{
    for (unsigned i = d->element ? 1 : 0; i < d->depth; i++)
        text_add_string(d->out, "  ");
    if (d->element)
        text_add_string(d->out, "- ");
    d->element = false;
}

static void dump_key(struct dumper *d, const char *name)
{
    begin_line(d);
    value_write_string(d->out, name);
    text_add_string(d->out, ":");
}

static void dump_string(struct dumper *d, const char *string)
{
    text_add_string(d->out, " ");
    value_write_string(d->out, string);
    text_add_string(d->out, "\n");
}

/* The array that a key has in a structure, and its number of elements. */
static const char *array_of(const struct schema_key *key, const void *from, size_t *ret_count)
{
    const char *array;
    memcpy(&array, (const char *)from + key->offset, sizeof(array));
    memcpy(ret_count, (const char *)from + key->count, sizeof(*ret_count));
    return array;
}

static void dump_binds(struct dumper *d, const struct schema_key *key, const void *from)
{
    size_t count;
    const struct conf_address *a = (const void *)array_of(key, from, &count);
    dump_key(d, key->name);
    text_add_string(d->out, "\n");
    for (d->depth++; count > 0; count--, a++) {
        begin_line(d);
        text_add_string(d->out, "-");
        dump_string(d, a->text);
    }
    d->depth--;
}

static void dump_elements(struct dumper *d, const struct schema_key *key, const void *from)
{
    size_t count, size = element_size(key->type);
    const char *element = array_of(key, from, &count);
    dump_key(d, key->name);
    text_add_string(d->out, count > 0 ? "\n" : " []\n");
    for (d->depth++; count > 0; count--, element += size) {
        begin_line(d);
        text_add_string(d->out, "- ");
        element_write(key->type, element, d->out);
        text_add_string(d->out, "\n");
    }
    d->depth--;
}

/* Servers, or routes; of a listener that has a pool there are none. */
static void dump_list(struct dumper *d, const struct schema_key *key, const void *from)
{
    size_t count;
    const char *element = array_of(key, from, &count);
    if (count == 0)
        return;
    dump_key(d, key->name);
    text_add_string(d->out, "\n");
    for (d->depth += 2; count > 0; count--, element += key->group->size) {
        d->element = true;
        dump_group(d, key->group, element);
    }
    d->depth -= 2;
}

static void dump_named(struct dumper *d, const struct schema_key *key, const void *from)
{
    size_t count;
    const char *element = array_of(key, from, &count);
    dump_key(d, key->name);
    text_add_string(d->out, "\n");
    for (d->depth++; count > 0; count--, element += key->group->size) {
        const char *name;
        memcpy(&name, element + key->group->name, sizeof(name));
        dump_key(d, name);
        text_add_string(d->out, "\n");
        d->depth++;
        dump_group(d, key->group, element);
        d->depth--;
    }
    d->depth--;
}

static void dump_subgroup(struct dumper *d, const struct schema_key *key, const void *from)
{
    dump_key(d, key->name);
    text_add_string(d->out, "\n");
    d->depth++;
    dump_group(d, key->group, (const char *)from + key->offset);
    d->depth--;
}

static void dump_account(struct dumper *d, const struct schema_key *key, const void *from)
{
    const struct conf_account *account = (const void *)((const char *)from + key->offset);
    dump_key(d, key->name);
    dump_string(d, account->name);
}

/* What was included is in the rest. */
static void dump_nothing(struct dumper *d, const struct schema_key *key, const void *from)
{
    (void)d;
    (void)key;
    (void)from;
}

static void dump_address(struct dumper *d, const struct schema_key *key, const void *from)
{
    const struct conf_address *address = (const void *)((const char *)from + key->offset);
    dump_key(d, key->name);
    dump_string(d, address->text);
}

static void dump_pool_name(struct dumper *d, const struct schema_key *key, const void *from)
{
    const struct conf_pool *pool;
    memcpy(&pool, (const char *)from + key->offset, sizeof(pool));
    if (pool == NULL) /* a listener that has routes */
        return;
    dump_key(d, key->name);
    dump_string(d, pool->name);
}

static void dump_scalar(struct dumper *d, const struct schema_key *key, const void *from)
{
    dump_key(d, key->name);
    text_add_string(d->out, " ");
    field_write(key, from, d->out);
    text_add_string(d->out, "\n");
}

typedef void dump_fn(struct dumper *d, const struct schema_key *key, const void *from);

static void dump_any(struct dumper *d, const struct schema_key *key, const void *from)
{
    static dump_fn *const types[SCHEMA_RESERVED + 1] = {
        [SCHEMA_USER] = dump_account,    [SCHEMA_OWNERS] = dump_account,
        [SCHEMA_ADDRESS] = dump_address, [SCHEMA_POOL] = dump_pool_name,
        [SCHEMA_BINDS] = dump_binds,     [SCHEMA_NETWORKS] = dump_elements,
        [SCHEMA_HOSTS] = dump_elements,  [SCHEMA_PROTOCOLS] = dump_elements,
        [SCHEMA_ROUTES] = dump_list,     [SCHEMA_SERVERS] = dump_list,
        [SCHEMA_INCLUDE] = dump_nothing, [SCHEMA_NAMED] = dump_named,
        [SCHEMA_GROUP] = dump_subgroup,
    };
    dump_fn *dump = types[key->type] != NULL ? types[key->type] : dump_scalar;
    if (key->type != SCHEMA_RESERVED)
        dump(d, key, from);
}

static void dump_group(struct dumper *d, const struct schema_group *g, const void *from)
{
    for (const struct schema_key *key = g->keys; key->name != NULL; key++)
        dump_any(d, key, from);
}

void dump_one(const struct schema_key *key, const void *from, struct text *out)
{
    struct dumper d = {.out = out};
    dump_any(&d, key, from);
}

void conf_dump(const struct conf *c, struct text *out)
{
    struct dumper d = {.out = out};
    dump_group(&d, &schema_root, c);
}
