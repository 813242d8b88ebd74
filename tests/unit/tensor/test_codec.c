// Widening and rounding against their definitions, for every bit pattern of the small types and
// every border between two of their numbers. The definition of rounding: with q the spacing of the
// type's numbers at |x|, round(x) is q times the integer nearest to x / q, even in a tie; all of it
// exact in F64.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/codec.h"

// A floating type: bits after the point, exponents of the least and the largest normal number.
typedef struct shape {
    eck_dtype dtype;
    int bytes, fraction, least, largest;
    bool has_infinity;
} shape;

static const shape shapes[] = {
    { ECK_DTYPE_F16, 2, 10, -14, 15, true },
    { ECK_DTYPE_BF16, 2, 7, -126, 127, true },
    { ECK_DTYPE_F8_E4M3, 1, 3, -6, 8, false },
    { ECK_DTYPE_F8_E5M2, 1, 2, -14, 15, true },
};
enum { SHAPES = sizeof shapes / sizeof shapes[0] };

// The number of a bit pattern by definition.
static double value_of(const shape *type, uint32_t bits)
{
    const int width = 8 * type->bytes;
    const int fraction = (int)(bits & ((1u << type->fraction) - 1));
    const int exponent = (int)(bits >> type->fraction & ((1u << (width - 1 - type->fraction)) - 1));
    const double sign = bits >> (width - 1) ? -1.0 : 1.0;
    const int top = (1 << (width - 1 - type->fraction)) - 1;
    if (type->has_infinity && exponent == top)
        return fraction ? copysign(NAN, sign) : sign * INFINITY;
    if (!type->has_infinity && (bits & 0x7f) == 0x7f) return copysign(NAN, sign);
    if (exponent == 0) return sign * ldexp(fraction, type->least - type->fraction);
    return sign *
           ldexp(fraction + (1 << type->fraction), exponent - 1 + type->least - type->fraction);
}

// The largest finite number of a type.
static double largest_of(const shape *type)
{
    const uint32_t infinity = (1u << (8 * type->bytes - 1)) - (1u << type->fraction);
    return value_of(type, type->has_infinity ? infinity - 1 : 0x7e);
}

// Rounding by definition.
static double rounded(const shape *type, double x)
{
    if (isnan(x) || x == 0) return x;
    const int exponent = fabs(x) < ldexp(1, type->least) ? type->least : ilogb(x);
    const double result =
        isinf(x) ? x
                 : ldexp(nearbyint(ldexp(x, type->fraction - exponent)), exponent - type->fraction);
    if (fabs(result) <= largest_of(type)) return result;
    return copysign(type->has_infinity ? INFINITY : NAN, x);
}

static bool same(double a, double b)
{
    return signbit(a) == signbit(b) && (isnan(a) ? isnan(b) : a == b);
}

// Rounds x and reads it back.
static double through(eck_dtype dtype, double x)
{
    unsigned char stored[8];
    double out;
    ecki_round_f64(dtype, &x, stored, 1);
    ecki_widen_f64(dtype, stored, 1, &out, 1);
    return out;
}

static void every_pattern_is_widened(void **state)
{
    (void)state;
    for (int t = 0; t < SHAPES; t++) {
        const shape *const type = &shapes[t];
        for (uint32_t bits = 0; bits < 1u << (8 * type->bytes); bits++) {
            double wide;
            float narrow;
            ecki_widen_f64(type->dtype, &bits, 1, &wide, 1);
            ecki_widen_f32(type->dtype, &bits, 1, &narrow, 1);
            const double wanted = value_of(type, bits);
            if (!same(wide, wanted) || !same(narrow, wanted))
                fail_msg("%s 0x%x", eck_dtype_name(type->dtype), bits);
        }
    }
}

