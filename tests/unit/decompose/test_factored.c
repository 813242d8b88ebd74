// Sums of thin products (factored.c, factored_algebra.c, factored_grams.c, factored_panels.c, factored_qr.c) held
// against the dense matrix they stand for, decomposed by LAPACK.
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "decompose/factored_parts.h"
#include "eckart/factored.h"
#include "eckart/svd.h"

// One or more terms, weights 1, -0.5, 0.25, ..; terms alike when `repeated`.
typedef struct made {
    eck_term terms[12];
    double *numbers[24];
    int count;
    int64_t rows, cols;
    double *dense;
} made;

static void fill(double *x, int64_t count, uint64_t stream)
{
    for (int64_t i = 0; i < count; i++)
        x[i] = ecki_random_normal(7, stream, (uint64_t)i);
}

static made make(int64_t rows, int64_t cols, int count, int64_t r, bool repeated)
{
    made m = { .count = count, .rows = rows, .cols = cols };
    m.dense = calloc((size_t)(rows * cols), sizeof *m.dense);
    for (int t = 0; t < count; t++) {
        double *first = malloc((size_t)(r * cols) * sizeof *first);
        double *last = malloc((size_t)(rows * r) * sizeof *last);
        fill(first, r * cols, repeated ? 1 : (uint64_t)(2 * t + 1));
        fill(last, rows * r, repeated ? 2 : (uint64_t)(2 * t + 2));
        for (int64_t i = 0; i < r; i++) // decaying terms
            for (int64_t j = 0; j < cols; j++)
                first[i * cols + j] *= pow(0.7, (double)i);
        const double weight = pow(-0.5, t);
        m.terms[t] = (eck_term){ weight, eck_view_matrix(first, ECK_DTYPE_F64, r, cols),
                                 eck_view_matrix(last, ECK_DTYPE_F64, rows, r) };
        m.numbers[2 * t] = first;
        m.numbers[2 * t + 1] = last;
        for (int64_t i = 0; i < rows; i++)
            for (int64_t p = 0; p < r; p++)
                for (int64_t j = 0; j < cols; j++)
                    m.dense[i * cols + j] += weight * last[i * r + p] * first[p * cols + j];
    }
    return m;
}

static void made_free(made *m)
{
    for (int i = 0; i < 2 * m->count; i++)
        free(m->numbers[i]);
    free(m->dense);
}

static double norm(const double *x, int64_t count)
{
    double sum = 0;
    for (int64_t i = 0; i < count; i++)
        sum += x[i] * x[i];
    return sqrt(sum);
}

// || dense - last first || and the same against the truncated dense SVD.
static double distance(const double *dense, const eck_array *first, const eck_array *last)
{
    const int64_t rows = last->shape[0], k = last->shape[1], cols = first->shape[1];
    const double *f = first->data, *l = last->data;
    double sum = 0;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++) {
            double x = dense[i * cols + j];
            for (int64_t p = 0; p < k; p++)
                x -= l[i * k + p] * f[p * cols + j];
            sum += x * x;
        }
    return sqrt(sum);
}

static eck_svd *reference(const made *m)
{
    eck_svd *svd = NULL;
    eck_operator *a = NULL;
    eck_svd_options options = ECK_SVD_OPTIONS_INIT;
    options.engine = ECK_ENGINE_GOLUB_KAHAN;
    options.rule = ECK_RULE_THIN;
    options.store = ECK_DTYPE_F64;
    assert_int_equal(
        eck_operator_dense(&a, eck_view_matrix(m->dense, ECK_DTYPE_F64, m->rows, m->cols), NULL),
        ECK_OK);
    assert_int_equal(eck_svd_compute(&svd, a, &options, NULL, NULL), ECK_OK);
    eck_operator_free(a);
    return svd;
}

// The best rank-k product of the reference.
static double *best(const eck_svd *svd, int64_t k)
{
    double *x = calloc((size_t)(svd->rows * svd->cols), sizeof *x);
    const double *u = svd->u->data, *s = svd->s->data, *v = svd->v->data;
    for (int64_t i = 0; i < svd->rows; i++)
        for (int64_t j = 0; j < svd->cols; j++)
            for (int64_t p = 0; p < k; p++)
                x[i * svd->cols + j] += u[i * svd->rank + p] * s[p] * v[j * svd->rank + p];
    return x;
}

