#include "upstream/table.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>

#include "alloc.h"
#include "unit.h"

static struct table table;

static void fill(uint16_t value, size_t length)
{
    static uint16_t entries[1000];
    unit_assert(length <= array_size(entries));
    for (size_t i = 0; i < length; i++)
        entries[i] = value;
    unit_assert(table_set(&table, entries, length) == 0);
}

static void expect(uint16_t value, size_t length)
{
    const struct table_page *p = table_current(&table);
    unit_assert(table_length(p) == length);
    for (size_t i = 0; i < length; i++)
        unit_assert(table_at(p, i) == value);
}

START_TEST(the_last_set_is_read)
{
    long before = alloc_live;
    table_init(&table);
    for (uint16_t i = 0; i < 100; i++) {
        fill(i, 1 + i * 37 % 500);
        expect(i, 1 + i * 37 % 500);
    }
    fill(7, 0);
    expect(7, 0);
    table_free(&table);
    unit_assert(alloc_live == before);
}
END_TEST

START_TEST(tables_of_one_length_need_two_pages)
{
    long before = alloc_live;
    table_init(&table);
    for (uint16_t i = 0; i < 1000; i++)
        fill(i, 100);
    unit_assert(alloc_live == before + 2);
    table_free(&table);
}
END_TEST

START_TEST(outgrown_pages_take_no_more_than_the_last_one)
{
    table_init(&table);
    for (size_t length = 1; length <= 1000; length++)
        fill(1, length);
    size_t outgrown = 0;
    for (const struct table_page *p = table.pages->next; p != NULL; p = p->next)
        outgrown += p->capacity;
    ck_assert_uint_lt(table.pages->capacity, 4000);
    ck_assert_uint_le(outgrown, table.pages->capacity);
    table_free(&table);
}
END_TEST

START_TEST(without_memory_the_old_one_stays)
{
    table_init(&table);
    alloc_limit(0);
    unit_assert(table_set(&table, (uint16_t[]){1}, 1) == -ENOMEM);
    alloc_limit(-1);
    fill(3, 10);
    alloc_limit(0);
    unit_assert(table_set(&table, (uint16_t[]){1}, 1) == -ENOMEM);
    alloc_limit(-1);
    expect(3, 10);
    table_free(&table);
}
END_TEST

/* Numbers below 8 are put in; a reader may see old and new ones mixed, but no others. */
static atomic_bool over;

static void *read_all(void *arg)
{
    (void)arg;
    bool fine = true;
    while (!atomic_load(&over)) {
        const struct table_page *p = table_current(&table);
        size_t length = table_length(p);
        for (size_t i = 0; i < length; i++)
            fine = fine && table_at(p, i) < 8;
    }
    return fine ? &table : NULL;
}

START_TEST(readers_are_not_disturbed)
{
    table_init(&table);
    fill(0, 1);
    pthread_t reader;
    ck_assert_int_eq(pthread_create(&reader, NULL, read_all, NULL), 0);
    for (unsigned i = 0; i < UNIT_WORK(32000); i++)
        fill((uint16_t)(i % 8), 1 + i * 7 % 900);
    atomic_store(&over, true);
    void *fine;
    pthread_join(reader, &fine);
    ck_assert_ptr_nonnull(fine);
    table_free(&table);
}
END_TEST

UNIT_MAIN("table", the_last_set_is_read, tables_of_one_length_need_two_pages,
          outgrown_pages_take_no_more_than_the_last_one, without_memory_the_old_one_stays,
          readers_are_not_disturbed)
