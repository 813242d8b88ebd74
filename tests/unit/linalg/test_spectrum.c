// Bytes and back: what is saved is what is loaded; every damage is refused with the place it shows.
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "linalg/spectrum.h"

static char *saved(int64_t *count_out, int64_t rows, int64_t cols)
{
    sample a = sample_create(rows, cols, ECK_DTYPE_F16, 0.9, 1);
    eck_spectrum *spectrum = NULL;
    eck_error err = ECK_ERROR_INIT;
    char *bytes = NULL;
    expect_ok(eck_spectrum_create(&spectrum, a.op, NULL, &err), &err);
    expect_ok(eck_spectrum_save(&bytes, count_out, spectrum, &err), &err);
    eck_spectrum *loaded = NULL;
    expect_ok(eck_spectrum_load(&loaded, bytes, *count_out, &err), &err);
    const eck_spectrum_info *const x = &spectrum->info, *const y = &loaded->info;
    assert_true(x->rows == y->rows && x->cols == y->cols && x->count == y->count);
    assert_true(x->norm2 == y->norm2 && x->tolerance == y->tolerance &&
                x->tail_error == y->tail_error);
    assert_true(x->numerical_rank == y->numerical_rank && x->stable_rank == y->stable_rank);
    assert_true(x->effective_rank == y->effective_rank);
    for (int64_t i = 0; i < x->count; i++)
        assert_true(x->values[i] == y->values[i] && x->tails[i] == y->tails[i]);
    eck_spectrum_free(loaded);
    eck_spectrum_free(spectrum);
    sample_free(&a);
    return bytes;
}

static void round_trips(void **state)
{
    (void)state;
    const int64_t shapes[][2] = { { 12, 9 }, { 9, 12 }, { 1, 1 }, { 0, 4 }, { 33, 33 } };
    for (size_t i = 0; i < 5; i++) {
        int64_t count = 0;
        eck_text_free(saved(&count, shapes[i][0], shapes[i][1]));
        assert_true(count > 0);
    }
}

// Any byte changed, any length cut or added: never a spectrum.
static void damage(void **state)
{
    (void)state;
    int64_t count = 0;
    char *const bytes = saved(&count, 7, 5);
    eck_spectrum *spectrum = NULL;
    eck_error err = ECK_ERROR_INIT;
    for (int64_t i = 0; i < count; i++)
        for (int bit = 0; bit < 8; bit += 3) {
            bytes[i] = (char)(bytes[i] ^ (1 << bit));
            assert_int_equal(eck_spectrum_load(&spectrum, bytes, count, &err), ECK_E_FORMAT);
            assert_true(err.offset >= 0 && err.offset <= count);
            bytes[i] = (char)(bytes[i] ^ (1 << bit));
        }
    for (int64_t length = 0; length < count; length++)
        assert_int_equal(eck_spectrum_load(&spectrum, bytes, length, &err), ECK_E_FORMAT);
    assert_null(spectrum);
    expect_ok(eck_spectrum_load(&spectrum, bytes, count, &err), &err);
    eck_spectrum_free(spectrum);
    eck_text_free(bytes);
}

// The same sum that the file holds, over hostile sizes: refused before anything is allocated.
static void hostile_sizes(void **state)
{
    (void)state;
    int64_t count = 0;
    char *const bytes = saved(&count, 7, 5);
    const int64_t sizes[] = { -1, INT64_MAX, (int64_t)1 << 40, 8, 0 };
    for (size_t i = 0; i < 5; i++) {
        char *const copy = test_malloc((size_t)count);
        memcpy(copy, bytes, (size_t)count);
        memcpy(copy + 16, &sizes[i], 8);
        memcpy(copy + 24, &sizes[i], 8);
        eck_spectrum *spectrum = NULL;
        eck_error err = ECK_ERROR_INIT;
        assert_int_equal(eck_spectrum_load(&spectrum, copy, count, &err), ECK_E_FORMAT);
        assert_int_equal(err.offset, 16);
        test_free(copy);
    }
    eck_text_free(bytes);
}

static void values_only_cannot_be_saved(void **state)
{
    (void)state;
    sample a = sample_create(5, 4, ECK_DTYPE_F32, 1.0, 1);
    eck_spectrum *spectrum = NULL;
    eck_error err = ECK_ERROR_INIT;
    char *bytes = NULL;
    int64_t count = 0;
    expect_ok(ecki_spectrum_build(&spectrum, a.op, false, NULL, &err), &err);
    assert_int_equal(eck_spectrum_save(&bytes, &count, spectrum, &err), ECK_E_RANGE);
    assert_null(bytes);
    eck_spectrum_free(spectrum);
    sample_free(&a);
}

// The largest values alone are those of the whole spectrum, to the bisection's 8 u of the largest square; the rest is what
// the trace leaves, and where that is nothing to speak of every value is found.
static void leading(void **state)
{
    (void)state;
    const double decays[] = { 1.0, 0.9, 0.3 };
    eck_context alone = ECK_CONTEXT_INIT;
    alone.threads = 1; // as eck_spectrum_create() has for so little
    for (int d = 0; d < 3; d++) {
        sample a = sample_create(60, 40, ECK_DTYPE_F32, decays[d], 1);
        eck_spectrum *all = NULL, *few = NULL;
        eck_error err = ECK_ERROR_INIT;
        expect_ok(eck_spectrum_create(&all, a.op, NULL, &err), &err);
        for (int64_t k = 0; k <= 40; k += 10) {
            expect_ok(ecki_spectrum_leading(&few, a.op, k, &alone, &err), &err);
            const double *const s = all->values, *const t = few->values;
            const double off = 8.0 * 0x1p-53 * s[0] * s[0];
            for (int64_t i = 0; i < k; i++)
                assert_true(fabs(s[i] * s[i] - t[i] * t[i]) <= 2.0 * off);
            const double tail = all->tails[k];
            const bool enough = k > 0 && k < 40 && tail * tail > 0x1p-20 * 1.001;
            // 40 values and a trace, each off by rounding of the largest: 50 u of the squared norm
            assert_true(fabs(few->tails[k] * few->tails[k] - tail * tail) <= 50.0 * 8.0 * 0x1p-53);
            if (enough) assert_true(k == 39 || t[k + 1] == 0.0);
            if (!enough && (k == 0 || tail * tail < 0x1p-20 * 0.999))
                assert_memory_equal(s, t, 40 * sizeof *s);
            eck_spectrum_free(few);
        }
        eck_spectrum_free(all);
        sample_free(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trips),   cmocka_unit_test(damage),
        cmocka_unit_test(hostile_sizes), cmocka_unit_test(values_only_cannot_be_saved),
        cmocka_unit_test(leading),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
