/*
 * Health: what the results of a server's checks, one after the other, say of it.
 *
 *      new ── good ──> up ── `fall` bad ones in a row ──> down ── `rise` good ones in a row ──> up
 *       └──── bad ──────────────────────────────────────> down
 *
 * A server that has never been up takes traffic after its first good check.
 */
#ifndef WEFT_UPSTREAM_HEALTH_H
#define WEFT_UPSTREAM_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

enum health_result {
    HEALTH_OK,
    HEALTH_REFUSED,
    HEALTH_UNREACHABLE, /* the network says so */
    HEALTH_TIMEOUT,     /* no connection in time */
    HEALTH_RESET,
    HEALTH_CLOSED,     /* before the answer was complete */
    HEALTH_NO_ANSWER,  /* connected, but the answer was not there in time */
    HEALTH_BAD_ANSWER, /* not what was expected */
    HEALTH_ERROR,      /* any other failure of the connection */
    HEALTH_LAST
};

enum health_state { HEALTH_NEW, HEALTH_UP, HEALTH_DOWN };

enum health_change { HEALTH_SAME, HEALTH_COMES_UP, HEALTH_GOES_DOWN };

struct health {
    enum health_state state;
    enum health_result last; /* the result before which there is none while new */
    unsigned against;        /* results in a row that speak against the state */
    bool proven;             /* has been up */
    int64_t since;           /* [monotonic ns] when the state began; 0: new */
};

/* How many results in a row it takes. */
struct health_limits {
    unsigned rise; /* good ones, until the server is up again */
    unsigned fall; /* bad ones, until it is down */
};

/**
 * Take the next result in.
 *
 * Returns what it changes: to be said once, with `result` as the reason. `now`: [monotonic ns].
 */
enum health_change health_note(struct health *h, enum health_result result,
                               const struct health_limits *limits, int64_t now);

/** Take a server that is not checked for good; a later check finds it up. */
void health_trust(struct health *h, int64_t now);

/** What a result means, for people; never freed. */
const char *health_result_name(enum health_result result);

#endif
