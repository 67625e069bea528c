#include "worker/sockets.h"

#include <errno.h>
#include <stdio.h>

#include "unit.h"

static struct sockets sockets;

static void set_up(void)
{
    sockets_init(&sockets);
}

static void tear_down(void)
{
    sockets_destroy(&sockets);
}

/* An address that is listened on by so many acceptors. */
static unsigned live(const char *key, unsigned open)
{
    int number = sockets_reserve(&sockets, key);
    ck_assert_int_ge(number, 0);
    sockets_commit(&sockets, (unsigned)number, open);
    return (unsigned)number;
}

START_TEST(a_key_has_its_number_from_reservation_to_leave)
{
    int number = sockets_reserve(&sockets, "a");
    ck_assert_int_eq(sockets_find(&sockets, "a"), number);
    ck_assert(!sockets_is_live(&sockets, (unsigned)number));
    sockets_commit(&sockets, (unsigned)number, 1);
    ck_assert(sockets_is_live(&sockets, (unsigned)number));
    sockets_leave(&sockets, (unsigned)number);
    ck_assert_int_eq(sockets_find(&sockets, "a"), -ENOENT);
    ck_assert(!sockets_is_live(&sockets, (unsigned)number));
}
END_TEST

START_TEST(what_is_released_was_never_there)
{
    int number = sockets_reserve(&sockets, "a");
    sockets_release(&sockets, (unsigned)number);
    ck_assert_int_eq(sockets_find(&sockets, "a"), -ENOENT);
    ck_assert_int_eq(sockets_reserve(&sockets, "b"), number);
}
END_TEST

START_TEST(the_last_to_close_gives_the_key)
{
    unsigned number = live("a", 2);
    sockets_leave(&sockets, number);
    ck_assert_ptr_null(sockets_closed(&sockets, number));
    char *key = sockets_closed(&sockets, number);
    ck_assert_str_eq(key, "a");
    free(key);
    ck_assert_uint_eq(live("b", 1), number);
}
END_TEST

/* The master must not let go of an address that is listened on again. */
START_TEST(a_key_that_is_back_is_not_given)
{
    unsigned old = live("a", 1);
    sockets_leave(&sockets, old);
    unsigned new = live("a", 1);
    ck_assert_uint_ne(old, new);
    ck_assert_ptr_null(sockets_closed(&sockets, old));
    ck_assert_int_eq(sockets_find(&sockets, "a"), (int)new);
}
END_TEST

/* As at the end of the process, when nobody has said that it leaves. */
START_TEST(a_live_address_may_close)
{
    unsigned number = live("a", 1);
    char *key = sockets_closed(&sockets, number);
    ck_assert_str_eq(key, "a");
    free(key);
    ck_assert_int_eq(sockets_find(&sockets, "a"), -ENOENT);
}
END_TEST

START_TEST(many_keys_have_a_number_each)
{
    char key[16];
    for (int i = 0; i < 1000; i++) {
        snprintf(key, sizeof(key), "%d", i);
        unit_assert(live(key, 1) < sockets_numbers(&sockets));
    }
    for (int i = 0; i < 1000; i++) {
        snprintf(key, sizeof(key), "%d", i);
        unit_assert(sockets_find(&sockets, key) == i);
    }
}
END_TEST

UNIT_MAIN_AROUND("sockets", set_up, tear_down, a_key_has_its_number_from_reservation_to_leave,
                 what_is_released_was_never_there, the_last_to_close_gives_the_key,
                 a_key_that_is_back_is_not_given, a_live_address_may_close,
                 many_keys_have_a_number_each)
