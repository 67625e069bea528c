#include "proxy/state.h"

#include "unit.h"

START_TEST(goes_with_the_last_reference)
{
    struct listener_state *l = listener_state_new(2);
    ck_assert_ptr_eq(listener_state_ref(l), l);
    listener_state_unref(l);
    ck_assert(gate_enter(&l->gate));
    counters_add(&l->counters[1].connections, 1);
    listener_state_unref(l);
    struct pool_state *p = pool_state_new();
    ck_assert_ptr_eq(pool_state_ref(p), p);
    pool_state_unref(p);
    ck_assert_uint_eq(atomic_fetch_add(&p->position.cursors[BALANCER_PRIMARY], 1), 0);
    pool_state_unref(p);
    struct process_state *s = process_state_new();
    ck_assert_ptr_eq(process_state_ref(s), s);
    process_state_unref(s);
    ck_assert(gate_enter(&s->gate));
    process_state_unref(s);
}
END_TEST

START_TEST(nothing_is_fine)
{
    listener_state_unref(NULL);
    pool_state_unref(NULL);
    process_state_unref(NULL);
}
END_TEST

UNIT_MAIN("state", goes_with_the_last_reference, nothing_is_fine)
