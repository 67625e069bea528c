#include "worker/peer.h"

#include <errno.h>
#include <grp.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/attr.h"
#include "unit.h"

#define STRANGER 65534 /* no user or group of ours */
#define GROUP    7777

/* Who connects. */
struct who {
    uid_t uid;
    gid_t gid;
    gid_t groups[3];
    size_t count;
};

static int ends[2];

/* A socket pair's ends know who has made it: so the other user makes one and passes an end on. */
static void WEFT_NORETURN be(const struct who *w, int to)
{
    int pair[2];
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {.bytes = {0}};
    if (setgroups(w->count, w->groups) != 0 || setgid(w->gid) != 0 || setuid(w->uid) != 0 ||
        socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0)
        _exit(1);
    struct iovec iov = {.iov_base = "x", .iov_len = 1};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = &control,
                       .msg_controllen = sizeof(control)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    *(int *)CMSG_DATA(c) = pair[0];
    _exit(sendmsg(to, &m, 0) == 1 ? 0 : 1);
}

static int receive_fd(int from)
{
    char byte;
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec iov = {.iov_base = &byte, .iov_len = 1};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = &control,
                       .msg_controllen = sizeof(control)};
    ck_assert_int_eq(recvmsg(from, &m, 0), 1);
    return *(int *)CMSG_DATA(CMSG_FIRSTHDR(&m));
}

static int check(const struct who *w, struct ucred *ret_peer)
{
    pid_t child = fork();
    if (child == 0)
        be(w, ends[1]);
    int fd = receive_fd(ends[0]), status;
    int result = peer_check(fd, GROUP, ret_peer);
    close(fd);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    return result;
}

START_TEST(whoever_this_is_may)
{
    struct ucred peer;
    ck_assert_int_eq(peer_check(ends[0], GROUP, &peer), 0);
    ck_assert_uint_eq(peer.uid, geteuid());
    ck_assert_int_eq(peer.pid, getpid());
}
END_TEST

START_TEST(members_of_the_group_may)
{
    struct ucred peer;
    if (geteuid() != 0)
        return; /* nobody else can become another */
    const struct who own = {.uid = STRANGER, .gid = GROUP};
    const struct who further = {
        .uid = STRANGER, .gid = STRANGER, .groups = {1, GROUP, 3}, .count = 3};
    ck_assert_int_eq(check(&own, &peer), 0);
    ck_assert_int_eq(check(&further, &peer), 0);
}
END_TEST

START_TEST(others_may_not)
{
    struct ucred peer;
    if (geteuid() != 0)
        return;
    const struct who alone = {.uid = STRANGER, .gid = STRANGER};
    const struct who elsewhere = {.uid = STRANGER, .gid = STRANGER, .groups = {1, 2}, .count = 2};
    ck_assert_int_eq(check(&alone, &peer), -EACCES);
    ck_assert_uint_eq(peer.uid, STRANGER);
    ck_assert_int_eq(check(&elsewhere, &peer), -EACCES);
}
END_TEST

START_TEST(what_is_no_socket_is_an_error)
{
    struct ucred peer;
    int fds[2];
    ck_assert_int_eq(pipe(fds), 0);
    ck_assert_int_eq(peer_check(fds[0], GROUP, &peer), -ENOTSOCK);
    close(fds[0]);
    close(fds[1]);
}
END_TEST

static void set_up(void)
{
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
}

static void tear_down(void)
{
    close(ends[0]);
    close(ends[1]);
}

UNIT_MAIN_AROUND("peer", set_up, tear_down, whoever_this_is_may, members_of_the_group_may,
                 others_may_not, what_is_no_socket_is_an_error)
