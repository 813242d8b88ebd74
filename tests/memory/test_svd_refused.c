// Operators, decompositions and certificates with each request for memory refused in turn.
#include "failing_allocator.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "eckart/eckart.h"

enum { ROWS = 37, COLS = 23, LARGE = 90, MOST = LARGE * LARGE };

// A made matrix with a decaying spectrum, in F32 and F64, and a symmetric one; and how to run: one thread, so that the
// same request is the n-th in every run.
static float singles[MOST];
static double doubles[MOST];
static const eck_context one_thread = { 1, 1, 0, NULL, NULL };

static int make_matrices(void **state)
{
    (void)state;
    for (int i = 0; i < MOST; i++) {
        const int row = i / COLS, col = i % COLS;
        singles[i] = (float)(cos(0.7 * row * col + 0.1 * row) / (1 + 0.2 * col));
    }
    for (int i = 0; i < MOST; i++) {
        const int row = i / ROWS, col = i % ROWS;
        doubles[i] = cos(0.3 * (row + 1) * (col + 1)) / (1 + row + col);
    }
    return 0;
}

static eck_view matrix(eck_dtype dtype, int64_t rows, int64_t cols)
{
    return eck_view_matrix(dtype == ECK_DTYPE_F32 ? (const void *)singles : doubles, dtype, rows,
                           cols);
}

// One call of eck_svd_compute.
typedef struct svd_case {
    const char *name;
    eck_dtype dtype;
    int64_t rows, cols;
    eck_svd_options options;
} svd_case;

#define CASE(name, dtype, rows, cols, engine, rule, rank, want, proof, store) \
    { \
        name, dtype, rows, cols, \
        { \
            3, engine, rule, 0.0, rank, want, proof, 1e-6, 0, store, 1e-4, false \
        } \
    }

enum { BOTH = ECK_WANT_VALUES | ECK_WANT_LEFT | ECK_WANT_RIGHT };

static const svd_case svd_cases[] = {
    CASE("exact, tall", ECK_DTYPE_F32, ROWS, COLS, ECK_ENGINE_EXACT, ECK_RULE_RANK, 5, BOTH,
         ECK_PROOF_RESIDUAL, ECK_DTYPE_NONE),
    CASE("exact, wide", ECK_DTYPE_F32, COLS, ROWS, ECK_ENGINE_EXACT, ECK_RULE_RANK, 5, BOTH,
         ECK_PROOF_BOUND, ECK_DTYPE_BF16),
    CASE("exact, compact", ECK_DTYPE_F32, ROWS, COLS, ECK_ENGINE_EXACT, ECK_RULE_RANK, 4,
         ECK_WANT_VALUES | ECK_WANT_COMPACT, ECK_PROOF_TAIL, ECK_DTYPE_F16),
    CASE("exact, values", ECK_DTYPE_F32, ROWS, COLS, ECK_ENGINE_EXACT, ECK_RULE_THIN, 0,
         ECK_WANT_VALUES, ECK_PROOF_TAIL, ECK_DTYPE_NONE),
    CASE("exact, full", ECK_DTYPE_F32, ROWS, COLS, ECK_ENGINE_EXACT, ECK_RULE_THIN, 0,
         BOTH | ECK_WANT_FULL, ECK_PROOF_RESIDUAL, ECK_DTYPE_NONE),
    CASE("F64", ECK_DTYPE_F64, ROWS, COLS, ECK_ENGINE_AUTO, ECK_RULE_NUMERICAL, 0, BOTH,
         ECK_PROOF_RESIDUAL, ECK_DTYPE_NONE),
    CASE("Krylov", ECK_DTYPE_F32, LARGE, LARGE, ECK_ENGINE_KRYLOV, ECK_RULE_RANK, 2, BOTH,
         ECK_PROOF_RESIDUAL, ECK_DTYPE_NONE),
    CASE("Golub-Kahan", ECK_DTYPE_F32, ROWS, COLS, ECK_ENGINE_GOLUB_KAHAN, ECK_RULE_RANK, 6, BOTH,
         ECK_PROOF_RESIDUAL, ECK_DTYPE_F32),
};

static eck_status svd_scenario(void *self, eck_error *err)
{
    const svd_case *const tried = self;
    eck_operator *a = UNTOUCHED;
    eck_status status = eck_operator_dense(&a, matrix(tried->dtype, tried->rows, tried->cols), err);
    assert_untouched(status, a);
    if (status != ECK_OK) return status;
    eck_svd *svd = UNTOUCHED;
    status = eck_svd_compute(&svd, a, &tried->options, &one_thread, err);
    assert_untouched(status, svd);
    if (svd) assert_true(svd->certificate.error_low <= svd->certificate.error_high);
    eck_svd_free(svd);
    eck_operator_free(a);
    return status;
}

