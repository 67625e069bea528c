/* Writing for people, who may sit at a terminal. */
#ifndef WEFT_CMD_TERMINAL_H
#define WEFT_CMD_TERMINAL_H

#include <jansson.h>
#include <stdio.h>

/** The width of standard output [characters]; 0: it is no terminal, and lines may be of any length.
 */
unsigned terminal_width(void);

/** Print a line for each of an array's strings, as units_write_string() has them. */
void terminal_print_lines(const json_t *lines, FILE *to);

#endif
