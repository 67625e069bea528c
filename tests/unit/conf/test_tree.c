#include "conf/tree.h"

#include <string.h>

#include "conf/fault.h"
#include "unit.h"

static struct arena arena;
static struct conf_faults *faults;

static struct tree_node *parse_bytes(const char *bytes, size_t size)
{
    arena_init(&arena);
    faults = fault_list_new();
    size_t nodes = 0;
    return tree_parse("F", bytes, size, &nodes, &arena, faults);
}

static struct tree_node *parse(const char *yaml)
{
    return parse_bytes(yaml, strlen(yaml));
}

/* Check the faults of the last parse, and drop it. */
static void expect_faults(const char *expected)
{
    struct text out;
    text_init(&out);
    text_add_string(&out, "");
    conf_faults_write(faults, &out);
    ck_assert_str_eq(out.data, expected);
    text_free(&out);
    conf_faults_free(faults);
    arena_free(&arena);
}

static void expect_at(struct conf_mark mark, unsigned line, unsigned column)
{
    ck_assert_str_eq(mark.file, "F");
    ck_assert_uint_eq(mark.line, line);
    ck_assert_uint_eq(mark.column, column);
}

START_TEST(everything_knows_where_it_stands)
{
    struct tree_node *root = parse("a:\n  b\xc3\xa4: [x, 'y']\n  c:\n");
    ck_assert_int_eq(root->kind, TREE_MAP);
    expect_at(root->mark, 1, 1);
    const struct tree_item *b = tree_find(root, "a")->first;
    ck_assert_str_eq(b->key, "b\xc3\xa4");
    expect_at(b->mark, 2, 3);
    ck_assert_int_eq(b->value->kind, TREE_LIST);
    expect_at(b->value->mark, 2, 7);
    ck_assert_uint_eq(b->value->count, 2);
    const struct tree_item *x = b->value->first;
    ck_assert(x->value->plain && strcmp(x->value->text, "x") == 0);
    expect_at(x->value->mark, 2, 8);
    ck_assert(!x->next->value->plain && strcmp(x->next->value->text, "y") == 0);
    expect_at(x->next->value->mark, 2, 11);
    ck_assert(tree_is_null(b->next->value));
    ck_assert_ptr_null(b->next->next);
    expect_faults("");
}
END_TEST

START_TEST(a_byte_order_mark_takes_no_column)
{
    const struct tree_node *root = parse("\xef\xbb\xbf"
                                         "a: b\n");
    expect_at(root->first->mark, 1, 1);
    expect_at(root->first->value->mark, 1, 4);
    expect_faults("");
}
END_TEST

START_TEST(nothing_reads_as_null)
{
    static const char *const nothing[] = {"", "\n\n", "# a comment\n", "---\n", "---\n...\n", "~"};
    for (size_t i = 0; i < array_size(nothing); i++) {
        const struct tree_node *root = parse(nothing[i]);
        ck_assert_msg(root != NULL && tree_is_null(root), "'%s'", nothing[i]);
        ck_assert_ptr_null(tree_find(root, "a"));
        expect_faults("");
    }
    const struct tree_node *quoted = parse("''");
    ck_assert(!tree_is_null(quoted));
    expect_faults("");
}
END_TEST

START_TEST(an_alias_is_the_node_of_its_anchor)
{
    const struct tree_node *root = parse("a: &x [1, &y 2]\nb: *x\nc: *y\nd: &x 3\ne: *x\n*y : f\n");
    ck_assert_ptr_eq(tree_find(root, "b"), tree_find(root, "a"));
    ck_assert_ptr_eq(tree_find(root, "c"), tree_find(root, "a")->first->next->value);
    ck_assert_ptr_eq(tree_find(root, "e"), tree_find(root, "d"));
    ck_assert_str_eq(tree_find(root, "2")->text, "f");
    expect_faults("");
}
END_TEST

START_TEST(an_alias_without_an_anchor_before_it)
{
    const struct tree_node *root = parse("a: *x\nb: &y [*y]\nc: &x 1\n");
    ck_assert_int_eq(tree_find(root, "a")->kind, TREE_BROKEN);
    expect_faults("F:1:4: error: alias '*x' has no anchor '&x' that ends before it\n"
                  "F:2:8: error: alias '*y' has no anchor '&y' that ends before it\n");
}
END_TEST

