/*
 * What a run of the load counts. Counting goes on only while the window is open, and the measured
 * processes' accounts are read at its two ends, by the load itself: nobody has to wake up in time
 * for it.
 *
 *      start      open                         close
 *        |  warm-up |  operations, bytes, CPU    |  the rest of what is on its way
 */
#ifndef BENCH_METER_H
#define BENCH_METER_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "account.h"
#include "histogram.h"

enum fault {
    FAULT_CONNECT, /* refused, no port left, no descriptor left */
    FAULT_RESET,
    FAULT_CLOSED,  /* an end of stream where more had to come */
    FAULT_CONTENT, /* other bytes, or another count of them, than were sent */
    FAULT_STUCK,   /* not done long after the window closed */
    FAULT_OTHER,
    FAULT_COUNT
};

enum meter_state { METER_IDLE, METER_WARMING, METER_OPEN, METER_CLOSED };

struct meter {
    const struct watch *watch;
    enum meter_state state;
    int64_t opens;  /* [monotonic ns] */
    int64_t closes; /* [monotonic ns] */
    struct account at_open, at_close;
    int64_t own_at_open, own_at_close; /* the load's CPU clock [ns] */
    int account_error;
    uint64_t operations;
    uint64_t bytes;
    uint64_t faults[FAULT_COUNT]; /* counted at any time */
    struct histogram latency;     /* [ns] */
};

/** Let the window open after `warmup` [s], for `seconds`. */
void meter_begin(struct meter *m, double warmup, double seconds);

/** Open or close the window when it is time. Returns whether it is yet to close. */
bool meter_running(struct meter *m, int64_t now);

/** When meter_running() has something to do again [monotonic ns]. */
int64_t meter_next(const struct meter *m);

/** Count an operation that took from `began` to `now` [monotonic ns] and moved `bytes`. */
void meter_operation(struct meter *m, int64_t began, int64_t now, uint64_t bytes);

/**
 * Count an operation that was due at a fixed time.
 *
 * Its latency counts if it was due within the window, even if the window has closed since; the
 * operation, as the CPU time that it took, if it ended within the window.
 */
void meter_due(struct meter *m, int64_t due, int64_t now, uint64_t bytes);

/** Count bytes of an operation that does not end within the window. */
void meter_bytes(struct meter *m, uint64_t bytes);

/** Count a negative errno of a connection as the kind of fault that it is. */
void meter_fault(struct meter *m, int err);

void meter_stuck(struct meter *m, unsigned count);

/** Print the members of a JSON object: seconds, operations, bytes, rates, CPU, latencies, faults.
 */
void meter_print(const struct meter *m, FILE *out);

#endif
