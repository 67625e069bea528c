#include "master/spare.h"

#include <errno.h>
#include <sys/resource.h>
#include <unistd.h>

#define SPARE 64 /* descriptors; an eighth where there are few */

int spare_check(int fd)
{
    struct rlimit r;
    if (fd < 0 || getrlimit(RLIMIT_NOFILE, &r) < 0)
        return fd;
    rlim_t spare = r.rlim_cur / 8 < SPARE ? r.rlim_cur / 8 : SPARE;
    if ((rlim_t)fd < r.rlim_cur - spare)
        return fd;
    close(fd);
    return -EMFILE;
}
