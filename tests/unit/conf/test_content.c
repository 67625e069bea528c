#include "conf/content.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "unit.h"

/* A file of `n` bytes, at its beginning. */
static int file_of(size_t n)
{
    char path[] = "/tmp/weft-content-XXXXXX";
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(unlink(path), 0);
    for (size_t i = 0; i < n; i++)
        unit_assert(write(fd, &(char){(char)('a' + i % 26)}, 1) == 1);
    ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
    return fd;
}

START_TEST(all_of_a_file)
{
    static const size_t sizes[] = {0, 1, 16383, 16384, 16385, 40000};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct content c;
        int fd = file_of(sizes[i]);
        ck_assert_int_eq(content_read(fd, 40000, &c), 0);
        ck_assert_uint_eq(c.size, sizes[i]);
        for (size_t k = 0; k < c.size; k++)
            unit_assert(c.bytes[k] == (char)('a' + k % 26));
        content_free(&c);
        ck_assert_ptr_null(c.bytes);
        close(fd);
    }
}
END_TEST

START_TEST(from_where_it_stands)
{
    struct content c;
    int fd = file_of(30);
    ck_assert_int_eq(lseek(fd, 28, SEEK_SET), 28);
    ck_assert_int_eq(content_read(fd, 100, &c), 0);
    ck_assert_uint_eq(c.size, 2);
    ck_assert_int_eq(memcmp(c.bytes, "cd", 2), 0);
    content_free(&c);
    close(fd);
}
END_TEST

START_TEST(more_than_is_wanted)
{
    struct content c;
    int fd = open("/dev/zero", O_RDONLY);
    ck_assert_int_eq(content_read(fd, 1 << 20, &c), 0);
    ck_assert_uint_gt(c.size, 1 << 20);
    ck_assert_uint_le(c.size, 4 << 20);
    content_free(&c);
    close(fd);
}
END_TEST

START_TEST(nothing_to_read_from)
{
    struct content c;
    int fd = open("/", O_RDONLY | O_DIRECTORY);
    ck_assert_int_eq(content_read(fd, 100, &c), -EISDIR);
    close(fd);
    ck_assert_int_eq(content_read(-1, 100, &c), -EBADF);
}
END_TEST

UNIT_MAIN("content", all_of_a_file, from_where_it_stands, more_than_is_wanted, nothing_to_read_from)
