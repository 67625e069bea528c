#include "conf/tree.h"

#include <string.h>
#include <yaml.h>

#include "conf/fault.h"
#include "conf/names.h"
#include "conf/syntax.h"

struct builder {
    yaml_parser_t parser;
    struct syntax_source source;
    struct arena *arena;
    struct conf_faults *faults;
    struct names anchors; /* name -> struct tree_node */
    size_t *nodes;        /* so far, aliases unfolded */
};

static struct tree_node *build_node(struct builder *b, const yaml_event_t *event, unsigned depth);

static struct conf_mark mark_of(const struct builder *b, const yaml_event_t *event)
{
    return (struct conf_mark){b->source.file, (unsigned)event->start_mark.line + 1,
                              (unsigned)event->start_mark.column + 1};
}

/* Returns false with the fault noted. */
static bool next_event(struct builder *b, yaml_event_t *event)
{
    if (yaml_parser_parse(&b->parser, event))
        return true;
    syntax_fault(&b->source, &b->parser, b->faults);
    return false;
}

static void *take(struct builder *b, size_t n)
{
    void *piece = arena_alloc(b->arena, n);
    if (piece == NULL)
        fault_no_memory(b->faults);
    return piece;
}

/* Account for nodes that come into being, or are used once more. */
static bool count_nodes(struct builder *b, size_t n, const struct conf_mark *mark)
{
    *b->nodes += n;
    if (*b->nodes <= TREE_NODES_MAX)
        return true;
    fault_add(b->faults, mark, "more than %d values, aliases unfolded, are too many",
              TREE_NODES_MAX);
    return false;
}

static struct tree_node *node_new(struct builder *b, enum tree_kind kind, const yaml_event_t *event)
{
    struct conf_mark mark = mark_of(b, event);
    struct tree_node *n = count_nodes(b, 1, &mark) ? take(b, sizeof(*n)) : NULL;
    if (n == NULL)
        return NULL;
    *n = (struct tree_node){.kind = kind, .mark = mark, .weight = 1};
    return n;
}

static const yaml_char_t *anchor_of(const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return event->data.scalar.anchor;
    case YAML_SEQUENCE_START_EVENT:
        return event->data.sequence_start.anchor;
    default:
        return event->data.mapping_start.anchor;
    }
}

static const yaml_char_t *tag_of(const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return event->data.scalar.tag;
    case YAML_SEQUENCE_START_EVENT:
        return event->data.sequence_start.tag;
    default:
        return event->data.mapping_start.tag;
    }
}

/* A later anchor of the same name takes the earlier one's place (YAML 1.1 section 3.2.2.2). */
static bool remember_anchor(struct builder *b, const yaml_event_t *event, struct tree_node *node)
{
    const char *text = (const char *)anchor_of(event);
    if (text == NULL)
        return true;
    struct name *name = take(b, sizeof(*name));
    if (name == NULL)
        return false;
    *name = (struct name){.text = arena_copy(b->arena, text, strlen(text))};
    struct name *there = name->text != NULL ? names_add(&b->anchors, name) : NULL;
    if (there == NULL) {
        fault_no_memory(b->faults);
        return false;
    }
    there->value = node;
    return true;
}

static struct tree_node *build_alias(struct builder *b, const yaml_event_t *event)
{
    const char *text = (const char *)event->data.alias.anchor;
    const struct name *anchor = names_find(&b->anchors, text);
    struct conf_mark mark = mark_of(b, event);
    if (anchor != NULL) {
        struct tree_node *node = anchor->value;
        return count_nodes(b, node->weight, &mark) ? node : NULL;
    }
    fault_add(b->faults, &mark, "alias '*%s' has no anchor '&%s' that ends before it",
              fault_show(text).text, fault_show(text).text);
    return node_new(b, TREE_BROKEN, event);
}

