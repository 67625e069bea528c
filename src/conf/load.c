#include "conf/load.h"

#include <errno.h>
#include <string.h>

#include "conf/draft.h"
#include "conf/element.h"
#include "conf/fault.h"
#include "conf/field.h"
#include "conf/nearest.h"
#include "conf/schema.h"
#include "conf/source.h"
#include "conf/tree.h"
#include "conf/value.h"

/* A pool that a listener names, which may come later in the file. */
struct reference {
    struct reference *next;
    const struct schema_key *key;
    const struct tree_node *node;
    const struct conf_pool **at;
};

/* Where the next element of a mapping by name goes, whichever file it is in. */
struct elements {
    char *next; /* NULL: no memory, which was noted */
    struct names names;
};

struct loader {
    struct draft draft;
    struct elements elements[SCHEMA_KEYS_MAX]; /* of the file's keys, in their order */
    bool included;                /* the file that is being loaded is not the main one */
    bool complete;                /* all files are known */
    struct names pools;           /* name -> struct conf_pool */
    struct reference *references; /* in the draft's arena */
    size_t comparisons;           /* of pool names, to suggest one */
};

/* Very many unknown pools times very many known ones would take minutes: the rest get no hint. */
#define COMPARISONS_MAX 2000000

static void load_group(struct loader *l, const struct schema_group *g, const struct tree_node *map,
                       void *into);

static struct conf_faults *faults_of(struct loader *l)
{
    return l->draft.faults;
}

/* --- what a value must be ---------------------------------------------------------------- */

static const char *kind_name(const struct tree_node *node)
{
    return node->kind == TREE_LIST ? "a list" : node->kind == TREE_MAP ? "a mapping" : "a value";
}

/* Say that a node is not what it must be, unless something was said of it already. */
static void must_be(struct loader *l, const struct schema_key *key, const char *must,
                    const struct tree_node *node)
{
    if (node->kind == TREE_BROKEN)
        return;
    if (tree_is_null(node))
        fault_add(faults_of(l), &node->mark, "%s: has no value", key->name);
    else
        fault_add(faults_of(l), &node->mark, "%s: must be %s, not %s", key->name, must,
                  kind_name(node));
}

static bool expect(struct loader *l, const struct schema_key *key, const struct tree_node *node,
                   enum tree_kind kind)
{
    if (node->kind == kind && !tree_is_null(node))
        return true;
    struct text must;
    text_init(&must);
    schema_describe(key, &must);
    if (must.failed)
        fault_no_memory(faults_of(l));
    else
        must_be(l, key, must.data, node);
    text_free(&must);
    return false;
}

static bool is_value(const struct tree_node *node)
{
    return node->kind == TREE_SCALAR && !tree_is_null(node);
}

/* A list with something in it. */
static bool expect_list(struct loader *l, const struct schema_key *key,
                        const struct tree_node *node)
{
    if (!expect(l, key, node, TREE_LIST))
        return false;
    if (node->count == 0)
        fault_add(faults_of(l), &node->mark, "%s: the list is empty", key->name);
    return node->count > 0;
}

static void missing(struct loader *l, const struct schema_group *g, const struct schema_key *key,
                    const char *name, const struct conf_mark *mark)
{
    if (name == NULL)
        fault_add(faults_of(l), mark, "the %s has no '%s'", g->subject, key->name);
    else if (key->other == NULL)
        fault_add(faults_of(l), mark, "%s '%s' has no '%s'", g->subject, fault_show(name).text,
                  key->name);
    else
        fault_add(faults_of(l), mark, "%s '%s' has neither '%s' nor '%s'", g->subject,
                  fault_show(name).text, key->name, key->other);
}

/* Say what is missing in a mapping by name, a server or a route, and which keys exclude each other.
 */
static void require_keys(struct loader *l, const struct schema_group *g,
                         const struct tree_node *map, const char *name,
                         const struct conf_mark *mark)
{
    for (const struct schema_key *key = g->keys; key->name != NULL; key++) {
        if (!key->required)
            continue;
        const struct tree_node *found = tree_find(map, key->name);
        const struct tree_node *other = key->other != NULL ? tree_find(map, key->other) : NULL;
        if (found == NULL && other == NULL)
            missing(l, g, key, name, mark);
        else if (found != NULL && other != NULL)
            fault_add(faults_of(l), &other->mark, "'%s' and '%s' exclude each other", key->name,
                      key->other);
    }
}

