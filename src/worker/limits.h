/* How many connections the system's limits leave room for, and which of them binds. */
#ifndef WEFT_WORKER_LIMITS_H
#define WEFT_WORKER_LIMITS_H

#include "base/attr.h"
#include "base/text.h"
#include "conf/conf.h"

struct limits {
    unsigned descriptors;     /* RLIMIT_NOFILE, after it was raised */
    unsigned reserved;        /* descriptors that are not connections', the pipes' among them */
    unsigned pipes;           /* that splicing may have open; 0: none */
    unsigned ports;           /* connections that the local port range allows; 0: not bound by it */
    unsigned max_connections; /* in effect */
};

/**
 * Raise RLIMIT_NOFILE to its hard limit, and work out the limits for a process with `listening`
 * listening sockets.
 *
 * Returns 0, or -EMFILE when not even one connection fits: limits_explain() says so.
 */
int limits_find(const struct conf *conf, unsigned listening, struct limits *ret) WEFT_MUSTCHECK;

/** What binds, in a word: max_connections, descriptors or ports; at how many in `*ret_at_most`. */
const char *limits_bound_by(const struct limits *l, const struct conf *conf, unsigned *ret_at_most);

/** Say, in one line, why not even one connection fits. */
void limits_explain(const struct limits *l, struct text *out);

/** Say which limit binds and at how many connections, in one line. */
void limits_describe(const struct limits *l, const struct conf *conf, struct text *out);

#endif
