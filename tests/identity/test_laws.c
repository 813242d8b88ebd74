// Classical identities of the singular value decomposition, each by two ways. Thresholds are
// c N u ||A|| with N the larger size and u = 2^-53 unless storage or the Gram's own floor (one
// spacing of F32 at sigma_1) is what limits them.
#include "matrices.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define U64 0x1p-53

static const eck_dtype TYPES[] = { ECK_DTYPE_F64, ECK_DTYPE_F32, ECK_DTYPE_BF16 };

// Error of values: backward stability for F64; for the exact lane one spacing of F32.
static double value_error(const subject *a, double first)
{
    const double larger = (double)(a->m > a->n ? a->m : a->n);
    return a->array->dtype == ECK_DTYPE_F64 ? 10.0 * larger * U64 * first : 0x1p-23 * first;
}

static eck_svd_options thin_options(uint32_t want)
{
    eck_svd_options options = ECK_SVD_OPTIONS_INIT;
    options.rule = ECK_RULE_THIN;
    options.want = want;
    options.store = ECK_DTYPE_F64;
    return options;
}

static subject random_subject(int64_t m, int64_t n, eck_dtype storage, uint64_t stream)
{
    const matrix_class *c = MATRIX_CLASSES;
    const char *const names[] = { "normal", "power -1", "repeated", "low rank + noise",
                                  "outliers" };
    while (strcmp(c->name, names[stream % 5]) != 0)
        c++;
    return subject_of_class(c, m, n, storage, stream);
}

// Values of a matrix given as numbers.
static double *values_of(const double *a, int64_t m, int64_t n, eck_dtype storage)
{
    subject s;
    assert_true(subject_of(&s, a, m, n, storage));
    const eck_svd_options options = thin_options(ECK_WANT_VALUES);
    eck_svd *const svd = svd_of(s.op, &options);
    double *const values = wide_of(svd->s);
    eck_svd_free(svd);
    subject_clear(&s);
    return values;
}

// No matrix of rank k is nearer than A_k: its factors disturbed, from a part in 10^9 to all of them.
static void eckart_young(void **state)
{
    (void)state;
    for (uint64_t t = 0; t < 30; t++) {
        const int64_t m = 12 + (int64_t)(t % 7), n = 9 + (int64_t)(t % 5), k = 1 + (int64_t)(t % 6);
        subject a = random_subject(m, n, TYPES[t % 3], t);
        eck_svd_options options = thin_options(ECK_WANT_COMPACT);
        options.rule = ECK_RULE_RANK;
        options.rank = k;
        eck_svd *const svd = svd_of(a.op, &options);
        const double best = residual_norm(&a, svd->u, NULL, svd->v, k);
        double *const u = svd->u->data, *const v = svd->v->data;
        double *const old_u = wide_of(svd->u), *const old_v = wide_of(svd->v);
        for (int trial = 0; trial < 40; trial++) {
            const double size = pow(10.0, -(double)(trial % 10));
            for (int64_t i = 0; i < m * k; i++)
                u[i] = old_u[i] + size * normal_number(100 + t, (uint64_t)(trial * m * k + i));
            for (int64_t i = 0; i < n * k; i++)
                v[i] = old_v[i] + size * normal_number(200 + t, (uint64_t)(trial * n * k + i));
            const double other = residual_norm(&a, svd->u, NULL, svd->v, k);
            hold("no rank-k matrix is nearer", "disturbed factors", best - other,
                 20.0 * U64 * norm_of(a.wide, m * n));
        }
        test_free(old_v);
        test_free(old_u);
        eck_svd_free(svd);
        subject_clear(&a);
    }
}

