#include "io/copy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/buffers.h"
#include "io/file.h"
#include "io/memory.h"
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

UNIT_MAIN_AROUND("copy", set_up, tear_down, copies_all_from_memory_to_memory,
                 copies_between_memory_and_file, copies_exactly_so_many,
                 a_limited_reader_ends_at_its_limit, a_tee_writes_what_it_reads,
                 a_sink_that_fails_ends_the_copy)
