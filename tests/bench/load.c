#include "load.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frame.h"
#include "net.h"

static const struct shape {
    const char *name;
    int (*run)(struct load *l);
    const char *help;
} shapes[] = {
    {"pingpong", shape_pingpong, "messages and answers, one at a time on each connection"},
    {"short", shape_short, "connections of one message, as many at a time as -n"},
    {"down", shape_down, "streams from the server"},
    {"up", shape_up, "streams to the server"},
    {"idle", shape_idle, "held connections; goes on at a line on stdin"},
    {"rate", shape_rate, "messages at fixed times (-r a second)"},
};

uint32_t load_flags(const struct load *l)
{
    return l->options->check ? FRAME_CHECK : 0;
}

static void usage(FILE *out)
{
    fprintf(out, "usage: load SHAPE -p PORT [options]\n\nshapes:\n");
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
        fprintf(out, "  %-10s %s\n", shapes[i].name, shapes[i].help);
    fprintf(out,
            "\n"
            "  -p PORT     the proxy's port on 127.0.0.1\n"
            "  -n COUNT    connections or flows (1)\n"
            "  -b BYTES    a message, and its answer (64)\n"
            "  -t SECONDS  how long to count (2)\n"
            "  -w SECONDS  how long to warm up before (0.5)\n"
            "  -r RATE     messages a second, for the shape rate (1000)\n"
            "  -W PID,...  processes whose CPU time is measured meanwhile\n"
            "  -f          short connections: the server closes first (else the client resets)\n"
            "  -s          idle connections: exchange nothing on them\n"
            "  -c          compare every byte\n"
            "  -d          bulk: let the kernel drop the bytes at their receiver, uncopied\n");
}

static const struct shape *find_shape(const char *name)
{
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
        if (strcmp(shapes[i].name, name) == 0)
            return &shapes[i];
    return NULL;
}

/* Returns false when the list is longer than can be watched, or no list of numbers. */
static bool parse_watch(struct watch *w, const char *text)
{
    do {
        char *end;
        long pid = strtol(text, &end, 10);
        if (end == text || pid <= 0 || (*end != ',' && *end != '\0') || w->count == ACCOUNT_PIDS)
            return false;
        w->pids[w->count++] = (pid_t)pid;
        text = *end == ',' ? end + 1 : end;
    } while (*text != '\0');
    return true;
}

/* Returns false when the value is out of the option's range. */
static bool parse_option(struct options *o, int letter, const char *value)
{
    switch (letter) {
    case 'p':
        o->port = (uint16_t)atoi(value);
        return o->port > 0;
    case 'n':
        o->connections = (unsigned)atoi(value);
        return o->connections > 0;
    case 'b':
        o->size = (uint32_t)atoi(value);
        return o->size >= sizeof(struct frame) && o->size <= FRAME_MAX;
    case 't':
        o->seconds = atof(value);
        return o->seconds > 0;
    case 'w':
        o->warmup = atof(value);
        return o->warmup >= 0;
    case 'r':
        o->rate = atof(value);
        return o->rate > 0;
    case 'W':
        return parse_watch(&o->watch, value);
    case 'f':
        return o->fin = true;
    case 's':
        return o->silent = true;
    case 'c':
        return o->check = true;
    case 'd':
        return o->discard = true;
    default:
        return false;
    }
}

static bool parse_options(struct options *o, int argc, char **argv)
{
    for (int c = getopt(argc, argv, "p:n:b:t:w:r:W:fscd"); c != -1;
         c = getopt(argc, argv, "p:n:b:t:w:r:W:fscd"))
        if (!parse_option(o, c, optarg))
            return false;
    return o->port > 0 && optind == argc;
}

static int run(const struct shape *s, const struct options *o)
{
    static struct load l;
    l.options = o;
    l.meter.watch = &o->watch;
    int err = loop_open(&l.loop);
    if (err == 0)
        err = s->run(&l);
    if (err < 0) {
        fprintf(stderr, "load: %s: %s\n", s->name, strerror(-err));
        return EXIT_FAILURE;
    }
    printf("{\"shape\": \"%s\", \"connections\": %u, \"size\": %u, ", s->name, o->connections,
           o->size);
    meter_print(&l.meter, stdout);
    printf("}\n");
    loop_close(&l.loop);
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    struct options o = {.connections = 1, .size = 64, .seconds = 2, .warmup = 0.5, .rate = 1000};
    const struct shape *s = argc > 1 ? find_shape(argv[1]) : NULL;
    if (s == NULL || !parse_options(&o, argc - 1, argv + 1)) {
        usage(stderr);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    net_raise_limit();
    return run(s, &o);
}
