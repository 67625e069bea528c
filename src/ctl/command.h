/*
 * The one table of commands: what weftctl parses, helps with and lays out, what the daemon does and
 * answers, and what the manual is held against.
 */
#ifndef WEFT_CTL_COMMAND_H
#define WEFT_CTL_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

enum command_id {
    COMMAND_INFO,
    COMMAND_LISTENERS,
    COMMAND_WORKERS,
    COMMAND_RELOAD,
    COMMAND_UPGRADE,
    COMMAND_STOP,
    COMMAND_DIFF,
    COMMAND_COUNT /* how many there are */
};

/* How a value stands in JSON, and with it how people see it. Any may be null: there is none. */
enum column_type {
    COLUMN_TEXT,     /* a string */
    COLUMN_LIST,     /* an array of strings */
    COLUMN_COUNT,    /* a whole number */
    COLUMN_BYTES,    /* a whole number [bytes] */
    COLUMN_DURATION, /* a number [s] */
    COLUMN_TIME,     /* a string, RFC 3339 in UTC */
    COLUMN_SHARE,    /* a number, 0 to 1 */
    COLUMN_FLAG,     /* true or false */
};

struct command_column {
    const char *key;   /* in JSON; NULL ends the table */
    const char *title; /* for people */
    enum column_type type;
    const char *what; /* one line for people */
};

/* What follows the command: words in their order, and options. */
struct command_argument {
    const char *name; /* in a request; an option is spelt --NAME; NULL ends the table */
    const char *sign; /* what stands for its value in a line of help: NAME */
    bool option;
    bool required;
    const char *what; /* one line for people */
};

enum command_answer {
    COMMAND_LISTING, /* any number of rows */
    COMMAND_RECORD,  /* one row, shown as a list of its own */
    COMMAND_VERDICT, /* one row, for people in a sentence */
};

struct command {
    const char *name;
    const char *what; /* one line for people */
    enum command_answer answer;
    const struct command_argument *arguments; /* NULL: none */
    const struct command_column *columns;
    const char *sentence; /* of COMMAND_VERDICT, with {KEY} for the values */
    bool hidden;          /* not weftctl's, but weft's own, to the weft that runs */
};

/** Each at its id. */
extern const struct command commands[COMMAND_COUNT];

/** Returns NULL where there is no such command. */
const struct command *command_find(const char *name);

/** Returns NULL where the command takes no such argument. */
const struct command_argument *command_argument(const struct command *c, const char *name);

#endif