// Checks x and -x.
static void check_rounding(const shape *type, double x)
{
    for (int i = 0; i < 2; i++, x = -x) {
        const double wanted = rounded(type, x);
        if (!same(through(type->dtype, x), wanted))
            fail_msg("%s of %a", eck_dtype_name(type->dtype), x);
        const float single = (float)x;
        unsigned char stored[8];
        double out;
        ecki_round_f32(type->dtype, &single, stored, 1);
        ecki_widen_f64(type->dtype, stored, 1, &out, 1);
        if (!same(out, rounded(type, single)))
            fail_msg("%s of single %a", eck_dtype_name(type->dtype), (double)single);
    }
}

static void every_border_is_rounded(void **state)
{
    (void)state;
    for (int t = 0; t < SHAPES; t++) {
        const shape *const type = &shapes[t];
        for (uint32_t bits = 0; bits < 1u << (8 * type->bytes - 1); bits++) {
            const double low = value_of(type, bits);
            if (!isfinite(low)) continue;
            const double high = low == largest_of(type) ? 2 * low - value_of(type, bits - 1)
                                                        : value_of(type, bits + 1);
            const double middle = (low + high) / 2;
            const double points[] = { low,
                                      high,
                                      middle,
                                      nextafter(middle, 0),
                                      nextafter(middle, INFINITY),
                                      nextafter(low, 0),
                                      nextafter(low, INFINITY),
                                      middle * (1 + 0x1p-30),
                                      middle * (1 - 0x1p-30),
                                      middle * 1.1 };
            for (size_t i = 0; i < sizeof points / sizeof points[0]; i++)
                check_rounding(type, points[i]);
        }
    }
}

static void extremes_are_rounded(void **state)
{
    (void)state;
    const double points[] = { 0.0,
                              INFINITY,
                              NAN,
                              0x1p-1074,
                              0x1p-150,
                              0x1.8p-150,
                              0x1p-149,
                              0x1.fffffffffffffp1023,
                              0x1p128,
                              0x1.fffffefffffffp127,
                              0x1.ffffffp127,
                              3.0e38,
                              1e-40,
                              448,
                              464,
                              nextafter(464, 500),
                              465,
                              480 };
    for (int t = 0; t < SHAPES; t++)
        for (size_t i = 0; i < sizeof points / sizeof points[0]; i++)
            check_rounding(&shapes[t], points[i]);
}

static void random_doubles_are_rounded(void **state)
{
    (void)state;
    uint64_t seed = 88172645463325252u; // xorshift, any start but 0
    for (int i = 0; i < 200000; i++) {
        seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
        const shape *const type = &shapes[i % SHAPES];
        const int exponent =
            type->least - type->fraction - 3 +
            (int)(seed % 1000) % (type->largest - type->least + type->fraction + 6);
        check_rounding(type, ldexp(1 + (double)(seed >> 12) * 0x1p-52, exponent));
    }
}

static void nan_is_quieted_and_keeps_its_top_bits(void **state)
{
    (void)state;
    for (uint32_t payload = 1; payload < 1024; payload++) {
        const uint16_t half = (uint16_t)(0xfc00 | payload);
        uint16_t back;
        double wide;
        ecki_widen_f64(ECK_DTYPE_F16, &half, 1, &wide, 1);
        ecki_round_f64(ECK_DTYPE_F16, &wide, &back, 1);
        assert_int_equal(back, half | 0x200);
        const uint16_t brain = (uint16_t)(0x7f80 | (payload & 0x7f) | !(payload & 0x7f));
        ecki_widen_f64(ECK_DTYPE_BF16, &brain, 1, &wide, 1);
        ecki_round_f64(ECK_DTYPE_BF16, &wide, &back, 1);
        assert_int_equal(back, brain | 0x40);
    }
}

