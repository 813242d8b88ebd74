// The spectral proof: the bound beside the largest singular value of the difference, of every form of factors and every
// storage; the number of values above it beside the values; what it refuses; memory it keeps to.
#include "support.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "linalg/lapack.h"

static eck_svd *decompose(const eck_operator *a, int64_t rank, uint32_t want, eck_dtype store)
{
    eck_svd *svd = NULL;
    eck_error err = ECK_ERROR_INIT;
    eck_svd_options options = ECK_SVD_OPTIONS_INIT;
    options.engine = ECK_ENGINE_EXACT;
    options.rank = rank;
    options.want = want;
    options.store = store;
    expect_ok(eck_svd_compute(&svd, a, &options, NULL, &err), &err);
    return svd;
}

// Singular values of any operator, by LAPACK on its numbers.
static eck_svd *values_of(const eck_operator *a)
{
    eck_svd *svd = NULL;
    eck_error err = ECK_ERROR_INIT;
    eck_svd_options options = ECK_SVD_OPTIONS_INIT;
    options.engine = ECK_ENGINE_GOLUB_KAHAN;
    options.rule = ECK_RULE_THIN;
    options.want = ECK_WANT_VALUES;
    options.proof = ECK_PROOF_TAIL;
    expect_ok(eck_svd_compute(&svd, a, &options, NULL, &err), &err);
    return svd;
}

static double value(const eck_svd *svd, int64_t i)
{
    return ((const double *)svd->s->data)[i];
}

// How many values lie above a bound, and how near the next one is to it.
static int64_t count(const eck_svd *values, double bound, double *nearest)
{
    const int64_t n = values->rows < values->cols ? values->rows : values->cols;
    int64_t above = 0;
    *nearest = INFINITY;
    for (int64_t i = 0; i < n; i++) {
        above += value(values, i) > bound;
        *nearest = fmin(*nearest, fabs(value(values, i) - bound));
    }
    return above;
}

static void prove_one(const sample *a, const eck_svd *svd, double tight)
{
    eck_error err = ECK_ERROR_INIT;
    eck_operator *factors = NULL, *residual = NULL;
    eck_spectral_proof proof;
    const double weights[2] = { 1.0, -1.0 };
    double nearest = 0.0;
    expect_ok(eck_svd_operator(&factors, svd, &err), &err);
    expect_ok(eck_certify_spectral(&proof, a->op, factors, NULL, &err), &err);
    const eck_operator *const terms[2] = { a->op, factors };
    expect_ok(eck_operator_sum(&residual, terms, weights, 2, &err), &err);
    eck_svd *const truth = values_of(residual), *const all = values_of(a->op);
    // What LAPACK finds is off by a few units of F64 itself.
    expect_at_most("largest value of the difference, of the bound", value(truth, 0),
                   proof.bound * (1.0 + 1e-13));
    expect_at_most("bound, of the largest value", proof.bound, value(truth, 0) * tight);
    const int64_t above = count(all, proof.bound, &nearest);
    assert_true(proof.blur < 1e-6 * proof.bound);
    if (nearest > proof.blur) assert_int_equal(proof.above, above);
    assert_true(proof.above <= svd->rank);
    eck_svd_free(all);
    eck_svd_free(truth);
    eck_operator_free(residual);
    eck_operator_free(factors);
}

static void bounds(void **state)
{
    (void)state;
    const uint32_t both = ECK_WANT_VALUES | ECK_WANT_LEFT | ECK_WANT_RIGHT;
    const int64_t shapes[][2] = { { 120, 120 }, { 300, 70 }, { 70, 300 }, { 40, 41 } };
    const eck_dtype storages[] = { ECK_DTYPE_F32, ECK_DTYPE_BF16, ECK_DTYPE_F64, ECK_DTYPE_F16 };
    for (int i = 0; i < 16; i++) {
        const int64_t *const shape = shapes[i / 4];
        sample a = sample_create(shape[0], shape[1], storages[i % 4], 0.97, (uint64_t)i);
        for (int64_t rank = 1; rank <= 30; rank += 29) {
            eck_svd *svd = decompose(a.op, rank, both, storages[i % 4]);
            prove_one(&a, svd, 1.002);
            eck_svd_free(svd);
            svd = decompose(a.op, rank, ECK_WANT_VALUES | ECK_WANT_COMPACT, ECK_DTYPE_F32);
            assert_true(svd->compact);
            prove_one(&a, svd, 1.002);
            eck_svd_free(svd);
        }
        sample_free(&a);
    }
}

