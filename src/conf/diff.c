#include "conf/diff.h"

#include <errno.h>
#include <string.h>

#include "conf/dump.h"
#include "conf/names.h"
#include "conf/schema.h"

/* A comparison under way. */
struct comparison {
    struct diff *diff;
    struct text one, other; /* the two sides of a key */
    struct text path;       /* of the group that is compared: "keepalive." */
    struct text keys;       /* of the entry that is compared */
    struct text restart;
    const char *root; /* key of the file's outermost mapping that is compared */
    bool failed;      /* memory ran out */
};

static void *take(struct comparison *c, size_t n)
{
    void *piece = arena_alloc(&c->diff->arena, n);
    c->failed |= piece == NULL;
    return piece;
}

/* The content of a text, which is then empty again; NULL where there is none. */
static const char *keep_text(struct comparison *c, struct text *t)
{
    if (t->length == 0)
        return NULL;
    const char *copy = arena_copy(&c->diff->arena, t->data, t->length);
    c->failed |= copy == NULL || t->failed;
    text_clear(t);
    return copy;
}

/* --- keys -------------------------------------------------------------------------------- */

/* The array that a key has in a structure, and its number of elements. */
static const char *array_of(const struct schema_key *key, const void *in, size_t *ret_count)
{
    const char *array;
    memcpy(&array, (const char *)in + key->offset, sizeof(array));
    memcpy(ret_count, (const char *)in + key->count, sizeof(*ret_count));
    return array;
}

static bool same_dump(struct comparison *c, const struct schema_key *key, const void *a,
                      const void *b)
{
    text_clear(&c->one);
    text_clear(&c->other);
    dump_one(key, a, &c->one);
    dump_one(key, b, &c->other);
    c->failed |= c->one.failed || c->other.failed;
    return c->one.length == c->other.length &&
           (c->one.length == 0 || memcmp(c->one.data, c->other.data, c->one.length) == 0);
}

/* A name may have been resolved anew, to something else. */
static bool same_addresses(const struct schema_key *key, const void *a, const void *b)
{
    const struct conf_address *x = (const void *)((const char *)a + key->offset);
    const struct conf_address *y = (const void *)((const char *)b + key->offset);
    size_t count = 1;
    if (key->type == SCHEMA_BINDS) {
        x = (const void *)array_of(key, a, &count);
        y = (const void *)array_of(key, b, &count);
    }
    for (size_t i = 0; i < count; i++) {
        if (x[i].any != y[i].any || !addr_equal(&x[i].addr, &y[i].addr))
            return false;
    }
    return true;
}

static bool same_key(struct comparison *c, const struct schema_key *key, const void *a,
                     const void *b)
{
    if (!same_dump(c, key, a, b))
        return false;
    bool resolved = key->type == SCHEMA_ADDRESS || key->type == SCHEMA_BINDS;
    return !resolved || same_addresses(key, a, b);
}

static void note_key(struct comparison *c, const struct schema_key *key)
{
    const char *path = c->path.length > 0 ? c->path.data : "";
    text_format(&c->keys, "%s%s%s", c->keys.length > 0 ? ", " : "", path, key->name);
    if (key->restart)
        text_format(&c->restart, "%s%s.%s%s", c->restart.length > 0 ? ", " : "", c->root, path,
                    key->name);
}

/* Compare the keys of two structures, those of groups in them too; servers are entries. */
static void compare_keys(struct comparison *c, const struct schema_group *g, const void *a,
                         const void *b)
{
    for (const struct schema_key *key = g->keys; key->name != NULL; key++) {
        if (key->type == SCHEMA_RESERVED || key->type == SCHEMA_SERVERS)
            continue;
        if (key->type == SCHEMA_GROUP) {
            size_t length = c->path.length;
            text_format(&c->path, "%s.", key->name);
            compare_keys(c, key->group, (const char *)a + key->offset,
                         (const char *)b + key->offset);
            c->path.length = length;
            if (c->path.data != NULL)
                c->path.data[length] = '\0';
        } else if (!same_key(c, key, a, b)) {
            note_key(c, key);
        }
    }
    c->failed |= c->path.failed || c->keys.failed || c->restart.failed;
}

/* --- lists ------------------------------------------------------------------------------- */

/* One side of a list that is compared. */
struct side {
    const struct schema_group *group;
    const char *elements;
    size_t count;
};

static struct side side_of(const struct schema_key *key, const void *in)
{
    struct side s = {.group = key->group};
    s.elements = array_of(key, in, &s.count);
    return s;
}

