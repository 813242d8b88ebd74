// Every class of matrix in every storage type: values, Eckart-Young before storage rounding, errors
// as stored, orthogonality, and LAPACK's own ratios in the F64 lane. With the argument "long" the
// sizes go to 2048.
#include "matrices.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static bool large; // the long run

static const eck_dtype NARROW[] = { ECK_DTYPE_F32, ECK_DTYPE_BF16, ECK_DTYPE_F16 };

// Shapes of a class: m >= n and m < n, small enough that references in loops stay quick.
static const int64_t SHAPES[][2] = { { 20, 20 }, { 64, 64 },   { 96, 40 },
                                     { 40, 96 }, { 150, 150 }, { 300, 17 } };
static const int64_t LARGE_SHAPES[][2] = {
    { 512, 512 }, { 1062, 1062 }, { 2048, 768 }, { 768, 2048 }, { 2048, 2048 }
};

// || A - factors || / || A ||: by loops where that is quick, else by the library's own residual.
static double relative_error(const subject *a, const eck_svd *svd, bool compact)
{
    if (a->m * a->n > 5000) return svd->certificate.error;
    const double norm = norm_of(a->wide, a->m * a->n);
    const double rest = residual_norm(a, svd->u, compact ? NULL : svd->s->data, svd->v, svd->rank);
    return norm > 0.0 ? rest / norm : rest;
}

// Reference values: LAPACK on the whole matrix in F64.
static double *reference_values(const subject *a)
{
    eck_svd_options options = ECK_SVD_OPTIONS_INIT;
    options.engine = ECK_ENGINE_GOLUB_KAHAN;
    options.want = ECK_WANT_VALUES;
    options.rule = ECK_RULE_THIN;
    eck_svd *const svd = svd_of(a->op, &options);
    double *const s = wide_of(svd->s);
    eck_svd_free(svd);
    return s;
}

// sqrt of the sum of the squares beyond k, relative.
static double tail_of(const double *s, int64_t n, int64_t k)
{
    const double all = norm_of(s, n);
    return all > 0.0 ? norm_of(s + k, n - k) / all : 0.0;
}

static void check_values(const char *where, const double *s, const double *reference, int64_t n)
{
    double worst = 0.0;
    for (int64_t i = 0; i < n; i++)
        worst = fmax(worst, fabs(s[i] - reference[i]));
    // One spacing of F32 at sigma_1, whatever the storage: bf16 and f16 gain nothing by being coarse.
    if (n > 0) hold("|d sigma|, storage <= 32 bits", where, worst, 0x1p-23 * reference[0]);
}

// Before storage rounding: factors kept in F64.
static void check_unrounded(const char *where, const subject *a, const double *reference, int64_t k,
                            bool compact)
{
    const int64_t n = a->m < a->n ? a->m : a->n;
    eck_svd_options options = ECK_SVD_OPTIONS_INIT;
    options.rank = k;
    options.store = ECK_DTYPE_F64;
    if (compact) options.want = ECK_WANT_COMPACT;
    eck_svd *const svd = svd_of(a->op, &options);
    const double error = relative_error(a, svd, compact), tail = tail_of(reference, n, k);
    if (tail >= 1e-5)
        hold("excess over Eckart-Young", where, error / tail - 1.0, 1e-6);
    else
        hold("error beyond a small tail", where, error - tail, 3e-7);
    if (!compact) check_values(where, svd->s->data, reference, n);
    const double unit = 8.0 * sqrt((double)k) * 0x1p-53;
    if (k > 0) hold("orthogonality, stored F64", where, svd->certificate.orthogonality, unit);
    eck_svd_free(svd);
}

// What two stored factors may cost. Every number moves by at most a unit roundoff, so 2 u + u^2 always
// holds; where there are enough numbers and they look random, errors average out to the product's
// figures.
static double storage_floor(eck_dtype store, const subject *a, int64_t k, bool generic)
{
    const double u = 0.5 * eck_dtype_epsilon(store);
    if (!generic || (a->m + a->n) * k < 1000) return 2.0 * u + u * u;
    return store == ECK_DTYPE_BF16 ? 3e-3 : store == ECK_DTYPE_F16 ? 4e-4 : 1e-7;
}

// One type of factors: error, orthogonality.
static void check_store(const char *where, const subject *a, const double *reference, int64_t k,
                        eck_dtype store, bool generic)
{
    const int64_t n = a->m < a->n ? a->m : a->n;
    eck_svd_options options = ECK_SVD_OPTIONS_INIT;
    options.rank = k;
    options.store = store;
    eck_svd *const svd = svd_of(a->op, &options);
    const double error = relative_error(a, svd, false), tail = tail_of(reference, n, k);
    // error <= hypot(tail, floor), looked at without the tail.
    hold("error as stored, beyond the tail", where, sqrt(fmax(0.0, error * error - tail * tail)),
         storage_floor(store, a, k, generic));
    const double unit = 8.0 * sqrt((double)k) * 0.5 * eck_dtype_epsilon(store);
    if (k > 0) hold("orthogonality, stored narrow", where, svd->certificate.orthogonality, unit);
    eck_svd_free(svd);
}

static void check_narrow(const matrix_class *c, int64_t m, int64_t n, eck_dtype storage)
{
    char where[128];
    snprintf(where, sizeof where, "%s %s [%lld,%lld]", c->name, eck_dtype_name(storage),
             (long long)m, (long long)n);
    subject a = subject_of_class(c, m, n, storage, 7);
    if (!a.op) return; // the class leaves the range of the type
    const int64_t p = m < n ? m : n, ranks[] = { 1, p / 8, p / 2, p - 1, p };
    double *const reference = reference_values(&a);
    // Forms and types of factors take turns, so that classes and ranks together meet all of them.
    const size_t turn = (size_t)(c - MATRIX_CLASSES) + (size_t)storage;
    for (size_t i = large ? 1 : 0; i < (large ? 3 : 5); i++) {
        if (ranks[i] < 1) continue;
        check_unrounded(where, &a, reference, ranks[i], (turn + i) % 2 == 0);
        check_store(where, &a, reference, ranks[i], NARROW[(turn + i) % 3], c->generic);
    }
    test_free(reference);
    subject_clear(&a);
}

