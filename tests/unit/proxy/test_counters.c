#include "proxy/counters.h"

#include <pthread.h>
#include <stdlib.h>

#include "unit.h"

#define SHARDS 4
#define ROUNDS UNIT_WORK(1600000)

static void *count(void *arg)
{
    struct counters *mine = arg;
    for (int i = 0; i < ROUNDS; i++) {
        counters_add(&mine->connections, 1);
        counters_add(&mine->received, 2);
        counters_add(&mine->sent, 3);
    }
    return NULL;
}

START_TEST(each_shard_counts_for_itself)
{
    pthread_t threads[SHARDS];
    struct counters *blocks = counters_new(SHARDS);
    ck_assert_ptr_nonnull(blocks);
    struct counters_sum sum, before = {0};
    for (int i = 0; i < SHARDS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, count, &blocks[i]), 0);
    for (int looks = 0; looks < 1000; looks++) {
        counters_sum(blocks, SHARDS, &sum);
        ck_assert_uint_ge(sum.connections, before.connections);
        before = sum;
    }
    for (int i = 0; i < SHARDS; i++)
        pthread_join(threads[i], NULL);
    counters_sum(blocks, SHARDS, &sum);
    ck_assert_uint_eq(sum.connections, (uint64_t)SHARDS * ROUNDS);
    ck_assert_uint_eq(sum.received, (uint64_t)SHARDS * ROUNDS * 2);
    ck_assert_uint_eq(sum.sent, (uint64_t)SHARDS * ROUNDS * 3);
    free(blocks);
}
END_TEST

START_TEST(no_two_shards_share_a_cache_line)
{
    ck_assert_uint_eq(sizeof(struct counters) % WEFT_CACHE_LINE, 0);
    struct counters *blocks = counters_new(3);
    ck_assert_uint_eq((uintptr_t)blocks % WEFT_CACHE_LINE, 0);
    free(blocks);
}
END_TEST

UNIT_MAIN("counters", each_shard_counts_for_itself, no_two_shards_share_a_cache_line)
