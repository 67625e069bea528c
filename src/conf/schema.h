/*
 * The key table: every key there is, what it takes, and where its value goes.
 *
 * A group is the table of one mapping; a key of type GROUP, NAMED or SERVERS leads to the next one.
 * Reading, defaults, the dump, the diff and the test of the manual page all walk these tables, so
 * that a new key is a new line in schema.c.
 */
#ifndef WEFT_CONF_SCHEMA_H
#define WEFT_CONF_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

enum schema_type {
    SCHEMA_BOOL,      /* bool */
    SCHEMA_NUMBER,    /* unsigned */
    SCHEMA_DURATION,  /* int64_t [ns] */
    SCHEMA_SIZE,      /* uint64_t [bytes] */
    SCHEMA_RATE,      /* struct conf_rate */
    SCHEMA_SHARE,     /* unsigned [per cent] */
    SCHEMA_CHOICE,    /* an enum: one of `words` */
    SCHEMA_OUTPUT,    /* struct log_target: one of `words`, or a path */
    SCHEMA_NAME,      /* char * */
    SCHEMA_PATH,      /* struct conf_path */
    SCHEMA_USER,      /* struct conf_account, of a user */
    SCHEMA_OWNERS,    /* struct conf_account, of a group of users */
    SCHEMA_ADDRESS,   /* struct conf_address, of a server */
    SCHEMA_POOL,      /* const struct conf_pool *, by its name */
    SCHEMA_OUTGOING,  /* struct conf_outgoing */
    SCHEMA_NETWORKS,  /* struct prefix *, and their number: one or a list */
    SCHEMA_HOSTS,     /* char **, and their number: server names, likewise */
    SCHEMA_PROTOCOLS, /* char **, and their number: of ALPN, likewise */
    SCHEMA_BINDS,     /* struct conf_address *, and their number: one address or a list */
    SCHEMA_SERVERS,   /* struct conf_server *, and their number: a list of `group` or addresses */
    SCHEMA_ROUTES,    /* struct conf_route *, and their number: a list of `group` */
    SCHEMA_INCLUDE,   /* more files, read before all else: nothing is stored */
    SCHEMA_NAMED, /* an array of what `group` makes, and its number: a mapping by name, of the file
                     alone */
    SCHEMA_GROUP, /* what `group` makes, in place */
    SCHEMA_RESERVED, /* not built yet: an error where it stands */
};

/* A word that a value may be, and what it stands for. */
struct schema_word {
    const char *name; /* NULL ends the table */
    unsigned value;
    bool built;
};

struct schema_key {
    const char *name; /* NULL ends the table */
    enum schema_type type;
    bool required;
    bool restart;         /* a change of it needs a new worker process */
    size_t offset;        /* [bytes] of the value in the group's structure */
    size_t count;         /* [bytes] of the number of elements, where there are many */
    int64_t min, max;     /* [ns], [bytes] or a number; max also of a path's bytes, 0: any */
    int64_t step;         /* [ns], [bytes] the value is a multiple of; 0: any */
    const char *other;    /* the key that may stand in its place, but not beside it; NULL: none */
    const char *zero;     /* the word for 0, which is outside min..max: off or auto; NULL: none */
    const char *fallback; /* the default, as one would write it; NULL: none */
    const struct schema_word *words;
    const struct schema_group *group;
    const char *what; /* one line for people */
};

struct schema_group {
    const char *subject; /* what one of it is called in a message; NULL: it has no name */
    const struct schema_key *keys;
    size_t size;     /* [bytes] of the structure */
    size_t name;     /* [bytes] offset of its name, where it is an element of NAMED or SERVERS */
    size_t mark;     /* [bytes] offset of its mark, where it is an element of NAMED */
    const char *off; /* `off` in the mapping's place sets this key to off; NULL: it may not */
};

#define SCHEMA_KEYS_MAX 32 /* a group has no more */

/** The table of the file's outermost mapping, which makes a struct conf. */
extern const struct schema_group schema_root;

/** Returns NULL where the group has no such key. */
const struct schema_key *schema_find(const struct schema_group *g, const char *name);

/** Write what a key takes, range included, as for "Takes ...": `a duration, 1ms to 10m, or off`. */
void schema_describe(const struct schema_key *key, struct text *out);

/** Write the range alone: `1ms to 10m, or off`. */
void schema_range(const struct schema_key *key, struct text *out);

#endif