static void narrow_storage(void **state)
{
    (void)state;
    const size_t count =
        large ? sizeof LARGE_SHAPES / sizeof LARGE_SHAPES[0] : sizeof SHAPES / sizeof SHAPES[0];
    for (const matrix_class *c = MATRIX_CLASSES; c->name; c++)
        for (size_t i = 0; i < count; i++) {
            const int64_t *const shape = large ? LARGE_SHAPES[i] : SHAPES[i];
            if (c->square && shape[0] != shape[1]) continue;
            for (size_t t = 0; t < (large ? 1 : 3); t++)
                check_narrow(c, shape[0], shape[1],
                             NARROW[large ? (i + (size_t)(c - MATRIX_CLASSES)) % 3 : t]);
        }
}

// LAPACK's test ratios, which pass below 30 (its own limit is 50): residual over ||A|| max(m,n) ulp,
// orthogonality over size ulp, and values against those without vectors over min(m,n) ulp sigma_1.
static void check_f64(const matrix_class *c, int64_t m, int64_t n, eck_engine engine)
{
    char where[128];
    snprintf(where, sizeof where, "%s F64 [%lld,%lld] %s", c->name, (long long)m, (long long)n,
             eck_engine_name(engine));
    subject a = subject_of_class(c, m, n, ECK_DTYPE_F64, 9);
    const int64_t p = m < n ? m : n;
    const double larger = (double)(m < n ? n : m);
    eck_svd_options options = ECK_SVD_OPTIONS_INIT;
    options.rule = ECK_RULE_THIN;
    options.engine = engine;
    eck_svd *const svd = svd_of(a.op, &options);
    options.want = ECK_WANT_VALUES;
    eck_svd *const values = svd_of(a.op, &options);
    const double *const s = svd->s->data, *const t = values->s->data;
    hold("LAPACK ratio: residual", where, relative_error(&a, svd, false) / (larger * 0x1p-52),
         30.0);
    hold("LAPACK ratio: U^T U - I", where, loss_of_orthogonality(svd->u) / ((double)m * 0x1p-52),
         30.0);
    hold("LAPACK ratio: V^T V - I", where, loss_of_orthogonality(svd->v) / ((double)n * 0x1p-52),
         30.0);
    hold("orthogonality, stored F64", where, svd->certificate.orthogonality,
         8.0 * sqrt((double)p) * 0x1p-53);
    double worst = 0.0;
    for (int64_t i = 0; i < p; i++) {
        assert_true(s[i] >= 0.0 && (i == 0 || s[i] <= s[i - 1]));
        worst = fmax(worst, fabs(s[i] - t[i]));
    }
    if (s[0] > 0.0)
        hold("LAPACK ratio: values alone", where, worst / ((double)p * 0x1p-52 * s[0]), 30.0);
    eck_svd_free(values);
    eck_svd_free(svd);
    subject_clear(&a);
}

static void f64_storage(void **state)
{
    (void)state;
    const size_t count = large ? 3 : sizeof SHAPES / sizeof SHAPES[0];
    for (const matrix_class *c = MATRIX_CLASSES; c->name; c++)
        for (size_t i = 0; i < count; i++) {
            const int64_t *const shape = large ? LARGE_SHAPES[i] : SHAPES[i];
            if (c->square && shape[0] != shape[1]) continue;
            check_f64(c, shape[0], shape[1], i % 2 ? ECK_ENGINE_GOLUB_KAHAN : ECK_ENGINE_EXACT);
        }
}

// The energy rule 1 - eps finds the rank of exactly rank-deficient matrices.
static void exact_ranks(void **state)
{
    (void)state;
    for (int64_t r = 1; r <= 24; r += 5) {
        const int64_t m = 60, n = 37;
        double *const a = test_malloc((size_t)(m * n) * sizeof *a);
        for (int64_t i = 0; i < m; i++)
            for (int64_t j = 0; j < n; j++) {
                a[i * n + j] = 0.0; // small integers: the product is exact in F32
                for (int64_t t = 0; t < r; t++)
                    a[i * n + j] += floor(8.0 * uniform_number(1, (uint64_t)(i * r + t))) *
                                    floor(8.0 * uniform_number(2, (uint64_t)(j * r + t)));
            }
        subject s;
        assert_true(subject_of(&s, a, m, n, ECK_DTYPE_F32));
        eck_svd_options options = ECK_SVD_OPTIONS_INIT;
        options.rule = ECK_RULE_ENERGY;
        options.target = 1.0 - 0x1p-23;
        eck_svd *svd = svd_of(s.op, &options);
        assert_true(svd->rank <= r);
        assert_int_equal(svd->numerical_rank, r);
        eck_svd_free(svd);
        options.rule = ECK_RULE_NUMERICAL;
        svd = svd_of(s.op, &options);
        assert_int_equal(svd->rank, r);
        hold("error at the numerical rank", "integers", svd->certificate.error, 1e-7);
        eck_svd_free(svd);
        subject_clear(&s);
        test_free(a);
    }
}

int main(int argc, char **argv)
{
    large = argc > 1 && strcmp(argv[1], "long") == 0;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(narrow_storage),
        cmocka_unit_test(f64_storage),
        cmocka_unit_test(exact_ranks),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    report_worst();
    return failed;
}
