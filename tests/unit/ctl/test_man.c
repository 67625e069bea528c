/* The manual page says of every command what the table says. */
#include "ctl/command.h"
#include "man.h"
#include "unit.h"

#define MAN UNIT_SRCDIR "/man/weftctl.1"

static char *entry_of(const char *section, const char *format, const char *name)
{
    struct text line;
    text_init(&line);
    text_format(&line, format, name);
    char *entry = man_part_after(section, line.data, "\n.TP\n", "\n.S");
    ck_assert_msg(entry != NULL, "there is no line %s in%s", line.data, section);
    text_free(&line);
    return entry;
}

static void check_column(const char *section, const struct command_column *column)
{
    char *entry = entry_of(section, ".B %s", column->key);
    man_has_line(entry, column->key, "%s", column->what);
    free(entry);
}

/* A word is entered by what stands for it, an option as it is spelt. */
static void check_argument(const char *section, const struct command_argument *a)
{
    char *entry = a->option ? entry_of(section, ".BI \\-\\-%s", a->name)
                            : entry_of(section, ".I %s", a->sign);
    man_has_line(entry, a->name, "%s", a->what);
    free(entry);
}

static void check_command(const struct text *man, const struct command *c)
{
    struct text heading;
    text_init(&heading);
    text_format(&heading, ".SS %s", c->name);
    char *section = man_part_after(man->data, heading.data, "\n.SS ", "\n.SH ");
    ck_assert_msg(section != NULL, "%s is not in the manual", c->name);
    man_has_line(section, c->name, "%s", c->what);
    for (const struct command_column *column = c->columns; column->key != NULL; column++)
        check_column(section, column);
    for (const struct command_argument *a = c->arguments; a != NULL && a->name != NULL; a++)
        check_argument(section, a);
    free(section);
    text_free(&heading);
}

START_TEST(every_command_is_in_the_manual)
{
    struct text man;
    man_read(MAN, &man);
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (!commands[i].hidden)
            check_command(&man, &commands[i]);
    }
    text_free(&man);
}
END_TEST

/* What the page has and the table has not is a command that was dropped or renamed. */
START_TEST(the_manual_has_no_other_command)
{
    struct text man;
    man_read(MAN, &man);
    char *section = man_part_after(man.data, ".SH COMMANDS", "\n.SH ", "\n.SH ");
    ck_assert_ptr_nonnull(section);
    size_t count = 0;
    for (const char *at = section; (at = strstr(at, "\n.SS ")) != NULL; at++)
        count++;
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        count -= !commands[i].hidden;
    ck_assert_uint_eq(count, 0);
    free(section);
    text_free(&man);
}
END_TEST

UNIT_MAIN("man", every_command_is_in_the_manual, the_manual_has_no_other_command)
