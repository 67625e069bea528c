#include "worker/since.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

#define START_FIELD 19 /* of those behind the name, from 0: see proc(5), /proc/pid/stat */

/* [clock ticks since boot]. The name may have blanks and parentheses in it. */
static bool parse_start(const char *line, unsigned long long *ret)
{
    const char *at = strrchr(line, ')');
    for (int field = 0; at != NULL && field <= START_FIELD; field++)
        at = strchr(at + 1, ' ');
    return at != NULL && sscanf(at, "%llu", ret) == 1;
}

static bool read_start(pid_t pid, unsigned long long *ret)
{
    char path[32], line[512];
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return false;
    bool got = fgets(line, sizeof(line), f) != NULL && parse_start(line, ret);
    fclose(f);
    return got;
}

int64_t since_started(pid_t pid)
{
    unsigned long long ticks;
    struct timespec boot;
    if (!read_start(pid, &ticks) || clock_gettime(CLOCK_BOOTTIME, &boot) != 0)
        return clock_now();
    int64_t now = boot.tv_sec * NSEC_PER_SEC + boot.tv_nsec;
    int64_t started = (int64_t)(ticks * (NSEC_PER_SEC / (unsigned long long)sysconf(_SC_CLK_TCK)));
    return clock_now() - (now > started ? now - started : 0);
}
