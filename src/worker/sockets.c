#include "worker/sockets.h"

#include <assert.h>
#include <errno.h>
#include <search.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum stage { RESERVED, LIVE, LEAVING };

struct socket_address {
    char *key; /* owned */
    unsigned number;
    unsigned open; /* acceptors that have not closed their sockets */
    enum stage stage;
};

void sockets_init(struct sockets *s)
{
    *s = (struct sockets){.all = NULL};
    pthread_mutex_init(&s->lock, NULL);
}

static int compare(const void *a, const void *b)
{
    const struct socket_address *x = a, *y = b;
    return strcmp(x->key, y->key);
}

static struct socket_address *find(const struct sockets *s, const char *key)
{
    const struct socket_address sought = {.key = (char *)(uintptr_t)key};
    struct socket_address *const *found = tfind(&sought, &s->index, compare);
    return found != NULL ? *found : NULL;
}

/* Out of the table; its key is the caller's. */
static char *forget(struct sockets *s, struct socket_address *a)
{
    char *key = a->key;
    s->all[a->number] = NULL;
    free(a);
    return key;
}

static void unindex(struct sockets *s, struct socket_address *a)
{
    if (a->stage != LEAVING)
        tdelete(a, &s->index, compare);
}

void sockets_destroy(struct sockets *s)
{
    for (size_t i = 0; i < s->count; i++) {
        if (s->all[i] == NULL)
            continue;
        unindex(s, s->all[i]);
        free(forget(s, s->all[i]));
    }
    free(s->all);
    pthread_mutex_destroy(&s->lock);
}

int sockets_find(struct sockets *s, const char *key)
{
    pthread_mutex_lock(&s->lock);
    const struct socket_address *a = find(s, key);
    int number = a != NULL ? (int)a->number : -ENOENT;
    pthread_mutex_unlock(&s->lock);
    return number;
}

/* --- reserving --------------------------------------------------------------------------- */

/* A free place: the table grows when there is none. */
static int find_place(struct sockets *s)
{
    for (size_t i = 0; i < s->count; i++) {
        if (s->all[i] == NULL)
            return (int)i;
    }
    size_t count = s->count > 0 ? 2 * s->count : 16;
    struct socket_address **more = realloc(s->all, count * sizeof(*more));
    if (more == NULL)
        return -ENOMEM;
    memset(more + s->count, 0, (count - s->count) * sizeof(*more));
    int place = (int)s->count;
    s->all = more;
    s->count = count;
    return place;
}

static int reserve(struct sockets *s, const char *key)
{
    int place = find_place(s);
    struct socket_address *a = place >= 0 ? calloc(1, sizeof(*a)) : NULL;
    if (a == NULL)
        return -ENOMEM;
    a->number = (unsigned)place;
    a->key = strdup(key);
    if (a->key == NULL || tsearch(a, &s->index, compare) == NULL) {
        free(a->key);
        free(a);
        return -ENOMEM;
    }
    s->all[place] = a;
    return place;
}

int sockets_reserve(struct sockets *s, const char *key)
{
    pthread_mutex_lock(&s->lock);
    assert(find(s, key) == NULL);
    int number = reserve(s, key);
    pthread_mutex_unlock(&s->lock);
    return number;
}

void sockets_release(struct sockets *s, unsigned number)
{
    pthread_mutex_lock(&s->lock);
    struct socket_address *a = s->all[number];
    assert(a->stage == RESERVED);
    unindex(s, a);
    free(forget(s, a));
    pthread_mutex_unlock(&s->lock);
}

size_t sockets_numbers(struct sockets *s)
{
    pthread_mutex_lock(&s->lock);
    size_t count = s->count;
    pthread_mutex_unlock(&s->lock);
    return count;
}

/* --- what becomes of them ---------------------------------------------------------------- */

void sockets_commit(struct sockets *s, unsigned number, unsigned open)
{
    pthread_mutex_lock(&s->lock);
    assert(s->all[number]->stage == RESERVED);
    s->all[number]->stage = LIVE;
    s->all[number]->open = open;
    pthread_mutex_unlock(&s->lock);
}

bool sockets_is_live(struct sockets *s, unsigned number)
{
    return s->all[number] != NULL && s->all[number]->stage == LIVE;
}

void sockets_leave(struct sockets *s, unsigned number)
{
    pthread_mutex_lock(&s->lock);
    unindex(s, s->all[number]);
    s->all[number]->stage = LEAVING;
    pthread_mutex_unlock(&s->lock);
}

char *sockets_closed(struct sockets *s, unsigned number)
{
    char *key = NULL;
    pthread_mutex_lock(&s->lock);
    struct socket_address *a = s->all[number];
    if (--a->open == 0) {
        unindex(s, a);
        key = forget(s, a);
    }
    if (key != NULL && find(s, key) != NULL) {
        free(key);
        key = NULL;
    }
    pthread_mutex_unlock(&s->lock);
    return key;
}
