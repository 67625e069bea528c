/*
 * From trees to a configuration.
 */
#ifndef WEFT_CONF_LOAD_H
#define WEFT_CONF_LOAD_H

#include "base/attr.h"
#include "conf/conf.h"
#include "conf/content.h"

/** As conf_load_from(), once the main file has been read. */
int load_source(const struct conf_source *source, const struct content *main,
                const struct conf **ret, struct conf_faults **ret_faults) WEFT_MUSTCHECK;

#endif
