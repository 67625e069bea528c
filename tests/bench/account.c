#include "account.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#define NS_PER_S 1000000000

/* Threads may end while their directory is read: one that is gone counts nothing. */
static int64_t read_thread(pid_t pid, const char *tid)
{
    char path[300];
    int64_t ran = 0;
    snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat", (int)pid, tid);
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return 0;
    if (fscanf(f, "%" SCNd64, &ran) != 1)
        ran = 0;
    fclose(f);
    return ran;
}

static int read_schedstat(pid_t pid, int64_t *sum)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    DIR *d = opendir(path);
    if (d == NULL)
        return -errno;
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d))
        if (e->d_name[0] != '.')
            *sum += read_thread(pid, e->d_name);
    closedir(d);
    return 0;
}

static int read_clock(pid_t pid, int64_t *sum)
{
    clockid_t id;
    struct timespec t;
    int err = clock_getcpuclockid(pid, &id);
    if (err != 0)
        return -err;
    if (clock_gettime(id, &t) < 0)
        return -errno;
    *sum += t.tv_sec * (int64_t)NS_PER_S + t.tv_nsec;
    return 0;
}

int account_read(const struct watch *w, struct account *ret_account)
{
    struct account sum = {0, 0};
    int err = 0;
    for (int i = 0; i < w->count && err == 0; i++) {
        err = read_clock(w->pids[i], &sum.clock);
        if (err == 0)
            err = read_schedstat(w->pids[i], &sum.schedstat);
    }
    if (err == 0)
        *ret_account = sum;
    return err;
}
