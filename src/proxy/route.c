#include "proxy/route.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int index_names(struct route *r, const struct conf_route *conf)
{
    if (conf->name_count == 0)
        return 0;
    r->entries = calloc(conf->name_count, sizeof(*r->entries));
    if (r->entries == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < conf->name_count; i++) {
        r->entries[i].text = conf->names[i];
        if (names_add(&r->names, &r->entries[i]) == NULL)
            return -ENOMEM;
    }
    return 0;
}

int route_init(struct route *ret, const struct conf_route *conf)
{
    struct route r = {.conf = conf};
    names_init(&r.names);
    int rc = prefix_set_init(&r.sources, conf->sources, conf->source_count);
    if (rc == 0)
        rc = index_names(&r, conf);
    if (rc == 0)
        *ret = r;
    else
        route_free(&r);
    return rc;
}

void route_free(struct route *r)
{
    prefix_set_free(&r->sources);
    names_clear(&r->names);
    free(r->entries);
    r->entries = NULL;
}

bool route_takes_source(const struct route *r, const struct sockaddr *from)
{
    return prefix_set_is_empty(&r->sources) || prefix_set_has(&r->sources, from);
}

bool route_asks_hello(const struct route *r)
{
    return r->conf->name_count > 0 || r->conf->protocol_count > 0;
}

/* "a.example.org" is looked for as such, as "*.example.org" and as "*.org". */
static bool takes_name(const struct route *r, const char *name)
{
    char below[CLIENT_HELLO_NAME_MAX + 2];
    if (name[0] == '\0' || names_find(&r->names, name) != NULL)
        return name[0] != '\0';
    for (const char *dot = strchr(name + 1, '.'); dot != NULL; dot = strchr(dot + 1, '.')) {
        below[0] = '*';
        strcpy(below + 1, dot);
        if (names_find(&r->names, below) != NULL)
            return true;
    }
    return false;
}

static bool takes_protocol(const struct route *r, const struct client_hello *h)
{
    for (size_t i = 0; i < r->conf->protocol_count; i++)
        if (client_hello_offers(h, r->conf->protocols[i]))
            return true;
    return false;
}

bool route_takes_hello(const struct route *r, const struct client_hello *h)
{
    return (r->conf->name_count == 0 || takes_name(r, h->name)) &&
           (r->conf->protocol_count == 0 || takes_protocol(r, h));
}