// Values that crowd at the top, where an estimate by a few steps lies below the truth: the bound does not.
static void flat(void **state)
{
    (void)state;
    sample a = sample_create(500, 500, ECK_DTYPE_F32, 1.0, 11);
    eck_svd *const svd =
        decompose(a.op, 3, ECK_WANT_VALUES | ECK_WANT_LEFT | ECK_WANT_RIGHT, ECK_DTYPE_F32);
    prove_one(&a, svd, 1.002); // two tries at most: the root of 1 + 4e-3
    eck_svd_free(svd);
    sample_free(&a);
}

// A gap at the rank: as many values above the bound as terms, so none was missed; with one term taken out, one fewer bound
// holds and the count tells.
static void complete(void **state)
{
    (void)state;
    const uint32_t both = ECK_WANT_VALUES | ECK_WANT_LEFT | ECK_WANT_RIGHT;
    enum { ROWS = 90, COLS = 60, RANK = 7 };
    sample plain = sample_create(ROWS, COLS, ECK_DTYPE_F32, 1.0, 3);
    for (int64_t i = 0; i < ROWS; i++)
        for (int64_t j = RANK; j < COLS; j++)
            plain.wide[i * COLS + j] *= 1e-3;
    sample a = sample_of(plain.wide, ROWS, COLS, ECK_DTYPE_F32);
    eck_error err = ECK_ERROR_INIT;
    eck_operator *factors = NULL;
    eck_spectral_proof proof;
    eck_svd *const svd = decompose(a.op, RANK, both | ECK_WANT_FULL, ECK_DTYPE_F32);
    assert_int_equal(svd->v->shape[1], COLS); // completed; only the kept columns count
    expect_ok(eck_svd_operator(&factors, svd, &err), &err);
    expect_ok(eck_certify_spectral(&proof, a.op, factors, NULL, &err), &err);
    assert_int_equal(proof.above, RANK);
    eck_operator_free(factors);
    ((double *)svd->s->data)[2] = 0.0; // a value that was missed
    expect_ok(eck_svd_operator(&factors, svd, &err), &err);
    expect_ok(eck_certify_spectral(&proof, a.op, factors, NULL, &err), &err);
    assert_true(proof.bound >= value(svd, 3) && proof.above < RANK);
    eck_operator_free(factors);
    eck_svd_free(svd);
    sample_free(&a);
    sample_free(&plain);
}

// Numbers at the ends of the range, an exact product, nothing at all.
static void ends(void **state)
{
    (void)state;
    const uint32_t both = ECK_WANT_VALUES | ECK_WANT_LEFT | ECK_WANT_RIGHT;
    const double factors[] = { 0x1p-120, 0x1p+110 };
    for (int i = 0; i < 2; i++) {
        sample plain = sample_create(50, 40, ECK_DTYPE_F32, 0.9, 8);
        for (int64_t j = 0; j < 50 * 40; j++)
            plain.wide[j] *= factors[i];
        sample a = sample_of(plain.wide, 50, 40, ECK_DTYPE_F32);
        eck_svd *const svd = decompose(a.op, 5, both, ECK_DTYPE_F32);
        prove_one(&a, svd, 1.002);
        eck_svd_free(svd);
        sample_free(&a);
        sample_free(&plain);
    }
    eck_error err = ECK_ERROR_INIT;
    eck_spectral_proof proof;
    sample a = sample_create(20, 30, ECK_DTYPE_F32, 1.0, 1);
    expect_ok(eck_certify_spectral(&proof, a.op, a.op, NULL, &err), &err);
    eck_scan scan; // what two reads and a difference can be off by
    expect_ok(eck_operator_scan(&scan, a.op, NULL, &err), &err);
    expect_at_most("bound of A - A", proof.bound, 16.0 * 0x1p-53 * sqrt(scan.norm2));
    assert_int_equal(proof.above, 20);
    sample_free(&a);
}