static void decompositions(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof svd_cases / sizeof svd_cases[0]; i++) {
        svd_case tried = svd_cases[i];
        char name[80];
        snprintf(name, sizeof name, "eck_svd_compute, %s", tried.name);
        fail_every_allocation(name, svd_scenario, &tried);
    }
    svd_case proven = svd_cases[0];
    proven.options.spectral_proof = true;
    fail_every_allocation("eck_svd_compute, spectral proof", svd_scenario, &proven);
}

static eck_status subspaces_scenario(void *self, eck_error *err)
{
    eck_subspaces spaces = { -7, NULL, NULL, NULL, NULL };
    const eck_status status = eck_subspaces_compute(&spaces, self, err);
    if (status != ECK_OK)
        assert_true(spaces.rank == -7 && !spaces.column && !spaces.left_null && !spaces.row &&
                    !spaces.null);
    if (status == ECK_OK) eck_subspaces_clear(&spaces);
    return status;
}

static void subspaces(void **state)
{
    (void)state;
    const eck_svd_options full = {
        3, ECK_ENGINE_AUTO, ECK_RULE_THIN, 0.0,  0, BOTH | ECK_WANT_FULL, ECK_PROOF_RESIDUAL, 1e-6,
        0, ECK_DTYPE_NONE,  1e-4,          false
    };
    eck_operator *a = NULL;
    eck_svd *svd = NULL;
    assert_int_equal(eck_operator_dense(&a, matrix(ECK_DTYPE_F64, ROWS, COLS), NULL), ECK_OK);
    assert_int_equal(eck_svd_compute(&svd, a, &full, &one_thread, NULL), ECK_OK);
    fail_every_allocation("eck_subspaces_compute", subspaces_scenario, svd);
    eck_svd_free(svd);
    eck_operator_free(a);
}

static eck_status eigen_scenario(void *self, eck_error *err)
{
    eck_svd_options options;
    eck_svd_options_init(&options);
    options.rank = 5;
    eck_eigen *eigen = UNTOUCHED;
    const eck_status status = eck_eigen_compute(&eigen, self, &options, &one_thread, err);
    assert_untouched(status, eigen);
    eck_eigen_free(eigen);
    return status;
}

static void eigenvalues(void **state)
{
    (void)state;
    eck_operator *a = NULL;
    assert_int_equal(eck_operator_dense(&a, matrix(ECK_DTYPE_F64, ROWS, ROWS), NULL), ECK_OK);
    fail_every_allocation("eck_eigen_compute", eigen_scenario, a);
    eck_operator_free(a);
}

// A spectrum, saved, loaded, and an SVD of a rank chosen from it.
static eck_status spectrum_steps(eck_spectrum **spectrum, eck_spectrum **loaded, char **bytes,
                                 const eck_operator *a, eck_error *err)
{
    int64_t count = -7;
    *spectrum = *loaded = UNTOUCHED;
    *bytes = UNTOUCHED;
    eck_status status = eck_spectrum_create(spectrum, a, &one_thread, err);
    assert_untouched(status, *spectrum);
    if (status == ECK_OK) {
        status = eck_spectrum_save(bytes, &count, *spectrum, err);
        if (status != ECK_OK) assert_true(count == -7);
    }
    if (*bytes == UNTOUCHED) *bytes = NULL;
    if (status == ECK_OK) status = eck_spectrum_load(loaded, *bytes, count, err);
    if (*loaded == UNTOUCHED) *loaded = NULL;
    return status;
}

static eck_status spectrum_scenario(void *self, eck_error *err)
{
    const eck_operator *const a = self;
    eck_spectrum *spectrum, *loaded;
    char *bytes;
    eck_svd_options options;
    eck_svd_options_init(&options);
    options.rank = 4;
    eck_svd *svd = UNTOUCHED;
    eck_status status = spectrum_steps(&spectrum, &loaded, &bytes, a, err);
    if (status == ECK_OK) status = eck_spectrum_svd(&svd, loaded, a, &options, &one_thread, err);
    assert_untouched(status, svd);
    eck_svd_free(svd);
    eck_text_free(bytes);
    eck_spectrum_free(loaded);
    eck_spectrum_free(spectrum);
    return status;
}

static void spectra(void **state)
{
    (void)state;
    eck_operator *a = NULL;
    assert_int_equal(eck_operator_dense(&a, matrix(ECK_DTYPE_F32, ROWS, COLS), NULL), ECK_OK);
    fail_every_allocation("a spectrum and its SVD", spectrum_scenario, a);
    eck_operator_free(a);
}

// A centred sum of a matrix and a transposed product, certified against the matrix itself.
typedef struct operators {
    eck_operator *dense, *square, *product, *turned, *sum, *centered;
} operators;

