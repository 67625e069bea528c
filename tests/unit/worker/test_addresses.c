#include "worker/addresses.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit.h"

static struct addresses addresses;
static char forgotten[64];
static bool master_is_deaf;

static int forget(void *arg, const char *key)
{
    ck_assert_ptr_eq(arg, &addresses);
    if (master_is_deaf)
        return -EAGAIN;
    strcat(forgotten, key);
    return 0;
}

static bool sweep(void)
{
    forgotten[0] = '\0';
    return addresses_sweep(&addresses, forget, &addresses);
}

static void want(unsigned number, const char *text, unsigned acceptors)
{
    char *key = strdup(text);
    ck_assert_int_eq(addresses_reserve(&addresses, number + 1), 0);
    addresses_want(&addresses, number, &key, acceptors);
    free(key);
}

START_TEST(one_that_is_wanted_stays)
{
    want(0, "a", 1);
    addresses_closed(&addresses, 0);
    ck_assert(!sweep());
    ck_assert_str_eq(forgotten, "");
    ck_assert(addresses_have(&addresses, "a"));
    ck_assert(!addresses_have(&addresses, "b"));
    addresses_destroy(&addresses);
}
END_TEST

START_TEST(one_that_is_dropped_goes_with_its_last_acceptor)
{
    want(0, "a", 2);
    want(1, "b", 1);
    addresses_want_none(&addresses);
    want(1, "b", 0);
    addresses_closed(&addresses, 0);
    ck_assert(!sweep());
    ck_assert_str_eq(forgotten, "");
    addresses_closed(&addresses, 0);
    ck_assert(!sweep());
    ck_assert_str_eq(forgotten, "a");
    ck_assert(!addresses_have(&addresses, "a"));
    ck_assert(addresses_have(&addresses, "b"));
    ck_assert(!sweep());
    ck_assert_str_eq(forgotten, "");
    addresses_destroy(&addresses);
}
END_TEST

START_TEST(one_that_is_wanted_again_in_time_stays)
{
    want(0, "a", 2);
    addresses_want_none(&addresses);
    addresses_closed(&addresses, 0);
    want(0, "a", 2);
    ck_assert_uint_eq(addresses.all[0].acceptors, 3);
    addresses_closed(&addresses, 0);
    ck_assert(!sweep());
    ck_assert_str_eq(forgotten, "");
    addresses_destroy(&addresses);
}
END_TEST

START_TEST(what_could_not_be_told_is_told_later)
{
    want(0, "a", 0);
    want(1, "b", 0);
    addresses_want_none(&addresses);
    master_is_deaf = true;
    ck_assert(sweep());
    ck_assert(addresses_have(&addresses, "a"));
    master_is_deaf = false;
    ck_assert(!sweep());
    ck_assert_str_eq(forgotten, "ab");
    addresses_destroy(&addresses);
}
END_TEST

UNIT_MAIN("addresses", one_that_is_wanted_stays, one_that_is_dropped_goes_with_its_last_acceptor,
          one_that_is_wanted_again_in_time_stays, what_could_not_be_told_is_told_later)