// ||A - A_k||_F^2 = sum_{i>k} sigma_i^2, ||A - A_k||_2 = sigma_{k+1}, energy + error^2 = 1.
static void tail_formula(void **state)
{
    (void)state;
    for (uint64_t t = 0; t < 30; t++) {
        const int64_t m = 30 - (int64_t)(t % 9), n = 17 + (int64_t)(t % 8);
        subject a = random_subject(m, n, TYPES[t % 3], t);
        const int64_t p = m < n ? m : n, k = (int64_t)(t % (uint64_t)p);
        eck_svd_options options = thin_options(ECK_WANT_LEFT | ECK_WANT_RIGHT);
        options.rule = ECK_RULE_RANK;
        options.rank = k;
        eck_svd *const svd = svd_of(a.op, &options);
        const double *const s = svd->s->data;
        const double norm = norm_of(a.wide, m * n), tail = norm_of(s + k, p - k);
        const double rest = residual_norm(&a, svd->u, s, svd->v, k);
        // The root of a sum of p squares, each off by value_error, and the residual's own rounding.
        const double allowed =
            sqrt((double)p) * value_error(&a, s[0]) + 4.0 * (double)(m + n) * U64 * norm;
        hold("||A - A_k||_F against the tail", "random", fabs(rest - tail), allowed);
        hold("||A||_F against all values", "random", fabs(norm - norm_of(s, p)), allowed);
        const double error = rest / norm;
        hold("energy + error^2 = 1", "random", fabs(svd->energy + error * error - 1.0),
             4.0 * allowed / norm);
        // The spectral norm of the rest, by the values of the rest itself.
        double *const remainder = test_malloc((size_t)(m * n) * sizeof *remainder);
        const double *const u = svd->u->data, *const v = svd->v->data;
        for (int64_t i = 0; i < m; i++)
            for (int64_t j = 0; j < n; j++) {
                remainder[i * n + j] = a.wide[i * n + j];
                for (int64_t c = 0; c < k; c++)
                    remainder[i * n + j] -= u[i * k + c] * s[c] * v[j * k + c];
            }
        double *const left = values_of(remainder, m, n, ECK_DTYPE_F64);
        hold("||A - A_k||_2 = sigma_{k+1}", "random", fabs(left[0] - s[k]), allowed);
        test_free(left);
        test_free(remainder);
        eck_svd_free(svd);
        subject_clear(&a);
    }
}

// Eigenvalues of A^T A and A A^T, formed here in F64, are the squares of the values, then zeros.
static void both_grams(void **state)
{
    (void)state;
    for (uint64_t t = 0; t < 12; t++) {
        const int64_t m = 14 + (int64_t)(t % 5), n = 11 + (int64_t)(t % 7);
        subject a = random_subject(m, n, TYPES[t % 3], t);
        double *const s = values_of(a.wide, m, n, a.array->dtype);
        const int64_t p = m < n ? m : n;
        for (int side = 0; side < 2; side++) {
            const int64_t order = side ? m : n, inner = side ? n : m;
            double *const gram = test_calloc((size_t)(order * order), sizeof *gram);
            for (int64_t i = 0; i < order; i++)
                for (int64_t j = 0; j < order; j++)
                    for (int64_t c = 0; c < inner; c++)
                        gram[i * order + j] += side ? a.wide[i * n + c] * a.wide[j * n + c]
                                                    : a.wide[c * n + i] * a.wide[c * n + j];
            subject g;
            assert_true(subject_of(&g, gram, order, order, ECK_DTYPE_F64));
            eck_eigen *eigen = NULL;
            eck_error err = ECK_ERROR_INIT;
            const eck_svd_options options = thin_options(ECK_WANT_VALUES);
            must(eck_eigen_compute(&eigen, g.op, &options, NULL, &err), &err);
            const double *const lambda = eigen->values->data;
            for (int64_t i = 0; i < order; i++) {
                const double square = i < p ? s[i] * s[i] : 0.0;
                const double allowed = 10.0 * (double)(m + n) * U64 * s[0] * s[0] +
                                       2.0 * (i < p ? s[i] : 0.0) * value_error(&a, s[0]);
                hold("eigenvalues of the Grams", side ? "A A^T" : "A^T A", fabs(lambda[i] - square),
                     allowed);
            }
            eck_eigen_free(eigen);
            subject_clear(&g);
            test_free(gram);
        }
        test_free(s);
        subject_clear(&a);
    }
}

