/*
 * A YAML document as a tree that knows where everything stands.
 *
 *      weft: {workers: 2}        MAP -first-> item key "weft"    -next-> NULL
 *                                                value MAP -first-> item key "workers" -next-> NULL
 *                                                                      value SCALAR "2"
 *
 * An alias is one more pointer to the node that its anchor names, so the tree may meet itself
 * downwards, but never in a circle. Nodes are in the caller's arena.
 */
#ifndef WEFT_CONF_TREE_H
#define WEFT_CONF_TREE_H

#include <stdbool.h>
#include <stddef.h>

#include "conf/arena.h"
#include "conf/conf.h"

enum tree_kind {
    TREE_SCALAR,
    TREE_LIST,
    TREE_MAP,
    TREE_BROKEN, /* has a fault that is noted already */
};

struct tree_node {
    enum tree_kind kind;
    bool plain; /* of a scalar: not in quotes */
    struct conf_mark mark;
    const char *text;        /* of a scalar, without a NUL inside */
    struct tree_item *first; /* of a list or mapping */
    size_t count;            /* items */
    size_t weight;           /* nodes in it, itself included, each alias unfolded */
};

/* An element of a list, or a pair of a mapping. */
struct tree_item {
    struct tree_item *next;
    const char *key;       /* of a mapping */
    struct conf_mark mark; /* of the key, else of the value */
    struct tree_node *value;
};

/* What the files of a configuration are at most, taken together. */
#define TREE_SIZE_MAX  (32 << 20) /* [bytes] */
#define TREE_DEPTH_MAX 32
#define TREE_NODES_MAX 2000000 /* aliases unfolded: a small file can't become a huge one */

/**
 * Read the one document in `bytes`. Marks speak of `file`, which must stay as long as they.
 *
 * `nodes` counts those of all files so far.
 * Returns NULL with a fault noted where there is no tree to go on with: wrong syntax, a bound
 * exceeded, no memory. A node with a lesser fault is TREE_BROKEN.
 */
struct tree_node *tree_parse(const char *file, const char *bytes, size_t size, size_t *nodes,
                             struct arena *arena, struct conf_faults *faults) WEFT_MUSTCHECK;

/** Whether a node says that there is no value: nothing at all, `~` or `null`. */
bool tree_is_null(const struct tree_node *node);

/** The value of a key in a mapping; the first one where there are two. NULL: none. */
const struct tree_node *tree_find(const struct tree_node *map, const char *key);

#endif
