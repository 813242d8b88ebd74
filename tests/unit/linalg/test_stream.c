// Streamed decompositions: the blocks that go to the sink are the factor, error and orthogonality are those of what was
// handed out, reads are counted, memory is foreseen; steep spectra take a pass more or are refused; sinks that fail.
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "tensor/codec.h"

// An operator that counts the numbers read from it, and is no resident one.
typedef struct counted {
    const eck_operator *a;
    _Atomic int64_t numbers;
} counted;

static eck_status counted_read(void *self, int64_t row, int64_t col, eck_panel out, eck_error *err)
{
    counted *const c = self;
    c->numbers += out.rows * out.cols;
    return eck_operator_read(c->a, row, col, out, err);
}

static eck_operator *count_reads(counted *c, const eck_operator *a)
{
    eck_operator *op = NULL;
    eck_error err = ECK_ERROR_INIT;
    eck_operator_info info = *eck_operator_get_info(a);
    const eck_operator_methods methods = { .version = 1, .read = counted_read };
    info.resident = false;
    *c = (counted){ a, 0 };
    expect_ok(eck_operator_create(&op, &info, &methods, c, &err), &err);
    return op;
}

// A sink that keeps everything.
typedef struct kept {
    int64_t length, rank, next;
    eck_dtype store;
    eck_array *factor;
    int64_t fail_at; // row at which it fails; -1 never
} kept;

static eck_status keep_begin(void *user, int64_t rank, eck_error *err)
{
    kept *const k = user;
    k->rank = rank;
    const int64_t shape[2] = { k->length, rank };
    assert_null(k->factor);
    return eck_array_create(&k->factor, k->store, 2, shape, err);
}

static eck_status keep_take(void *user, int64_t first, int64_t rows, const void *numbers,
                            eck_error *err)
{
    kept *const k = user;
    const size_t line = (size_t)(k->rank * eck_dtype_bits(k->store) / 8);
    assert_int_equal(first, k->next);
    if (k->fail_at >= 0 && first >= k->fail_at)
        return ecki_error(err, ECK_E_IO, -1, "the sink is full");
    memcpy((char *)k->factor->data + (size_t)first * line, numbers, (size_t)rows * line);
    k->next = first + rows;
    return ECK_OK;
}

// Streams a matrix and holds the result against the truth; passes: how often it may be read.
static void check(int64_t rows, int64_t cols, double decay, eck_svd_options options, double passes)
{
    sample a = sample_create(rows, cols, ECK_DTYPE_F32, decay, 5);
    counted c;
    eck_operator *const op = count_reads(&c, a.op);
    const bool tall = rows >= cols;
    kept k = { tall ? rows : cols, 0, 0, options.store, NULL, -1 };
    const eck_svd_sink sink = { &k, keep_begin, keep_take };
    eck_svd *svd = NULL, *whole = NULL;
    eck_error err = ECK_ERROR_INIT;
    const int64_t before = ecki_memory_now();
    ecki_memory_reset_peak();
    expect_ok(eck_svd_stream(&svd, op, &options, &sink, NULL, &err), &err);
    const double peak = (double)(ecki_memory_peak() - before);
    const eck_array *const u = tall ? k.factor : svd->u, *const v = tall ? svd->v : k.factor;
    assert_true(tall ? !svd->u : !svd->v);
    assert_int_equal(k.next, k.length);
    assert_true((double)c.numbers == passes * (double)(rows * cols));

    const bool compact = (options.want & ECK_WANT_COMPACT) != 0;
    const double error = true_error(&a, u, compact ? NULL : svd->s->data, v, k.rank);
    expect_at_most("error above its bound", error - svd->certificate.error_high, 1e-13);
    expect_at_most("error below its bound", svd->certificate.error_low - error, 1e-13);
    expect_ok(eck_svd_compute(&whole, a.op, &options, NULL, &err), &err);
    assert_int_equal(whole->rank, k.rank);
    // A Gram of the same panels, scaled after its sums and not before: the same bits.
    if (compact) assert_memory_equal(whole->s->data, svd->s->data, 8 * (size_t)whole->s->shape[0]);
    expect_at_most("excess", svd->certificate.excess_high, 1e-3);
    const double unit = 0.5 * eck_dtype_epsilon(options.store);
    if (!compact) {
        const double off = fmax(true_orthogonality(u, k.rank), true_orthogonality(v, k.rank));
        expect_at_most("orthogonality as claimed", fabs(off - svd->certificate.orthogonality),
                       1e-12);
        expect_at_most("orthogonality", off, 8.0 * unit + 1e-12);
    }
    const double foreseen = (double)eck_svd_stream_memory(&a.op->info, &options, k.rank) +
                            (double)(k.length * k.rank * eck_dtype_bits(options.store) / 8);
    expect_at_most("memory of stream and sink", peak, foreseen);
    eck_svd_free(whole);
    eck_svd_free(svd);
    eck_array_free(k.factor);
    eck_operator_free(op);
    sample_free(&a);
}