// max |X^T Y|.
static double cross(const eck_array *x, const eck_array *y)
{
    double worst = 0.0;
    const double *const a = x->data, *const b = y->data;
    const int64_t m = x->shape[0], k = x->shape[1], q = y->shape[1];
    for (int64_t i = 0; i < k; i++)
        for (int64_t j = 0; j < q; j++) {
            double dot = 0.0;
            for (int64_t t = 0; t < m; t++)
                dot += a[t * k + i] * b[t * q + j];
            worst = fmax(worst, fabs(dot));
        }
    return worst;
}

// || A X ||, or || A^T X ||, X a basis of the null space: zero.
static double image_norm(const subject *a, const eck_array *x, bool transposed)
{
    const double *const b = x->data;
    const int64_t rows = transposed ? a->n : a->m, inner = transposed ? a->m : a->n,
                  k = x->shape[1];
    double sum = 0.0;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < k; j++) {
            double dot = 0.0;
            for (int64_t t = 0; t < inner; t++)
                dot += (transposed ? a->wide[t * a->n + i] : a->wide[i * a->n + t]) * b[t * k + j];
            sum += dot * dot;
        }
    return sqrt(sum);
}

// rank + nullity = columns, on both sides; the four subspaces are orthonormal, orthogonal in pairs,
// and null spaces are sent to zero.
static void four_subspaces(void **state)
{
    (void)state;
    const int64_t shapes[][3] = { { 9, 6, 3 }, { 6, 9, 4 }, { 8, 8, 8 },
                                  { 8, 8, 1 }, { 7, 5, 0 }, { 12, 5, 5 } };
    for (size_t t = 0; t < sizeof shapes / sizeof shapes[0]; t++)
        for (size_t d = 0; d < 2; d++) {
            const int64_t m = shapes[t][0], n = shapes[t][1], r = shapes[t][2];
            double *const numbers = test_calloc((size_t)(m * n), sizeof *numbers);
            for (int64_t i = 0; i < m * n; i++)
                for (int64_t c = 0; c < r; c++) // small integers, exact in F32
                    numbers[i] +=
                        floor(7.0 * uniform_number(t, (uint64_t)(i / n * r + c)) - 3.0) *
                        floor(7.0 * uniform_number(t + 50, (uint64_t)(i % n * r + c)) - 3.0);
            subject a;
            assert_true(subject_of(&a, numbers, m, n, TYPES[d]));
            const eck_svd_options options = thin_options(ECK_WANT_FULL);
            eck_svd *const svd = svd_of(a.op, &options);
            eck_subspaces sub;
            eck_error err = ECK_ERROR_INIT;
            must(eck_subspaces_compute(&sub, svd, &err), &err);
            assert_int_equal(sub.rank, r);
            assert_int_equal(sub.row->shape[1] + sub.null->shape[1], n);
            assert_int_equal(sub.column->shape[1] + sub.left_null->shape[1], m);
            const double allowed = 8.0 * sqrt((double)(m + n)) * U64;
            const eck_array *const bases[4] = { sub.column, sub.left_null, sub.row, sub.null };
            for (int b = 0; b < 4; b++)
                hold("bases are orthonormal", "subspaces", loss_of_orthogonality(bases[b]),
                     allowed);
            hold("column space and left null space", "subspaces", cross(sub.column, sub.left_null),
                 allowed);
            hold("row space and null space", "subspaces", cross(sub.row, sub.null), allowed);
            // The Gram separates spaces to u (sigma_1 / sigma_r)^2; these integers have ratios below 1e3.
            const double sent = 1e-8 * norm_of(a.wide, m * n);
            hold("A sends its null space to 0", "subspaces", image_norm(&a, sub.null, false), sent);
            hold("A^T sends the left null space to 0", "subspaces",
                 image_norm(&a, sub.left_null, true), sent);
            eck_subspaces_clear(&sub);
            eck_svd_free(svd);
            subject_clear(&a);
            test_free(numbers);
        }
}