static void free_operators(operators *o)
{
    eck_operator_free(o->centered);
    eck_operator_free(o->sum);
    eck_operator_free(o->turned);
    eck_operator_free(o->product);
    eck_operator_free(o->square);
    eck_operator_free(o->dense);
}

static eck_status make_operators(operators *o, eck_error *err)
{
    const double weights[2] = { 1.0, -0.5 };
    eck_status status = eck_operator_dense(&o->dense, matrix(ECK_DTYPE_F32, ROWS, COLS), err);
    if (status == ECK_OK)
        status = eck_operator_dense(&o->square, matrix(ECK_DTYPE_F64, COLS, COLS), err);
    if (status == ECK_OK) status = eck_operator_product(&o->product, o->dense, o->square, 0.5, err);
    if (status == ECK_OK) status = eck_operator_transposed(&o->turned, o->product, err);
    if (status != ECK_OK) return status;
    const eck_operator *const terms[2] = { o->dense, o->product };
    status = eck_operator_sum(&o->sum, terms, weights, 2, err);
    if (status == ECK_OK) status = eck_operator_centered(&o->centered, o->sum, &one_thread, err);
    return status;
}

static eck_status operators_scenario(void *self, eck_error *err)
{
    const eck_proof *const proof = self;
    static double gram[COLS * COLS];
    operators o = { NULL, NULL, NULL, NULL, NULL, NULL };
    eck_certificate certificate = { .error = -7 };
    eck_scan scan = { .max = -7 };
    const eck_panel out = { gram, ECK_DTYPE_F64, COLS, COLS, COLS };
    float narrow[2 * ROWS] = { 1.0F };
    const eck_panel x = { narrow, ECK_DTYPE_F32, COLS, 1, 1 },
                    y = { narrow + ROWS, ECK_DTYPE_F32, COLS, 1, 1 };
    const eck_panel x_left = { narrow, ECK_DTYPE_F32, ROWS, 1, 1 },
                    y_left = { narrow + ROWS, ECK_DTYPE_F32, ROWS, 1, 1 };
    eck_status status = make_operators(&o, err);
    if (status == ECK_OK) status = eck_operator_scan(&scan, o.turned, &one_thread, err);
    if (status == ECK_OK)
        status = eck_operator_gram(o.centered, ECK_SIDE_RIGHT, 1.0, out, &one_thread, err);
    if (status == ECK_OK)
        status = eck_operator_normal(o.centered, ECK_SIDE_RIGHT, 1.0, x, y, &one_thread, err);
    if (status == ECK_OK)
        status =
            eck_operator_normal(o.product, ECK_SIDE_LEFT, 1.0, x_left, y_left, &one_thread, err);
    if (status == ECK_OK)
        status = eck_certify(&certificate, o.dense, o.sum, *proof, 1e-6, 0, &one_thread, err);
    if (status != ECK_OK) assert_true(certificate.error == -7);
    free_operators(&o);
    return status;
}

static void operations(void **state)
{
    (void)state;
    eck_proof proof = ECK_PROOF_RESIDUAL;
    fail_every_allocation("operators, certified by residual", operators_scenario, &proof);
    proof = ECK_PROOF_BOUND;
    fail_every_allocation("operators, certified by bound", operators_scenario, &proof);
}

// A^T (A x) of a sparse matrix, weighted and centred.
static eck_status weighted_normal(const eck_operator *a, eck_panel x, eck_panel y, eck_error *err)
{
    static double weights[ROWS];
    eck_operator *weighted = UNTOUCHED, *centered = NULL;
    eck_status status = eck_operator_scaled(&weighted, a, weights, weights, err);
    assert_untouched(status, weighted);
    if (status != ECK_OK) return status;
    status = eck_operator_centered(&centered, weighted, &one_thread, err);
    if (status == ECK_OK)
        status = eck_operator_normal(centered, ECK_SIDE_RIGHT, 1.0, x, y, &one_thread, err);
    if (status == ECK_OK)
        status = eck_operator_normal(weighted, ECK_SIDE_RIGHT, 1.0, x, y, &one_thread, err);
    eck_operator_free(centered);
    eck_operator_free(weighted);
    return status;
}

