// The table of storage types: complete, consistent, and closed to values that are none.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "tensor/codec.h"

static const eck_dtype all[] = { ECK_DTYPE_F64,     ECK_DTYPE_F32,         ECK_DTYPE_F16,
                                 ECK_DTYPE_BF16,    ECK_DTYPE_F8_E4M3,     ECK_DTYPE_F8_E5M2,
                                 ECK_DTYPE_I8,      ECK_DTYPE_U8,          ECK_DTYPE_I16,
                                 ECK_DTYPE_U16,     ECK_DTYPE_I32,         ECK_DTYPE_U32,
                                 ECK_DTYPE_I64,     ECK_DTYPE_U64,         ECK_DTYPE_BOOL,
                                 ECK_DTYPE_F4,      ECK_DTYPE_F6_E2M3,     ECK_DTYPE_F6_E3M2,
                                 ECK_DTYPE_F8_E8M0, ECK_DTYPE_F8_E4M3FNUZ, ECK_DTYPE_F8_E5M2FNUZ,
                                 ECK_DTYPE_C64 };
enum { ALL = sizeof all / sizeof all[0] };

static void names_go_both_ways(void **state)
{
    (void)state;
    for (int i = 0; i < ALL; i++) {
        const char *const name = eck_dtype_name(all[i]);
        assert_int_equal(eck_dtype_parse(name), all[i]);
        char lower[32];
        for (size_t j = 0; j <= strlen(name); j++)
            lower[j] = (char)(name[j] >= 'A' && name[j] <= 'Z' ? name[j] + 32 : name[j]);
        assert_int_equal(eck_dtype_parse(lower), all[i]);
    }
    assert_int_equal(eck_dtype_parse("F33"), ECK_DTYPE_NONE);
    assert_int_equal(eck_dtype_parse(""), ECK_DTYPE_NONE);
    assert_int_equal(eck_dtype_parse("?"), ECK_DTYPE_NONE);
    assert_int_equal(eck_dtype_parse("F32 "), ECK_DTYPE_NONE);
    assert_int_equal(eck_dtype_parse(NULL), ECK_DTYPE_NONE);
}

// The digits in a name are its bits; C64 counts both parts, BF16 and BOOL are what they are.
static void bits_follow_the_names(void **state)
{
    (void)state;
    for (int i = 0; i < ALL; i++) {
        const char *const name = eck_dtype_name(all[i]);
        const int digits =
            (int)strtol(strpbrk(name, "0123456789") ? strpbrk(name, "0123456789") : "8", NULL, 10);
        assert_int_equal(eck_dtype_bits(all[i]), digits);
    }
}

static void values_that_are_no_dtype(void **state)
{
    (void)state;
    const int none[] = { -1, 0, 7, 15, 25, 31, 39, 1000 };
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        const eck_dtype dtype = (eck_dtype)none[i];
        int64_t bytes = 77;
        assert_int_equal(eck_dtype_bits(dtype), 0);
        assert_string_equal(eck_dtype_name(dtype), "?");
        assert_false(eck_dtype_is_weight(dtype));
        assert_false(eck_dtype_is_readable(dtype));
        assert_true(eck_dtype_epsilon(dtype) == 0.0);
        assert_false(ecki_dtype_bytes(dtype, 8, &bytes));
        assert_int_equal(bytes, 77);
    }
}

static void classes(void **state)
{
    (void)state;
    for (int i = 0; i < ALL; i++) {
        assert_int_equal(eck_dtype_is_weight(all[i]), all[i] <= ECK_DTYPE_BF16);
        assert_int_equal(eck_dtype_is_readable(all[i]), all[i] < 32);
        assert_int_equal(eck_dtype_epsilon(all[i]) > 0, all[i] <= ECK_DTYPE_F8_E5M2);
    }
}

// Epsilon is the distance from 1 to the next number: 1 + eps comes back, 1 + eps/2 is a tie that
// goes to 1.
static void epsilon_is_the_spacing_at_one(void **state)
{
    (void)state;
    for (eck_dtype dtype = ECK_DTYPE_F64; dtype <= ECK_DTYPE_F8_E5M2; dtype++) {
        const double epsilon = eck_dtype_epsilon(dtype);
        const double in[3] = { 1 + epsilon, 1 + epsilon / 2, 1 + epsilon / 2 + epsilon / 8 };
        unsigned char stored[24];
        double out[3];
        ecki_round_f64(dtype, in, stored, 3);
        ecki_widen_f64(dtype, stored, 1, out, 3);
        assert_true(out[0] == 1 + epsilon);
        assert_true(out[1] == 1);
        if (dtype != ECK_DTYPE_F64) assert_true(out[2] == 1 + epsilon);
    }
}

static void bytes_of_counts(void **state)
{
    (void)state;
    int64_t bytes = 0;
    assert_true(ecki_dtype_bytes(ECK_DTYPE_BF16, 7, &bytes));
    assert_int_equal(bytes, 14);
    assert_true(ecki_dtype_bytes(ECK_DTYPE_F4, 8, &bytes));
    assert_int_equal(bytes, 4);
    assert_true(ecki_dtype_bytes(ECK_DTYPE_F6_E2M3, 4, &bytes));
    assert_int_equal(bytes, 3);
    assert_true(ecki_dtype_bytes(ECK_DTYPE_F64, 0, &bytes));
    assert_int_equal(bytes, 0);
    assert_true(ecki_dtype_bytes(ECK_DTYPE_U8, INT64_MAX, &bytes));
    bytes = 77;
    assert_false(ecki_dtype_bytes(ECK_DTYPE_F4, 7, &bytes));
    assert_false(ecki_dtype_bytes(ECK_DTYPE_F6_E2M3, 2, &bytes));
    assert_false(ecki_dtype_bytes(ECK_DTYPE_F64, INT64_MAX / 8 + 1, &bytes));
    assert_false(ecki_dtype_bytes(ECK_DTYPE_F4, INT64_MAX, &bytes));
    assert_false(ecki_dtype_bytes(ECK_DTYPE_F64, -1, &bytes));
    assert_int_equal(bytes, 77);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_go_both_ways),
        cmocka_unit_test(bits_follow_the_names),
        cmocka_unit_test(values_that_are_no_dtype),
        cmocka_unit_test(classes),
        cmocka_unit_test(epsilon_is_the_spacing_at_one),
        cmocka_unit_test(bytes_of_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