// The SVD of A^T is that of A with U and V exchanged, up to one sign for each pair.
static void transposition(void **state)
{
    (void)state;
    for (uint64_t t = 0; t < 12; t++) {
        const int64_t m = 15, n = 10 + (int64_t)(t % 9), p = m < n ? m : n;
        subject a =
            subject_of_class(&MATRIX_CLASSES[10], m, n, TYPES[t % 3], t); // separated values
        eck_operator *turned = NULL;
        eck_error err = ECK_ERROR_INIT;
        must(eck_operator_transposed(&turned, a.op, &err), &err);
        eck_svd_options options = thin_options(ECK_WANT_LEFT | ECK_WANT_RIGHT);
        eck_svd *const one = svd_of(a.op, &options), *const two = svd_of(turned, &options);
        const double *const s = one->s->data, *const q = two->s->data;
        const double *const u = one->u->data, *const v = one->v->data;
        const double *const x = two->u->data, *const y = two->v->data;
        const double gap =
            0.5 * (s[0] - s[p - 1]) / (double)p; // arithmetic: all gaps are twice that
        for (int64_t j = 0; j < p; j++) {
            hold("values of A^T", "arithmetic", fabs(s[j] - q[j]), value_error(&a, s[0]));
            double dot = 0.0;
            for (int64_t i = 0; i < n; i++)
                dot += v[i * p + j] * x[i * p + j];
            const double sign = dot < 0.0 ? -1.0 : 1.0;
            double worst = 0.0;
            for (int64_t i = 0; i < n; i++)
                worst = fmax(worst, fabs(v[i * p + j] - sign * x[i * p + j]));
            for (int64_t i = 0; i < m; i++)
                worst = fmax(worst, fabs(u[i * p + j] - sign * y[i * p + j]));
            // Davis and Kahan on the Gram: vectors turn by c u sigma_1^2 / (gap of squares).
            const double turn = 40.0 * (double)(m + n) * U64 * s[0] * s[0] / (gap * s[p - 1]);
            hold("transposition swaps U and V", "arithmetic", worst, turn);
        }
        eck_svd_free(two);
        eck_svd_free(one);
        eck_operator_free(turned);
        subject_clear(&a);
    }
}

// A = V diag(lambda) V^T with signs; |lambda| are the singular values.
static void symmetric_matrices(void **state)
{
    (void)state;
    for (uint64_t t = 0; t < 9; t++) {
        const int64_t n = 5 + 4 * (int64_t)t;
        double *const numbers = test_malloc((size_t)(n * n) * sizeof *numbers);
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j <= i; j++)
                numbers[i * n + j] = numbers[j * n + i] = normal_number(t, (uint64_t)(i * n + j));
        subject a;
        assert_true(subject_of(&a, numbers, n, n, TYPES[t % 3]));
        eck_svd_options options = thin_options(ECK_WANT_LEFT | ECK_WANT_RIGHT);
        eck_eigen *eigen = NULL;
        eck_error err = ECK_ERROR_INIT;
        must(eck_eigen_compute(&eigen, a.op, &options, NULL, &err), &err);
        eck_svd *const svd = svd_of(a.op, &options);
        const double *const lambda = eigen->values->data, *const s = svd->s->data;
        const double norm = norm_of(a.wide, n * n);
        bool negative = false;
        for (int64_t i = 0; i < n; i++) {
            negative = negative || lambda[i] < 0.0;
            hold("|lambda| = sigma", "symmetric", fabs(fabs(lambda[i]) - s[i]),
                 value_error(&a, s[0]));
        }
        assert_true(negative && eigen->asymmetry == 0.0);
        hold("A - V diag(lambda) V^T", "symmetric",
             residual_norm(&a, eigen->vectors, lambda, eigen->vectors, n),
             10.0 * (double)n * U64 * norm);
        hold("bases are orthonormal", "symmetric", loss_of_orthogonality(eigen->vectors),
             8.0 * sqrt((double)n) * U64);
        eck_svd_free(svd);
        eck_eigen_free(eigen);
        numbers[1] += 1.0;
        subject b;
        assert_true(subject_of(&b, numbers, n, n, ECK_DTYPE_F32));
        assert_int_equal(eck_eigen_compute(&eigen, b.op, &options, NULL, &err), ECK_E_RANGE);
        assert_int_equal(err.offset, n); // element (1,0), the lower one of the pair
        subject_clear(&b);
        subject_clear(&a);
        test_free(numbers);
    }
}

