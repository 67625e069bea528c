#include "ctl/command.h"

#include <string.h>

static const struct command_column info_columns[] = {
    {"version", "Version", COLUMN_TEXT, "Version of the daemon."},
    {"pid", "Process id", COLUMN_COUNT, "Process id of the master."},
    {"worker_pid", "Worker process", COLUMN_COUNT, "Process id of the worker process."},
    {"state", "State", COLUMN_TEXT,
     "serving, draining (it is to end with its connections) or ending."},
    {"uptime", "Uptime", COLUMN_DURATION, "Time since the start."},
    {"workers", "Workers", COLUMN_COUNT, "Threads that proxy."},
    {"generation", "Generation", COLUMN_COUNT, "Number of the configuration in use, from 1."},
    {"reload_at", "Last reload", COLUMN_TIME, "When the last reload was accepted or rejected."},
    {"reload_accepted", "Accepted", COLUMN_FLAG, "Whether it was accepted."},
    {"connections", "Connections", COLUMN_COUNT, "Client connections that live."},
    {"connections_total", "Total connections", COLUMN_COUNT,
     "Client connections that the worker process has taken, ever."},
    {"max_connections", "Max connections", COLUMN_COUNT,
     "Client connections there is room for at a time."},
    {"bound_by", "Limited by", COLUMN_TEXT,
     "What runs out first: max_connections, descriptors or ports."},
    {"descriptors", "Descriptors", COLUMN_COUNT, "Limit of open descriptors."},
    {"drain_left", "Drain ends in", COLUMN_DURATION,
     "While draining: time until the connections that are left are ended."},
    {"leaving", "Leaving", COLUMN_COUNT,
     "Earlier worker processes that end with their last connections."},
    {"leaving_connections", "Their connections", COLUMN_COUNT, "Those connections."},
    {"restarts", "Restarts", COLUMN_COUNT,
     "Worker processes started for one that died or was stuck."},
    {"memory_resident", "Resident memory", COLUMN_BYTES,
     "Memory of the worker process, as the kernel counts it."},
    {"memory_allocated", "Allocated memory", COLUMN_BYTES,
     "Of it, what the allocator has handed out; jemalloc alone knows."},
    {.key = NULL},
};

static const struct command_column listener_columns[] = {
    {"name", "Name", COLUMN_TEXT, "Name of the listener."},
    {"addresses", "Addresses", COLUMN_LIST, "Where it listens."},
    {"pools", "Pools", COLUMN_LIST, "Where its connections go."},
    {"state", "State", COLUMN_TEXT, "open, full (at max_connections) or draining."},
    {"active", "Active", COLUMN_COUNT, "Connections that live."},
    {"total", "Total", COLUMN_COUNT, "Connections accepted, ever."},
    {"bytes_in", "In", COLUMN_BYTES, "Bytes from clients, ever."},
    {"bytes_out", "Out", COLUMN_BYTES, "Bytes to clients, ever."},
    {.key = NULL},
};

static const struct command_column worker_columns[] = {
    {"worker", "Worker", COLUMN_COUNT, "Number of the worker, from 0."},
    {"cpu", "CPU", COLUMN_COUNT, "CPU it is kept on."},
    {"active", "Active", COLUMN_COUNT, "Connections that live."},
    {"total", "Total", COLUMN_COUNT, "Connections it has served, ever."},
    {"handed_over", "Handed over", COLUMN_COUNT,
     "Connections it has accepted, ever, and given to another worker."},
    {"busy", "Busy", COLUMN_SHARE, "Share of the last ten seconds that its loop has worked."},
    {"turns", "Turns", COLUMN_COUNT, "Turns of its loop, ever."},
    {"stalls", "Stalls", COLUMN_COUNT, "Turns that have taken more than a second."},
    {.key = NULL},
};

static const struct command_column reload_columns[] = {
    {"generation", "Generation", COLUMN_COUNT, "Number of the configuration that is in use now."},
    {.key = NULL},
};

static const struct command_column upgrade_columns[] = {
    {"generation", "Generation", COLUMN_COUNT, "Number of the configuration that is in use now."},
    {"version", "Version", COLUMN_TEXT, "Version that serves now."},
    {.key = NULL},
};

static const struct command_column stop_columns[] = {
    {"connections", "Connections", COLUMN_COUNT, "Connections that live."},
    {"drain_left", "Drain ends in", COLUMN_DURATION, "Time until they are ended."},
    {.key = NULL},
};

static const struct command_column diff_columns[] = {
    {"change", "Change", COLUMN_TEXT, "added, changed, removed or replaced."},
    {"what", "What", COLUMN_TEXT, "What kind of thing it is."},
    {"name", "Name", COLUMN_TEXT, "Its name."},
    {"keys", "Keys", COLUMN_TEXT, "Those that differ."},
    {"connections", "Connections", COLUMN_COUNT, "Live connections that it touches."},
    {"on_change", "On change", COLUMN_TEXT, "What becomes of those of a listener."},
    {.key = NULL},
};

const struct command commands[COMMAND_COUNT] = {
    [COMMAND_INFO] = {"info", "Show what the daemon is, how it is doing and what it has room for.",
                      COMMAND_RECORD, .columns = info_columns},
    [COMMAND_LISTENERS] = {"listeners", "List the listeners, their state and their counters.",
                           COMMAND_LISTING, .columns = listener_columns},
    [COMMAND_WORKERS] = {"workers", "List the worker threads and how busy they are.",
                         COMMAND_LISTING, .columns = worker_columns},
    [COMMAND_RELOAD] = {"reload", "Read the configuration anew and wait for the verdict.",
                        COMMAND_VERDICT, .columns = reload_columns,
                        .sentence = "accepted, generation {generation}"},
    [COMMAND_UPGRADE] = {"upgrade", "Replace the program that runs and wait for the verdict.",
                         COMMAND_VERDICT, .columns = upgrade_columns,
                         .sentence = "accepted, version {version}, generation {generation}"},
    [COMMAND_DIFF] = {"diff", "Compare a configuration, passed as a bundle, with the one in use.",
                      COMMAND_LISTING, .columns = diff_columns, .hidden = true},
    [COMMAND_STOP] = {"stop", "Stop gracefully, as SIGTERM does.", COMMAND_VERDICT,
                      .columns = stop_columns,
                      .sentence = "stopping: {connections} connections have {drain_left}"},
};

const struct command *command_find(const char *name)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    }
    return NULL;
}

const struct command_argument *command_argument(const struct command *c, const char *name)
{
    const struct command_argument *a = c->arguments;
    while (a != NULL && a->name != NULL && strcmp(a->name, name) != 0)
        a++;
    return a != NULL && a->name != NULL ? a : NULL;
}
