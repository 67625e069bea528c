/*
 * The CPU time that the measured processes have used, by two ways of asking the scheduler.
 */
#ifndef BENCH_ACCOUNT_H
#define BENCH_ACCOUNT_H

#include <stdint.h>
#include <sys/types.h>

#define ACCOUNT_PIDS 64

struct watch {
    pid_t pids[ACCOUNT_PIDS];
    int count;
};

struct account {
    int64_t schedstat; /* sum over all threads that live; late by a tick at most [ns] */
    int64_t clock;     /* the processes' CPU clocks: exact, with the threads that have ended [ns] */
};

/** Read the accounts of all watched processes. Returns 0, or a negative errno when one is gone. */
int account_read(const struct watch *w, struct account *ret_account);

#endif
