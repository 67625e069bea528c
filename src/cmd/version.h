/* What `-v` and `-V` print. */
#ifndef WEFT_CMD_VERSION_H
#define WEFT_CMD_VERSION_H

#include <stdio.h>

/** Print the program's name and version. */
void version_print(FILE *to);

/** Print the version, how it was built, and the libraries it runs on. */
void version_print_build(FILE *to);

#endif