/* --- values by type ---------------------------------------------------------------------- */

static void set_scalar(struct loader *l, const struct schema_key *key, const char *text,
                       const struct conf_mark *mark, void *into)
{
    struct text why;
    text_init(&why);
    int rc = field_set(key, text, into, l->draft.arena, &why);
    if (rc == -ENOMEM || why.failed)
        fault_no_memory(faults_of(l));
    else if (rc < 0)
        fault_add(faults_of(l), mark, "%s: %s", key->name, why.data);
    text_free(&why);
}

static void load_scalar(struct loader *l, const struct schema_key *key,
                        const struct tree_node *node, void *into)
{
    bool null = key->fallback != NULL && strcmp(key->fallback, "null") == 0;
    if (null && tree_is_null(node)) /* the default, said */
        return;
    if (expect(l, key, node, TREE_SCALAR))
        set_scalar(l, key, node->text, &node->mark, into);
}

static void load_path(struct loader *l, const struct schema_key *key, const struct tree_node *node,
                      void *into)
{
    struct conf_path *path = (void *)((char *)into + key->offset);
    load_scalar(l, key, node, into);
    path->given = true;
    path->mark = node->mark;
}

/* It is looked up once the file has been read: the one depends on the other. */
static void load_account(struct loader *l, const struct schema_key *key,
                         const struct tree_node *node, void *into)
{
    struct conf_account *account = (void *)((char *)into + key->offset);
    account->given = true;
    account->mark = node->mark;
    if (expect(l, key, node, TREE_SCALAR))
        account->name = draft_copy(&l->draft, node->text);
}

static void load_address(struct loader *l, const struct schema_key *key,
                         const struct tree_node *node, void *into)
{
    void *at = (char *)into + key->offset;
    if (expect(l, key, node, TREE_SCALAR))
        draft_server_address(&l->draft, node->text, &node->mark, at);
}

/* The name is looked up once all pools are known. */
static void load_pool_name(struct loader *l, const struct schema_key *key,
                           const struct tree_node *node, void *into)
{
    if (!expect(l, key, node, TREE_SCALAR))
        return;
    struct reference *r = draft_alloc(&l->draft, sizeof(*r));
    if (r == NULL)
        return;
    *r = (struct reference){.next = l->references,
                            .key = key,
                            .node = node,
                            .at = (void *)((char *)into + key->offset)};
    l->references = r;
}

/* Make an array for what a key leads to, and enter it at the key's place. */
static void *array_new(struct loader *l, const struct schema_key *key, size_t count, size_t size,
                       void *into)
{
    void *array = draft_alloc(&l->draft, count * size);
    if (array == NULL)
        return NULL;
    memcpy((char *)into + key->offset, &array, sizeof(array));
    memcpy((char *)into + key->count, &count, sizeof(count));
    return array;
}

static void set_element(struct loader *l, const struct schema_key *key,
                        const struct tree_node *node, void *at)
{
    struct text why;
    text_init(&why);
    int rc = element_set(key->type, node->text, at, l->draft.arena, &why);
    if (rc == -ENOMEM || why.failed)
        fault_no_memory(faults_of(l));
    else if (rc < 0)
        fault_add(faults_of(l), &node->mark, "%s: %s", key->name, why.data);
    text_free(&why);
}

/* One plain value, or a list of them, which may be empty. */
static void load_elements(struct loader *l, const struct schema_key *key,
                          const struct tree_node *node, void *into)
{
    bool list = node->kind == TREE_LIST;
    size_t size = element_size(key->type);
    if (list ? node->count == 0 : !expect(l, key, node, TREE_SCALAR))
        return;
    char *at = array_new(l, key, list ? node->count : 1, size, into);
    if (at == NULL)
        return;
    if (!list)
        set_element(l, key, node, at);
    for (const struct tree_item *i = list ? node->first : NULL; i != NULL; i = i->next, at += size)
        if (is_value(i->value))
            set_element(l, key, i->value, at);
        else
            must_be(l, key, element_noun(key->type), i->value);
}

