/*
 * The faults of a configuration: collected in any order, written in that of its files and lines.
 */
#ifndef WEFT_CONF_FAULT_H
#define WEFT_CONF_FAULT_H

#include "base/attr.h"
#include "conf/conf.h"

/* Text of a user's, made fit for a message: clipped, and nothing invisible in it. */
struct fault_shown {
    char text[96];
};

/** Returns NULL when there is no memory. Owns: free with conf_faults_free(). */
struct conf_faults *fault_list_new(void) WEFT_MUSTCHECK;

/** The list that says that memory ran out; it takes none itself. conf_faults_free() is harmless. */
struct conf_faults *fault_list_no_memory(void);

/**
 * Announce a file: the faults of files are written in the order in which these were announced, or
 * else first had one.
 */
void fault_file(struct conf_faults *f, const char *file);

/** Note a fault at `mark`; one without a line concerns the whole file. */
void fault_add(struct conf_faults *f, const struct conf_mark *mark, const char *format, ...)
    WEFT_PRINTF(3, 4);

/** Note that memory ran out: what is being made can't be used, and faults may be missing. */
void fault_no_memory(struct conf_faults *f);

/** Bring them into the files' order, and drop what an alias made to be said twice. */
void fault_sort(struct conf_faults *f);

/** For the arguments of fault_add() and the like: `fault_show(name).text`. */
struct fault_shown fault_show(const char *text);

#endif
