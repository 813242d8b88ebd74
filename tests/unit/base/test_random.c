// The known answers of Random123 for philox4x32-10, how our indices map to its counters, and that
// the numbers are what they claim to be: each test of a distribution fails by chance once in 10^9
// (six standard deviations), with fixed seeds.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>

#include <Random123/philox.h>

#include "base/random.h"

static void known_answers(void **state)
{
    (void)state;
    const uint32_t vectors[3][10] = {
        { 0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 },
        { 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0x408f276d,
          0x41c83b0e, 0xa20bc7c6, 0x6d5451fd },
        { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09,
          0x94fdcceb, 0x5001e420, 0x24126ea1 },
    };
    for (int i = 0; i < 3; i++) {
        const uint32_t *const v = vectors[i];
        const philox4x32_ctr_t counter = { { v[0], v[1], v[2], v[3] } };
        const philox4x32_key_t key = { { v[4], v[5] } };
        const philox4x32_ctr_t r = philox4x32(counter, key);
        for (int j = 0; j < 4; j++)
            assert_true(r.v[j] == v[6 + j]);
    }
    assert_true(ecki_random_bits(0, 0, 0) == UINT64_C(0xe169c58d6627e8d5));
    assert_true(ecki_random_bits(0, 0, 1) == UINT64_C(0x9b00dbd8bc57ac4c));
}

static void indices_are_counters(void **state)
{
    (void)state;
    const uint64_t seed = UINT64_C(0x299f31d0a4093822);
    const uint64_t stream = UINT64_C(0x0370734413198a2e);
    const uint64_t block = UINT64_C(0x05a308d3243f6a88);
    const philox4x32_ctr_t counter = { { 0x243f6a88, 0x05a308d3, 0x13198a2e, 0x03707344 } };
    const philox4x32_key_t key = { { 0xa4093822, 0x299f31d0 } };
    const philox4x32_ctr_t r = philox4x32(counter, key);
    assert_true(ecki_random_bits(seed, stream, 2 * block) == (r.v[0] | (uint64_t)r.v[1] << 32));
    assert_true(ecki_random_bits(seed, stream, 2 * block + 1) == (r.v[2] | (uint64_t)r.v[3] << 32));
}

static void filling_is_one_by_one(void **state)
{
    (void)state;
    double filled[20];
    for (uint64_t first = 0; first < 4; first++) {
        for (int64_t count = 0; count < 9; count++) {
            filled[count] = -7.0;
            ecki_random_fill_normal(filled, count, 5, 6, first);
            for (int64_t i = 0; i < count; i++)
                assert_true(filled[i] == ecki_random_normal(5, 6, first + (uint64_t)i));
            assert_true(filled[count] == -7.0);
        }
    }
}

// Mean and variance of n uniforms: 1/2 +- 1/sqrt(12 n), 1/12 +- 1/sqrt(180 n); six of each.
static void uniforms(void **state)
{
    (void)state;
    enum { N = 200000 };
    double sum = 0, squares = 0;
    for (uint64_t i = 0; i < N; i++) {
        const double x = ecki_random_uniform(11, 3, i);
        assert_true(x > 0.0 && x < 1.0);
        sum += x - 0.5;
        squares += (x - 0.5) * (x - 0.5);
    }
    const double mean = fabs(sum / N), allowed_mean = 6 / sqrt(12.0 * N);
    const double variance = fabs(squares / N - 1.0 / 12), allowed_variance = 6 / sqrt(180.0 * N);
    printf("uniform: mean off %.2e of %.2e, variance off %.2e of %.2e\n", mean, allowed_mean,
           variance, allowed_variance);
    assert_true(mean <= allowed_mean);
    assert_true(variance <= allowed_variance);
}

// Mean, variance and fourth moment of n normals: 0 +- 1/sqrt(n), 1 +- sqrt(2/n), 3 +- sqrt(96/n);
// the product of the two of a pair 0 +- 1/sqrt(n/2); six of each.
static void normals(void **state)
{
    (void)state;
    enum { N = 200000 };
    double sums[3] = { 0, 0, 0 }, products = 0;
    for (uint64_t i = 0; i < N; i++) {
        const double x = ecki_random_normal(12, 4, i);
        sums[0] += x;
        sums[1] += x * x;
        sums[2] += x * x * x * x;
        if (i % 2 == 0) products += x * ecki_random_normal(12, 4, i + 1);
    }
    const double off[4] = { fabs(sums[0] / N), fabs(sums[1] / N - 1), fabs(sums[2] / N - 3),
                            fabs(products / (N / 2)) };
    const double allowed[4] = { 6 / sqrt(N), 6 * sqrt(2.0 / N), 6 * sqrt(96.0 / N),
                                6 / sqrt(N / 2) };
    for (int i = 0; i < 4; i++) {
        printf("normal: moment off %.2e of %.2e\n", off[i], allowed[i]);
        assert_true(off[i] <= allowed[i]);
    }
}

static void seeds_and_streams_differ(void **state)
{
    (void)state;
    // 64-bit values: two of a few thousand agree by chance once in 10^12.
    for (uint64_t i = 0; i < 1000; i++) {
        assert_true(ecki_random_bits(1, 0, i) != ecki_random_bits(2, 0, i));
        assert_true(ecki_random_bits(1, 0, i) != ecki_random_bits(1, 1, i));
        assert_true(ecki_random_bits(1, 0, i) != ecki_random_bits(1, UINT64_C(1) << 32, i));
        assert_true(ecki_random_bits(1, 0, i) != ecki_random_bits(UINT64_C(1) << 32, 0, i));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(indices_are_counters),
        cmocka_unit_test(filling_is_one_by_one),
        cmocka_unit_test(uniforms),
        cmocka_unit_test(normals),
        cmocka_unit_test(seeds_and_streams_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
