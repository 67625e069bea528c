/*
 * One scalar key of the table: from its text into a structure, and back.
 */
#ifndef WEFT_CONF_FIELD_H
#define WEFT_CONF_FIELD_H

#include "base/attr.h"
#include "base/text.h"
#include "conf/arena.h"
#include "conf/schema.h"

/** Whether field_set() and field_write() deal with a type: a word, number or string. */
bool field_is_scalar(enum schema_type type);

/**
 * Store what `text` says at the key's place in `into`; strings are copied to `arena`. Of a path,
 * it is the path alone.
 *
 * Returns 0; -EINVAL with what is wrong added to `why`; -ENOMEM.
 */
int field_set(const struct schema_key *key, const char *text, void *into, struct arena *arena,
              struct text *why) WEFT_MUSTCHECK;

/** Write the value at the key's place in `from`, as YAML that field_set() takes. */
void field_write(const struct schema_key *key, const void *from, struct text *out);

/** Give every key of a group, and of the groups in it, its default. */
void field_defaults(const struct schema_group *g, void *into);

/**
 * Whether `text` may be the name of a listener, pool or server, and so a label and a log field.
 *
 * Returns 0, or -EINVAL with what is wrong added to `why`.
 */
int field_check_name(const char *text, struct text *why) WEFT_MUSTCHECK;

#endif
