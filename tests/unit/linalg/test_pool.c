// No buffer is with two tasks at once, and all come back.
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/parallel.h"
#include "linalg/pool.h"

typedef struct shared {
    ecki_pool pool;
    atomic_int wrong;
} shared;

static eck_status task(void *self, int64_t index, eck_error *err)
{
    shared *const s = self;
    (void)err;
    double *const buffer = ecki_pool_take(&s->pool);
    for (int64_t i = 0; i < s->pool.each; i++)
        buffer[i] = (double)index;
    for (int64_t i = 0; i < s->pool.each; i++)
        if (buffer[i] != (double)index) atomic_fetch_add(&s->wrong, 1);
    ecki_pool_give(&s->pool, buffer);
    return ECK_OK;
}

static void buffers_are_private(void **state)
{
    (void)state;
    static shared s;
    eck_error err = ECK_ERROR_INIT;
    for (int32_t threads = 1; threads <= 4; threads++) {
        expect_ok(ecki_pool_init(&s.pool, 100, threads, &err), &err);
        expect_ok(ecki_parallel_for(500, threads, task, &s, &err), &err);
        assert_int_equal(s.wrong, 0);
        for (int32_t i = 0; i < threads; i++)
            assert_false(s.pool.taken[i]);
        ecki_pool_clear(&s.pool);
    }
    assert_int_equal(ecki_pool_init(&s.pool, INT64_MAX / 2, 3, &err), ECK_E_NOMEM);
    ecki_pool_clear(&s.pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(buffers_are_private) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
