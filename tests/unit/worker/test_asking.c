/* Asking a master that is the other end of a socket pair. */
#include "worker/asking.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "fiber/sync.h"
#include "fibers.h"
#include "unit.h"
#include "worker/link.h"

#define SOON (10 * NSEC_PER_SEC)

static int ends[2]; /* the process's, the master's */
static struct link link_to_master;
static struct asking asking;

/* A client's fiber. */
struct client {
    const char *what;
    struct fiber *fiber;
    bool over;
    int err;
    struct verdict verdict;
};

static void client_run(void *arg)
{
    struct client *c = arg;
    c->err = asking_wait(&asking, c->what, &c->verdict);
    c->over = true;
}

static void begin(struct client *c, const char *what)
{
    *c = (struct client){.what = what};
    c->fiber = fiber_spawn("client", client_run, c, true);
    fiber_yield();
    ck_assert(!c->over);
}

static void end(struct client *c)
{
    ck_assert_int_eq(fiber_join(c->fiber), 0);
    free(c->verdict.text);
}

struct answering {
    const char *what;
    bool accepted;
    int ticket;
};

static void give(void *arg)
{
    const struct answering *a = arg;
    struct message m = {.type = MESSAGE_VERDICT,
                        .body = json_pack("{s:s, s:b, s:i, s:s, s:i}", "what", a->what, "accepted",
                                          (int)a->accepted, "generation", 7, "text", "so it went",
                                          "ticket", a->ticket)};
    asking_answer(&asking, &m);
    message_free(&m);
}

static void answer(const char *what, bool accepted, int ticket)
{
    struct answering a = {.what = what, .accepted = accepted, .ticket = ticket};
    fiber_call(give, &a);
    fiber_yield();
}

static void set_up(void)
{
    ck_assert_int_eq(message_pair(ends), 0);
    link_init(&link_to_master, NULL, ends[0]);
    asking_init(&asking, &link_to_master);
}

static void tear_down(void)
{
    link_destroy(&link_to_master);
    close(ends[1]);
}

static void asked(void *arg)
{
    (void)arg;
    struct client c;
    begin(&c, "reload");
    struct message m;
    ck_assert_int_eq(message_receive(ends[1], &m, false), 0);
    ck_assert_int_eq(m.type, MESSAGE_ASK);
    ck_assert_str_eq(message_string(&m, "what"), "reload");
    ck_assert_int_eq(message_integer(&m, "ticket"), 1);
    message_free(&m);
    answer("reload", true, 1);
    ck_assert(c.over);
    ck_assert_int_eq(c.err, 0);
    ck_assert(c.verdict.accepted);
    ck_assert_uint_eq(c.verdict.generation, 7);
    ck_assert_str_eq(c.verdict.text, "so it went");
    ck_assert(asking.reload_accepted);
    ck_assert_int_gt(asking.reload_at, 0);
    end(&c);
}

START_TEST(the_master_is_asked_and_heard)
{
    in_fiber(asked, NULL);
}
END_TEST

static void told_apart(void *arg)
{
    (void)arg;
    struct client first, other, later;
    begin(&first, "reload");
    begin(&other, "upgrade");
    begin(&later, "reload");
    answer("reload", false, 2);
    ck_assert(first.over && !other.over && !later.over);
    ck_assert(!first.verdict.accepted);
    answer("reload", true, 2);
    ck_assert(!other.over && !later.over);
    answer("upgrade", true, 3);
    ck_assert(other.over && !later.over);
    answer("reload", true, 3);
    ck_assert(later.over && later.verdict.accepted);
    end(&first);
    end(&other);
    end(&later);
}

/* A change that had begun before somebody asked is no answer to them. */
START_TEST(only_what_was_asked_before_is_answered)
{
    in_fiber(told_apart, NULL);
}
END_TEST

static void gone(void *arg)
{
    (void)arg;
    struct client c;
    begin(&c, "reload");
    fiber_cancel(c.fiber);
    fiber_yield();
    ck_assert(c.over);
    ck_assert_int_eq(c.err, -ECANCELED);
    answer("reload", true, 1);
    end(&c);
}

START_TEST(who_has_left_is_forgotten)
{
    in_fiber(gone, NULL);
}
END_TEST

static void settle(void *arg)
{
    bool *settled = arg;
    asking_settle(&asking, clock_now() + SOON);
    *settled = true;
}

static void settling(void *arg)
{
    (void)arg;
    struct client c, d;
    bool settled = false;
    begin(&c, "reload");
    begin(&d, "reload");
    struct fiber *f = fiber_spawn("settler", settle, &settled, true);
    fiber_yield();
    answer("reload", true, 1);
    fiber_yield();
    ck_assert(c.over && !settled);
    answer("reload", true, 2);
    fiber_yield();
    ck_assert(d.over && settled);
    ck_assert_int_eq(fiber_join(f), 0);
    end(&c);
    end(&d);
    asking_settle(&asking, clock_now() + SOON); /* nobody waits: nor does it */
}

START_TEST(it_settles_with_the_last_verdict)
{
    in_fiber(settling, NULL);
}
END_TEST

static void patient(void *arg)
{
    (void)arg;
    struct client c;
    begin(&c, "reload");
    asking_settle(&asking, clock_now() + 10 * NSEC_PER_MSEC);
    ck_assert(!c.over);
    fiber_cancel(c.fiber);
    end(&c);
}

START_TEST(it_does_not_wait_for_ever)
{
    in_fiber(patient, NULL);
}
END_TEST

UNIT_MAIN_AROUND("asking", set_up, tear_down, the_master_is_asked_and_heard,
                 only_what_was_asked_before_is_answered, who_has_left_is_forgotten,
                 it_settles_with_the_last_verdict, it_does_not_wait_for_ever)
