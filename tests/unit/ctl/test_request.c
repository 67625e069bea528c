#include "ctl/request.h"

#include <errno.h>
#include <string.h>

#include "unit.h"

static struct text why;

static void set_up(void)
{
    text_init(&why);
}

static void tear_down(void)
{
    text_free(&why);
}

START_TEST(what_is_made_is_read)
{
    struct request r;
    json_t *body = request_new("info", NULL);
    ck_assert_ptr_nonnull(body);
    ck_assert_int_eq(request_read(&r, body, &why), 0);
    ck_assert_ptr_eq(r.command, &commands[COMMAND_INFO]);
    ck_assert_ptr_null(request_argument(&r, "listener"));
    request_free(&r);
}
END_TEST

static void expect_refused(const char *body, const char *what)
{
    struct request r;
    text_clear(&why);
    json_t *object = json_loads(body, 0, NULL);
    ck_assert_ptr_nonnull(object);
    ck_assert_int_eq(request_read(&r, object, &why), -EPROTO);
    ck_assert_msg(strstr(why.data, what) != NULL, "%s: %s", body, why.data);
    json_decref(object);
}

START_TEST(what_does_not_fit_is_named)
{
    expect_refused("{}", "it names no protocol");
    expect_refused("{\"protocol\":\"1\",\"command\":\"info\"}", "it names no protocol");
    expect_refused("{\"protocol\":1}", "there is no command ''");
    expect_refused("{\"protocol\":1,\"command\":7}", "there is no command ''");
    expect_refused("{\"protocol\":1,\"command\":\"infos\"}", "there is no command 'infos'");
    expect_refused("{\"protocol\":1,\"command\":\"info\",\"arguments\":[]}",
                   "info: the arguments must be an object");
    expect_refused("{\"protocol\":1,\"command\":\"info\",\"arguments\":{\"x\":\"y\"}}",
                   "info takes no argument 'x'");
}
END_TEST

/* The two may have been installed at different times; whoever is asked says what is the matter. */
START_TEST(another_protocol_is_told_apart)
{
    expect_refused("{\"protocol\":2,\"version\":\"9.9.9\",\"command\":\"info\"}",
                   "weftctl 9.9.9 speaks protocol 2 and this weft " PACKAGE_VERSION
                   " protocol 1: use the weftctl that came with it");
    expect_refused("{\"protocol\":0}", "weftctl  speaks protocol 0");
}
END_TEST

static const struct command_argument arguments[] = {
    {.name = "pool", .required = true},
    {.name = "limit", .option = true},
    {.name = NULL},
};
static const struct command kill_command = {.name = "kill", .arguments = arguments};

static int check(const char *given)
{
    json_t *object = json_loads(given, 0, NULL);
    text_clear(&why);
    int err = request_check_arguments(&kill_command, object, &why);
    json_decref(object);
    return err;
}

START_TEST(arguments_are_held_against_the_table)
{
    ck_assert_int_eq(check("{\"pool\":\"web\"}"), 0);
    ck_assert_int_eq(check("{\"pool\":\"web\",\"limit\":\"3\"}"), 0);
    ck_assert_int_eq(check("{\"limit\":\"3\"}"), -EPROTO);
    ck_assert_str_eq(why.data, "kill: the argument 'pool' is missing");
    ck_assert_int_eq(check("{\"pool\":\"web\",\"limit\":3}"), -EPROTO);
    ck_assert_str_eq(why.data, "kill: the argument 'limit' must be a string");
    ck_assert_int_eq(check("{\"pool\":\"web\",\"server\":\"a\"}"), -EPROTO);
    ck_assert_str_eq(why.data, "kill takes no argument 'server'");
}
END_TEST

UNIT_MAIN_AROUND("request", set_up, tear_down, what_is_made_is_read, what_does_not_fit_is_named,
                 another_protocol_is_told_apart, arguments_are_held_against_the_table)
