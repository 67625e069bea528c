#include "conf/names.h"

#include <search.h>
#include <stddef.h>
#include <string.h>

static int compare(const void *a, const void *b)
{
    const struct name *x = a, *y = b;
    return strcmp(x->text, y->text);
}

static void keep(void *name)
{
    (void)name;
}

void names_init(struct names *n)
{
    n->root = NULL;
}

void names_clear(struct names *n)
{
    tdestroy(n->root, keep);
    n->root = NULL;
}

struct name *names_add(struct names *n, struct name *name)
{
    struct name **slot = tsearch(name, &n->root, compare);
    return slot != NULL ? *slot : NULL;
}

struct name *names_find(const struct names *n, const char *text)
{
    const struct name wanted = {.text = text};
    struct name *const *slot = tfind(&wanted, &n->root, compare);
    return slot != NULL ? *slot : NULL;
}
