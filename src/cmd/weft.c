/*
 * weft: the daemon's command line.
 *
 * Exit: 0 stopped as asked, 1 configuration or start-up failure, 2 usage, 3 no daemon to ask
 * (--diff).
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "base/text.h"
#include "cmd/preview.h"
#include "cmd/version.h"
#include "conf/conf.h"
#include "master/master.h"
#include "worker/process.h"

#define EXIT_USAGE 2

#define DEFAULT_CONFIG SYSCONFDIR "/weft/weft.yaml"

enum action {
    ACTION_RUN,
    ACTION_TEST,
    ACTION_DUMP,
    ACTION_VERSION,
    ACTION_BUILD,
    ACTION_HELP,
    ACTION_WORKER, /* as which the master starts this program */
};

/* Addresses given one by one. */
struct addresses {
    const char **texts; /* owned array of the arguments themselves */
    size_t count;
};

struct arguments {
    const char *config; /* NULL: not given */
    enum action action;
    bool diff;
    struct addresses listen;
    struct addresses backend;
    int events; /* of ACTION_WORKER: its sockets to the master */
    int orders;
    int state;  /* likewise, before an upgrade: the master's state, to be tried; -1: none */
    int resume; /* the state of the master that this process was before an upgrade; -1: none */
    char *const *argv;
};

static const char help[] =
    "Usage: weft [-c FILE] [-t | -T]\n"
    "       weft -l ADDR [-l ADDR ...] -b ADDR [-b ADDR ...]\n"
    "\n"
    "A TCP proxy. Runs in the foreground; SIGTERM ends it gracefully, SIGINT at once.\n"
    "\n"
    "  -c, --config FILE    configuration (default " DEFAULT_CONFIG ")\n"
    "  -t, --test           check the configuration and leave\n"
    "  -T, --dump           as -t, then print it with every default filled in\n"
    "      --diff           with -t: what a reload to it would change\n"
    "  -l, --listen ADDR    quick mode, no file: listen here\n"
    "  -b, --backend ADDR   quick mode: a server to connect to\n"
    "  -v, --version        print the version\n"
    "  -V                   print version, build options and libraries\n"
    "  -h, --help           print this\n"
    "\n"
    "ADDR is HOST:PORT, :PORT (any address), [V6]:PORT, unix:/PATH or unix:@ABSTRACT.\n"
    "Try: weft -l :8080 -b 127.0.0.1:80\n"
    "See weft(8) and weft.yaml(5).\n";

static int usage_error(const char *what)
{
    fprintf(stderr, "weft: %s\nTry 'weft --help'.\n", what);
    return EXIT_USAGE;
}

static bool addresses_add(struct addresses *a, const char *text)
{
    const char **more = realloc(a->texts, (a->count + 1) * sizeof(*more));
    if (more == NULL)
        return false;
    a->texts = more;
    a->texts[a->count++] = text;
    return true;
}

/* Take one option. Returns whether it is one. */
static bool take_option(struct arguments *a, int option)
{
    switch (option) {
    case 'c':
        a->config = optarg;
        return true;
    case 't':
        a->action = a->action == ACTION_DUMP ? ACTION_DUMP : ACTION_TEST;
        return true;
    case 'T':
        a->action = ACTION_DUMP;
        return true;
    case 'd':
        a->diff = true;
        return true;
    case 'l':
        return addresses_add(&a->listen, optarg);
    case 'b':
        return addresses_add(&a->backend, optarg);
    case 'v':
        a->action = ACTION_VERSION;
        return true;
    case 'V':
        a->action = ACTION_BUILD;
        return true;
    case 'h':
        a->action = ACTION_HELP;
        return true;
    case 'W':
        a->action = ACTION_WORKER;
        return sscanf(optarg, "%d,%d", &a->events, &a->orders) == 2;
    case 'S':
        return sscanf(optarg, "%d", &a->state) == 1;
    case 'R':
        return sscanf(optarg, "%d", &a->resume) == 1;
    default:
        return false;
    }
}

/* Returns NULL, or what does not fit together. */
static const char *check_arguments(const struct arguments *a)
{
    bool quick = a->listen.count > 0 || a->backend.count > 0;
    if (quick && a->config != NULL)
        return "quick mode (--listen, --backend) takes no --config";
    if (a->listen.count > 0 && a->backend.count == 0)
        return "--listen wants a --backend to go with it";
    if (a->backend.count > 0 && a->listen.count == 0)
        return "--backend wants a --listen to go with it";
    if (a->diff && a->action != ACTION_TEST)
        return "--diff goes with --test";
    if (a->diff && quick)
        return "--diff wants a file: quick mode has none";
    return NULL;
}

