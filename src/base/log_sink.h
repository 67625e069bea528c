/*
 * Where the log's lines go: a descriptor, syslog or the journal. Used by the log thread alone.
 *
 *      begin ──> [prefix] ──> text ──> end ──┬─ descriptor: collected, written by flush in batches
 *                                            └─ syslog, journal: handed over line by line
 *
 * A descriptor that takes nothing more is never waited for: its lines are kept, and those that
 * come once enough are kept are lost.
 */
#ifndef WEFT_BASE_LOG_SINK_H
#define WEFT_BASE_LOG_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/log.h"
#include "base/text.h"

enum log_sink_kind {
    LOG_SINK_REGULAR, /* a file: takes all at once */
    LOG_SINK_SOCKET,
    LOG_SINK_OTHER, /* a pipe or a terminal, perhaps shared with others and blocking */
};

struct log_sink {
    enum log_output output;
    char *path; /* owned; of LOG_OUTPUT_FILE, else NULL */
    int fd;     /* owned where there is a path; -1: none */
    enum log_sink_kind kind;
    bool journal_stream; /* fd goes to the journal, which reads a level before each line */
    struct text lines;   /* what is not written yet, and the line that is being put together */
    size_t line_start;   /* [bytes] where that line begins */
};

/**
 * Open what `t` names, or take the descriptor that it brings.
 *
 * Returns 0, -errno of open(), or -EOPNOTSUPP for the journal in a build without it; a descriptor
 * is then still the caller's.
 */
int log_sink_open(struct log_sink *s, const struct log_target *t) WEFT_MUSTCHECK;

void log_sink_close(struct log_sink *s);

/** Begin a line. Returns where to add its text, or NULL when too much waits already. */
struct text *log_sink_begin(struct log_sink *s);

/** Put in front of an error line what this sink wants there. `wall`: [ns since 1970]. */
void log_sink_prefix(struct log_sink *s, enum log_level level, int64_t wall);

/** End the line. Returns false when it could not be kept. */
bool log_sink_end(struct log_sink *s, enum log_level level);

/** Write what can be written without waiting. Returns how many lines were lost to an error. */
size_t log_sink_flush(struct log_sink *s);

/** Whether lines wait for the descriptor. */
bool log_sink_pending(const struct log_sink *s);

/** How many lines wait for the descriptor. */
size_t log_sink_lines(const struct log_sink *s);

/** Write one error line to `fd`, now, blocking: for when there is no log thread. */
void log_sink_direct(int fd, enum log_level level, int64_t wall, const char *line);

#endif
