#include "proxy/door.h"

int door_init(struct door *ret, const struct conf_listener *l)
{
    struct door d = {
        .limits = {.connections = l->max_connections_per_source,
                   .rate = l->connection_rate_per_source.count,
                   .period = l->connection_rate_per_source.period},
        .counts = l->max_connections_per_source != 0 || l->connection_rate_per_source.count != 0,
    };
    d.open = l->allow_count == 0 && l->deny_count == 0 && !d.counts;
    int rc = prefix_set_init(&d.allow, l->allow, l->allow_count);
    if (rc == 0)
        rc = prefix_set_init(&d.deny, l->deny, l->deny_count);
    if (rc == 0)
        *ret = d;
    else
        door_free(&d);
    return rc;
}

void door_free(struct door *d)
{
    prefix_set_free(&d->allow);
    prefix_set_free(&d->deny);
}

bool door_admits(const struct door *d, const struct sockaddr *peer)
{
    if (door_denies(d, peer))
        return false;
    return prefix_set_is_empty(&d->allow) || prefix_set_has(&d->allow, peer);
}

bool door_denies(const struct door *d, const struct sockaddr *client)
{
    return prefix_set_has(&d->deny, client);
}
