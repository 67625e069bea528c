/*
 * Snapshots: a configuration as it was when it was read, its included files with it. A worker
 * process that has crashed is started again with what was accepted last, whatever has become of the
 * files since.
 */
#ifndef WEFT_MASTER_SNAPSHOT_H
#define WEFT_MASTER_SNAPSHOT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/attr.h"

struct snapshot_file {
    char *path;   /* owned */
    int fd;       /* owned; a copy in memory, or the -errno of reading it */
    dev_t device; /* of the file that was copied: one that is met again is the same copy */
    ino_t inode;  /* likewise; 0: not known */
};

/* What an include pattern stood for. */
struct snapshot_include {
    char *pattern; /* owned */
    struct snapshot_file *files;
    unsigned count;
    int error; /* -errno that ended the expansion; 0: it is complete */
};

struct snapshot {
    unsigned references;
    struct snapshot_file main; /* path NULL: quick mode, there is no file */
    struct snapshot_include *includes;
    unsigned include_count;
    size_t size; /* [bytes] of all copies */
};

/**
 * Copy the file at `path`; NULL: quick mode, no file.
 *
 * Of one that is larger than any configuration may be, as much is copied as shows that it is. Waits
 * for a FIFO's writer, though not for long. Returns 0 with a reference, or -errno.
 */
int snapshot_take(const char *path, struct snapshot **ret) WEFT_MUSTCHECK;

/**
 * What an include pattern stands for, as expand_open() has it: copied when it is first asked for.
 *
 * `beside`: only files below the directory of the main file are copied, links followed; where one
 * is elsewhere, the answer is -EPERM. Returns 0, though files in it may be unreadable, or the
 * -errno that ended the expansion.
 */
int snapshot_include(struct snapshot *s, const char *pattern, bool beside,
                     const struct snapshot_include **ret) WEFT_MUSTCHECK;

/** A descriptor of its own, at the file's beginning, of a copy. Returns it, or -errno, that of
 * reading the file included. Owns: the caller. */
int snapshot_open(const struct snapshot_file *f) WEFT_MUSTCHECK;

/** Whether a path stands in one of its files, letter by letter, right behind `before` but for
 * blanks and quotes, and in no comment. */
bool snapshot_mentions(const struct snapshot *s, const char *before, const char *path);

struct snapshot *snapshot_ref(struct snapshot *s);

/** NULL is fine. */
void snapshot_unref(struct snapshot *s);

/** For the state that outlives an upgrade: describe it; the descriptors stay those of `s`. Returns
 * NULL without memory. */
json_t *snapshot_save(const struct snapshot *s) WEFT_MUSTCHECK;

/** Returns NULL for what snapshot_save() did not write. Owns: takes the descriptors, unless it
 * fails. */
struct snapshot *snapshot_load(const json_t *saved) WEFT_MUSTCHECK;

#endif
