#include "io/reader.h"

#include <errno.h>
#include <string.h>

#include "io/memory.h"
#include "unit.h"

static struct memory_stream source;
static struct reader reader;

static void begin(const char *bytes, size_t capacity)
{
    memory_stream_init(&source, bytes, strlen(bytes));
    ck_assert_int_eq(reader_init(&reader, &source.stream, capacity), 0);
}

static void end(void)
{
    reader_free(&reader);
    stream_close(&source.stream);
}

START_TEST(looking_takes_nothing)
{
    begin("header rest", 64);
    const char *at;
    ck_assert_int_ge(reader_peek(&reader, 6, &at), 6);
    ck_assert_mem_eq(at, "header", 6);
    char buf[6];
    ck_assert_int_eq(stream_read_full(&reader.stream, buf, 6), 0);
    ck_assert_mem_eq(buf, "header", 6);
    reader_skip(&reader, 1);
    ck_assert_int_eq(stream_read_full(&reader.stream, buf, 4), 0);
    ck_assert_mem_eq(buf, "rest", 4);
    end();
}
END_TEST

START_TEST(a_look_past_the_end_shows_what_there_is)
{
    begin("abc", 64);
    const char *at;
    ck_assert_int_eq(reader_peek(&reader, 10, &at), 3);
    ck_assert_int_eq(reader_peek(&reader, 65, &at), -ENOBUFS);
    end();
}
END_TEST

START_TEST(lines_come_one_by_one)
{
    begin("one\ntwo\n\nlast", 8);
    const char *at;
    ck_assert_int_eq(reader_until(&reader, '\n', &at), 4);
    ck_assert_mem_eq(at, "one\n", 4);
    ck_assert_int_eq(reader_until(&reader, '\n', &at), 4);
    ck_assert_mem_eq(at, "two\n", 4);
    ck_assert_int_eq(reader_until(&reader, '\n', &at), 1);
    ck_assert_int_eq(reader_until(&reader, '\n', &at), -ENODATA);
    char buf[8];
    ck_assert_int_eq(stream_read(&reader.stream, buf, sizeof(buf)), 4);
    ck_assert_mem_eq(buf, "last", 4);
    ck_assert_int_eq(reader_until(&reader, '\n', &at), 0);
    end();
}
END_TEST

START_TEST(a_line_over_the_capacity_is_refused)
{
    begin("0123456789\n", 8);
    const char *at;
    ck_assert_int_eq(reader_until(&reader, '\n', &at), -ENOBUFS);
    end();
}
END_TEST

UNIT_MAIN("reader", looking_takes_nothing, a_look_past_the_end_shows_what_there_is,
          lines_come_one_by_one, a_line_over_the_capacity_is_refused)