// A sparse matrix with entries twice in a place: its products, its Gram and an SVD.
static eck_status sparse_scenario(void *self, eck_error *err)
{
    (void)self;
    static double panel[2 * COLS], gram[COLS * COLS];
    static int64_t starts[ROWS + 1], indices[2 * ROWS];
    for (int64_t i = 0; i < ROWS; i++) {
        indices[2 * i] = indices[2 * i + 1] = i % COLS;
        if (i % 3) indices[2 * i] = (5 * i) % COLS;
        starts[i + 1] = 2 * i + 2;
    }
    const eck_sparse_view view = { ECK_SPARSE_ROWS, ECK_DTYPE_F32, ROWS,   COLS,
                                   starts,          indices,       singles };
    const eck_panel x = { panel, ECK_DTYPE_F64, COLS, 1, 1 },
                    y = { panel + COLS, ECK_DTYPE_F64, COLS, 1, 1 },
                    g = { gram, ECK_DTYPE_F64, COLS, COLS, COLS };
    eck_svd_options options = ECK_SVD_OPTIONS_INIT;
    eck_operator *a = UNTOUCHED;
    eck_svd *svd = NULL;
    options.rank = 3;
    eck_status status = eck_operator_sparse(&a, &view, err);
    assert_untouched(status, a);
    if (status != ECK_OK) return status;
    status = weighted_normal(a, x, y, err);
    if (status == ECK_OK)
        status = eck_operator_normal(a, ECK_SIDE_RIGHT, 1.0, x, y, &one_thread, err);
    if (status == ECK_OK) status = eck_operator_gram(a, ECK_SIDE_RIGHT, 1.0, g, &one_thread, err);
    if (status == ECK_OK) status = eck_svd_compute(&svd, a, &options, &one_thread, err);
    eck_svd_free(svd);
    eck_operator_free(a);
    return status;
}

static eck_status sink_begin(void *user, int64_t rank, eck_error *err)
{
    (void)user;
    (void)rank;
    (void)err;
    return ECK_OK;
}

static eck_status sink_take(void *user, int64_t first, int64_t rows, const void *numbers,
                            eck_error *err)
{
    (void)first;
    (void)numbers;
    (void)err;
    *(int64_t *)user += rows;
    return ECK_OK;
}

// A steep matrix of which U takes a pass more.
static eck_status stream_scenario(void *self, eck_error *err)
{
    eck_operator *a = UNTOUCHED;
    eck_svd *svd = UNTOUCHED;
    eck_svd_options options = ECK_SVD_OPTIONS_INIT;
    int64_t rows = 0;
    const eck_svd_sink sink = { &rows, sink_begin, sink_take };
    options.rank = 6;
    options.store = *(const eck_dtype *)self;
    eck_status status = eck_operator_dense(&a, matrix(ECK_DTYPE_F32, ROWS, COLS), err);
    assert_untouched(status, a);
    if (status != ECK_OK) return status;
    status = eck_svd_stream(&svd, a, &options, &sink, &one_thread, err);
    assert_untouched(status, svd);
    if (status == ECK_OK) assert_int_equal(rows, ROWS);
    if (status == ECK_OK) eck_svd_free(svd);
    eck_operator_free(a);
    return status;
}

static void streams(void **state)
{
    (void)state;
    eck_dtype store = ECK_DTYPE_F32;
    fail_every_allocation("eck_svd_stream", stream_scenario, &store);
    store = ECK_DTYPE_F64;
    fail_every_allocation("eck_svd_stream, by way of a triangle", stream_scenario, &store);
}

static eck_status machine_scenario(void *self, eck_error *err)
{
    (void)self;
    eck_machine machine = { .threads = -7 };
    const eck_status status = eck_machine_measure(&machine, &one_thread, err);
    assert_true((status == ECK_OK) == (machine.threads != -7));
    return status;
}

static void machines(void **state)
{
    (void)state;
    fail_every_allocation("eck_machine_measure", machine_scenario, NULL);
}

static void sparse_matrices(void **state)
{
    (void)state;
    fail_every_allocation("eck_operator_sparse", sparse_scenario, NULL);
}

// [1,rows,cols] by lanes or by the exact lane.
static eck_status batch_scenario(void *self, eck_error *err)
{
    const int64_t *const shape = self;
    eck_svd_batch_options options = ECK_SVD_BATCH_OPTIONS_INIT;
    eck_svd_batch *batch = UNTOUCHED;
    options.errors = true;
    const eck_status status = eck_svd_batch_compute(
        &batch, eck_view_of(singles, ECK_DTYPE_F32, 3, shape), &options, &one_thread, err);
    assert_untouched(status, batch);
    eck_svd_batch_free(batch);
    return status;
}

static void batches(void **state)
{
    (void)state;
    int64_t lanes[3] = { 9, 5, 8 }, exact[3] = { 1, 34, 36 };
    fail_every_allocation("eck_svd_batch_compute, lanes", batch_scenario, lanes);
    fail_every_allocation("eck_svd_batch_compute, exact", batch_scenario, exact);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decompositions), cmocka_unit_test(subspaces),
        cmocka_unit_test(eigenvalues),    cmocka_unit_test(spectra),
        cmocka_unit_test(operations),     cmocka_unit_test(sparse_matrices),
        cmocka_unit_test(streams),        cmocka_unit_test(machines),
        cmocka_unit_test(batches),
    };
    return cmocka_run_group_tests(tests, make_matrices, NULL);
}
