#include "io/memory.h"

#include <errno.h>

#include "unit.h"

START_TEST(reads_what_it_was_given_and_then_ends)
{
    struct memory_stream m;
    memory_stream_init(&m, "warp and weft", 13);
    char buf[16] = "";
    ck_assert_int_eq(stream_read(&m.stream, buf, 4), 4);
    ck_assert_str_eq(buf, "warp");
    ck_assert_int_eq(stream_read(&m.stream, buf, sizeof(buf)), 9);
    ck_assert_mem_eq(buf, " and weft", 9);
    ck_assert_int_eq(stream_read(&m.stream, buf, sizeof(buf)), 0);
    stream_close(&m.stream);
}
END_TEST

START_TEST(reads_into_several_parts)
{
    struct memory_stream m;
    memory_stream_init(&m, "abcde", 5);
    char a[2], b[10];
    struct iovec iov[] = {{a, sizeof(a)}, {b, sizeof(b)}};
    ck_assert_int_eq(stream_readv(&m.stream, iov, 2), 5);
    ck_assert_mem_eq(a, "ab", 2);
    ck_assert_mem_eq(b, "cde", 3);
    stream_close(&m.stream);
}
END_TEST

START_TEST(what_is_written_can_be_read)
{
    struct memory_stream m;
    memory_stream_init(&m, "", 0);
    ck_assert_int_eq(stream_write(&m.stream, "thread", 6), 0);
    char buf[6];
    ck_assert_int_eq(stream_read_full(&m.stream, buf, sizeof(buf)), 0);
    ck_assert_mem_eq(buf, "thread", 6);
    ck_assert_int_eq(stream_shutdown(&m.stream), 0);
    stream_close(&m.stream);
}
END_TEST

START_TEST(a_full_read_of_too_little_says_so)
{
    struct memory_stream m;
    memory_stream_init(&m, "abc", 3);
    char buf[4];
    ck_assert_int_eq(stream_read_full(&m.stream, buf, sizeof(buf)), -ENODATA);
    stream_close(&m.stream);
}
END_TEST

UNIT_MAIN("memory", reads_what_it_was_given_and_then_ends, reads_into_several_parts,
          what_is_written_can_be_read, a_full_read_of_too_little_says_so)
