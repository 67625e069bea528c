#include "proxy/lineup.h"

#include <errno.h>
#include <netinet/in.h>

#include "alloc.h"
#include "unit.h"

static struct balancer_position position;

static struct conf_server server(const char *name, uint16_t port)
{
    struct conf_server s = {.name = (char *)name, .weight = 1};
    s.address.addr.len = sizeof(s.address.addr.in);
    s.address.addr.in.sin_family = AF_INET;
    s.address.addr.in.sin_port = htons(port);
    return s;
}

static struct conf_pool pool(struct conf_server *servers, size_t count)
{
    return (struct conf_pool){.servers = servers, .server_count = count};
}

START_TEST(a_first_one_is_as_configured)
{
    struct conf_server servers[] = {server("a", 1), server("b", 2)};
    servers[0].weight = 5;
    servers[1].max_connections = 7;
    servers[1].backup = true;
    struct conf_pool conf = pool(servers, 2);
    struct balancer b;
    ck_assert_int_eq(lineup_make(&b, &conf, &position, NULL, NULL), 0);
    ck_assert_uint_eq(b.count, 2);
    ck_assert(b.counted);
    ck_assert_uint_eq(b.servers[0]->weight, 5);
    ck_assert_uint_eq(b.servers[0]->max_connections, 0);
    ck_assert_uint_eq(b.servers[1]->max_connections, 7);
    ck_assert_uint_eq(b.ranks[BALANCER_PRIMARY].count, 1);
    ck_assert_uint_eq(b.ranks[BALANCER_BACKUP].count, 1);
    ck_assert_uint_ne(b.servers[0]->id, b.servers[1]->id);
    balancer_free(&b);
}
END_TEST

START_TEST(the_next_one_has_the_same_servers)
{
    struct conf_server first[] = {server("a", 1), server("b", 2), server("c", 3)};
    struct conf_server second[] = {server("new", 9), server("c", 3), server("b", 4),
                                   server("other", 1)};
    struct conf_pool before = pool(first, 3), after = pool(second, 4);
    struct balancer b, next;
    ck_assert_int_eq(lineup_make(&b, &before, &position, NULL, NULL), 0);
    ck_assert_int_eq(lineup_make(&next, &after, &position, &b, &before), 0);
    ck_assert_ptr_eq(next.servers[1], b.servers[2]); /* same name and address */
    for (size_t i = 0; i < 4; i++) {
        for (size_t k = 0; k < 3; k++)
            ck_assert((next.servers[i] == b.servers[k]) == (i == 1 && k == 2));
    }
    balancer_free(&b);
    ck_assert_uint_eq(next.servers[1]->weight, 1); /* it has outlived its first generation */
    balancer_free(&next);
}
END_TEST

/* It may never come to be: nothing of those that are in use changes before it is applied. */
START_TEST(made_is_not_applied)
{
    struct conf_server servers[] = {server("a", 1), server("b", 2)};
    struct conf_server changed[] = {server("a", 1), server("b", 2)};
    changed[0].weight = 3;
    changed[1].max_connections = 1;
    struct conf_pool before = pool(servers, 2), after = pool(changed, 2);
    struct balancer b, next;
    ck_assert_int_eq(lineup_make(&b, &before, &position, NULL, NULL), 0);
    ck_assert_int_eq(lineup_make(&next, &after, &position, &b, &before), 0);
    ck_assert_uint_eq(b.servers[0]->weight, 1);
    ck_assert_uint_eq(b.servers[1]->max_connections, 0);
    lineup_apply(&next, &after);
    ck_assert_uint_eq(b.servers[0]->weight, 3);
    ck_assert_uint_eq(b.servers[1]->max_connections, 1);
    unsigned counts[2] = {0};
    for (int i = 0; i < 4; i++) {
        struct pick p = {.now = 0};
        int picked = balancer_pick(&next, &p);
        ck_assert_int_ge(picked, 0);
        counts[picked]++;
        balancer_leave(&next, (size_t)picked, 0);
    }
    ck_assert_uint_eq(counts[0], 3); /* by the new weights */
    balancer_free(&b);
    balancer_free(&next);
}
END_TEST

START_TEST(a_weight_by_order_is_kept)
{
    struct conf_server servers[] = {server("a", 1), server("b", 2)};
    struct conf_pool conf = pool(servers, 2);
    struct balancer b, next;
    ck_assert_int_eq(lineup_make(&b, &conf, &position, NULL, NULL), 0);
    b.servers[0]->weight = 3;
    ck_assert_int_eq(lineup_make(&next, &conf, &position, &b, &conf), 0);
    lineup_apply(&next, &conf);
    unsigned counts[2] = {0};
    for (int i = 0; i < 4; i++) {
        struct pick p = {.now = 0};
        counts[balancer_pick(&next, &p)]++;
    }
    ck_assert_uint_eq(counts[0], 3);
    balancer_free(&b);
    balancer_free(&next);
}
END_TEST

START_TEST(no_memory_no_lineup)
{
    struct conf_server servers[] = {server("a", 1), server("b", 2)};
    struct conf_server changed[] = {server("a", 1), server("c", 2)};
    struct conf_pool conf = pool(servers, 2), other = pool(changed, 2);
    struct balancer b, next;
    other.balance = CONF_LEAST_CONN;
    ck_assert_int_eq(lineup_make(&b, &conf, &position, NULL, NULL), 0);
    long before = alloc_live, budget = 0;
    for (int err = -ENOMEM; err < 0; budget++) {
        alloc_limit(budget);
        err = lineup_make(&next, &other, &position, &b, &conf);
        alloc_limit(-1);
        unit_assert(err == 0 || (err == -ENOMEM && alloc_live == before));
    }
    balancer_free(&next);
    unit_assert(alloc_live == before);
    balancer_free(&b);
    ck_assert_int_gt(budget, 10);
}
END_TEST

UNIT_MAIN("lineup", a_first_one_is_as_configured, the_next_one_has_the_same_servers,
          made_is_not_applied, a_weight_by_order_is_kept, no_memory_no_lineup)
