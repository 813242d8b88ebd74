// The product of a shape must not depend on the order of its dimensions, neither its value nor
// whether it fits.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/checked.h"

static void counts(void **state)
{
    (void)state;
    const int64_t shape[] = { 3, 5, 7, 11 };
    int64_t count = -1;
    assert_true(ecki_shape_count(4, shape, &count));
    assert_int_equal(count, 1155);
    assert_true(ecki_shape_count(0, NULL, &count));
    assert_int_equal(count, 1);
    const int64_t most[] = { INT64_MAX, 1 };
    assert_true(ecki_shape_count(2, most, &count));
    assert_true(count == INT64_MAX);
}

static void refuses_what_does_not_fit(void **state)
{
    (void)state;
    const int64_t big = INT64_C(1) << 32;
    const int64_t refused[][3] = { { big, big, 1 }, { 0, big, big },     { big, 0, big },
                                   { big, big, 0 }, { -1, 2, 3 },        { 2, -1, 0 },
                                   { 0, 0, -1 },    { INT64_MIN, 1, 1 }, { INT64_MAX, 2, 1 } };
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        int64_t count = 77;
        assert_false(ecki_shape_count(3, refused[i], &count));
        assert_int_equal(count, 77);
    }
    int64_t count = 77;
    assert_false(ecki_shape_count(-1, refused[0], &count));
    assert_int_equal(count, 77);
}

static void empty_shapes(void **state)
{
    (void)state;
    const int64_t shape[] = { INT64_C(1) << 40, 0, INT64_C(1) << 20 };
    int64_t count = -1;
    assert_true(ecki_shape_count(3, shape, &count));
    assert_int_equal(count, 0);
}

static void products_and_sums(void **state)
{
    (void)state;
    int64_t out = 5;
    assert_true(
        ecki_mul(INT64_C(3037000499), INT64_C(3037000499), &out)); // floor of the root of 2^63
    assert_true(out == INT64_C(9223372030926249001));
    assert_false(ecki_mul(INT64_C(3037000500), INT64_C(3037000500), &out));
    assert_true(ecki_add(INT64_MAX - 1, 1, &out));
    assert_true(out == INT64_MAX);
    assert_false(ecki_add(INT64_MAX, 1, &out));
    assert_false(ecki_mul(INT64_MIN, -1, &out));
    assert_true(out == INT64_MAX); // what does not fit is not written
    assert_int_equal(ecki_min(-3, 2), -3);
    assert_int_equal(ecki_max(-3, 2), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts),
        cmocka_unit_test(refuses_what_does_not_fit),
        cmocka_unit_test(empty_shapes),
        cmocka_unit_test(products_and_sums),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