static const char *element(const struct side *s, size_t i)
{
    return s->elements + i * s->group->size;
}

static const char *name_of(const struct side *s, size_t i)
{
    const char *name;
    memcpy(&name, element(s, i) + s->group->name, sizeof(name));
    return name;
}

/* Index a side by name. A name has a value until it was found on the other side. */
static struct name *index_side(struct comparison *c, const struct side *s, struct names *ret)
{
    struct name *all = take(c, s->count * sizeof(*all));
    for (size_t i = 0; all != NULL && i < s->count; i++) {
        all[i] = (struct name){.text = name_of(s, i), .value = &all[i]};
        c->failed |= names_add(ret, &all[i]) == NULL;
    }
    return all;
}

static void compare_list(struct comparison *c, const struct schema_key *key, const void *a,
                         const void *b, struct diff_list *ret);

static void compare_servers(struct comparison *c, const struct schema_group *g, const void *a,
                            const void *b, struct diff_entry *e)
{
    for (const struct schema_key *key = g->keys; key->name != NULL; key++) {
        if (key->type == SCHEMA_SERVERS)
            compare_list(c, key, a, b, &e->servers);
    }
    for (size_t i = 0; i < e->servers.count; i++) {
        const struct diff_entry *server = &e->servers.entries[i];
        if (server->change != DIFF_KEEP || server->before != server->after)
            e->change = DIFF_CHANGE;
    }
}

/* Fill in an element that both sides have. */
static void compare_element(struct comparison *c, const struct side *before,
                            const struct side *after, struct diff_entry *e)
{
    const void *a = element(before, e->before);
    const void *b = element(after, e->after);
    compare_keys(c, after->group, a, b);
    e->keys = keep_text(c, &c->keys);
    e->change = e->keys != NULL ? DIFF_CHANGE : DIFF_KEEP;
    compare_servers(c, after->group, a, b, e);
}

static struct diff_entry *add_entry(struct diff_list *list, const struct side *s, size_t i)
{
    struct diff_entry *e = &list->entries[list->count++];
    *e = (struct diff_entry){.subject = s->group->subject,
                             .name = name_of(s, i),
                             .before = DIFF_NOWHERE,
                             .after = DIFF_NOWHERE};
    return e;
}

static void compare_sides(struct comparison *c, const struct side *before, const struct side *after,
                          struct diff_list *ret)
{
    struct names index;
    names_init(&index);
    struct name *known = index_side(c, before, &index);
    for (size_t i = 0; !c->failed && i < after->count; i++) {
        struct diff_entry *e = add_entry(ret, after, i);
        struct name *found = names_find(&index, e->name);
        e->change = DIFF_NEW;
        e->after = i;
        if (found == NULL)
            continue;
        found->value = NULL;
        e->before = (size_t)(found - known);
        compare_element(c, before, after, e);
    }
    for (size_t i = 0; !c->failed && i < before->count; i++) {
        if (known[i].value == NULL)
            continue;
        struct diff_entry *e = add_entry(ret, before, i);
        e->change = DIFF_DROP;
        e->before = i;
    }
    names_clear(&index);
}

static void compare_list(struct comparison *c, const struct schema_key *key, const void *a,
                         const void *b, struct diff_list *ret)
{
    struct side before = side_of(key, a), after = side_of(key, b);
    ret->entries = take(c, (before.count + after.count) * sizeof(*ret->entries));
    if (ret->entries != NULL)
        compare_sides(c, &before, &after, ret);
}

/* --- the whole --------------------------------------------------------------------------- */

static void compare_group(struct comparison *c, const struct schema_key *key)
{
    struct diff_list *groups = &c->diff->groups;
    struct diff_entry *e = &groups->entries[groups->count++];
    *e = (struct diff_entry){.subject = key->name};
    c->root = key->name;
    compare_keys(c, key->group, (const char *)c->diff->before + key->offset,
                 (const char *)c->diff->after + key->offset);
    e->keys = keep_text(c, &c->keys);
    e->change = e->keys != NULL ? DIFF_CHANGE : DIFF_KEEP;
}

static void compare_root(struct comparison *c)
{
    struct diff *d = c->diff;
    d->groups.entries = take(c, SCHEMA_KEYS_MAX * sizeof(*d->groups.entries));
    for (const struct schema_key *key = schema_root.keys; !c->failed && key->name != NULL; key++) {
        if (key->type == SCHEMA_GROUP)
            compare_group(c, key);
    }
    d->restart = keep_text(c, &c->restart);
    compare_list(c, schema_find(&schema_root, "listeners"), d->before, d->after, &d->listeners);
    compare_list(c, schema_find(&schema_root, "pools"), d->before, d->after, &d->pools);
}

