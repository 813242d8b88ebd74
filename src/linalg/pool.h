/**
 * One F64 buffer for each thread of an ecki_parallel_for: taken at the start of a task, given back
 * at its end.
 */
#ifndef ECKI_POOL_H
#define ECKI_POOL_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/error.h"

enum { ECKI_POOL_MAX = 1024 };

/** `count` buffers of `each` numbers; at most `count` tasks may hold one at a time. */
typedef struct ecki_pool {
    double *base;
    int64_t each;
    int32_t count;
    atomic_bool taken[ECKI_POOL_MAX];
} ecki_pool;

eck_status ecki_pool_init(ecki_pool *pool, int64_t each, int32_t count, eck_error *err);
/** The same of memory that is lent, [count * each]: nothing to clear. */
void ecki_pool_lend(ecki_pool *pool, double *base, int64_t each, int32_t count);
void ecki_pool_clear(ecki_pool *pool);
double *ecki_pool_take(ecki_pool *pool);
void ecki_pool_give(ecki_pool *pool, const double *buffer);

#endif