/* One address, or a list of them. */
static void load_binds(struct loader *l, const struct schema_key *key, const struct tree_node *node,
                       void *into)
{
    if (node->kind != TREE_LIST) {
        struct conf_address *one = NULL;
        if (expect(l, key, node, TREE_SCALAR))
            one = array_new(l, key, 1, sizeof(*one), into);
        if (one != NULL)
            draft_bind(&l->draft, node->text, &node->mark, one);
        return;
    }
    if (!expect_list(l, key, node))
        return;
    struct conf_address *a = array_new(l, key, node->count, sizeof(*a), into);
    if (a == NULL)
        return;
    for (const struct tree_item *i = node->first; i != NULL; i = i->next, a++)
        if (is_value(i->value))
            draft_bind(&l->draft, i->value->text, &i->value->mark, a);
        else
            must_be(l, key, "an address", i->value);
}

/* A server is an address alone, or a mapping. */
static void load_server(struct loader *l, const struct schema_key *key,
                        const struct tree_node *node, struct names *names, struct conf_server *s)
{
    struct conf_mark mark = node->mark;
    field_defaults(key->group, s);
    if (node->kind == TREE_MAP) {
        const struct tree_node *name = tree_find(node, "name");
        load_group(l, key->group, node, s);
        require_keys(l, key->group, node, NULL, &node->mark);
        mark = name != NULL ? name->mark : mark;
    } else if (is_value(node)) {
        draft_server_address(&l->draft, node->text, &node->mark, &s->address);
    } else {
        must_be(l, key, "an address or a mapping", node);
    }
    draft_server_name(&l->draft, names, s, &mark);
}

static void load_routes(struct loader *l, const struct schema_key *key,
                        const struct tree_node *node, void *into)
{
    if (!expect_list(l, key, node))
        return;
    struct conf_route *r = array_new(l, key, node->count, sizeof(*r), into);
    if (r == NULL)
        return;
    for (const struct tree_item *i = node->first; i != NULL; i = i->next, r++) {
        if (i->value->kind == TREE_MAP) {
            load_group(l, key->group, i->value, r);
            require_keys(l, key->group, i->value, NULL, &i->value->mark);
        } else {
            must_be(l, key, "a mapping", i->value);
        }
    }
}

static void load_servers(struct loader *l, const struct schema_key *key,
                         const struct tree_node *node, void *into)
{
    if (!expect_list(l, key, node))
        return;
    struct conf_server *s = array_new(l, key, node->count, sizeof(*s), into);
    if (s == NULL)
        return;
    struct names names;
    names_init(&names);
    for (const struct tree_item *i = node->first; i != NULL; i = i->next, s++)
        load_server(l, key, i->value, &names, s);
    names_clear(&names);
}

/* --- mappings by name -------------------------------------------------------------------- */

static void check_name(struct loader *l, const struct tree_item *item)
{
    struct text why;
    text_init(&why);
    int rc = field_check_name(item->key, &why);
    if (why.failed)
        fault_no_memory(faults_of(l));
    else if (rc < 0)
        fault_add(faults_of(l), &item->mark, "%s", why.data);
    text_free(&why);
}

/* Load one listener or pool into its place. */
static void load_element(struct loader *l, const struct schema_group *g,
                         const struct tree_item *item, void *into)
{
    draft_element(&l->draft, g, item->key, &item->mark, into);
    if (item->value->kind != TREE_MAP && !tree_is_null(item->value)) {
        if (item->value->kind != TREE_BROKEN)
            fault_add(faults_of(l), &item->value->mark, "%s '%s' must be a mapping, not %s",
                      g->subject, fault_show(item->key).text, kind_name(item->value));
        return;
    }
    load_group(l, g, item->value, into);
    require_keys(l, g, item->value, item->key, &item->mark);
}

static void load_named(struct loader *l, const struct schema_key *key, const struct tree_node *node,
                       void *into)
{
    (void)into; /* room was made for all files' */
    struct elements *e = &l->elements[key - schema_root.keys];
    if (tree_is_null(node) || !expect(l, key, node, TREE_MAP) || e->next == NULL)
        return;
    for (const struct tree_item *i = node->first; i != NULL; i = i->next) {
        check_name(l, i);
        draft_unique(&l->draft, &e->names, key->group->subject, i->key, &i->mark);
        load_element(l, key->group, i, e->next);
        e->next += key->group->size;
    }
}

/* source_gather() has followed it. */
static void load_include(struct loader *l, const struct schema_key *key,
                         const struct tree_node *node, void *into)
{
    (void)l;
    (void)key;
    (void)node;
    (void)into;
}

