#include "cmd/invocation.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/attr.h"
#include "unit.h"

#define ARGC_MAX 16

static struct invocation invocation;
static struct text why;
static char *arguments[ARGC_MAX];
static int count;

/* What getopt() says goes where nobody reads it. */
static void set_up(void)
{
    int null = open("/dev/null", O_WRONLY);
    dup2(null, STDERR_FILENO);
    close(null);
    text_init(&why);
}

static void tear_down(void)
{
    invocation_free(&invocation);
    text_free(&why);
}

/* Split a line at its blanks. */
static void split(const char *line)
{
    static char words[256];
    strcpy(words, line);
    count = 0;
    for (char *word = strtok(words, " "); word != NULL; word = strtok(NULL, " "))
        arguments[count++] = word;
    arguments[count] = NULL;
}

static int read_line(const char *line)
{
    split(line);
    invocation_free(&invocation);
    text_clear(&why);
    return invocation_read(&invocation, count, arguments, &why);
}

START_TEST(a_command_alone_will_do)
{
    ck_assert_int_eq(read_line("weftctl info"), 0);
    ck_assert_ptr_eq(invocation.command, &commands[COMMAND_INFO]);
    ck_assert_ptr_null(invocation.socket);
    ck_assert(!invocation.json && !invocation.help && !invocation.version);
    ck_assert_uint_eq(json_object_size(invocation.arguments), 0);
}
END_TEST

START_TEST(options_may_stand_on_either_side)
{
    static const char *const lines[] = {
        "weftctl -s /a --json workers",
        "weftctl workers --json --socket /a",
        "weftctl --json workers --socket=/a",
        "weftctl -s/a workers --js",
    };
    for (size_t i = 0; i < array_size(lines); i++) {
        ck_assert_int_eq(read_line(lines[i]), 0);
        ck_assert_ptr_eq(invocation.command, &commands[COMMAND_WORKERS]);
        ck_assert_str_eq(invocation.socket, "/a");
        ck_assert(invocation.json);
    }
}
END_TEST

START_TEST(help_and_version_need_no_command)
{
    ck_assert_int_eq(read_line("weftctl -h"), 0);
    ck_assert(invocation.help && invocation.command == NULL);
    ck_assert_int_eq(read_line("weftctl --version"), 0);
    ck_assert(invocation.version);
    ck_assert_int_eq(read_line("weftctl info --help"), 0);
    ck_assert(invocation.help && invocation.command == &commands[COMMAND_INFO]);
}
END_TEST

static void expect_usage(const char *line, const char *what)
{
    ck_assert_int_eq(read_line(line), -EINVAL);
    if (what == NULL)
        ck_assert_uint_eq(why.length, 0); /* getopt has said it */
    else
        ck_assert_str_eq(why.data, what);
}

START_TEST(what_is_wrong_is_named)
{
    expect_usage("weftctl", "which command?");
    expect_usage("weftctl --json", "which command?");
    expect_usage("weftctl infos", "there is no command 'infos'");
    expect_usage("weftctl diff", "there is no command 'diff'");
    expect_usage("weftctl info web", "info: 'web' is one argument too many");
    expect_usage("weftctl --jsn info", NULL);
    expect_usage("weftctl info --jsn", NULL);
    expect_usage("weftctl info -s", NULL);
}
END_TEST

/* --- a command with all kinds of arguments ----------------------------------------------- */

static const struct command_argument some[] = {
    {.name = "pool", .sign = "POOL", .required = true, .what = "The pool."},
    {.name = "idle", .sign = "TIME", .option = true, .what = "How long."},
    {.name = "server", .sign = "SERVER", .what = "The server."},
    {.name = NULL},
};
static const struct command_column columns[] = {
    {"name", "Name", COLUMN_TEXT, "The name."},
    {.key = NULL},
};
static const struct command try = {"try", "Try it.", COMMAND_LISTING, .arguments = some,
                                   .columns = columns};

static int read_try(const char *line)
{
    split(line);
    invocation_free(&invocation);
    text_clear(&why);
    invocation = (struct invocation){.socket = NULL};
    return invocation_read_command(&invocation, &try, count, arguments, &why);
}

static const char *argument(const char *name)
{
    return json_string_value(json_object_get(invocation.arguments, name));
}

START_TEST(words_and_options_find_their_names)
{
    ck_assert_int_eq(read_try("try a --idle >5m b"), 0);
    ck_assert_str_eq(argument("pool"), "a");
    ck_assert_str_eq(argument("server"), "b");
    ck_assert_str_eq(argument("idle"), ">5m");
    ck_assert_int_eq(read_try("try --idle=1s -- -a"), 0);
    ck_assert_str_eq(argument("pool"), "-a");
    ck_assert_ptr_null(argument("server"));
}
END_TEST

START_TEST(too_few_and_too_many_are_told)
{
    ck_assert_int_eq(read_try("try"), -EINVAL);
    ck_assert_str_eq(why.data, "try: POOL is missing");
    ck_assert_int_eq(read_try("try a b c"), -EINVAL);
    ck_assert_str_eq(why.data, "try: 'c' is one argument too many");
    ck_assert_int_eq(read_try("try a --idle 1s --idle 2s"), -EINVAL);
    ck_assert_str_eq(why.data, "idle is given twice");
    ck_assert_int_eq(read_try("try a\xff"), -EINVAL);
    ck_assert_str_eq(why.data, "pool: not text in UTF-8");
    ck_assert_int_eq(read_try("try --help"), 0);
}
END_TEST

START_TEST(help_names_all_there_is)
{
    static const char *const words[] = {
        "Usage: weftctl [OPTION ...] try POOL [--idle TIME] [SERVER]\n",
        "Try it.",
        "  POOL ",
        "  --idle ",
        "The server.",
        "  name ",
        "--json",
    };
    struct text help;
    text_init(&help);
    invocation_help_command(&try, &help);
    for (size_t i = 0; i < array_size(words); i++)
        ck_assert_msg(strstr(help.data, words[i]) != NULL, "no %s in %s", words[i], help.data);
    text_clear(&help);
    invocation_help(&help);
    unsigned lines = 0;
    for (const char *at = help.data; (at = strchr(at, '\n')) != NULL; at++)
        lines++;
    ck_assert_uint_le(lines, 40);
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        ck_assert_int_eq(strstr(help.data, commands[i].what) == NULL, commands[i].hidden);
    text_free(&help);
}
END_TEST

UNIT_MAIN_AROUND("invocation", set_up, tear_down, a_command_alone_will_do,
                 options_may_stand_on_either_side, help_and_version_need_no_command,
                 what_is_wrong_is_named, words_and_options_find_their_names,
                 too_few_and_too_many_are_told, help_names_all_there_is)