/* Returns 0, or EXIT_USAGE after having said why. */
static int parse_arguments(struct arguments *a, int argc, char **argv)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},
        {"test", no_argument, NULL, 't'},
        {"dump", no_argument, NULL, 'T'},
        {"diff", no_argument, NULL, 'd'},
        {"listen", required_argument, NULL, 'l'},
        {"backend", required_argument, NULL, 'b'},
        {"version", no_argument, NULL, 'v'},
        {"help", no_argument, NULL, 'h'},
        {"worker", required_argument, NULL, 'W'}, /* these are weft's own */
        {"state", required_argument, NULL, 'S'},
        {"resume", required_argument, NULL, 'R'},
        {NULL, 0, NULL, 0},
    };
    int option;
    a->argv = argv;
    while ((option = getopt_long(argc, argv, "c:tTl:b:vVh", options, NULL)) != -1) {
        if (!take_option(a, option)) {
            fputs("Try 'weft --help'.\n", stderr); /* getopt has named the option */
            return EXIT_USAGE;
        }
    }
    if (optind < argc)
        return usage_error("there are no arguments but options");
    const char *wrong = check_arguments(a);
    return wrong != NULL ? usage_error(wrong) : 0;
}

static int load(const struct arguments *a, const char *path, const struct conf **ret)
{
    struct conf_faults *faults = NULL;
    int err = a->listen.count > 0 ? conf_quick(a->listen.texts, a->listen.count, a->backend.texts,
                                               a->backend.count, ret, &faults)
                                  : conf_load(path, ret, &faults);
    if (err == 0)
        return 0;
    struct text text;
    text_init(&text);
    conf_faults_write(faults, &text);
    fputs(text.data != NULL ? text.data : "weft: out of memory\n", stderr);
    text_free(&text);
    conf_faults_free(faults);
    return err;
}

static void dump(const struct conf *conf)
{
    struct text text;
    text_init(&text);
    conf_dump(conf, &text);
    if (text.data != NULL)
        fputs(text.data, stdout);
    text_free(&text);
}

static int run(const struct arguments *a, const char *path)
{
    const struct master_options o = {
        .config = a->listen.count > 0 ? NULL : path,
        .listen = a->listen.texts,
        .listen_count = a->listen.count,
        .backend = a->backend.texts,
        .backend_count = a->backend.count,
        .argv = a->argv,
        .resume = a->resume,
    };
    return master_run(&o);
}

/* The master hears what comes of it. */
static int run_worker(const struct arguments *a)
{
    if (a->state >= 0 && master_check_state(a->state) < 0) {
        process_fail(a->events, "error: the new program cannot take over: it does not know the "
                                "state of the one that runs");
        return EXIT_FAILURE;
    }
    return process_run(a->events, a->orders) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int flush_output(int status)
{
    if (fflush(stdout) == 0)
        return status;
    perror("weft: standard output");
    return EXIT_FAILURE;
}

/* Everything that needs the configuration. */
static int act(const struct arguments *a)
{
    const char *path = a->config != NULL ? a->config : DEFAULT_CONFIG;
    if (a->diff)
        return flush_output(preview_print(path));
    if (a->action == ACTION_RUN)
        return run(a, path);
    const struct conf *conf;
    if (load(a, path, &conf) < 0)
        return EXIT_FAILURE;
    if (a->action == ACTION_TEST)
        printf("%s: ok\n", a->listen.count > 0 ? "command line" : path);
    else
        dump(conf);
    conf_unref(conf);
    return flush_output(EXIT_SUCCESS);
}

int main(int argc, char **argv)
{
    struct arguments a = {.action = ACTION_RUN, .state = -1, .resume = -1};
    int status = parse_arguments(&a, argc, argv);
    if (status == 0) {
        switch (a.action) {
        case ACTION_HELP:
            fputs(help, stdout);
            status = flush_output(EXIT_SUCCESS);
            break;
        case ACTION_VERSION:
            version_print(stdout);
            status = flush_output(EXIT_SUCCESS);
            break;
        case ACTION_BUILD:
            version_print_build(stdout);
            status = flush_output(EXIT_SUCCESS);
            break;
        case ACTION_WORKER:
            status = run_worker(&a);
            break;
        default:
            status = act(&a);
        }
    }
    free(a.listen.texts);
    free(a.backend.texts);
    return status;
}