// Values, tails and the truncated product of one sum, by both ways.
static void check_sum(const made *m, int64_t k, int64_t hint)
{
    eck_factored *f = NULL;
    eck_array *first = NULL, *last = NULL;
    eck_error err = ECK_ERROR_INIT;
    eck_svd *svd = reference(m);
    double *wanted = best(svd, k);
    const double size = norm(m->dense, m->rows * m->cols);
    const double *s = svd->s->data;

    assert_int_equal(eck_factored_create(&f, m->terms, m->count, hint, &err), ECK_OK);
    const eck_factored_info *info = eck_factored_get_info(f);
    // Grams promise 1e-9 of the norm; QR c eps with c = 64 for the sizes here.
    const double allowed = info->orthogonal ? 64 * DBL_EPSILON * size : 1e-9 * size;
    double worst = fabs(info->norm - size);
    for (int64_t i = 0; i < k && i < info->count; i++)
        worst = fmax(worst, fabs(info->values[i] - s[i]));
    print_message("%lld x %lld, width %lld, %s: values %.2g, allowed %.2g\n", (long long)m->rows,
                  (long long)m->cols, (long long)info->width, info->orthogonal ? "qr" : "grams",
                  worst, allowed);
    assert_true(worst <= allowed);
    assert_int_equal(
        eck_factored_truncate(&first, &last, f,
                              &(eck_truncation){ k, ECK_SPLIT_BALANCED, ECK_DTYPE_F64 }, &err),
        ECK_OK);
    const double off = distance(wanted, first, last);
    // where s_k and s_k+1 are apart by g, vectors turn by allowed / g
    const double gap = k < svd->rank && s[k] > 0 ? (s[k - 1] - s[k]) / s[k - 1] : 1;
    print_message("  product %.2g, allowed %.2g\n", off, 4 * allowed / gap);
    assert_true(off <= 4 * allowed / gap);
    eck_array_free(first);
    eck_array_free(last);
    eck_factored_free(f);
    free(wanted);
    eck_svd_free(svd);
}

static void test_against_dense(void **state)
{
    (void)state;
    const struct {
        int64_t rows, cols;
        int count;
        int64_t r, k;
        bool repeated;
    } cases[] = { { 60, 40, 1, 8, 3, false },    { 40, 60, 1, 8, 8, false },
                  { 50, 70, 4, 5, 6, false },    { 33, 47, 2, 6, 4, true },
                  { 10, 80, 3, 7, 5, false },    { 80, 10, 3, 7, 5, false },
                  { 12, 9, 5, 6, 9, false },     { 1, 20, 1, 1, 1, false },
                  { 200, 150, 10, 6, 12, false } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        made m = make(cases[i].rows, cases[i].cols, cases[i].count, cases[i].r, cases[i].repeated);
        check_sum(&m, cases[i].k, 0);
        check_sum(&m, cases[i].k, cases[i].k);
        made_free(&m);
    }
}

// Where the leading values are all that is wanted, the others are known by what they sum to: norm and tails are those of
// the whole, to the 1e-9 of the norm that Grams promise.
static void test_leading_alone(void **state)
{
    (void)state;
    const int64_t ranks[] = { 1, 12, 40, 59, 60 };
    made m = make(200, 150, 10, 6, false);
    eck_factored *all = NULL, *leading = NULL;

    for (int i = 0; i < 5; i++) {
        const int64_t k = ranks[i];
        assert_int_equal(eck_factored_create(&all, m.terms, m.count, k, NULL), ECK_OK);
        assert_int_equal(ecki_factored_borrow(&leading, m.terms, m.count, k, NULL), ECK_OK);
        const eck_factored_info *a = eck_factored_get_info(all),
                                *b = eck_factored_get_info(leading);
        assert_int_equal(a->count, 60);
        assert_int_equal(b->count, b->orthogonal ? 60 : k);
        assert_true(fabs(a->norm - b->norm) <= 1e-9 * a->norm);
        for (int64_t j = 0; j <= b->count; j++) {
            assert_true(fabs(a->tails[j] - b->tails[j]) <= 1e-9);
            assert_true(j == b->count || fabs(a->values[j] - b->values[j]) <= 1e-9 * a->norm);
        }
        assert_true(k == 60 || b->orthogonal || b->tails[k] > 1e-6);
        eck_factored_free(leading);
        eck_factored_free(all);
    }
    made_free(&m);
}

