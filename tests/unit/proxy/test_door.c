#include "proxy/door.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "alloc.h"
#include "unit.h"

#define LIST_MAX 4

struct rules {
    struct prefix allow[LIST_MAX], deny[LIST_MAX];
    struct conf_listener listener;
};

static size_t parse(const char *const texts[LIST_MAX], struct prefix *ret)
{
    size_t n = 0;
    for (; n < LIST_MAX && texts[n] != NULL; n++) {
        const char *why = "";
        if (prefix_parse(texts[n], &ret[n], &why) != 0)
            ck_abort_msg("%s: %s", texts[n], why);
    }
    return n;
}

static struct sockaddr_storage address(const char *text)
{
    struct sockaddr_storage at = {.ss_family = AF_UNIX};
    if (inet_pton(AF_INET, text, &((struct sockaddr_in *)&at)->sin_addr) == 1)
        at.ss_family = AF_INET;
    else if (inet_pton(AF_INET6, text, &((struct sockaddr_in6 *)&at)->sin6_addr) == 1)
        at.ss_family = AF_INET6;
    return at;
}

static const struct {
    const char *allow[LIST_MAX], *deny[LIST_MAX];
    const char *from;
    bool in;
} cases[] = {
    {{NULL}, {NULL}, "10.0.0.1", true},
    {{NULL}, {NULL}, "::1", true},
    {{NULL}, {NULL}, "unix", true},
    {{"10.0.0.0/8"}, {NULL}, "10.0.0.1", true},
    {{"10.0.0.0/8"}, {NULL}, "11.0.0.1", false},
    {{"10.0.0.0/8"}, {NULL}, "::1", false},
    {{"10.0.0.0/8"}, {NULL}, "unix", false},
    {{"10.0.0.0/8", "unix"}, {NULL}, "unix", true},
    {{NULL}, {"10.0.0.0/8"}, "10.0.0.1", false},
    {{NULL}, {"10.0.0.0/8"}, "::ffff:10.0.0.1", false},
    {{NULL}, {"10.0.0.0/8"}, "11.0.0.1", true},
    {{NULL}, {"unix"}, "unix", false},
    {{NULL}, {"unix"}, "10.0.0.1", true},
    /* Whichever of them is the longer: deny wins. */
    {{"10.0.0.0/8"}, {"10.1.0.0/16"}, "10.1.0.1", false},
    {{"10.0.0.0/8"}, {"10.1.0.0/16"}, "10.2.0.1", true},
    {{"10.1.0.0/16"}, {"10.0.0.0/8"}, "10.1.0.1", false},
    {{"10.0.0.1"}, {"10.0.0.1"}, "10.0.0.1", false},
    {{"0.0.0.0/0"}, {"::/0"}, "::1", false},
    {{"0.0.0.0/0"}, {"::/0"}, "10.0.0.1", true},
};

START_TEST(lets_in_whom_it_should)
{
    for (size_t i = 0; i < array_size(cases); i++) {
        struct rules r = {.listener.name = "web"};
        r.listener.allow = r.allow;
        r.listener.deny = r.deny;
        r.listener.allow_count = parse(cases[i].allow, r.allow);
        r.listener.deny_count = parse(cases[i].deny, r.deny);
        struct door d;
        struct sockaddr_storage from = address(cases[i].from);
        ck_assert_int_eq(door_init(&d, &r.listener), 0);
        ck_assert_msg(door_admits(&d, (struct sockaddr *)&from) == cases[i].in, "case %zu", i);
        ck_assert(d.open == (cases[i].allow[0] == NULL && cases[i].deny[0] == NULL));
        door_free(&d);
    }
}
END_TEST

START_TEST(counts_where_there_are_limits)
{
    struct door d;
    const struct conf_listener none = {.name = "web"}, many = {.max_connections_per_source = 3};
    const struct conf_listener fast = {
        .connection_rate_per_source = {.count = 50, .period = 1000000000}};
    ck_assert_int_eq(door_init(&d, &none), 0);
    ck_assert(d.open && !d.counts);
    ck_assert_int_eq(door_init(&d, &many), 0);
    ck_assert(!d.open && d.counts);
    ck_assert_uint_eq(d.limits.connections, 3);
    ck_assert_uint_eq(d.limits.rate, 0);
    ck_assert_int_eq(door_init(&d, &fast), 0);
    ck_assert(!d.open && d.counts);
    ck_assert_uint_eq(d.limits.connections, 0);
    ck_assert_uint_eq(d.limits.rate, 50);
    ck_assert_int_eq(d.limits.period, 1000000000);
}
END_TEST

START_TEST(leaves_nothing_behind_without_memory)
{
    struct rules r = {.listener.name = "web"};
    const char *const texts[LIST_MAX] = {"10.0.0.0/8", "::1"};
    r.listener.allow = r.allow;
    r.listener.deny = r.deny;
    r.listener.allow_count = parse(texts, r.allow);
    r.listener.deny_count = parse(texts, r.deny);
    for (int allowed = 0;; allowed++) {
        struct door d;
        long live = alloc_live;
        alloc_limit(allowed);
        int rc = door_init(&d, &r.listener);
        alloc_limit(-1);
        if (rc == 0)
            door_free(&d);
        long left = alloc_live - live;
        ck_assert_int_eq(left, 0);
        if (rc == 0)
            break;
        ck_assert_int_eq(rc, -ENOMEM);
    }
}
END_TEST

UNIT_MAIN("door", lets_in_whom_it_should, counts_where_there_are_limits,
          leaves_nothing_behind_without_memory)
