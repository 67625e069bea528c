#include "io/copy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fibers.h"
#include "io/buffers.h"
#include "io/conn.h"
#include "io/file.h"
#include "io/memory.h"
#include "io/pipes.h"
#include "unit.h"

#define BIG (300 * 1000) /* more than one ring node, and no multiple of it */

static char big[BIG];

static void set_up(void)
{
    ck_assert_int_eq(io_buffers_init(), 0);
    for (size_t i = 0; i < sizeof(big); i++)
        big[i] = (char)(i * 31 + i / 251);
}

static void tear_down(void)
{
    struct pool_stats st;
    pool_stats(io_buffers(), &st);
    ck_assert_uint_eq(st.taken, 0);
    io_buffers_free();
}

static uint64_t written(const struct memory_stream *m)
{
    return m->bytes.length;
}

START_TEST(copies_all_from_memory_to_memory)
{
    struct memory_stream from, to;
    memory_stream_init(&from, big, sizeof(big));
    memory_stream_init(&to, "", 0);
    uint64_t n = 0;
    ck_assert_int_eq(io_copy(&to.stream, &from.stream, &n), 0);
    ck_assert_uint_eq(n, sizeof(big));
    ck_assert_uint_eq(written(&to), sizeof(big));
    ck_assert_mem_eq(to.bytes.data, big, sizeof(big));
    stream_close(&from.stream);
    stream_close(&to.stream);
}
END_TEST

START_TEST(copies_between_memory_and_file)
{
    char path[] = "/tmp/weft-test-copy-XXXXXX";
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    close(fd);
    struct memory_stream from, to;
    struct file_stream file;
    memory_stream_init(&from, big, sizeof(big));
    memory_stream_init(&to, "", 0);
    ck_assert_int_eq(file_stream_open(&file, path, O_RDWR), 0);
    ck_assert_int_eq(io_copy(&file.stream, &from.stream, NULL), 0);
    ck_assert_int_eq(lseek(file.fd, 0, SEEK_SET), 0);
    ck_assert_int_eq(io_copy(&to.stream, &file.stream, NULL), 0);
    ck_assert_uint_eq(written(&to), sizeof(big));
    ck_assert_mem_eq(to.bytes.data, big, sizeof(big));
    stream_close(&file.stream);
    stream_close(&from.stream);
    stream_close(&to.stream);
    unlink(path);
}
END_TEST

START_TEST(copies_exactly_so_many)
{
    struct memory_stream from, to;
    memory_stream_init(&from, big, sizeof(big));
    memory_stream_init(&to, "", 0);
    uint64_t n = 0;
    ck_assert_int_eq(io_copy_n(&to.stream, &from.stream, 100 * 1000 + 1, &n), 0);
    ck_assert_uint_eq(n, 100 * 1000 + 1);
    ck_assert_uint_eq(written(&to), 100 * 1000 + 1);
    ck_assert_uint_eq(from.taken, 100 * 1000 + 1);
    ck_assert_int_eq(io_copy_n(&to.stream, &from.stream, BIG, &n), -ENODATA);
    ck_assert_uint_eq(written(&to), sizeof(big));
    stream_close(&from.stream);
    stream_close(&to.stream);
}
END_TEST

START_TEST(a_limited_reader_ends_at_its_limit)
{
    struct memory_stream from;
    struct limited_stream limited;
    memory_stream_init(&from, big, sizeof(big));
    limited_stream_init(&limited, &from.stream, 5);
    char a[3], b[10];
    struct iovec iov[] = {{a, sizeof(a)}, {b, sizeof(b)}};
    size_t total = 0;
    ssize_t got;
    while ((got = stream_readv(&limited.stream, iov, 2)) > 0)
        total += (size_t)got;
    ck_assert_int_eq(got, 0);
    ck_assert_uint_eq(total, 5);
    ck_assert_uint_eq(from.taken, 5);
    stream_close(&from.stream);
}
END_TEST