// Widens `count` elements at once, then one by one.
static void check_widening(eck_dtype dtype, const unsigned char *first, int64_t stride,
                           int64_t count)
{
    const int64_t size = eck_dtype_bits(dtype) / 8;
    double *const at_once = malloc((size_t)(count + 1) * sizeof *at_once);
    at_once[count] = 77;
    ecki_widen_f64(dtype, first, stride, at_once, count);
    for (int64_t i = 0; i < count; i++) {
        double alone;
        ecki_widen_f64(dtype, first + i * stride * size, 1, &alone, 1);
        assert_true(same(at_once[i], alone));
    }
    assert_true(at_once[count] == 77);
    free(at_once);
}

// Counts around the blocks and the vectors, at every alignment, with strides of both signs.
static void counts_strides_and_alignments(void **state)
{
    (void)state;
    enum { MOST = 1100, STEPS = 3, ROOM = MOST * STEPS * 8 + 16 };
    const eck_dtype types[] = { ECK_DTYPE_F64,     ECK_DTYPE_F32, ECK_DTYPE_F16, ECK_DTYPE_BF16,
                                ECK_DTYPE_F8_E4M3, ECK_DTYPE_I16, ECK_DTYPE_U64 };
    const int64_t counts[] = { 0, 1, 3, 7, 8, 17, 255, 256, 511, 512, 513, 1025, MOST };
    const int kinds = sizeof types / sizeof types[0];
    const int lengths = sizeof counts / sizeof counts[0];
    static unsigned char bytes[ROOM];
    for (int i = 0; i < ROOM; i++)
        bytes[i] = (unsigned char)(i * 131 + 7 + i / 251);
    for (int n = 0; n < kinds * lengths * (2 * STEPS + 1); n++) {
        const eck_dtype dtype = types[n % kinds];
        const int64_t count = counts[n / kinds % lengths];
        const int64_t stride = n / kinds / lengths - STEPS;
        const int64_t last = stride < 0 ? -stride * MOST * eck_dtype_bits(dtype) / 8 : 0;
        check_widening(dtype, bytes + n % 8 + last, stride, count);
    }
}

static void rounding_many_is_rounding_each(void **state)
{
    (void)state;
    enum { COUNT = 1100 };
    double in[COUNT];
    unsigned char at_once[COUNT * 8 + 1];
    for (int i = 0; i < COUNT; i++)
        in[i] = ldexp(1 + i * 0.37, i % 40 - 25) * (i % 2 ? -1 : 1);
    for (eck_dtype dtype = ECK_DTYPE_F64; dtype <= ECK_DTYPE_F8_E5M2; dtype++) {
        const size_t size = (size_t)eck_dtype_bits(dtype) / 8;
        memset(at_once, 0x5a, sizeof at_once);
        ecki_round_f64(dtype, in, at_once, COUNT);
        for (size_t i = 0; i < COUNT; i++) {
            unsigned char alone[8];
            ecki_round_f64(dtype, &in[i], alone, 1);
            assert_memory_equal(at_once + i * size, alone, size);
        }
        assert_int_equal(at_once[COUNT * size], 0x5a);
    }
}

// Nothing may be nowhere: the sanitizer watches.
static void nothing_at_all(void **state)
{
    (void)state;
    for (eck_dtype dtype = ECK_DTYPE_F64; dtype <= ECK_DTYPE_F8_E5M2; dtype++) {
        ecki_widen_f64(dtype, NULL, 1, NULL, 0);
        ecki_widen_f32(dtype, NULL, 2, NULL, 0);
        ecki_widen_odd(dtype, NULL, -1, NULL, 0);
        ecki_round_f64(dtype, NULL, NULL, 0);
        ecki_round_f32(dtype, NULL, NULL, 0);
    }
    assert_true(ecki_first_nonfinite(NULL, 0) == -1);
}

