#include "ctl/command.h"

#include <ctype.h>
#include <string.h>

#include "unit.h"

START_TEST(every_command_is_found_by_its_name)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        ck_assert_ptr_nonnull(commands[i].name);
        ck_assert_ptr_eq(command_find(commands[i].name), &commands[i]);
    }
    ck_assert_ptr_null(command_find(""));
    ck_assert_ptr_null(command_find("inf"));
    ck_assert_ptr_null(command_find("infos"));
}
END_TEST

/* The keys are for scripts: they are spelt alike, and stay. */
static bool is_key(const char *s)
{
    if (!islower((unsigned char)*s))
        return false;
    while (islower((unsigned char)*s) || isdigit((unsigned char)*s) || *s == '_')
        s++;
    return *s == '\0';
}

static bool is_line(const char *s)
{
    return s != NULL && strlen(s) > 0 && strlen(s) < 100 && s[strlen(s) - 1] == '.' &&
           strchr(s, '\n') == NULL;
}

static const struct command_column *find_column(const struct command *c, const char *key, size_t n)
{
    const struct command_column *column = c->columns;
    while (column->key != NULL && (strlen(column->key) != n || memcmp(column->key, key, n) != 0))
        column++;
    return column->key != NULL ? column : NULL;
}

static void check_columns(const struct command *c)
{
    ck_assert_ptr_nonnull(c->columns);
    ck_assert_ptr_nonnull(c->columns->key);
    for (const struct command_column *column = c->columns; column->key != NULL; column++) {
        ck_assert_msg(is_key(column->key), "%s: %s", c->name, column->key);
        ck_assert_msg(is_line(column->what), "%s: %s", c->name, column->key);
        ck_assert_uint_le(strlen(column->title), 20);
        ck_assert_msg(find_column(c, column->key, strlen(column->key)) == column, "%s: %s twice",
                      c->name, column->key);
    }
}

static void check_sentence(const struct command *c)
{
    ck_assert_int_eq(c->sentence != NULL, c->answer == COMMAND_VERDICT);
    for (const char *at = c->sentence; at != NULL && (at = strchr(at, '{')) != NULL;) {
        const char *end = strchr(++at, '}');
        ck_assert_ptr_nonnull(end);
        ck_assert_msg(find_column(c, at, (size_t)(end - at)) != NULL, "%s: %s", c->name, at);
    }
}

START_TEST(the_table_is_whole)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        const struct command *c = &commands[i];
        ck_assert_msg(is_line(c->what), "%s", c->name);
        check_columns(c);
        check_sentence(c);
        for (const struct command_argument *a = c->arguments; a != NULL && a->name != NULL; a++) {
            ck_assert_msg(is_key(a->name) && is_line(a->what), "%s: %s", c->name, a->name);
            ck_assert_ptr_nonnull(a->sign);
            ck_assert_ptr_eq(command_argument(c, a->name), a);
        }
    }
}
END_TEST

START_TEST(arguments_are_found_by_name)
{
    static const struct command_argument arguments[] = {
        {.name = "pool", .sign = "POOL", .required = true},
        {.name = "limit", .sign = "N", .option = true},
        {.name = NULL},
    };
    const struct command c = {.name = "server", .arguments = arguments}, none = {.name = "none"};
    ck_assert_ptr_eq(command_argument(&c, "limit"), &arguments[1]);
    ck_assert_ptr_null(command_argument(&c, "server"));
    ck_assert_ptr_null(command_argument(&none, "limit"));
}
END_TEST

UNIT_MAIN("command", every_command_is_found_by_its_name, the_table_is_whole,
          arguments_are_found_by_name)
