/* Values of the control protocol, written for people. */
#ifndef WEFT_CMD_UNITS_H
#define WEFT_CMD_UNITS_H

#include <jansson.h>
#include <stdint.h>

#include "base/text.h"
#include "ctl/command.h"

/**
 * Write a value as people read it: 1.2 MiB, 3m12s, yes. A dash stands for what is not there, or is
 * of another type than it should be; nothing that a terminal would obey comes out.
 */
void units_write(enum column_type type, const json_t *value, struct text *out);

void units_write_bytes(uint64_t bytes, struct text *out);

void units_write_duration(double seconds, struct text *out);

/** Write a string with question marks for control characters. */
void units_write_string(const char *string, struct text *out);

#endif
