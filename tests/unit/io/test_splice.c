#include "io/splice.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fibers.h"
#include "unit.h"

/*
 *      far[0] ──> from ──splice_fill──> [ pipe ] ──splice_drain──> to ──> far[1]
 */
static struct conn from, to;
static int far[2];
static struct pipe *pipe_used;

static void set_up(void)
{
    struct conn *const near[] = {&from, &to};
    for (int i = 0; i < 2; i++) {
        int pair[2];
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
        conn_init(near[i], pair[0], AF_UNIX);
        far[i] = pair[1];
    }
    signal(SIGPIPE, SIG_IGN);
    pipes_set_budget(1);
    pipe_used = pipes_get();
    ck_assert_ptr_nonnull(pipe_used);
}

static void tear_down(void)
{
    pipes_put(pipe_used);
    pipes_flush();
}

START_TEST(bytes_go_through)
{
    char buf[8];
    ck_assert_int_eq(write(far[0], "abc", 3), 3);
    ck_assert_int_eq(splice_fill(pipe_used, &from, UINT64_MAX), 3);
    ck_assert_uint_eq(pipe_used->length, 3);
    ck_assert_int_eq(splice_drain(pipe_used, &to), 3);
    ck_assert_uint_eq(pipe_used->length, 0);
    ck_assert_int_eq(read(far[1], buf, sizeof(buf)), 3);
    ck_assert_mem_eq(buf, "abc", 3);
}
END_TEST

START_TEST(no_more_is_taken_than_asked_for)
{
    ck_assert_int_eq(write(far[0], "abc", 3), 3);
    ck_assert_int_eq(splice_fill(pipe_used, &from, 2), 2);
    ck_assert_int_eq(splice_drain(pipe_used, &to), 2);
    ck_assert_int_eq(splice_fill(pipe_used, &from, 2), 1);
    ck_assert_int_eq(splice_drain(pipe_used, &to), 1);
}
END_TEST

START_TEST(what_comes_in_parts_is_read_on)
{
    ck_assert_int_eq(write(far[0], "abc", 3), 3);
    ck_assert_int_eq(splice_fill(pipe_used, &from, UINT64_MAX), 3);
    ck_assert_int_ne(from.poll.ready & NETPOLL_READ, 0);
    ck_assert_int_eq(splice_drain(pipe_used, &to), 3);
    ck_assert_int_eq(splice_fill(pipe_used, &from, UINT64_MAX), -EAGAIN);
    ck_assert_int_eq(from.poll.ready & NETPOLL_READ, 0);
    ck_assert_int_eq(write(far[0], "d", 1), 1);
    ck_assert_int_eq(splice_fill(pipe_used, &from, UINT64_MAX), -EAGAIN); /* no event, no call */
    from.poll.ready |= NETPOLL_READ;
    ck_assert_int_eq(splice_fill(pipe_used, &from, UINT64_MAX), 1);
}
END_TEST

START_TEST(the_end_is_0)
{
    ck_assert_int_eq(shutdown(far[0], SHUT_WR), 0);
    ck_assert_int_eq(splice_fill(pipe_used, &from, UINT64_MAX), 0);
    ck_assert_uint_eq(pipe_used->length, 0);
}
END_TEST

START_TEST(a_reset_is_an_error)
{
    ck_assert_int_eq(write(from.poll.fd, "x", 1), 1);
    close(far[0]); /* with something unread */
    ck_assert_int_eq(splice_fill(pipe_used, &from, UINT64_MAX), -ECONNRESET);
}
END_TEST

START_TEST(a_sink_that_is_gone_is_an_error)
{
    ck_assert_int_eq(write(far[0], "abc", 3), 3);
    ck_assert_int_eq(splice_fill(pipe_used, &from, UINT64_MAX), 3);
    close(far[1]);
    ck_assert_int_eq(splice_drain(pipe_used, &to), -EPIPE);
    ck_assert_uint_eq(pipe_used->length, 3);
}
END_TEST

static size_t fill(int fd)
{
    static const char block[4096];
    size_t total = 0;
    ssize_t put;
    while ((put = write(fd, block, sizeof(block))) > 0)
        total += (size_t)put;
    return total;
}

static size_t empty(int fd)
{
    static char block[65536];
    size_t total = 0;
    ssize_t got;
    while ((got = read(fd, block, sizeof(block))) > 0)
        total += (size_t)got;
    return total;
}

START_TEST(a_sink_that_takes_no_more_says_so_once)
{
    size_t sent = 0, received = 0;
    while (to.poll.ready & NETPOLL_WRITE) {
        sent += fill(far[0]);
        ck_assert_int_gt(splice_fill(pipe_used, &from, UINT64_MAX), 0);
        ssize_t put = splice_drain(pipe_used, &to);
        ck_assert(put > 0 || put == -EAGAIN);
    }
    ck_assert_uint_gt(pipe_used->length, 0);
    ck_assert_int_eq(splice_drain(pipe_used, &to), -EAGAIN);
    received += empty(far[1]);
    ck_assert_int_eq(splice_drain(pipe_used, &to), -EAGAIN); /* no event, no call */
    to.poll.ready |= NETPOLL_WRITE;
    ck_assert_int_gt(splice_drain(pipe_used, &to), 0);
    ck_assert_uint_eq(pipe_used->length, 0);
    received += empty(far[1]);
    ck_assert_uint_eq(received + empty(from.poll.fd), sent);
}
END_TEST

START_TEST(what_cannot_be_spliced_is_told)
{
    struct conn counter;
    conn_init(&counter, eventfd(1, EFD_NONBLOCK), AF_UNSPEC);
    ck_assert_int_eq(splice_fill(pipe_used, &counter, UINT64_MAX), -EINVAL);
    ck_assert_uint_eq(pipe_used->length, 0);
    ck_assert(conn_readable(&counter));
}
END_TEST

UNIT_MAIN_AROUND("splice", set_up, tear_down, bytes_go_through, no_more_is_taken_than_asked_for,
                 what_comes_in_parts_is_read_on, the_end_is_0, a_reset_is_an_error,
                 a_sink_that_is_gone_is_an_error, a_sink_that_takes_no_more_says_so_once,
                 what_cannot_be_spliced_is_told)
