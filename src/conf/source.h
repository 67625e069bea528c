/*
 * The files of a configuration, read and parsed: the main one, and what is included.
 *
 *      weft.yaml ──include──> a.yaml ──include──> c.yaml        order: weft.yaml a.yaml c.yaml
 * b.yaml └─────────────> b.yaml
 */
#ifndef WEFT_CONF_SOURCE_H
#define WEFT_CONF_SOURCE_H

#include <stdbool.h>

#include "conf/arena.h"
#include "conf/conf.h"
#include "conf/content.h"
#include "conf/draft.h"
#include "conf/tree.h"

#define SOURCE_DEPTH_MAX 8 /* includes inside of includes */

struct source_file {
    struct source_file *next;
    const char *path;             /* in the draft's memory: marks refer to it */
    const struct tree_node *root; /* NULL: a fault was noted */
};

/* In the caller's scratch, the files' trees as well. */
struct source_files {
    struct source_file *first; /* the main one; NULL: no memory, which was noted */
    bool complete;             /* every file there is was read and parsed */
};

/**
 * Parse the main file, whose bytes are `main`, then read and parse all that is included.
 *
 * Faults go to the draft's. May block.
 */
void source_gather(struct source_files *ret, const struct conf_source *source,
                   const struct content *main, struct draft *draft, struct arena *scratch);

#endif
