/*
 * Intrusive doubly linked list: the link is a member of what it links.
 *
 *      head <-> a.link <-> b.link <-> head        an empty head points to itself
 *
 * A link that is in no list points to itself too, so that removing it again is harmless.
 */
#ifndef WEFT_BASE_LIST_H
#define WEFT_BASE_LIST_H

#include <stdbool.h>

#include "base/attr.h"

struct list {
    struct list *next;
    struct list *prev;
};

static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}

/** Whether a head has no member, or a link is in no list. */
static inline bool list_empty(const struct list *l)
{
    return l->next == l;
}

static inline void list_insert_between(struct list *l, struct list *prev, struct list *next)
{
    l->prev = prev;
    l->next = next;
    prev->next = l;
    next->prev = l;
}

static inline void list_push_back(struct list *head, struct list *l)
{
    list_insert_between(l, head->prev, head);
}

static inline void list_push_front(struct list *head, struct list *l)
{
    list_insert_between(l, head, head->next);
}

/** Take `l` out of whatever list it is in. */
static inline void list_remove(struct list *l)
{
    l->prev->next = l->next;
    l->next->prev = l->prev;
    list_init(l);
}

/** Take the first member out. Returns NULL when there is none. */
static inline struct list *list_pop_front(struct list *head)
{
    if (list_empty(head))
        return NULL;
    struct list *l = head->next;
    list_remove(l);
    return l;
}

/** Move all of `from` to the end of `to`; `from` is then empty. */
static inline void list_splice_back(struct list *to, struct list *from)
{
    if (list_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

#define list_for_each(l, head) for (struct list *l = (head)->next; l != (head); l = l->next)

/** As list_for_each, but `l` may be removed on the way. */
#define list_for_each_safe(l, head)                                                                \
    for (struct list *l = (head)->next, *l##_next = l->next; l != (head);                          \
         l = l##_next, l##_next = l->next)

#endif