static void integers_and_bool(void **state)
{
    (void)state;
    const int64_t longs[] = {
        INT64_MIN, -1, 0, INT64_MAX, (INT64_C(1) << 53) + 1, (INT64_C(1) << 53) + 3
    };
    const double doubles[] = { -0x1p63, -1, 0, 0x1p63, 0x1p53, 0x1p53 + 4 };
    const uint64_t most = UINT64_MAX;
    const uint32_t words[] = { 0, 1, UINT32_MAX, 16777217, 16777219 };
    const uint8_t truths[] = { 0, 1, 2, 255 };
    double wide[6];
    float narrow[6];
    ecki_widen_f64(ECK_DTYPE_I64, longs, 1, wide, 6);
    for (int i = 0; i < 6; i++)
        assert_true(wide[i] == doubles[i]);
    ecki_widen_f64(ECK_DTYPE_U64, &most, 1, wide, 1);
    assert_true(wide[0] == 0x1p64);
    ecki_widen_f32(ECK_DTYPE_U32, words, 1, narrow, 5);
    assert_true(narrow[2] == 0x1p32f && narrow[3] == 16777216.0f && narrow[4] == 16777220.0f);
    ecki_widen_f32(ECK_DTYPE_BOOL, truths, 1, narrow, 4);
    assert_true(narrow[0] == 0 && narrow[1] == 1 && narrow[2] == 1 && narrow[3] == 1);
}

// 2^62 + 2^38 lies in the middle between two numbers of F32; F64 loses the one more that decides.
static void long_integers_are_rounded_once(void **state)
{
    (void)state;
    const int64_t middle = (INT64_C(1) << 62) + (INT64_C(1) << 38);
    const int64_t in[] = { middle - 1, middle, middle + 1, -middle - 1 };
    float out[4];
    ecki_widen_f32(ECK_DTYPE_I64, in, 1, out, 4);
    assert_true(out[0] == 0x1p62f && out[1] == 0x1p62f);
    assert_true(out[2] == 0x1p62f + 0x1p39f && out[3] == -out[2]);
    uint16_t brain[4];
    const int64_t coarse = (INT64_C(1) << 62) + (INT64_C(1) << 54);
    const int64_t brains[] = { coarse - 1, coarse, coarse + 1, -coarse - 1 };
    ecki_widen_odd(ECK_DTYPE_I64, brains, 1, out, 4);
    ecki_round_f32(ECK_DTYPE_BF16, out, brain, 4);
    assert_int_equal(brain[0], brain[1]);
    assert_int_equal(brain[2], brain[1] + 1);
    assert_int_equal(brain[3], brain[2] | 0x8000);
}

static void nonfinite_is_found(void **state)
{
    (void)state;
    enum { COUNT = 1300 };
    double x[COUNT];
    for (int i = 0; i < COUNT; i++)
        x[i] = i % 3 ? 1.7e308 : -0x1p-1074; // sums overflow, numbers are fine
    assert_true(ecki_first_nonfinite(x, COUNT) == -1);
    assert_true(ecki_first_nonfinite(x, 0) == -1);
    const double bad[] = { NAN, -NAN, INFINITY, -INFINITY };
    const int places[] = { 0, 1, 511, 512, 513, 1024, COUNT - 1 };
    for (size_t p = 0; p < sizeof places / sizeof places[0]; p++) {
        const double kept = x[places[p]];
        x[places[p]] = bad[p % 4];
        x[COUNT - 1] = NAN;
        assert_true(ecki_first_nonfinite(x, COUNT) == places[p]);
        assert_true(ecki_first_nonfinite(x, places[p]) == -1);
        x[COUNT - 1] = 1;
        x[places[p]] = kept;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pattern_is_widened),
        cmocka_unit_test(every_border_is_rounded),
        cmocka_unit_test(extremes_are_rounded),
        cmocka_unit_test(random_doubles_are_rounded),
        cmocka_unit_test(nan_is_quieted_and_keeps_its_top_bits),
        cmocka_unit_test(counts_strides_and_alignments),
        cmocka_unit_test(rounding_many_is_rounding_each),
        cmocka_unit_test(integers_and_bool),
        cmocka_unit_test(nothing_at_all),
        cmocka_unit_test(long_integers_are_rounded_once),
        cmocka_unit_test(nonfinite_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