START_TEST(a_tee_writes_what_it_reads)
{
    struct memory_stream from, side, to;
    struct tee_stream tee;
    memory_stream_init(&from, big, sizeof(big));
    memory_stream_init(&side, "", 0);
    memory_stream_init(&to, "", 0);
    tee_stream_init(&tee, &from.stream, &side.stream);
    ck_assert_int_eq(io_copy(&to.stream, &tee.stream, NULL), 0);
    ck_assert_uint_eq(written(&side), sizeof(big));
    ck_assert_mem_eq(side.bytes.data, big, sizeof(big));
    ck_assert_mem_eq(to.bytes.data, big, sizeof(big));
    stream_close(&from.stream);
    stream_close(&side.stream);
    stream_close(&to.stream);
}
END_TEST

START_TEST(a_sink_that_fails_ends_the_copy)
{
    struct memory_stream from;
    struct file_stream full;
    memory_stream_init(&from, big, sizeof(big));
    ck_assert_int_eq(file_stream_open(&full, "/dev/full", O_WRONLY), 0);
    uint64_t n = 1;
    ck_assert_int_eq(io_copy(&full.stream, &from.stream, &n), -ENOSPC);
    ck_assert_uint_eq(n, 0);
    stream_close(&full.stream);
    stream_close(&from.stream);
}
END_TEST

/*
 *      writer ──> ends[0] ══ ends[1] ──io_copy──> ends[2] ══ ends[3] ──> reader
 */
static struct conn ends[4];

#define BULK       (32 * BIG)
#define BULK_FIRST (20 * BIG + 1) /* what is copied by number */

static void write_bulk(void *arg)
{
    (void)arg;
    for (int i = 0; i < BULK / BIG; i++)
        ck_assert_int_eq(stream_write(&ends[0].stream, big, BIG), 0);
    ck_assert_int_eq(stream_shutdown(&ends[0].stream), 0);
}

static void read_bulk(void *arg)
{
    (void)arg;
    static char got[BIG];
    for (int i = 0; i < BULK / BIG; i++) {
        ck_assert_int_eq(stream_read_full(&ends[3].stream, got, BIG), 0);
        ck_assert_mem_eq(got, big, BIG);
    }
    ck_assert_int_eq(stream_read(&ends[3].stream, got, 1), 0);
}

static void copy_bulk(void *arg)
{
    const struct pipes_stats *expected = arg;
    for (int i = 0; i < 4; i += 2) {
        int pair[2];
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
        conn_init(&ends[i], pair[0], AF_UNIX);
        conn_init(&ends[i + 1], pair[1], AF_UNIX);
    }
    pipes_set_budget(expected->budget);
    ck_assert_ptr_nonnull(fiber_spawn("writer", write_bulk, NULL, false));
    struct fiber *reader = fiber_spawn("reader", read_bulk, NULL, true);
    uint64_t n = 0;
    ck_assert_int_eq(io_copy_n(&ends[2].stream, &ends[1].stream, BULK_FIRST, &n), 0);
    ck_assert_uint_eq(n, BULK_FIRST);
    ck_assert_int_eq(io_copy(&ends[2].stream, &ends[1].stream, &n), 0);
    ck_assert_uint_eq(n, BULK - BULK_FIRST);
    ck_assert_int_eq(stream_shutdown(&ends[2].stream), 0);
    ck_assert_int_eq(fiber_join(reader), 0);
    struct pipes_stats st;
    pipes_stats(&st);
    ck_assert_uint_eq(st.open, expected->open);
    ck_assert_uint_eq(st.free, expected->free);
    pipes_flush();
    for (int i = 0; i < 4; i++)
        stream_close(&ends[i].stream);
}

START_TEST(bulk_between_connections_goes_by_pipe)
{
    in_fiber(copy_bulk, &(struct pipes_stats){.budget = 1, .open = 1, .free = 1});
}
END_TEST

START_TEST(bulk_between_connections_goes_on_without_a_pipe)
{
    in_fiber(copy_bulk, &(struct pipes_stats){.budget = 0});
}
END_TEST

UNIT_MAIN_AROUND("copy", set_up, tear_down, copies_all_from_memory_to_memory,
                 copies_between_memory_and_file, copies_exactly_so_many,
                 a_limited_reader_ends_at_its_limit, a_tee_writes_what_it_reads,
                 a_sink_that_fails_ends_the_copy, bulk_between_connections_goes_by_pipe,
                 bulk_between_connections_goes_on_without_a_pipe)