// Terms that cancel but for a part 1e-6 as large: Grams would lose it and must step aside.
static void test_cancellation(void **state)
{
    (void)state;
    made m = make(40, 30, 2, 4, true);
    eck_factored *f = NULL;
    double *first = m.numbers[2];

    m.terms[1].weight = -1;
    for (int64_t i = 0; i < 4 * 30; i++)
        first[i] *= 1 + 1e-6 * ecki_random_normal(7, 99, (uint64_t)i);
    memset(m.dense, 0, 40 * 30 * sizeof *m.dense);
    for (int t = 0; t < 2; t++)
        for (int64_t i = 0; i < 40; i++)
            for (int64_t p = 0; p < 4; p++)
                for (int64_t j = 0; j < 30; j++)
                    m.dense[i * 30 + j] += m.terms[t].weight * m.numbers[2 * t + 1][i * 4 + p] *
                                           m.numbers[2 * t][p * 30 + j];
    assert_int_equal(eck_factored_create(&f, m.terms, 2, 2, NULL), ECK_OK);
    const eck_factored_info *info = eck_factored_get_info(f);
    const double size = norm(m.dense, 40 * 30);
    // relative to what cancels, 1e6 times the result
    print_message("norm %.3g, off by %.2g\n", size, fabs(info->norm - size));
    assert_true(info->orthogonal);
    assert_true(fabs(info->norm - size) <= 64 * DBL_EPSILON * 1e6 * size);
    eck_factored_free(f);
    made_free(&m);
}

// Numbers whose squares leave the range: powers of two on both sides change values by their product and nothing else, by
// QR and by Grams; also where a side is transposed in memory.
static void test_far_numbers(void **state)
{
    (void)state;
    for (int64_t hint = 0; hint <= 4; hint += 4) {
        made m = make(60, 40, 2, 5, false);
        eck_factored *near = NULL, *far = NULL;
        double *turned = malloc(60 * 5 * sizeof *turned);

        assert_int_equal(eck_factored_create(&near, m.terms, 2, hint, NULL), ECK_OK);
        for (int t = 0; t < 2; t++) {
            for (int64_t i = 0; i < 5 * 40; i++)
                m.numbers[2 * t][i] = ldexp(m.numbers[2 * t][i], -600);
            for (int64_t i = 0; i < 60 * 5; i++)
                m.numbers[2 * t + 1][i] = ldexp(m.numbers[2 * t + 1][i], 550);
        }
        for (int64_t i = 0; i < 60; i++)
            for (int64_t p = 0; p < 5; p++)
                turned[p * 60 + i] = m.numbers[1][i * 5 + p];
        m.terms[0].last = eck_view_transposed(eck_view_matrix(turned, ECK_DTYPE_F64, 5, 60));
        assert_int_equal(eck_factored_create(&far, m.terms, 2, hint, NULL), ECK_OK);
        free(turned); // the sum borrows nothing
        const eck_factored_info *a = eck_factored_get_info(near), *b = eck_factored_get_info(far);
        assert_int_equal(a->orthogonal, hint == 0);
        assert_int_equal(b->orthogonal, hint == 0);
        for (int64_t i = 0; i < a->count; i++)
            assert_true(ldexp(b->values[i], 50) == a->values[i]);
        eck_factored_free(near);
        eck_factored_free(far);
        made_free(&m);
    }
}

static void test_zero(void **state)
{
    (void)state;
    double zeros[24] = { 0 };
    const eck_term term = { 1, eck_view_matrix(zeros, ECK_DTYPE_F64, 2, 4),
                            eck_view_matrix(zeros, ECK_DTYPE_F64, 6, 2) };
    for (int64_t hint = 0; hint < 2; hint++) {
        eck_factored *f = NULL;
        eck_array *first = NULL, *last = NULL;
        assert_int_equal(eck_factored_create(&f, &term, 1, hint, NULL), ECK_OK);
        assert_true(eck_factored_get_info(f)->norm == 0);
        assert_int_equal(
            eck_factored_truncate(&first, &last, f,
                                  &(eck_truncation){ 3, ECK_SPLIT_LEFT, ECK_DTYPE_F32 }, NULL),
            ECK_OK);
        for (int i = 0; i < 18; i++)
            assert_true(((float *)last->data)[i] == 0);
        eck_array_free(first);
        eck_array_free(last);
        eck_factored_free(f);
    }
}