static void refusals(void **state)
{
    (void)state;
    eck_error err = ECK_ERROR_INIT;
    eck_spectral_proof proof;
    eck_context context = ECK_CONTEXT_INIT;
    sample a = sample_create(30, 20, ECK_DTYPE_F32, 1.0, 1),
           b = sample_create(20, 30, ECK_DTYPE_F32, 1.0, 1);
    assert_int_equal(eck_certify_spectral(&proof, a.op, b.op, NULL, &err), ECK_E_SHAPE);
    context.memory = eck_spectral_memory(eck_operator_get_info(a.op)) - 1;
    assert_int_equal(eck_certify_spectral(&proof, a.op, a.op, &context, &err), ECK_E_BUDGET);
    context.memory++;
    const int64_t before = ecki_memory_now();
    ecki_memory_reset_peak();
    expect_ok(eck_certify_spectral(&proof, a.op, a.op, &context, &err), &err);
    expect_at_most("bytes held", (double)(ecki_memory_peak() - before), (double)context.memory);
    a.wide[7] = NAN;
    sample c = sample_of(a.wide, 30, 20, ECK_DTYPE_F32);
    assert_int_equal(eck_certify_spectral(&proof, c.op, a.op, NULL, &err), ECK_E_NONFINITE);
    assert_int_equal(err.offset, 7);
    eck_svd *const values = values_of(a.op);
    eck_operator *none = NULL;
    assert_int_equal(eck_svd_operator(&none, values, &err), ECK_E_RANGE);
    assert_null(none);
    eck_svd_free(values);
    sample_free(&c);
    sample_free(&b);
    sample_free(&a);
}

// The inertia of matrices whose signs are known: 2 x 2 pivots, zeros, a diagonal.
static void inertia(void **state)
{
    (void)state;
    eck_error err = ECK_ERROR_INIT;
    int64_t positive = -1;
    double swap[] = { 0.0, 9.0, 1.0,
                      0.0 }; // [[0,1],[1,0]]: +1 and -1; the upper triangle is not looked at
    expect_ok(ecki_inertia(&positive, swap, 2, &err), &err);
    assert_int_equal(positive, 1);
    double mixed[] = { 2.0, 0.0, 0.0, 0.0, -3.0, 0.0, 0.0, 0.0, 0.0 };
    expect_ok(ecki_inertia(&positive, mixed, 3, &err), &err);
    assert_int_equal(positive, 1);
    expect_ok(ecki_inertia(&positive, NULL, 0, &err), &err);
    assert_int_equal(positive, 0);
    enum { N = 150 };
    double *const g = ecki_malloc(N * N, sizeof *g);
    // D + x x^T / 100 with signs of D alternating: the sum of squares of x moves few of them.
    for (int64_t i = 0; i < N; i++)
        for (int64_t j = 0; j < N; j++)
            g[i * N + j] = 1e-6 + (i == j ? (i % 3 == 0 ? 1.0 : -1.0) * (1.0 + (double)i) : 0.0);
    expect_ok(ecki_inertia(&positive, g, N, &err), &err);
    assert_int_equal(positive, 50);
    ecki_free(g);
    assert_int_equal(ecki_inertia(&positive, g, INT64_C(1) << 40, &err), ECK_E_SHAPE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bounds), cmocka_unit_test(flat),     cmocka_unit_test(complete),
        cmocka_unit_test(ends),   cmocka_unit_test(refusals), cmocka_unit_test(inertia),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
