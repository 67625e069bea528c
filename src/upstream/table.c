#include "upstream/table.h"

#include <errno.h>
#include <stdlib.h>

void table_init(struct table *t)
{
    atomic_init(&t->current, NULL);
    t->spare = NULL;
    t->pages = NULL;
}

void table_free(struct table *t)
{
    while (t->pages != NULL) {
        struct table_page *next = t->pages->next;
        free(t->pages);
        t->pages = next;
    }
    table_init(t);
}

/* Pages that were outgrown stay: each is at most half as large as the next one. */
static struct table_page *page_new(struct table *t, size_t length)
{
    size_t outgrown = t->pages != NULL ? t->pages->capacity : 0;
    size_t capacity = length > 2 * outgrown ? length : 2 * outgrown;
    struct table_page *p = malloc(sizeof(*p) + capacity * sizeof(p->entries[0]));
    if (p == NULL)
        return NULL;
    *p = (struct table_page){.next = t->pages, .capacity = capacity};
    t->pages = p;
    return p;
}

/* Whoever sees the new length sees the entries too, even on a page it should have left by now. */
int table_set(struct table *t, const uint16_t *entries, size_t length)
{
    struct table_page *p = t->spare;
    if (p == NULL || p->capacity < length)
        p = page_new(t, length);
    if (p == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < length; i++)
        atomic_store_explicit(&p->entries[i], entries[i], memory_order_relaxed);
    atomic_store_explicit(&p->length, length, memory_order_release);
    t->spare = atomic_load_explicit(&t->current, memory_order_relaxed);
    atomic_store_explicit(&t->current, p, memory_order_release);
    return 0;
}
