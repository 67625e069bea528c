/*
 * An index of texts: who had a name first, and where.
 */
#ifndef WEFT_CONF_NAMES_H
#define WEFT_CONF_NAMES_H

#include "base/attr.h"
#include "conf/conf.h"

/* One entry; it belongs to whoever adds it and must stay as long as the index. */
struct name {
    const char *text;
    struct conf_mark mark;
    void *value;
};

struct names {
    void *root; /* of the C library's tree; NULL: empty */
};

void names_init(struct names *n);

/** Forget every entry. */
void names_clear(struct names *n);

/**
 * Add an entry unless its text is there already.
 *
 * Returns the entry that now stands for the text, `name` itself where it is the first; NULL when
 * there is no memory.
 */
struct name *names_add(struct names *n, struct name *name) WEFT_MUSTCHECK;

/** Returns NULL where no entry has that text. */
struct name *names_find(const struct names *n, const char *text);

#endif
