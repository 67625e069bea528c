/*
 * What worker processes ask the master to open for them, as they may not or should not.
 *
 * One that has become ready is exposed to the network, and is not trusted with all: where the
 * master is root, it opens no new log file, control socket or pid file for it, and includes only
 * what is below the directory of the main file. A reload that wants more goes through a new
 * process.
 */
#ifndef WEFT_MASTER_ORDERS_H
#define WEFT_MASTER_ORDERS_H

#include "master/family.h"
#include "master/vault.h"

struct orders {
    struct vault *vault;
    char *pid_file;   /* owned; NULL: none was written */
    int error_log;    /* owned; where the error log goes when it is a file; -1: elsewhere */
    char *error_path; /* owned; its path */
};

/** Answer what waits on a process's socket for orders. */
void orders_answer(struct orders *o, struct process *p);

/** Open every log file anew, and pass them on to those who write them. */
void orders_reopen_logs(struct orders *o, const struct family *f);

/** Remove the pid file, close the log. */
void orders_close(struct orders *o);

#endif
