/*
 * Requests: what weftctl asks the daemon.
 *
 *      {"protocol": 1, "version": "0.1.0", "command": "kill", "arguments": {"id": "17"}}
 *
 * The protocol's number is in every frame, either way. Framing and this key stay as they are in
 * all protocols to come, so that two that do not fit can say so.
 */
#ifndef WEFT_CTL_REQUEST_H
#define WEFT_CTL_REQUEST_H

#include <jansson.h>

#include "base/attr.h"
#include "base/text.h"
#include "ctl/command.h"

#define REQUEST_PROTOCOL 1

struct request {
    const struct command *command;
    json_t *body; /* owned; what was received */
};

/**
 * Make a request. Returns it, which the caller owns, or NULL without memory. Owns: `arguments`, an
 * object of strings, is consumed whatever happens; NULL: none.
 */
json_t *request_new(const char *command, json_t *arguments) WEFT_MUSTCHECK;

/**
 * Take a request apart and check it against the table of commands.
 *
 * Returns 0, or -EPROTO with what is wrong with it added to `why`. Owns: `body`, from success on.
 */
int request_read(struct request *ret, json_t *body, struct text *why) WEFT_MUSTCHECK;

/**
 * Check the arguments of a command, an object or NULL: whether it has them all, and all it wants.
 *
 * Returns as request_read().
 */
int request_check_arguments(const struct command *c, json_t *arguments,
                            struct text *why) WEFT_MUSTCHECK;

/** The value of an argument that the command has; NULL where it is not given. */
const char *request_argument(const struct request *r, const char *name);

void request_free(struct request *r);

#endif
