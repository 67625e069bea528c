/*
 * From a tree to a configuration.
 */
#ifndef WEFT_CONF_LOAD_H
#define WEFT_CONF_LOAD_H

#include <stddef.h>

#include "conf/conf.h"

/** As conf_load(), from the bytes of a file called `file`. */
int load_bytes(const char *file, const char *bytes, size_t size, const struct conf **ret,
               struct conf_faults **ret_faults) WEFT_MUSTCHECK;

#endif
