#include <stdbool.h>

#include "conf/conf.h"
#include "conf/draft.h"
#include "conf/fault.h"
#include "conf/field.h"
#include "conf/schema.h"

static const struct conf_mark listen_mark = {.file = "--listen"};
static const struct conf_mark backend_mark = {.file = "--backend"};

static const struct schema_group *group_of(const char *key)
{
    return schema_find(&schema_root, key)->group;
}

/* One element in the array that holds it alone, named and with its defaults. */
static void *element_new(struct draft *d, const struct schema_group *g,
                         const struct conf_mark *mark, size_t *count)
{
    void *element = draft_alloc(d, g->size);
    if (element == NULL)
        return NULL;
    draft_element(d, g, "quick", mark, element);
    *count = 1;
    return element;
}

static void add_pool(struct draft *d, const char *const *backend, size_t count)
{
    const struct schema_group *g = group_of("pools");
    const struct schema_group *server_group = schema_find(g, "servers")->group;
    struct conf_pool *pool = element_new(d, g, &backend_mark, &d->conf->pool_count);
    struct conf_server *s = draft_alloc(d, count * sizeof(*s));
    d->conf->pools = pool;
    if (pool == NULL || s == NULL)
        return;
    pool->servers = s;
    pool->server_count = count;
    struct names names;
    names_init(&names);
    for (size_t i = 0; i < count; i++, s++) {
        field_defaults(server_group, s);
        draft_server_address(d, backend[i], &backend_mark, &s->address);
        draft_server_name(d, &names, s, &backend_mark);
    }
    names_clear(&names);
}

static void add_listener(struct draft *d, const char *const *listen, size_t count)
{
    struct conf_listener *l =
        element_new(d, group_of("listeners"), &listen_mark, &d->conf->listener_count);
    struct conf_address *a = draft_alloc(d, count * sizeof(*a));
    d->conf->listeners = l;
    if (l == NULL || a == NULL)
        return;
    l->pool = d->conf->pools;
    l->binds = a;
    l->bind_count = count;
    for (size_t i = 0; i < count; i++)
        draft_bind(d, listen[i], &listen_mark, &a[i]);
}

static void require(struct draft *d, const struct conf_mark *mark, size_t count)
{
    if (count == 0)
        fault_add(d->faults, mark, "at least one address is needed");
}

int conf_quick(const char *const *listen, size_t listen_count, const char *const *backend,
               size_t backend_count, const struct conf **ret, struct conf_faults **ret_faults)
{
    struct draft d;
    if (draft_begin(&d)) {
        require(&d, &listen_mark, listen_count);
        require(&d, &backend_mark, backend_count);
        add_pool(&d, backend, backend_count);
        add_listener(&d, listen, listen_count);
    }
    return draft_finish(&d, ret, ret_faults);
}
