/*
 * The log: lines from any thread to the places the configuration names, written by a thread of
 * its own, so that a blocked disk or pipe never holds up a worker.
 *
 *      any thread --log_line / log_submit--> bounded queue --log thread--> format --> sinks
 *
 * A full queue drops, counts, and says how many once it runs again; so does an output that takes
 * nothing more, and it holds up no other. Before log_start() and after log_stop() a line goes
 * straight to stderr, from level info on.
 */
#ifndef WEFT_BASE_LOG_H
#define WEFT_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/text.h"

enum log_level {
    LOG_LEVEL_DEBUG,
    LOG_LEVEL_INFO,
    LOG_LEVEL_NOTICE,
    LOG_LEVEL_WARNING,
    LOG_LEVEL_ERROR
};

enum log_output {
    LOG_OUTPUT_OFF,
    LOG_OUTPUT_STDERR,
    LOG_OUTPUT_STDOUT,
    LOG_OUTPUT_SYSLOG,
    LOG_OUTPUT_JOURNAL,
    LOG_OUTPUT_FILE,
};

struct log_target {
    enum log_output output;
    const char *path; /* of LOG_OUTPUT_FILE; it is copied */
    int fd;           /* likewise: the file, open already; -1: it is opened by its path */
};

struct log_options {
    struct log_target error;
    enum log_level error_level; /* lines below it are dropped where they are made */
    struct log_target access;
};

/* The most a submitted payload may have [bytes]. */
#define LOG_PAYLOAD_MAX 1024

/* Write `payload` as one line (without the newline) to `out`. Thread: the log thread. */
typedef void log_format_fn(struct text *out, const void *payload);

/**
 * Open what `o` names and start the log thread.
 *
 * Returns 0, or the -errno of the file that could not be opened, with `*ret_path` naming it;
 * -EOPNOTSUPP for the journal in a build without libsystemd. A missing syslog is not noticed.
 * Owns: descriptors in `o` are the log's, whatever comes of it.
 */
int log_start(const struct log_options *o, const char **ret_path) WEFT_MUSTCHECK;

/**
 * Change the outputs and the level of a running log: all that `o` says, or nothing.
 *
 * An output that stays is left alone, unless its target brings a descriptor: that takes the place
 * of the one in use, as after a rotation. Each line goes where it was meant to go when it was
 * written, in order; an output that is left is closed once it has them all.
 * Returns and owns as log_start(). Thread: that of log_start() and log_stop().
 */
int log_set(const struct log_options *o, const char **ret_path) WEFT_MUSTCHECK;

/** Open a file as the log does, for a target's `fd`. Returns the descriptor or -errno. */
int log_open_file(const char *path) WEFT_MUSTCHECK;

/**
 * Write what is queued, then end the log thread and close the files.
 *
 * Takes 3 seconds at most: what a blocked output does not take by then is lost. Lines that other
 * threads write meanwhile may be lost too.
 */
void log_stop(void);

/** Where lines go while there is no log thread; -1: stderr. Owns: `fd` stays the caller's. */
void log_direct_to(int fd);

/** Whether lines of this level are written at all. */
bool log_enabled(enum log_level level);

/**
 * Write a line to the error log. errno is preserved.
 *
 * Control characters become blanks, and what is over 1 KiB is cut. Never blocks, never yields.
 * Needs 4 KiB of stack. Thread: any.
 */
void log_line(enum log_level level, const char *format, ...) WEFT_PRINTF(2, 3);

/** Whether access records go anywhere: what nobody reads need not be put together. */
bool log_access_enabled(void);

/**
 * Queue a record for the access log; `format` turns its bytes into a line later.
 *
 * What the payload points to must stay until then: `release` (may be NULL) is called when it has
 * been written or dropped. Never blocks. Thread: any.
 */
void log_access(log_format_fn *format, void (*release)(const void *payload), const void *payload,
                size_t size);

/** Lines and records dropped because the queue was full, ever. */
uint64_t log_dropped(void);

#endif
