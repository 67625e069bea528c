#include "base/list.h"

#include "unit.h"

struct item {
    int value;
    struct list link;
};

static int value_of(struct list *l)
{
    return container_of(l, struct item, link)->value;
}

/* The values in order, as a number: 1, 2, 3 is 123. Checks the back links on the way. */
static int values(struct list *head)
{
    int number = 0;
    list_for_each (l, head) {
        ck_assert_ptr_eq(l->next->prev, l);
        ck_assert_ptr_eq(l->prev->next, l);
        number = number * 10 + value_of(l);
    }
    return number;
}

static struct item items[] = {{.value = 1}, {.value = 2}, {.value = 3}, {.value = 4}};

START_TEST(keeps_order)
{
    struct list head;
    list_init(&head);
    ck_assert(list_empty(&head));
    list_push_back(&head, &items[0].link);
    list_push_back(&head, &items[1].link);
    list_push_front(&head, &items[2].link);
    ck_assert(!list_empty(&head));
    ck_assert_int_eq(values(&head), 312);
}
END_TEST

START_TEST(removing_twice_is_harmless)
{
    struct list head;
    list_init(&head);
    for (int i = 0; i < 3; i++)
        list_push_back(&head, &items[i].link);
    list_remove(&items[1].link);
    ck_assert(list_empty(&items[1].link));
    list_remove(&items[1].link);
    ck_assert_int_eq(values(&head), 13);
}
END_TEST

START_TEST(pops_from_the_front)
{
    struct list head;
    list_init(&head);
    ck_assert_ptr_null(list_pop_front(&head));
    list_push_back(&head, &items[0].link);
    list_push_back(&head, &items[1].link);
    ck_assert_int_eq(value_of(list_pop_front(&head)), 1);
    ck_assert_int_eq(value_of(list_pop_front(&head)), 2);
    ck_assert(list_empty(&head));
}
END_TEST

START_TEST(splices)
{
    struct list to, from;
    list_init(&to);
    list_init(&from);
    list_splice_back(&to, &from);
    ck_assert(list_empty(&to));
    list_push_back(&from, &items[0].link);
    list_push_back(&from, &items[1].link);
    list_splice_back(&to, &from);
    ck_assert(list_empty(&from));
    ck_assert_int_eq(values(&to), 12);
    list_push_back(&from, &items[2].link);
    list_push_back(&from, &items[3].link);
    list_splice_back(&to, &from);
    ck_assert_int_eq(values(&to), 1234);
}
END_TEST

START_TEST(may_be_emptied_on_the_way)
{
    struct list head;
    list_init(&head);
    for (int i = 0; i < 4; i++)
        list_push_back(&head, &items[i].link);
    list_for_each_safe (l, &head) {
        if (value_of(l) % 2 == 0)
            list_remove(l);
    }
    ck_assert_int_eq(values(&head), 13);
}
END_TEST

UNIT_MAIN("list", keeps_order, removing_twice_is_harmless, pops_from_the_front, splices,
          may_be_emptied_on_the_way)