/* --- groups ------------------------------------------------------------------------------ */

/* `keepalive: off` is short for `keepalive: {idle: off}`. */
static bool load_off(struct loader *l, const struct schema_group *g, const struct tree_node *node,
                     void *into)
{
    if (g->off == NULL || node->kind != TREE_SCALAR || !value_is_off(node->text))
        return false;
    set_scalar(l, schema_find(g, g->off), "off", &node->mark, into);
    return true;
}

/* A group whose keys are all commented out is as good as none. */
static void load_subgroup(struct loader *l, const struct schema_key *key,
                          const struct tree_node *node, void *into)
{
    void *at = (char *)into + key->offset;
    if (tree_is_null(node) || load_off(l, key->group, node, at))
        return;
    if (expect(l, key, node, TREE_MAP))
        load_group(l, key->group, node, at);
}

static void reserved(struct loader *l, const struct schema_key *key, const struct tree_item *item)
{
    fault_add(faults_of(l), &item->mark, "'%s' is not built into this version yet", key->name);
}

static void unknown(struct loader *l, const struct schema_group *g, const struct tree_item *item)
{
    struct nearest near;
    nearest_init(&near, item->key);
    for (const struct schema_key *key = g->keys; key->name != NULL; key++)
        nearest_try(&near, key->name);
    struct fault_shown shown = fault_show(item->key);
    if (near.best != NULL)
        fault_add(faults_of(l), &item->mark, "unknown key '%s': did you mean '%s'?", shown.text,
                  near.best);
    else
        fault_add(faults_of(l), &item->mark, "unknown key '%s'", shown.text);
}

typedef void load_fn(struct loader *l, const struct schema_key *key, const struct tree_node *node,
                     void *into);

static void load_value(struct loader *l, const struct schema_key *key, const struct tree_node *node,
                       void *into)
{
    static load_fn *const types[SCHEMA_RESERVED + 1] = {
        [SCHEMA_PATH] = load_path,          [SCHEMA_USER] = load_account,
        [SCHEMA_OWNERS] = load_account,     [SCHEMA_ADDRESS] = load_address,
        [SCHEMA_POOL] = load_pool_name,     [SCHEMA_BINDS] = load_binds,
        [SCHEMA_NETWORKS] = load_elements,  [SCHEMA_HOSTS] = load_elements,
        [SCHEMA_PROTOCOLS] = load_elements, [SCHEMA_ROUTES] = load_routes,
        [SCHEMA_SERVERS] = load_servers,    [SCHEMA_INCLUDE] = load_include,
        [SCHEMA_NAMED] = load_named,        [SCHEMA_GROUP] = load_subgroup,
    };
    load_fn *load = types[key->type] != NULL ? types[key->type] : load_scalar;
    load(l, key, node, into);
}

/* Only what many files may have some of, may be in an included one. */
static bool misplaced(const struct loader *l, const struct schema_group *g,
                      const struct schema_key *key)
{
    bool shared = key->type == SCHEMA_NAMED || key->type == SCHEMA_INCLUDE;
    return l->included && g == &schema_root && !shared;
}

static void load_group(struct loader *l, const struct schema_group *g, const struct tree_node *map,
                       void *into)
{
    const struct tree_item *seen[SCHEMA_KEYS_MAX] = {NULL};
    for (const struct tree_item *i = map->first; i != NULL; i = i->next) {
        const struct schema_key *key = schema_find(g, i->key);
        if (key == NULL) {
            unknown(l, g, i);
            continue;
        }
        const struct tree_item **first = &seen[key - g->keys];
        if (*first != NULL)
            fault_add(faults_of(l), &i->mark, "duplicate key '%s', first at %s:%u:%u", key->name,
                      i->mark.file, (*first)->mark.line, (*first)->mark.column);
        else if (misplaced(l, g, key))
            fault_add(faults_of(l), &i->mark,
                      "'%s' can't be in an included file: only include, listeners and pools can",
                      key->name);
        else if (key->type == SCHEMA_RESERVED)
            reserved(l, key, i);
        else
            load_value(l, key, i->value, into);
        if (*first == NULL)
            *first = i;
    }
}

/* --- the file ---------------------------------------------------------------------------- */

