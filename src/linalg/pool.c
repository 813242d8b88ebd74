// Buffers handed to tasks. Always true: a buffer whose flag is set belongs to one running task.
#include "linalg/pool.h"

#include <assert.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"

eck_status ecki_pool_init(ecki_pool *pool, int64_t each, int32_t count, eck_error *err)
{
    memset(pool, 0, sizeof *pool);
    assert(count >= 1 && count <= ECKI_POOL_MAX);
    int64_t total = 0;
    if (!ecki_mul(each, count, &total)) return ecki_error_memory(err, INT64_MAX);
    pool->base = ecki_malloc(total, sizeof *pool->base);
    if (!pool->base) return ecki_error_memory(err, ecki_bytes_of(total, sizeof *pool->base));
    pool->each = each;
    pool->count = count;
    return ECK_OK;
}

void ecki_pool_lend(ecki_pool *pool, double *base, int64_t each, int32_t count)
{
    memset(pool, 0, sizeof *pool);
    assert(count >= 1 && count <= ECKI_POOL_MAX);
    pool->base = base;
    pool->each = each;
    pool->count = count;
}

void ecki_pool_clear(ecki_pool *pool)
{
    ecki_free(pool->base);
    pool->base = NULL;
}

double *ecki_pool_take(ecki_pool *pool)
{
    for (int32_t i = 0;; i = (i + 1) % pool->count)
        if (!atomic_exchange(&pool->taken[i], true)) return pool->base + i * pool->each;
}

void ecki_pool_give(ecki_pool *pool, const double *buffer)
{
    const int64_t i = pool->each > 0 ? (buffer - pool->base) / pool->each : 0;
    atomic_store(&pool->taken[i], false);
}
