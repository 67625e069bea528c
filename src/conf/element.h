/*
 * What lists of plain values have in them: networks, names of servers, protocols.
 */
#ifndef WEFT_CONF_ELEMENT_H
#define WEFT_CONF_ELEMENT_H

#include <stddef.h>

#include "base/attr.h"
#include "base/text.h"
#include "conf/arena.h"
#include "conf/schema.h"

/** The size of an element of a list of this type [bytes]; 0: it is no such list. */
size_t element_size(enum schema_type type);

/** What an element is called in a message: `a network`. */
const char *element_noun(enum schema_type type);

/**
 * Store what `text` says in the element at `at`; strings are copied to `arena`.
 *
 * Returns 0; -EINVAL with what is wrong added to `why`; -ENOMEM.
 */
int element_set(enum schema_type type, const char *text, void *at, struct arena *arena,
                struct text *why) WEFT_MUSTCHECK;

/** Write an element as YAML that element_set() takes. */
void element_write(enum schema_type type, const void *at, struct text *out);

#endif
