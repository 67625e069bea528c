#include "io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "unit.h"

static char path[64];

static void make_path(void)
{
    snprintf(path, sizeof(path), "/tmp/weft-test-file-XXXXXX");
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    close(fd);
}

static void remove_path(void)
{
    unlink(path);
}

START_TEST(what_is_written_is_in_the_file)
{
    struct file_stream f;
    ck_assert_int_eq(file_stream_open(&f, path, O_WRONLY | O_TRUNC), 0);
    ck_assert_int_eq(stream_write(&f.stream, "selvage", 7), 0);
    stream_close(&f.stream);
    stream_close(&f.stream); /* once more is harmless */

    char buf[16];
    ck_assert_int_eq(file_stream_open(&f, path, O_RDONLY), 0);
    ck_assert_int_eq(stream_read(&f.stream, buf, sizeof(buf)), 7);
    ck_assert_mem_eq(buf, "selvage", 7);
    ck_assert_int_eq(stream_read(&f.stream, buf, sizeof(buf)), 0);
    ck_assert_int_eq(stream_write(&f.stream, "x", 1), -EBADF);
    stream_close(&f.stream);
}
END_TEST

START_TEST(a_missing_file_is_an_error)
{
    struct file_stream f;
    ck_assert_int_eq(file_stream_open(&f, "/nonexistent/weft", O_RDONLY), -ENOENT);
}
END_TEST

UNIT_MAIN_AROUND("file", make_path, remove_path, what_is_written_is_in_the_file,
                 a_missing_file_is_an_error)
