/*
 * What libyaml finds wrong with a file, put so that people can act on it.
 */
#ifndef WEFT_CONF_SYNTAX_H
#define WEFT_CONF_SYNTAX_H

#include <stddef.h>
#include <yaml.h>

#include "conf/conf.h"

/* The bytes that a parser reads. */
struct syntax_source {
    const char *file;
    const char *bytes;
    size_t size;
};

/** Note the fault on which the parser stopped. */
void syntax_fault(const struct syntax_source *source, const yaml_parser_t *parser,
                  struct conf_faults *faults);

#endif
