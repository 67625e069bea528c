#include "worker/limits.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/resource.h>

#include "io/pipes.h"

#define DESCRIPTORS_PER_CONNECTION 2
#define DESCRIPTORS_PER_WORKER     4  /* libev's epoll, the netpoller's, wake-ups */
#define DESCRIPTORS_RESERVED       24 /* standard streams, logs, signals, control clients */

static unsigned raise_descriptor_limit(void)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) < 0)
        return 0;
    if (r.rlim_cur < r.rlim_max) {
        struct rlimit raised = {.rlim_cur = r.rlim_max, .rlim_max = r.rlim_max};
        if (setrlimit(RLIMIT_NOFILE, &raised) == 0)
            r = raised;
    }
    return r.rlim_cur < INT_MAX ? (unsigned)r.rlim_cur : INT_MAX;
}

/* Local ports for one server's address: each connection to it takes one. 0: unknown. */
static unsigned local_ports(void)
{
    unsigned low = 0, high = 0;
    FILE *f = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");
    if (f == NULL)
        return 0;
    int read = fscanf(f, "%u %u", &low, &high);
    fclose(f);
    return read == 2 && high >= low ? high - low + 1 : 0;
}

/* 0 where a pool has a UNIX server, which needs no port. */
static unsigned long long count_servers_with_ports(const struct conf *conf)
{
    unsigned long long count = 0;
    for (size_t i = 0; i < conf->pool_count; i++) {
        for (size_t j = 0; j < conf->pools[i].server_count; j++) {
            if (conf->pools[i].servers[j].address.addr.sa.sa_family == AF_UNIX)
                return 0;
            count++;
        }
    }
    return count;
}

static unsigned count_pipes(const struct conf *conf, unsigned descriptors)
{
    for (size_t i = 0; i < conf->listener_count; i++) {
        if (conf->listeners[i].splice != CONF_SPLICE_OFF)
            return pipes_advise(descriptors, conf->process.workers);
    }
    return 0;
}

int limits_find(const struct conf *conf, unsigned listening, struct limits *ret)
{
    unsigned descriptors = raise_descriptor_limit();
    unsigned pipes = count_pipes(conf, descriptors);
    unsigned reserved = DESCRIPTORS_RESERVED + listening +
                        conf->process.workers * DESCRIPTORS_PER_WORKER + pipes * PIPES_DESCRIPTORS;
    if (descriptors < reserved + DESCRIPTORS_PER_CONNECTION) {
        *ret = (struct limits){.descriptors = descriptors, .reserved = reserved};
        return -EMFILE;
    }
    unsigned allowed = (descriptors - reserved) / DESCRIPTORS_PER_CONNECTION;
    unsigned asked = conf->process.max_connections;
    unsigned long long ports = count_servers_with_ports(conf) * local_ports();
    *ret = (struct limits){
        .descriptors = descriptors,
        .reserved = reserved,
        .pipes = pipes,
        .ports = ports < UINT_MAX ? (unsigned)ports : UINT_MAX,
        .max_connections = asked != 0 && asked < allowed ? asked : allowed,
    };
    return 0;
}

const char *limits_bound_by(const struct limits *l, const struct conf *conf, unsigned *ret_at_most)
{
    unsigned asked = conf->process.max_connections;
    if (l->ports != 0 && l->ports < l->max_connections) {
        *ret_at_most = l->ports;
        return "ports";
    }
    *ret_at_most = l->max_connections;
    return asked != 0 && asked <= l->max_connections ? "max_connections" : "descriptors";
}

void limits_explain(const struct limits *l, struct text *out)
{
    text_format(out,
                "error: the descriptor limit of %u is too low: %u are needed before the first "
                "connection",
                l->descriptors, l->reserved);
}

void limits_describe(const struct limits *l, const struct conf *conf, struct text *out)
{
    unsigned asked = conf->process.max_connections;
    if (l->ports != 0 && l->ports < l->max_connections) {
        text_format(out,
                    "%u connections at most: the local port range has no more for these servers",
                    l->ports);
        return;
    }
    text_format(out, "%u connections at most: ", l->max_connections);
    if (asked != 0 && asked <= l->max_connections)
        text_add_string(out, "max_connections");
    else if (asked != 0)
        text_format(out,
                    "max_connections asks for %u, but the descriptor limit of %u allows no more",
                    asked, l->descriptors);
    else
        text_format(out, "the descriptor limit of %u", l->descriptors);
}