static void index_pools(struct loader *l)
{
    for (size_t i = 0; i < l->draft.conf->pool_count; i++) {
        struct conf_pool *pool = &l->draft.conf->pools[i];
        struct name *name = draft_alloc(&l->draft, sizeof(*name));
        if (name == NULL || pool->name == NULL)
            return;
        *name = (struct name){.text = pool->name, .value = pool};
        if (names_add(&l->pools, name) == NULL)
            fault_no_memory(faults_of(l));
    }
}

static void unknown_pool(struct loader *l, const struct reference *r)
{
    struct nearest near;
    nearest_init(&near, r->node->text);
    for (size_t i = 0; i < l->draft.conf->pool_count && l->comparisons < COMPARISONS_MAX; i++) {
        if (l->draft.conf->pools[i].name != NULL)
            nearest_try(&near, l->draft.conf->pools[i].name);
        l->comparisons++;
    }
    struct fault_shown shown = fault_show(r->node->text);
    if (near.best != NULL)
        fault_add(faults_of(l), &r->node->mark, "%s: unknown pool '%s': did you mean '%s'?",
                  r->key->name, shown.text, fault_show(near.best).text);
    else
        fault_add(faults_of(l), &r->node->mark, "%s: unknown pool '%s'", r->key->name, shown.text);
}

static void resolve_references(struct loader *l)
{
    index_pools(l);
    for (const struct reference *r = l->references; r != NULL; r = r->next) {
        const struct name *name = names_find(&l->pools, r->node->text);
        if (name != NULL)
            *r->at = name->value;
        else if (l->complete) /* else it may be where there was nothing to be read */
            unknown_pool(l, r);
    }
    names_clear(&l->pools);
}

/* Make an array for what all files have under a key. */
static void make_room(struct loader *l, const struct schema_key *key,
                      const struct source_file *files)
{
    size_t count = 0;
    for (const struct source_file *f = files; f != NULL; f = f->next) {
        const struct tree_node *map = f->root != NULL ? tree_find(f->root, key->name) : NULL;
        count += map != NULL && map->kind == TREE_MAP ? map->count : 0;
    }
    struct elements *e = &l->elements[key - schema_root.keys];
    if (count > 0)
        e->next = array_new(l, key, count, key->group->size, l->draft.conf);
}

static void load_file(struct loader *l, const struct tree_node *root)
{
    if (root->kind == TREE_MAP || tree_is_null(root))
        load_group(l, &schema_root, root, l->draft.conf);
    else if (root->kind != TREE_BROKEN)
        fault_add(faults_of(l), &root->mark, "the file must be a mapping, not %s", kind_name(root));
}

/* Said of the main file, whose root it is. */
static void require_listener(struct loader *l, const struct tree_node *root)
{
    static const char no_listener[] = "no listener: at least one is needed";
    if (l->draft.conf->listener_count > 0 || (root->kind != TREE_MAP && !tree_is_null(root)))
        return;
    const struct tree_node *listeners = tree_find(root, "listeners");
    if (listeners == NULL)
        fault_add(faults_of(l), &root->mark, no_listener);
    else if (tree_is_null(listeners) || (listeners->kind == TREE_MAP && listeners->count == 0))
        fault_add(faults_of(l), &listeners->mark, no_listener);
}

static void load_files(struct loader *l, const struct source_file *files)
{
    for (const struct schema_key *key = schema_root.keys; key->name != NULL; key++)
        if (key->type == SCHEMA_NAMED)
            make_room(l, key, files);
    for (const struct source_file *f = files; f != NULL; f = f->next) {
        l->included = f != files;
        if (f->root != NULL)
            load_file(l, f->root);
    }
    resolve_references(l);
    if (l->complete)
        require_listener(l, files->root);
}

int load_source(const struct conf_source *source, const struct content *main,
                const struct conf **ret, struct conf_faults **ret_faults)
{
    struct loader l = {.references = NULL};
    struct source_files files = {.first = NULL};
    struct arena scratch; /* the trees */
    arena_init(&scratch);
    names_init(&l.pools);
    if (draft_begin(&l.draft))
        source_gather(&files, source, main, &l.draft, &scratch);
    l.complete = files.complete;
    if (files.first != NULL)
        load_files(&l, files.first);
    for (size_t i = 0; i < SCHEMA_KEYS_MAX; i++)
        names_clear(&l.elements[i].names);
    arena_free(&scratch);
    return draft_finish(&l.draft, ret, ret_faults);
}
