/*
 * Replies: what the daemon answers, row by row, in frames of bounded size.
 *
 *      {"protocol": 1, "rows": [{"name": "web", "active": 3}, ...]}     any number of these, and of
 *      {"protocol": 1, "faults": ["weft.yaml:3:5: error: ..."]}         these
 *      {"protocol": 1, "done": true}                                    the last one, or
 *      {"protocol": 1, "error": "..."}                                  the last one
 *
 * A row has a value for each column of the command, in the table's order: what people and scripts
 * see is what the table says. After a failure, a client that is gone or no memory, all calls do
 * nothing.
 */
#ifndef WEFT_CTL_REPLY_H
#define WEFT_CTL_REPLY_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "ctl/command.h"

struct reply;

/* Send a frame with this object in it, which stays the reply's. Returns 0 or -errno. */
typedef int reply_send_fn(struct reply *r, const json_t *object);

struct reply {
    const struct command *command; /* NULL while it is not known: there can be no rows */
    reply_send_fn *send;
    json_t *items;                     /* rows or faults not sent yet; NULL: none */
    const char *kind;                  /* what they are: "rows", "faults" */
    json_t *row;                       /* being made; NULL: none */
    const struct command_column *next; /* of the row being made: whose value is to come */
    size_t size;                       /* [bytes] of the items on the wire, about */
    int error;                         /* the first failure: -errno */
};

/** `command` may be NULL, for a reply that can only be an error. */
void reply_init(struct reply *r, const struct command *command, reply_send_fn *send);

/** Free what was not sent. */
void reply_destroy(struct reply *r);

/** Begin a row. The one before must be complete. May send, as whatever follows. */
void reply_row(struct reply *r);

/*
 * The value of the next column, which must be `key` and of that type. Texts that are not UTF-8 have
 * U+FFFD in their place.
 */
void reply_text(struct reply *r, const char *key, const char *value);
void reply_count(struct reply *r, const char *key, uint64_t value);
void reply_bytes(struct reply *r, const char *key, uint64_t value);
void reply_duration(struct reply *r, const char *key, int64_t ns);
void reply_time(struct reply *r, const char *key, int64_t wall); /* [ns since 1970] */
void reply_share(struct reply *r, const char *key, double value);
void reply_flag(struct reply *r, const char *key, bool value);
void reply_none(struct reply *r, const char *key); /* of any type */

/** A list: begun, then added to. */
void reply_list(struct reply *r, const char *key);
void reply_list_add(struct reply *r, const char *value);

/** Add a line on what is wrong with a file. */
void reply_fault(struct reply *r, const char *line);

/** Send what is left, and that it was all. Returns 0, or the reply's failure. */
int reply_done(struct reply *r) WEFT_MUSTCHECK;

/** Send the faults there are, and that it has failed. Returns as reply_done(). */
int reply_failed(struct reply *r, const char *why) WEFT_MUSTCHECK;

#endif