static void test_refusals(void **state)
{
    (void)state;
    double numbers[12] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 };
    eck_term term = { 1, eck_view_matrix(numbers, ECK_DTYPE_F64, 2, 4),
                      eck_view_matrix(numbers, ECK_DTYPE_F64, 3, 2) };
    eck_factored *f = NULL;
    eck_array *first = NULL, *last = NULL;
    eck_error err = ECK_ERROR_INIT;

    assert_int_equal(eck_factored_create(&f, &term, 0, 0, &err), ECK_E_RANGE);
    term.weight = NAN;
    assert_int_equal(eck_factored_create(&f, &term, 1, 0, &err), ECK_E_NONFINITE);
    term.weight = 1;
    numbers[5] = INFINITY;
    assert_int_equal(eck_factored_create(&f, &term, 1, 0, &err), ECK_E_NONFINITE);
    assert_int_equal(err.offset, 5);
    assert_non_null(strstr(err.message, "first factor of term 0"));
    numbers[5] = 1e6;
    term.first.shape[0] = 1;
    assert_int_equal(eck_factored_create(&f, &term, 1, 0, &err), ECK_E_SHAPE);
    term.first.shape[0] = 2;
    assert_int_equal(eck_factored_create(&f, &term, 1, 0, &err), ECK_OK);
    assert_int_equal(
        eck_factored_truncate(&first, &last, f,
                              &(eck_truncation){ 4, ECK_SPLIT_BALANCED, ECK_DTYPE_F32 }, &err),
        ECK_E_RANGE);
    assert_int_equal(eck_factored_truncate(&first, &last, f,
                                           &(eck_truncation){ 2, ECK_SPLIT_LEFT, ECK_DTYPE_F16 },
                                           &err),
                     ECK_E_RANGE);
    assert_non_null(strstr(err.message, "leaves the range of F16"));
    eck_factored_free(f);
}

// <a,b>, distances and angles against dense sums.
static void test_algebra(void **state)
{
    (void)state;
    made a = make(40, 30, 2, 3, false), b = make(40, 30, 1, 5, false);
    eck_factored *x = NULL, *y = NULL;
    eck_array *cosines = NULL;
    double inner = 0, wanted = 0, off = 0, dense = 0;

    assert_int_equal(eck_factored_create(&x, a.terms, 2, 0, NULL), ECK_OK);
    assert_int_equal(eck_factored_create(&y, b.terms, 1, 0, NULL), ECK_OK);
    assert_int_equal(eck_factored_inner(&inner, x, y, NULL), ECK_OK);
    for (int64_t i = 0; i < 40 * 30; i++)
        wanted += a.dense[i] * b.dense[i];
    const double scale = norm(a.dense, 1200) * norm(b.dense, 1200);
    assert_true(fabs(inner - wanted) <= 64 * DBL_EPSILON * scale);
    assert_int_equal(eck_factored_distance(&off, x, &b.terms[0], NULL), ECK_OK);
    for (int64_t i = 0; i < 40 * 30; i++)
        dense += (a.dense[i] - b.dense[i]) * (a.dense[i] - b.dense[i]);
    assert_true(fabs(off - sqrt(dense)) <= 1e-12 * sqrt(dense));
    // b's only term has the factors of a's first term, widths 5 and 3: three dimensions are shared
    for (int side = 0; side < 2; side++) {
        assert_int_equal(eck_factored_angles(&cosines, x, x, (eck_side)side, NULL), ECK_OK);
        assert_int_equal(cosines->shape[0], 6);
        for (int i = 0; i < 6; i++)
            assert_true(fabs(((double *)cosines->data)[i] - 1) <= 64 * DBL_EPSILON);
        eck_array_free(cosines);
    }
    assert_int_equal(eck_factored_angles(&cosines, x, y, ECK_SIDE_RIGHT, NULL), ECK_OK);
    const double *c = cosines->data;
    assert_true(fabs(c[2] - 1) <= 1e-12 && c[3] < 0.9); // rows 0..2 of `first` agree
    eck_array_free(cosines);
    eck_factored_free(x);
    eck_factored_free(y);
    made_free(&a);
    made_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_dense), cmocka_unit_test(test_cancellation),
        cmocka_unit_test(test_far_numbers),   cmocka_unit_test(test_zero),
        cmocka_unit_test(test_refusals),      cmocka_unit_test(test_algebra),
        cmocka_unit_test(test_leading_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