int diff_init(struct diff *ret, const struct conf *before, const struct conf *after)
{
    *ret = (struct diff){.before = conf_ref(before), .after = conf_ref(after)};
    arena_init(&ret->arena);
    struct comparison c = {.diff = ret};
    compare_root(&c);
    text_free(&c.one);
    text_free(&c.other);
    text_free(&c.path);
    text_free(&c.keys);
    text_free(&c.restart);
    if (!c.failed)
        return 0;
    diff_free(ret);
    return -ENOMEM;
}

void diff_free(struct diff *d)
{
    arena_free(&d->arena);
    conf_unref(d->before);
    conf_unref(d->after);
    *d = (struct diff){.before = NULL};
}

/* --- for people -------------------------------------------------------------------------- */

void diff_describe(const struct diff_entry *e, const struct diff_entry *pool, struct text *out)
{
    static const char *const verbs[] = {
        [DIFF_KEEP] = "kept",
        [DIFF_CHANGE] = "changed",
        [DIFF_NEW] = "added",
        [DIFF_DROP] = "removed",
    };
    text_add_string(out, e->subject);
    if (e->name != NULL)
        text_format(out, " %s%s%s", pool != NULL ? pool->name : "", pool != NULL ? "/" : "",
                    e->name);
    text_format(out, ": %s", verbs[e->change]);
    if (e->keys != NULL)
        text_format(out, " (%s)", e->keys);
}

static void write_entry(const struct diff_entry *e, const struct diff_entry *pool, struct text *out)
{
    if (e->change == DIFF_KEEP)
        return;
    diff_describe(e, pool, out);
    text_add_string(out, "\n");
}

/* A pool whose servers alone changed is told of by them, unless they only changed places. */
static void write_pool(const struct diff_entry *pool, struct text *out)
{
    size_t before = out->length;
    for (size_t i = 0; i < pool->servers.count; i++)
        write_entry(&pool->servers.entries[i], pool, out);
    if (pool->keys != NULL || pool->change != DIFF_CHANGE || out->length == before)
        write_entry(pool, NULL, out);
}

void diff_write(const struct diff *d, struct text *out)
{
    for (size_t i = 0; i < d->groups.count; i++)
        write_entry(&d->groups.entries[i], NULL, out);
    for (size_t i = 0; i < d->listeners.count; i++)
        write_entry(&d->listeners.entries[i], NULL, out);
    for (size_t i = 0; i < d->pools.count; i++)
        write_pool(&d->pools.entries[i], out);
}

/* How many of a kind met with which change. */
struct tally {
    const char *subject;
    size_t counts[DIFF_DROP + 1];
};

static void tally_add(struct tally *t, const struct diff_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        t->counts[list->entries[i].change]++;
}

static void tally_write(const struct tally *t, const char **comma, struct text *out)
{
    static const char *const verbs[] = {
        [DIFF_CHANGE] = "changed", [DIFF_NEW] = "added", [DIFF_DROP] = "removed"};
    for (int change = DIFF_CHANGE; change <= DIFF_DROP; change++) {
        size_t n = t->counts[change];
        if (n == 0)
            continue;
        text_format(out, "%s%zu %s%s %s", *comma, n, t->subject, n > 1 ? "s" : "", verbs[change]);
        *comma = ", ";
    }
}

void diff_summarize(const struct diff *d, struct text *out)
{
    struct tally listeners = {.subject = "listener"};
    struct tally pools = {.subject = "pool"};
    struct tally servers = {.subject = "server"};
    const char *comma = "";
    tally_add(&listeners, &d->listeners);
    tally_add(&pools, &d->pools);
    for (size_t i = 0; i < d->pools.count; i++)
        tally_add(&servers, &d->pools.entries[i].servers);
    for (size_t i = 0; i < d->groups.count; i++) {
        const struct diff_entry *e = &d->groups.entries[i];
        if (e->change == DIFF_KEEP)
            continue;
        text_format(out, "%s%s changed (%s)", comma, e->subject, e->keys);
        comma = ", ";
    }
    tally_write(&listeners, &comma, out);
    tally_write(&pools, &comma, out);
    tally_write(&servers, &comma, out);
    if (comma[0] == '\0')
        text_add_string(out, "nothing changed");
}
