#include "worker/addresses.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int addresses_reserve(struct addresses *a, size_t count)
{
    if (count <= a->count)
        return 0;
    struct address *all = realloc(a->all, count * sizeof(*all));
    if (all == NULL)
        return -ENOMEM;
    memset(&all[a->count], 0, (count - a->count) * sizeof(*all));
    a->all = all;
    a->count = count;
    return 0;
}

void addresses_want_none(struct addresses *a)
{
    for (size_t i = 0; i < a->count; i++)
        a->all[i].wanted = false;
}

void addresses_want(struct addresses *a, unsigned number, char **key, unsigned acceptors)
{
    assert(number < a->count);
    struct address *address = &a->all[number];
    if (address->key == NULL) {
        address->key = *key;
        *key = NULL;
    }
    address->wanted = true;
    address->acceptors += acceptors;
}

void addresses_closed(struct addresses *a, unsigned number)
{
    assert(number < a->count && a->all[number].acceptors > 0);
    a->all[number].acceptors--;
}

bool addresses_have(const struct addresses *a, const char *key)
{
    for (size_t i = 0; i < a->count; i++) {
        if (a->all[i].key != NULL && strcmp(a->all[i].key, key) == 0)
            return true;
    }
    return false;
}

bool addresses_sweep(struct addresses *a, int (*forget)(void *arg, const char *key), void *arg)
{
    bool left = false;
    for (size_t i = 0; i < a->count; i++) {
        struct address *address = &a->all[i];
        if (address->key == NULL || address->wanted || address->acceptors > 0)
            continue;
        if (forget(arg, address->key) < 0) {
            left = true;
            continue;
        }
        free(address->key);
        address->key = NULL;
    }
    return left;
}

void addresses_destroy(struct addresses *a)
{
    for (size_t i = 0; i < a->count; i++)
        free(a->all[i].key);
    free(a->all);
    *a = (struct addresses){.all = NULL};
}
