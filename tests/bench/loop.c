#include "loop.h"

#include <errno.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S 1000000000

int64_t clock_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * (int64_t)NS_PER_S + t.tv_nsec;
}

int loop_open(struct loop *l)
{
    l->fd = epoll_create1(EPOLL_CLOEXEC);
    return l->fd < 0 ? -errno : 0;
}

void loop_close(struct loop *l)
{
    close(l->fd);
    l->fd = -1;
}

int loop_want(struct loop *l, struct source *s, uint32_t events)
{
    if (s->events == events)
        return 0;
    struct epoll_event e = {.events = events, .data.ptr = s};
    if (epoll_ctl(l->fd, s->events == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, s->fd, &e) < 0)
        return -errno;
    s->events = events;
    return 0;
}

void loop_drop(struct source *s)
{
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
    s->events = 0;
}

void loop_turn(struct loop *l, int64_t deadline)
{
    struct epoll_event ready[128];
    int64_t rest = deadline - clock_now();
    if (rest < 0)
        rest = 0;
    struct timespec wait = {.tv_sec = rest / NS_PER_S, .tv_nsec = rest % NS_PER_S};
    int n = epoll_pwait2(l->fd, ready, sizeof(ready) / sizeof(ready[0]), &wait, NULL);
    for (int i = 0; i < n; i++) {
        struct source *s = ready[i].data.ptr;
        s->ready(s, ready[i].events);
    }
}
