/*
 * What stands behind a `const struct conf *`: the configuration, its memory and its references.
 */
#ifndef WEFT_CONF_HOLDER_H
#define WEFT_CONF_HOLDER_H

#include <stdatomic.h>

#include "conf/arena.h"
#include "conf/conf.h"

struct holder {
    struct conf conf;
    atomic_uint references;
    struct arena arena; /* all that the configuration points to */
};

/** A holder with one reference, all zeroes. Returns NULL when there is no memory. */
struct holder *holder_new(void) WEFT_MUSTCHECK;

#endif
