#include "worker/peer.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

/* What getsockopt() of SO_PEERGROUPS has said. */
struct groups {
    gid_t *ids;     /* owned */
    socklen_t size; /* [bytes] */
};

static int read_groups(int fd, struct groups *ret)
{
    struct groups g = {.ids = NULL};
    while (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, g.ids, &g.size) != 0) {
        if (errno != ERANGE)
            goto failed;
        gid_t *larger = realloc(g.ids, g.size); /* as much as the kernel has asked for */
        if (larger == NULL)
            goto failed;
        g.ids = larger;
    }
    *ret = g;
    return 0;
failed:;
    int err = -errno;
    free(g.ids);
    return err;
}

/* Supplementary groups; a kernel that does not tell them has none to tell. */
static int is_member(int fd, gid_t group, bool *ret)
{
    struct groups g = {.ids = NULL};
    *ret = false;
    int err = read_groups(fd, &g);
    if (err < 0)
        return err == -ENOPROTOOPT ? 0 : err;
    for (size_t i = 0; i < g.size / sizeof(*g.ids); i++)
        *ret = *ret || g.ids[i] == group;
    free(g.ids);
    return 0;
}

int peer_check(int fd, gid_t group, struct ucred *ret_peer)
{
    socklen_t len = sizeof(*ret_peer);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, ret_peer, &len) != 0)
        return -errno;
    if (ret_peer->uid == 0 || ret_peer->uid == geteuid() || ret_peer->gid == group)
        return 0;
    bool member;
    int err = is_member(fd, group, &member);
    return err < 0 ? err : member ? 0 : -EACCES;
}
