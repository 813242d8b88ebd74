/** Sizes that do not wrap. Every function returns true when the result fits and is written, and
 * else writes nothing. */
#ifndef ECKI_CHECKED_H
#define ECKI_CHECKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool ecki_mul(int64_t a, int64_t b, int64_t *out)
{
    int64_t result;
    if (__builtin_mul_overflow(a, b, &result)) return false;
    *out = result;
    return true;
}

static inline bool ecki_add(int64_t a, int64_t b, int64_t *out)
{
    int64_t result;
    if (__builtin_add_overflow(a, b, &result)) return false;
    *out = result;
    return true;
}

static inline int64_t ecki_min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline int64_t ecki_max(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/** Product of a shape, each dimension >= 0: the product of the non-zero dimensions must fit too, in
 * any order, so that [0, huge, huge] is refused as [huge, huge, 0] is. */
bool ecki_shape_count(int32_t ndim, const int64_t *shape, int64_t *count_out);

#endif