static struct tree_node *build_scalar(struct builder *b, const yaml_event_t *event)
{
    struct tree_node *n = node_new(b, TREE_SCALAR, event);
    if (n == NULL)
        return NULL;
    size_t length = event->data.scalar.length;
    n->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    n->text = arena_copy(b->arena, (const char *)event->data.scalar.value, length);
    if (n->text == NULL) {
        fault_no_memory(b->faults);
        return NULL;
    }
    if (strlen(n->text) != length) {
        fault_add(b->faults, &n->mark, "a value can't have a zero byte in it");
        n->kind = TREE_BROKEN;
    }
    return n;
}

/* Append a value, which NULL says to be none, to a collection. */
static struct tree_item *append(struct builder *b, struct tree_node *to, struct tree_item ***end,
                                struct tree_node *value)
{
    struct tree_item *item = value != NULL ? take(b, sizeof(*item)) : NULL;
    if (item == NULL)
        return NULL;
    item->value = value;
    item->mark = value->mark;
    to->weight += value->weight;
    to->count++;
    **end = item;
    *end = &item->next;
    return item;
}

/* A key as it must be; the other ones are left out of the mapping, with a fault. */
static bool valid_key(struct builder *b, const struct tree_node *key)
{
    if (key->kind == TREE_SCALAR && key->plain && strcmp(key->text, "<<") == 0)
        fault_add(b->faults, &key->mark,
                  "merge keys (<<) are not supported: an alias stands for a whole value");
    else if (key->kind == TREE_LIST || key->kind == TREE_MAP)
        fault_add(b->faults, &key->mark, "a key must be a word, not a %s",
                  key->kind == TREE_LIST ? "list" : "mapping");
    else
        return key->kind == TREE_SCALAR;
    return false;
}

/* The next node of a collection. Returns 1; 0 at its end; -1 with a fault noted. */
static int build_next(struct builder *b, unsigned depth, struct tree_node **ret)
{
    yaml_event_t event;
    if (!next_event(b, &event))
        return -1;
    int rc = 0;
    if (event.type != YAML_SEQUENCE_END_EVENT && event.type != YAML_MAPPING_END_EVENT) {
        *ret = build_node(b, &event, depth);
        rc = *ret != NULL ? 1 : -1;
    }
    yaml_event_delete(&event);
    return rc;
}

static bool build_list(struct builder *b, struct tree_node *list, unsigned depth)
{
    struct tree_item **end = &list->first;
    struct tree_node *value;
    int rc;
    while ((rc = build_next(b, depth, &value)) > 0)
        if (append(b, list, &end, value) == NULL)
            return false;
    return rc == 0;
}

static bool build_map(struct builder *b, struct tree_node *map, unsigned depth)
{
    struct tree_item **end = &map->first;
    struct tree_node *key, *value;
    int rc;
    while ((rc = build_next(b, depth, &key)) > 0) {
        if (build_next(b, depth, &value) <= 0)
            return false;
        if (!valid_key(b, key))
            continue;
        struct tree_item *item = append(b, map, &end, value);
        if (item == NULL)
            return false;
        item->key = key->text;
        item->mark = key->mark;
    }
    return rc == 0;
}

static struct tree_node *build_collection(struct builder *b, const yaml_event_t *event,
                                          unsigned depth)
{
    bool is_list = event->type == YAML_SEQUENCE_START_EVENT;
    struct tree_node *n = node_new(b, is_list ? TREE_LIST : TREE_MAP, event);
    if (n == NULL)
        return NULL;
    if (depth == TREE_DEPTH_MAX) {
        fault_add(b->faults, &n->mark, "nested deeper than %d levels", TREE_DEPTH_MAX);
        return NULL;
    }
    bool ok = is_list ? build_list(b, n, depth + 1) : build_map(b, n, depth + 1);
    return ok ? n : NULL;
}

