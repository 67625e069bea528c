/*
 * weftctl: asks the running daemon, and shows what it answers.
 *
 * Exit: 0 done, 1 refused or failed, 2 usage, 3 no daemon there.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/text.h"
#include "cmd/client.h"
#include "cmd/invocation.h"
#include "cmd/table.h"
#include "cmd/terminal.h"
#include "cmd/units.h"
#include "ctl/frame.h"
#include "ctl/request.h"

#define EXIT_USAGE     2
#define EXIT_NO_DAEMON 3

#define DEFAULT_SOCKET RUNSTATEDIR "/weft/control.sock"

static int flush_output(void)
{
    if (fflush(stdout) == 0)
        return EXIT_SUCCESS;
    perror("weftctl: standard output");
    return EXIT_FAILURE;
}

static int print(struct text *text)
{
    if (text->data != NULL)
        fputs(text->data, stdout);
    text_free(text);
    return flush_output();
}

/* --- the answer -------------------------------------------------------------------------- */

static int print_for_people(const struct command *c, const struct answer *a)
{
    struct text out;
    text_init(&out);
    switch (c->answer) {
    case COMMAND_LISTING:
        table_write(c->columns, a->rows, terminal_width(), &out);
        break;
    case COMMAND_RECORD:
        table_write_record(c->columns, json_array_get(a->rows, 0), &out);
        break;
    case COMMAND_VERDICT:
        table_write_sentence(c, json_array_get(a->rows, 0), &out);
        break;
    }
    return print(&out);
}

/* A row a line, in an array where there may be several. */
static int print_for_scripts(const struct command *c, const struct answer *a)
{
    size_t i;
    json_t *row;
    bool many = c->answer == COMMAND_LISTING;
    if (many)
        fputs("[", stdout);
    json_array_foreach(a->rows, i, row)
    {
        if (many)
            fputs(i > 0 ? ",\n" : "\n", stdout);
        json_dumpf(row, stdout, FRAME_JSON);
    }
    fputs(many ? "\n]\n" : "\n", stdout);
    return flush_output();
}

static void complain(const char *what)
{
    struct text out;
    text_init(&out);
    units_write_string(what, &out);
    fprintf(stderr, "weftctl: %s\n", out.data != NULL ? out.data : "out of memory");
    text_free(&out);
}

static int show(const struct invocation *i, const struct answer *a, const struct text *why)
{
    terminal_print_lines(a->faults, stderr);
    if (!a->done) {
        complain(why->data != NULL ? why->data : "out of memory");
        return EXIT_FAILURE;
    }
    return i->json ? print_for_scripts(i->command, a) : print_for_people(i->command, a);
}

/* --- the question ------------------------------------------------------------------------ */

static int no_connection(const char *path, int err)
{
    struct text why;
    text_init(&why);
    client_explain(path, err, &why);
    complain(why.data != NULL ? why.data : "out of memory");
    text_free(&why);
    return client_found_nobody(err) ? EXIT_NO_DAEMON : EXIT_FAILURE;
}

/* Owns: the arguments. */
static int ask(struct invocation *i)
{
    const char *path = i->socket != NULL ? i->socket : DEFAULT_SOCKET;
    int fd = client_connect(path);
    if (fd < 0)
        return no_connection(path, fd);
    struct answer answer;
    struct text why;
    text_init(&why);
    json_t *request = request_new(i->command->name, json_incref(i->arguments));
    (void)!client_ask(fd, request, -1, &answer, &why); /* the answer and `why` tell */
    int status = show(i, &answer, &why);
    json_decref(request);
    answer_free(&answer);
    text_free(&why);
    close(fd);
    return status;
}

static int help(const struct invocation *i)
{
    struct text out;
    text_init(&out);
    if (i->command != NULL)
        invocation_help_command(i->command, &out);
    else
        invocation_help(&out);
    return print(&out);
}

static int usage_error(const struct text *why)
{
    if (why->length > 0)
        complain(why->data);
    fputs("Try 'weftctl --help'.\n", stderr);
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    struct invocation i;
    struct text why;
    int status;
    text_init(&why);
    if (invocation_read(&i, argc, argv, &why) < 0) {
        status = usage_error(&why);
    } else if (i.help) {
        status = help(&i);
    } else if (i.version) {
        printf("weftctl %s\n", PACKAGE_VERSION);
        status = flush_output();
    } else {
        status = ask(&i);
    }
    invocation_free(&i);
    text_free(&why);
    return status;
}
