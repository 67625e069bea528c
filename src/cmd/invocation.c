#include "cmd/invocation.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"

#define OPTIONS_MAX 32
#define OPTION_BASE 256 /* the command's own options, by number from here */

static const struct option own_options[] = {
    {"socket", required_argument, NULL, 's'},
    {"json", no_argument, NULL, 'j'},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'v'},
};

/* Take one of weftctl's own options. Returns whether it is one. */
static bool take_own(struct invocation *i, int option)
{
    switch (option) {
    case 's':
        i->socket = optarg;
        return true;
    case 'j':
        i->json = true;
        return true;
    case 'h':
        i->help = true;
        return true;
    case 'v':
        i->version = true;
        return true;
    default:
        return false;
    }
}

/* --- the command's ----------------------------------------------------------------------- */

static size_t add_options(const struct command *c, struct option *options, size_t count)
{
    for (const struct command_argument *a = c->arguments; a != NULL && a->name != NULL; a++) {
        if (a->option && count + 1 < OPTIONS_MAX)
            options[count++] = (struct option){
                .name = a->name,
                .has_arg = required_argument,
                .val = OPTION_BASE + (int)(a - c->arguments),
            };
    }
    return count;
}

static int set_argument(struct invocation *i, const struct command_argument *a, const char *value,
                        struct text *why)
{
    if (json_object_get(i->arguments, a->name) != NULL)
        text_format(why, "%s is given twice", a->name);
    else if (json_object_set_new(i->arguments, a->name, json_string(value)) != 0)
        text_format(why, "%s: not text in UTF-8", a->name);
    else
        return 0;
    return -EINVAL;
}

static int take_options(struct invocation *i, const struct command *c, int argc, char **argv,
                        struct text *why)
{
    struct option options[OPTIONS_MAX] = {{.name = NULL}};
    memcpy(options, own_options, sizeof(own_options));
    add_options(c, options, array_size(own_options));
    int option, err = 0;
    optind = 0; /* begin anew */
    while (err == 0 && (option = getopt_long(argc, argv, "s:hv", options, NULL)) != -1) {
        if (option >= OPTION_BASE)
            err = set_argument(i, &c->arguments[option - OPTION_BASE], optarg, why);
        else if (!take_own(i, option))
            err = -EINVAL; /* getopt has named it */
    }
    return err;
}

/* The words, in the order of the table. */
static int take_words(struct invocation *i, const struct command *c, int argc, char **argv,
                      struct text *why)
{
    int at = optind, err = 0;
    for (const struct command_argument *a = c->arguments; a != NULL && a->name != NULL; a++) {
        if (a->option)
            continue;
        if (at < argc)
            err = set_argument(i, a, argv[at++], why);
        else if (a->required && err == 0) {
            text_format(why, "%s: %s is missing", c->name, a->sign);
            err = -EINVAL;
        }
    }
    if (err == 0 && at < argc) {
        text_format(why, "%s: '%s' is one argument too many", c->name, argv[at]);
        err = -EINVAL;
    }
    return err;
}

int invocation_read_command(struct invocation *i, const struct command *c, int argc, char **argv,
                            struct text *why)
{
    i->command = c;
    i->arguments = json_object();
    int err = take_options(i, c, argc, argv, why);
    if (err == 0 && !i->help && !i->version)
        err = take_words(i, c, argc, argv, why);
    return err;
}

int invocation_read(struct invocation *ret, int argc, char **argv, struct text *why)
{
    struct option options[array_size(own_options) + 1] = {{.name = NULL}};
    memcpy(options, own_options, sizeof(own_options));
    *ret = (struct invocation){.socket = NULL};
    int option;
    optind = 0;
    while ((option = getopt_long(argc, argv, "+s:hv", options, NULL)) != -1) {
        if (!take_own(ret, option))
            return -EINVAL;
    }
    if (ret->help || ret->version)
        return 0;
    if (optind == argc) {
        text_add_string(why, "which command?");
        return -EINVAL;
    }
    const struct command *c = command_find(argv[optind]);
    if (c == NULL || c->hidden) {
        text_format(why, "there is no command '%s'", argv[optind]);
        return -EINVAL;
    }
    char **rest = argv + optind;
    int count = argc - optind;
    rest[0] = argv[0]; /* it is what getopt() calls us in messages */
    return invocation_read_command(ret, c, count, rest, why);
}

void invocation_free(struct invocation *i)
{
    json_decref(i->arguments);
    i->arguments = NULL;
}

/* --- help -------------------------------------------------------------------------------- */

static void write_usage(const struct command *c, struct text *out)
{
    text_format(out, "Usage: weftctl [OPTION ...] %s", c->name);
    for (const struct command_argument *a = c->arguments; a != NULL && a->name != NULL; a++) {
        const char *open = a->required ? "" : "[", *close = a->required ? "" : "]";
        if (a->option)
            text_format(out, " %s--%s %s%s", open, a->name, a->sign, close);
        else
            text_format(out, " %s%s%s", open, a->sign, close);
    }
    text_add_string(out, "\n");
}

static const char options_help[] =
    "Options:\n"
    "  -s, --socket PATH    the daemon's control socket\n"
    "                       (default " RUNSTATEDIR "/weft/control.sock)\n"
    "      --json           print JSON, for scripts\n"
    "  -v, --version        print the version\n"
    "  -h, --help           print this, or help on the command\n";

void invocation_help(struct text *out)
{
    text_add_string(out, "Usage: weftctl [OPTION ...] COMMAND [ARGUMENT ...]\n"
                         "\n"
                         "Talks to the weft that is running on this machine.\n"
                         "\n"
                         "Commands:\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (!commands[i].hidden)
            text_format(out, "  %-12s %s\n", commands[i].name, commands[i].what);
    }
    text_format(out, "\n%s", options_help);
    text_add_string(out, "\n"
                         "Exit: 0 done, 1 refused or failed, 2 usage, 3 no daemon there.\n"
                         "See weftctl(1).\n");
}

void invocation_help_command(const struct command *c, struct text *out)
{
    write_usage(c, out);
    text_format(out, "\n%s\n", c->what);
    if (c->arguments != NULL)
        text_add_string(out, "\nArguments:\n");
    for (const struct command_argument *a = c->arguments; a != NULL && a->name != NULL; a++)
        text_format(out, "  %s%-*s %s\n", a->option ? "--" : "", a->option ? 18 : 20,
                    a->option ? a->name : a->sign, a->what);
    text_add_string(out, "\nAnswer, by its keys in JSON:\n");
    for (const struct command_column *column = c->columns; column->key != NULL; column++)
        text_format(out, "  %-20s %s\n", column->key, column->what);
    text_format(out, "\n%s", options_help);
}