static eck_svd_options ranked(int64_t rank, bool compact, eck_dtype store)
{
    eck_svd_options options = ECK_SVD_OPTIONS_INIT;
    options.rank = rank;
    options.store = store;
    if (compact) options.want = ECK_WANT_COMPACT;
    return options;
}

static void streams(void **state)
{
    (void)state;
    check(900, 60, 0.95, ranked(9, false, ECK_DTYPE_F32), 2.0);
    check(60, 900, 0.95, ranked(9, false, ECK_DTYPE_F32), 2.0);
    check(513, 40, 0.9, ranked(12, true, ECK_DTYPE_BF16), 2.0);
    check(40, 257, 0.9, ranked(12, true, ECK_DTYPE_F16), 2.0);
    check(300, 50, 1.0, ranked(30, false, ECK_DTYPE_F64), 3.0);
}

// Values from 1 to 1/30000: dividing by them would not leave U orthonormal, the triangle of W^T W does.
static void steep(void **state)
{
    (void)state;
    check(700, 40, 0.7, ranked(25, false, ECK_DTYPE_F32), 3.0);
    check(700, 40, 0.7, ranked(25, true, ECK_DTYPE_F32), 2.0);
}

static void rules(void **state)
{
    (void)state;
    eck_svd_options options = ranked(0, false, ECK_DTYPE_F32);
    options.rule = ECK_RULE_ERROR;
    options.target = 0.2;
    check(400, 30, 0.9, options, 2.0);
}

static void refusals(void **state)
{
    (void)state;
    sample a = sample_create(300, 40, ECK_DTYPE_F32, 0.5, 5),
           wide = sample_create(30, 20, ECK_DTYPE_F64, 1.0, 5);
    kept k = { 300, 0, 0, ECK_DTYPE_F32, NULL, 256 };
    const eck_svd_sink sink = { &k, keep_begin, keep_take };
    eck_svd_options options = ranked(4, false, ECK_DTYPE_F32);
    eck_svd *svd = NULL;
    eck_error err = ECK_ERROR_INIT;
    assert_int_equal(eck_svd_stream(&svd, a.op, &options, &sink, NULL, &err), ECK_E_IO);
    assert_string_equal(err.message, "the sink is full");
    assert_null(svd);
    eck_array_free(k.factor);
    k = (kept){ 300, 0, 0, ECK_DTYPE_F32, NULL, -1 };
    options.rank = 30; // below 2^-20 of the first
    assert_int_equal(eck_svd_stream(&svd, a.op, &options, &sink, NULL, &err), ECK_E_RANGE);
    assert_non_null(strstr(err.message, "cannot be streamed; two factors"));
    assert_null(k.factor); // it was never begun
    options.rank = 4;
    options.want |= ECK_WANT_FULL;
    assert_int_equal(eck_svd_stream(&svd, a.op, &options, &sink, NULL, &err), ECK_E_RANGE);
    options.want = ECK_WANT_VALUES;
    assert_int_equal(eck_svd_stream(&svd, a.op, &options, &sink, NULL, &err), ECK_E_RANGE);
    options = ranked(4, false, ECK_DTYPE_F32);
    assert_int_equal(eck_svd_stream(&svd, wide.op, &options, &sink, NULL, &err), ECK_E_RANGE);
    options.spectral_proof = true;
    assert_int_equal(eck_svd_stream(&svd, a.op, &options, &sink, NULL, &err), ECK_E_RANGE);
    assert_non_null(strstr(err.message, "no spectral proof"));
    options.spectral_proof = false;
    const eck_context little = { 1, 1, 1000, NULL, NULL };
    assert_int_equal(eck_svd_stream(&svd, a.op, &options, &sink, &little, &err), ECK_E_BUDGET);
    sample_free(&wide);
    sample_free(&a);
}

// All zero: rank 2 of nothing is exact.
static void zero_matrix(void **state)
{
    (void)state;
    static const double zeros[300 * 3];
    sample a = sample_of(zeros, 300, 3, ECK_DTYPE_F32);
    kept k = { 300, 0, 0, ECK_DTYPE_F32, NULL, -1 };
    const eck_svd_sink sink = { &k, keep_begin, keep_take };
    const eck_svd_options options = ranked(2, true, ECK_DTYPE_F32);
    eck_svd *svd = NULL;
    eck_error err = ECK_ERROR_INIT;
    expect_ok(eck_svd_stream(&svd, a.op, &options, &sink, NULL, &err), &err);
    assert_true(svd->certificate.error == 0.0 && svd->certificate.error_high == 0.0);
    eck_svd_free(svd);
    eck_array_free(k.factor);
    sample_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(streams), cmocka_unit_test(steep),
                                        cmocka_unit_test(rules), cmocka_unit_test(refusals),
                                        cmocka_unit_test(zero_matrix) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
