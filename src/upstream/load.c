#include "upstream/load.h"

uint32_t load_of_flagged(const struct server *s, unsigned flags, unsigned active, int64_t now,
                         uint8_t dice)
{
    unsigned max = atomic_load_explicit(&s->max_connections, memory_order_relaxed);
    if (!server_usable_by(s, flags, now) || (max != 0 && active >= max))
        return LOAD_NONE;
    unsigned share = server_share(s, now);
    float due = (float)s->weight * (float)share / SERVER_WHOLE;
    return load_make((float)active + (dice < share ? 0 : 1), due);
}
