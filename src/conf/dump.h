/*
 * Single keys as the dump of a configuration has them.
 */
#ifndef WEFT_CONF_DUMP_H
#define WEFT_CONF_DUMP_H

#include "base/text.h"
#include "conf/schema.h"

/**
 * Write one key of the structure `from` as conf_dump() does, name and all; nothing of one that is
 * not built. What differs in a configuration differs here, but for what a host name stood for.
 */
void dump_one(const struct schema_key *key, const void *from, struct text *out);

#endif