START_TEST(an_alias_bomb_is_defused)
{
    struct text yaml;
    text_init(&yaml);
    text_add_string(&yaml, "a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for (int i = 1; i < 30; i++) {
        text_format(&yaml, "a%d: &a%d [", i, i);
        for (int j = 0; j < 9; j++)
            text_format(&yaml, "%s*a%d", j > 0 ? ", " : "", i - 1);
        text_add_string(&yaml, "]\n");
    }
    ck_assert_ptr_null(parse(yaml.data));
    expect_faults("F:7:20: error: more than 2000000 values, aliases unfolded, are too many\n");
    text_free(&yaml);
}
END_TEST

START_TEST(values_are_counted)
{
    size_t size = 2 * (TREE_NODES_MAX + 2);
    char *yaml = malloc(size);
    ck_assert_ptr_nonnull(yaml);
    for (size_t i = 0; i < size; i += 2)
        memcpy(yaml + i, "1,", 2);
    yaml[0] = '[';
    yaml[1] = ' ';
    yaml[size - 1] = ']';
    ck_assert_ptr_null(parse_bytes(yaml, size));
    expect_faults("F:1:4000001: error: more than 2000000 values, aliases unfolded, are too many\n");
    memset(yaml + 2, ' ', 4);
    ck_assert_uint_eq(parse_bytes(yaml, size)->count, TREE_NODES_MAX - 1);
    expect_faults("");
    free(yaml);
}
END_TEST

START_TEST(depth_is_bounded)
{
    char yaml[2 * (TREE_DEPTH_MAX + 1) + 1] = "";
    memset(yaml, '[', TREE_DEPTH_MAX);
    memset(yaml + TREE_DEPTH_MAX, ']', TREE_DEPTH_MAX);
    ck_assert_ptr_nonnull(parse(yaml));
    expect_faults("");
    memset(yaml, '[', TREE_DEPTH_MAX + 1);
    memset(yaml + TREE_DEPTH_MAX + 1, ']', TREE_DEPTH_MAX + 1);
    ck_assert_ptr_null(parse(yaml));
    expect_faults("F:1:33: error: nested deeper than 32 levels\n");
}
END_TEST

START_TEST(size_is_bounded)
{
    char *yaml = malloc(TREE_SIZE_MAX + 1);
    ck_assert_ptr_nonnull(yaml);
    memset(yaml, '#', TREE_SIZE_MAX + 1);
    ck_assert_ptr_nonnull(parse_bytes(yaml, TREE_SIZE_MAX));
    expect_faults("");
    ck_assert_ptr_null(parse_bytes(yaml, TREE_SIZE_MAX + 1));
    expect_faults("F: error: more than 32 MiB are too many\n");
    free(yaml);
}
END_TEST

START_TEST(what_a_tree_can_not_have)
{
    const struct tree_node *root = parse("a: !x 1\nb: !!int 2\n[c]: 3\n? {d: 4}\n: 5\n"
                                         "<<: {e: 6}\n'<<': 7\nf: \"a\\0b\"\ng: !y [8]\n");
    ck_assert_int_eq(tree_find(root, "a")->kind, TREE_BROKEN);
    ck_assert_int_eq(tree_find(root, "f")->kind, TREE_BROKEN);
    ck_assert_int_eq(tree_find(root, "g")->kind, TREE_BROKEN);
    ck_assert_str_eq(tree_find(root, "<<")->text, "7");
    expect_faults("F:1:4: error: tags are not supported: '!x'\n"
                  "F:2:4: error: tags are not supported: 'tag:yaml.org,2002:int'\n"
                  "F:3:1: error: a key must be a word, not a list\n"
                  "F:4:3: error: a key must be a word, not a mapping\n"
                  "F:6:1: error: merge keys (<<) are not supported: an alias stands for a whole "
                  "value\n"
                  "F:8:4: error: a value can't have a zero byte in it\n"
                  "F:9:4: error: tags are not supported: '!y'\n");
}
END_TEST

UNIT_MAIN("tree", everything_knows_where_it_stands, a_byte_order_mark_takes_no_column,
          nothing_reads_as_null, an_alias_is_the_node_of_its_anchor,
          an_alias_without_an_anchor_before_it, an_alias_bomb_is_defused, values_are_counted,
          depth_is_bounded, size_is_bounded, what_a_tree_can_not_have)
