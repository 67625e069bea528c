/* weftctl's command line, by the table of commands. */
#ifndef WEFT_CMD_INVOCATION_H
#define WEFT_CMD_INVOCATION_H

#include <jansson.h>
#include <stdbool.h>

#include "base/attr.h"
#include "base/text.h"
#include "ctl/command.h"

struct invocation {
    const char *socket; /* path; NULL: the default */
    bool json;
    bool help;
    bool version;
    const struct command *command; /* NULL where help or the version is all that is asked for */
    json_t *arguments;             /* owned; as request_new() wants them */
};

/**
 * Read the command line; options may stand before or after the command.
 *
 * Returns 0, or -EINVAL with what is wrong in `why`, or said on standard error by getopt().
 */
int invocation_read(struct invocation *ret, int argc, char **argv, struct text *why) WEFT_MUSTCHECK;

/** The same for one command, whatever it is called: `argv` begins with its name. */
int invocation_read_command(struct invocation *i, const struct command *c, int argc, char **argv,
                            struct text *why) WEFT_MUSTCHECK;

void invocation_free(struct invocation *i);

/** Write weftctl's page of help. */
void invocation_help(struct text *out);

/** Write the help for one command. */
void invocation_help_command(const struct command *c, struct text *out);

#endif