// sigma(Q A) = sigma(A) for a rotation Q; interlacing when a column goes; Weyl when A moves.
static void perturbations(void **state)
{
    (void)state;
    for (uint64_t t = 0; t < 20; t++) {
        const int64_t m = 13, n = 6 + (int64_t)(t % 12), p = m < n ? m : n;
        subject a = random_subject(m, n, ECK_DTYPE_F64, t);
        double *const s = values_of(a.wide, m, n, ECK_DTYPE_F64);
        double *const b = test_malloc((size_t)(m * n) * sizeof *b);
        const double allowed = 10.0 * 13.0 * 2.0 * U64 * s[0];
        memcpy(b, a.wide, (size_t)(m * n) * sizeof *b);
        for (int64_t i = 0; i + 1 < m; i++) {
            const double angle = 6.283185307179586 * uniform_number(t, (uint64_t)i);
            for (int64_t j = 0; j < n; j++) {
                const double x = b[i * n + j], y = b[(i + 1) * n + j];
                b[i * n + j] = cos(angle) * x - sin(angle) * y;
                b[(i + 1) * n + j] = sin(angle) * x + cos(angle) * y;
            }
        }
        double *q = values_of(b, m, n, ECK_DTYPE_F64);
        for (int64_t i = 0; i < p; i++)
            hold("sigma(Q A) = sigma(A)", "rotations", fabs(q[i] - s[i]), allowed);
        test_free(q);
        for (int64_t i = 0; i < m; i++)
            memcpy(b + i * (n - 1), a.wide + i * n, (size_t)(n - 1) * sizeof *b);
        q = values_of(b, m, n - 1, ECK_DTYPE_F64);
        for (int64_t i = 0; i < (m < n - 1 ? m : n - 1); i++) {
            hold("interlacing, above", "a column less", q[i] - s[i], allowed);
            if (i + 1 < p) hold("interlacing, below", "a column less", s[i + 1] - q[i], allowed);
        }
        test_free(q);
        double moved = 0.0;
        for (int64_t i = 0; i < m * n; i++) {
            const double step = 1e-3 * normal_number(t + 9, (uint64_t)i);
            b[i] = a.wide[i] + step;
            moved += step * step;
        }
        q = values_of(b, m, n, ECK_DTYPE_F64);
        for (int64_t i = 0; i < p; i++)
            hold("Weyl: |d sigma| <= ||E||", "random E", fabs(q[i] - s[i]), sqrt(moved) + allowed);
        test_free(q);
        test_free(b);
        test_free(s);
        subject_clear(&a);
    }
}

// Principal components: the operator less its column means, against the same formed here.
static void centring(void **state)
{
    (void)state;
    subject a = random_subject(40, 7, ECK_DTYPE_F32, 1);
    double *const b = test_malloc(280 * sizeof *b);
    for (int64_t j = 0; j < 7; j++) {
        double mean = 0.0;
        for (int64_t i = 0; i < 40; i++)
            mean += a.wide[i * 7 + j] / 40.0;
        for (int64_t i = 0; i < 40; i++)
            b[i * 7 + j] = a.wide[i * 7 + j] - mean;
    }
    double *const s = values_of(b, 40, 7, ECK_DTYPE_F64);
    eck_operator *centered = NULL;
    eck_error err = ECK_ERROR_INIT;
    must(eck_operator_centered(&centered, a.op, NULL, &err), &err);
    const eck_svd_options options = thin_options(ECK_WANT_VALUES);
    eck_svd *const svd = svd_of(centered, &options);
    for (int64_t i = 0; i < 7; i++)
        hold("values of A - 1 mean^T", "components", fabs(((double *)svd->s->data)[i] - s[i]),
             0x1p-23 * s[0]);
    eck_svd_free(svd);
    eck_operator_free(centered);
    test_free(s);
    test_free(b);
    subject_clear(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(eckart_young),  cmocka_unit_test(tail_formula),
        cmocka_unit_test(both_grams),    cmocka_unit_test(four_subspaces),
        cmocka_unit_test(transposition), cmocka_unit_test(symmetric_matrices),
        cmocka_unit_test(perturbations), cmocka_unit_test(centring),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    report_worst();
    return failed;
}
