#include "upstream/health.h"

#include "base/attr.h"

static const char *const names[] = {
    [HEALTH_OK] = "check passed",
    [HEALTH_REFUSED] = "connection refused",
    [HEALTH_UNREACHABLE] = "network unreachable",
    [HEALTH_TIMEOUT] = "connect timed out",
    [HEALTH_RESET] = "connection reset",
    [HEALTH_CLOSED] = "connection closed before the answer was complete",
    [HEALTH_NO_ANSWER] = "no complete answer in time",
    [HEALTH_BAD_ANSWER] = "answer is not what was expected",
    [HEALTH_ERROR] = "connection failed",
};

_Static_assert(array_size(names) == HEALTH_LAST, "a result without a name");

const char *health_result_name(enum health_result result)
{
    return names[result];
}

static enum health_change enter(struct health *h, enum health_state state, int64_t now)
{
    h->state = state;
    h->against = 0;
    h->since = now;
    h->proven |= state == HEALTH_UP;
    return state == HEALTH_UP ? HEALTH_COMES_UP : HEALTH_GOES_DOWN;
}

enum health_change health_note(struct health *h, enum health_result result,
                               const struct health_limits *limits, int64_t now)
{
    enum health_state speaks_for = result == HEALTH_OK ? HEALTH_UP : HEALTH_DOWN;
    h->last = result;
    if (speaks_for == h->state) {
        h->against = 0;
        return HEALTH_SAME;
    }
    unsigned limit = speaks_for == HEALTH_UP ? limits->rise : limits->fall;
    if (h->state == HEALTH_NEW || (!h->proven && speaks_for == HEALTH_UP))
        limit = 1;
    if (++h->against < limit)
        return HEALTH_SAME;
    return enter(h, speaks_for, now);
}

void health_trust(struct health *h, int64_t now)
{
    if (h->state != HEALTH_UP)
        enter(h, HEALTH_UP, now);
}