/* Build the node that begins with an event, and consume the events up to its end. */
static struct tree_node *build_node(struct builder *b, const yaml_event_t *event, unsigned depth)
{
    if (event->type == YAML_ALIAS_EVENT)
        return build_alias(b, event);
    struct tree_node *n = event->type == YAML_SCALAR_EVENT ? build_scalar(b, event)
                                                           : build_collection(b, event, depth);
    if (n == NULL || !remember_anchor(b, event, n))
        return NULL;
    const char *tag = (const char *)tag_of(event);
    if (tag != NULL && n->kind != TREE_BROKEN) {
        fault_add(b->faults, &n->mark, "tags are not supported: '%s'", fault_show(tag).text);
        n->kind = TREE_BROKEN;
    }
    return n;
}

/* Read one event that carries nothing of interest. Returns its type; YAML_NO_EVENT for a fault. */
static yaml_event_type_t skip_event(struct builder *b, struct conf_mark *ret_mark)
{
    yaml_event_t event;
    if (!next_event(b, &event))
        return YAML_NO_EVENT;
    yaml_event_type_t type = event.type;
    *ret_mark = mark_of(b, &event);
    yaml_event_delete(&event);
    return type;
}

/* An empty file reads as a document that holds nothing. */
static struct tree_node *build_nothing(struct builder *b)
{
    const yaml_event_t nowhere = {.type = YAML_NO_EVENT};
    struct tree_node *n = node_new(b, TREE_SCALAR, &nowhere);
    if (n == NULL)
        return NULL;
    n->plain = true;
    n->text = "";
    return n;
}

static struct tree_node *build_document(struct builder *b)
{
    struct conf_mark mark;
    if (skip_event(b, &mark) != YAML_STREAM_START_EVENT)
        return NULL;
    yaml_event_type_t type = skip_event(b, &mark);
    if (type == YAML_STREAM_END_EVENT)
        return build_nothing(b);
    struct tree_node *root;
    if (type != YAML_DOCUMENT_START_EVENT || build_next(b, 0, &root) <= 0)
        return NULL;
    if (skip_event(b, &mark) != YAML_DOCUMENT_END_EVENT)
        return NULL;
    type = skip_event(b, &mark);
    if (type == YAML_STREAM_END_EVENT)
        return root;
    if (type == YAML_DOCUMENT_START_EVENT)
        fault_add(b->faults, &mark, "a second document: a file holds one");
    return NULL;
}

/* A byte order mark is no part of the first line's columns. */
static void skip_byte_order_mark(struct syntax_source *s)
{
    if (s->size >= 3 && memcmp(s->bytes, "\xef\xbb\xbf", 3) == 0) {
        s->bytes += 3;
        s->size -= 3;
    }
}

struct tree_node *tree_parse(const char *file, const char *bytes, size_t size, size_t *nodes,
                             struct arena *arena, struct conf_faults *faults)
{
    struct builder b = {.source = {.file = file, .bytes = bytes, .size = size},
                        .arena = arena,
                        .faults = faults,
                        .nodes = nodes};
    if (size > TREE_SIZE_MAX) {
        const struct conf_mark whole = {.file = file};
        fault_add(faults, &whole, "more than %d MiB are too many", TREE_SIZE_MAX >> 20);
        return NULL;
    }
    if (!yaml_parser_initialize(&b.parser)) {
        fault_no_memory(faults);
        return NULL;
    }
    names_init(&b.anchors);
    skip_byte_order_mark(&b.source);
    yaml_parser_set_encoding(&b.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&b.parser, (const unsigned char *)b.source.bytes, b.source.size);
    struct tree_node *root = build_document(&b);
    names_clear(&b.anchors);
    yaml_parser_delete(&b.parser);
    return root;
}

bool tree_is_null(const struct tree_node *node)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};
    if (node->kind != TREE_SCALAR || !node->plain)
        return false;
    for (size_t i = 0; i < array_size(nulls); i++)
        if (strcmp(node->text, nulls[i]) == 0)
            return true;
    return false;
}

const struct tree_node *tree_find(const struct tree_node *map, const char *key)
{
    if (map->kind != TREE_MAP)
        return NULL;
    for (const struct tree_item *i = map->first; i != NULL; i = i->next)
        if (strcmp(i->key, key) == 0)
            return i->value;
    return NULL;
}
