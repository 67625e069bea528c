/*
 * What worker processes ask the master to open for them, as they may not or should not.
 *
 * One that has become ready is exposed to the network, and is not trusted with all: where the
 * master is root, it opens a new log file or UNIX path for it only where the configuration that is
 * being loaded has that path as such, no control socket or pid file, and includes only what is
 * below the directory of the main file. A reload that wants more goes through a new process. One
 * that does not keep to the rules of the conversation is killed.
 */
#ifndef WEFT_MASTER_ORDERS_H
#define WEFT_MASTER_ORDERS_H

#include "master/family.h"
#include "master/vault.h"

/* Files that the master itself writes to, as a configuration names them. */
struct orders_files {
    char *pid_file;   /* owned; NULL: there is none */
    int error_log;    /* owned; where the error log goes when it is a file; -1: elsewhere */
    char *error_path; /* owned; its path */
};

struct orders {
    struct vault *vault;
    struct orders_files now;  /* of the configuration in effect */
    struct orders_files next; /* of one that is being loaded */
};

void orders_init(struct orders *o, struct vault *vault);

/** Answer what waits on a process's socket for orders. */
void orders_answer(struct orders *o, struct process *p);

/**
 * What was ordered since the last call is in effect; `all`: and nothing else is, as a whole
 * configuration has been loaded anew.
 */
void orders_commit(struct orders *o, bool all);

/** What was ordered since the last call is not. */
void orders_abandon(struct orders *o);

/** Open every log file anew, and pass them on to those who write them. */
void orders_reopen_logs(struct orders *o, const struct family *f);

/** Remove the pid file, close the log. */
void orders_close(struct orders *o);

#endif
