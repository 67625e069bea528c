/* Rows of a reply, laid out for people. */
#ifndef WEFT_CMD_TABLE_H
#define WEFT_CMD_TABLE_H

#include <jansson.h>

#include "base/text.h"
#include "ctl/command.h"

/**
 * Write a listing: a line of titles, and a line for each of `rows`, an array of objects.
 *
 * Texts are cut where the lines would be wider than `width` [characters], 0: as wide as they are.
 */
void table_write(const struct command_column *columns, const json_t *rows, unsigned width,
                 struct text *out);

/** Write a record: a line for each of its values, titles first. What it has not is left out. */
void table_write_record(const struct command_column *columns, const json_t *row, struct text *out);

/** Write a sentence with the row's values in place of their keys in braces. */
void table_write_sentence(const struct command *c, const json_t *row, struct text *out);

#endif
