#include "upstream/outlier.h"

#include <stdlib.h>

#define LONG_AGO (INT64_MIN / 2)

void outlier_init(struct outlier *o)
{
    *o = (struct outlier){0};
}

void outlier_free(struct outlier *o)
{
    free(o->failures);
    outlier_init(o);
}

void outlier_forget(struct outlier *o)
{
    for (unsigned i = 0; i < o->room; i++)
        o->failures[i] = LONG_AGO;
}

/* A circle that holds as many failures as may be too many. */
static bool make_room(struct outlier *o, unsigned room)
{
    if (o->room == room)
        return true;
    int64_t *failures = malloc(room * sizeof(*failures));
    if (failures == NULL)
        return false;
    free(o->failures);
    o->failures = failures;
    o->room = room;
    o->next = 0;
    outlier_forget(o);
    return true;
}

bool outlier_note(struct outlier *o, const struct outlier_limits *limits, int64_t now)
{
    if (limits->failures == 0 || !make_room(o, limits->failures))
        return false;
    o->failures[o->next] = now;
    o->next = (o->next + 1) % o->room;
    return now - o->failures[o->next] <= limits->window;
}

bool outlier_allowed(const struct outlier_limits *limits, size_t servers, size_t ejected,
                     size_t others)
{
    return others > 0 && (ejected + 1) * 100 <= limits->max_ejected * servers;
}

int64_t outlier_eject(struct outlier *o, const struct outlier_limits *limits, int64_t now)
{
    bool again = o->row > 0 && now - o->until <= o->length + limits->window;
    o->row = again ? o->row + 1 : 1;
    if (o->row > OUTLIER_BACKOFF_MAX)
        o->row = OUTLIER_BACKOFF_MAX;
    o->length = limits->eject * o->row;
    o->until = now + o->length;
    outlier_forget(o);
    return o->until;
}
