// What certificates claim against the truth, computed in 113 bits: error_low <= error <= error_high in
// every case, how tight, and how often a probabilistic bound is wrong. The argument is the number of
// cases: 2000 here, 100000 in the long run.
#include "matrices.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__extension__ typedef __float128 quad;

static int64_t cases = 2000;

// Numbers for choosing cases.
static uint64_t drawn;
static int64_t draw(int64_t below)
{
    return (int64_t)(uniform_number(77, drawn++) * (double)below);
}

// Squares of || A - u diag(s) v^T || and of || A ||.
typedef struct truth {
    quad error2, norm2;
} truth;

static truth truth_of(const subject *a, const eck_array *u, const double *s, const eck_array *v,
                      int64_t k)
{
    double *const left = wide_of(u), *const right = wide_of(v);
    truth t = { 0, 0 };
    for (int64_t i = 0; i < a->m; i++)
        for (int64_t j = 0; j < a->n; j++) {
            quad x = a->wide[i * a->n + j];
            t.norm2 += x * x;
            for (int64_t c = 0; c < k; c++)
                x -= (quad)left[i * u->shape[1] + c] * (s ? (quad)s[c] : (quad)1) *
                     right[j * v->shape[1] + c];
            t.error2 += x * x;
        }
    test_free(right);
    test_free(left);
    return t;
}

static double relative(const truth *t)
{
    return t->norm2 > 0 ? sqrt((double)(t->error2 / t->norm2)) : 0.0;
}

// Fails if the truth lies outside [low, high]; compared as squares, in 113 bits.
static void inside(const char *what, const eck_certificate *c, const truth *t)
{
    if (!(t->norm2 > 0)) return;
    const quad high = (quad)c->error_high * c->error_high * t->norm2;
    const quad low = (quad)c->error_low * c->error_low * t->norm2;
    if (high < t->error2 || low > t->error2)
        fail_msg("%s: %.17g lies outside [%.17g, %.17g]", what, relative(t), c->error_low,
                 c->error_high);
    assert_true(c->error_low <= c->error && c->error <= c->error_high);
}

// The optimum lies in its bracket, and is no more than the error.
static void bracket(const eck_certificate *c, const double *s, int64_t n, int64_t k)
{
    quad tail = 0, all = 0;
    for (int64_t i = 0; i < n; i++) {
        all += (quad)s[i] * s[i];
        tail += i >= k ? (quad)s[i] * s[i] : 0;
    }
    if (!(all > 0)) return;
    const double optimum = sqrt((double)(tail / all));
    assert_true(c->optimum_low <= optimum * (1.0 + 1e-15) + 1e-300);
    // `s` comes from another solver: its own backward error is in the comparison.
    assert_true(c->optimum_high >= optimum - 4.0 * (double)n * 0x1p-53);
    assert_true(c->optimum_low <= c->optimum_high && c->optimum_high <= c->error_high);
}

// A small matrix of any class, size and storage.
static subject draw_subject(void)
{
    for (;;) {
        const matrix_class *const c = &MATRIX_CLASSES[draw(37)];
        const int64_t m = 1 + draw(10), n = c->square ? m : 1 + draw(10);
        const eck_dtype types[] = { ECK_DTYPE_F32, ECK_DTYPE_F32, ECK_DTYPE_BF16, ECK_DTYPE_F16,
                                    ECK_DTYPE_F64 };
        double a[100];
        subject s;
        c->fill(a, m, n, (uint64_t)draw(1000000));
        if (draw(4) == 0) // another scale
            for (int64_t i = 0; i < m * n; i++)
                a[i] *= pow(10.0, (double)draw(3));
        if (subject_of(&s, a, m, n, types[draw(5)])) return s;
    }
}

// Ratios of claim to truth, for the median.
typedef struct ratios {
    double *list;
    int64_t count;
} ratios;

static int compare_numbers(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double *reference_values(const subject *a)
{
    eck_svd_options options = ECK_SVD_OPTIONS_INIT;
    options.engine = ECK_ENGINE_GOLUB_KAHAN;
    options.want = ECK_WANT_VALUES;
    eck_svd *const svd = svd_of(a->op, &options);
    double *const s = wide_of(svd->s);
    eck_svd_free(svd);
    return s;
}

static void one_case(eck_proof proof, ratios *seen)
{
    static const eck_dtype stores[] = { ECK_DTYPE_F32, ECK_DTYPE_BF16, ECK_DTYPE_F16,
                                        ECK_DTYPE_F64 };
    static const uint32_t wants[] = { ECK_WANT_LEFT | ECK_WANT_RIGHT, ECK_WANT_COMPACT,
                                      ECK_WANT_FULL };
    subject a = draw_subject();
    const int64_t p = a.m < a.n ? a.m : a.n;
    eck_svd_options options = ECK_SVD_OPTIONS_INIT;
    options.proof = proof;
    options.rank = draw(p + 1);
    options.want = wants[draw(3)];
    options.store = stores[draw(4)];
    options.engine = draw(8) == 0 ? ECK_ENGINE_GOLUB_KAHAN : ECK_ENGINE_EXACT;
    eck_svd *svd = NULL;
    eck_error err = ECK_ERROR_INIT;
    const eck_status status = eck_svd_compute(&svd, a.op, &options, NULL, &err);
    if (status ==
        ECK_E_RANGE) { // a factor that leaves the range of F16 is refused, never rounded to infinity
        assert_true(options.want == ECK_WANT_COMPACT);
        subject_clear(&a);
        return;
    }
    must(status, &err);
    const bool compact = options.want == ECK_WANT_COMPACT;
    const truth t = truth_of(&a, svd->u, compact ? NULL : svd->s->data, svd->v, svd->rank);
    const eck_certificate *const c = &svd->certificate;
    inside(eck_proof_name(proof), c, &t);
    double *const s = reference_values(&a);
    bracket(c, s, p, svd->rank);
    test_free(s);
    const double error = relative(&t);
    if (error >= c->floor && error > 0.0) {
        seen->list[seen->count++] = c->error_high / error;
        hold(proof == ECK_PROOF_TAIL ? "tightness of exact" : "tightness of residual",
             "random small", c->error_high / error, 1.1);
    }
    eck_svd_free(svd);
    subject_clear(&a);
}

static void run_proof(eck_proof proof)
{
    ratios seen = { test_malloc((size_t)cases * sizeof(double)), 0 };
    for (int64_t i = 0; i < cases; i++)
        one_case(proof, &seen);
    qsort(seen.list, (size_t)seen.count, sizeof *seen.list, compare_numbers);
    const double median = seen.list[seen.count / 2];
    printf("  %s: %lld cases, %lld above their floor\n", eck_proof_name(proof), (long long)cases,
           (long long)seen.count);
    assert_true(seen.count > cases / 3);
    if (proof == ECK_PROOF_RESIDUAL)
        hold("tightness of residual, median - 1", "random small", median - 1.0, 1e-6);
    test_free(seen.list);
}

static void by_residual(void **state)
{
    (void)state;
    run_proof(ECK_PROOF_RESIDUAL);
}

static void by_tail(void **state)
{
    (void)state;
    run_proof(ECK_PROOF_TAIL);
}

// eck_certify() on factors of any make: products in either balance, sums of products, F64 numbers of
// all sizes.
static void any_product(void **state)
{
    (void)state;
    for (int64_t i = 0; i < cases; i++) {
        subject a = draw_subject();
        const int64_t k = 1 + draw(6);
        double b[60], c[60];
        const double size = pow(10.0, (double)draw(7) - 3.0), norm = norm_of(a.wide, a.m * a.n);
        for (int64_t j = 0; j < a.m * k; j++)
            b[j] = size * normal_number((uint64_t)i, (uint64_t)j);
        for (int64_t j = 0; j < k * a.n; j++)
            c[j] = norm / size * normal_number((uint64_t)i, (uint64_t)(100 + j));
        subject left, right;
        const eck_dtype type = draw(2) ? ECK_DTYPE_F64 : ECK_DTYPE_F32;
        if (norm < 1e-30 || norm > 1e30 || !subject_of(&left, b, a.m, k, type)) {
            subject_clear(&a);
            continue;
        }
        assert_true(subject_of(&right, c, k, a.n, type));
        eck_operator *product = NULL;
        eck_error err = ECK_ERROR_INIT;
        must(eck_operator_product(&product, left.op, right.op, 1.0, &err), &err);
        double turned[60];
        for (int64_t x = 0; x < k; x++)
            for (int64_t y = 0; y < a.n; y++)
                turned[y * k + x] = right.wide[x * a.n + y];
        subject v;
        assert_true(subject_of(&v, turned, a.n, k, ECK_DTYPE_F64));
        const truth t = truth_of(&a, left.array, NULL, v.array, k);
        eck_certificate certificate;
        must(eck_certify(&certificate, a.op, product, ECK_PROOF_RESIDUAL, 0.0, 0, NULL, &err),
             &err);
        inside("eck_certify", &certificate, &t);
        subject_clear(&v);
        eck_operator_free(product);
        subject_clear(&right);
        subject_clear(&left);
        subject_clear(&a);
    }
}

// Most failures among n with probability p each that chance explains, but for one time in 10^4. From
// the mode outwards, since (1 - p)^n may vanish.
static int64_t most_failures(int64_t n, double p)
{
    const int64_t mode = (int64_t)((double)(n + 1) * p);
    double term = 1.0, below = 0.0, above = 0.0;
    for (int64_t k = mode; k > 0; k--) {
        term *= (double)k / (double)(n - k + 1) * (1.0 - p) / p;
        below += term;
    }
    term = 1.0;
    for (int64_t k = mode; k < n; k++) {
        term *= (double)(n - k) / (double)(k + 1) * p / (1.0 - p);
        above += term;
    }
    const double all = below + 1.0 + above;
    double beyond = above;
    int64_t most = mode;
    for (term = 1.0; beyond > 1e-4 * all && most < n; most++) {
        term *= (double)(n - most) / (double)(most + 1) * p / (1.0 - p);
        beyond -= term;
    }
    return most;
}

// Residuals of rank one are the worst case of the bound; of high rank, the usual one.
static void by_probes(void **state)
{
    (void)state;
    const double failures[] = { 0.5, 0.1, 0.01, 1e-6 };
    const int64_t trials = cases / 4;
    for (size_t f = 0; f < 4; f++)
        for (int64_t rank_one = 0; rank_one < 2; rank_one++) {
            int64_t wrong = 0;
            double a[60], zeros[60] = { 0.0 };
            for (int64_t i = 0; i < 60; i++)
                a[i] = rank_one ? normal_number(1, (uint64_t)(i / 6)) *
                                      normal_number(2, (uint64_t)(i % 6))
                                : normal_number(3, (uint64_t)i);
            subject s, nothing;
            assert_true(subject_of(&s, a, 10, 6, ECK_DTYPE_F64) &&
                        subject_of(&nothing, zeros, 10, 6, ECK_DTYPE_F64));
            for (int64_t i = 0; i < trials; i++) {
                eck_certificate c;
                eck_error err = ECK_ERROR_INIT;
                must(eck_certify(&c, s.op, nothing.op, ECK_PROOF_BOUND, failures[f], (uint64_t)i,
                                 NULL, &err),
                     &err);
                assert_true(c.failure == failures[f]); // nothing is approximated: the error is 1
                wrong += c.error_high < 1.0 || c.error_low > 1.0;
                hold("tightness of bound", rank_one ? "rank one" : "full rank", c.error_high, 1.7);
            }
            char what[64];
            snprintf(what, sizeof what, "bound %g wrong, %s", failures[f],
                     rank_one ? "rank one" : "full rank");
            printf("  %-40s %lld of %lld, at most %lld\n", what, (long long)wrong,
                   (long long)trials, (long long)most_failures(trials, failures[f]));
            assert_true(wrong <= most_failures(trials, failures[f]));
            subject_clear(&nothing);
            subject_clear(&s);
        }
}

// A matrix met exactly, a zero matrix met and missed, shapes that differ, values that are not finite.
static void edges(void **state)
{
    (void)state;
    const double one[4] = { 3.0, 1.0, 2.0, 4.0 }, none[4] = { 0.0 },
                 bad[4] = { 1.0, NAN, 0.0, INFINITY };
    subject a, z, b;
    eck_error err = ECK_ERROR_INIT;
    assert_true(subject_of(&a, one, 2, 2, ECK_DTYPE_F32) &&
                subject_of(&z, none, 2, 2, ECK_DTYPE_F32));
    assert_true(subject_of(&b, one, 1, 4, ECK_DTYPE_F32));
    eck_operator *infinite = NULL;
    must(eck_operator_dense(&infinite, eck_view_matrix(bad, ECK_DTYPE_F64, 2, 2), &err), &err);
    const eck_proof proofs[] = { ECK_PROOF_RESIDUAL, ECK_PROOF_BOUND };
    for (int p = 0; p < 2; p++) {
        eck_certificate c;
        must(eck_certify(&c, a.op, a.op, proofs[p], 0.01, 0, NULL, &err), &err);
        assert_true(c.error == 0.0 && c.error_low == 0.0 && c.error_high < 1e-12);
        must(eck_certify(&c, z.op, z.op, proofs[p], 0.01, 0, NULL, &err), &err);
        assert_true(c.error == 0.0 && c.error_high == 0.0);
        must(eck_certify(&c, z.op, a.op, proofs[p], 0.01, 0, NULL, &err), &err);
        assert_true(isinf(c.error_high));
        assert_int_equal(eck_certify(&c, a.op, b.op, proofs[p], 0.01, 0, NULL, &err), ECK_E_SHAPE);
        assert_int_equal(eck_certify(&c, infinite, a.op, proofs[p], 0.01, 0, NULL, &err),
                         ECK_E_NONFINITE);
        assert_int_equal(err.offset, 1);
        assert_int_equal(eck_certify(&c, a.op, infinite, proofs[p], 0.01, 0, NULL, &err),
                         ECK_E_NONFINITE);
    }
    eck_certificate c;
    assert_int_equal(eck_certify(&c, a.op, a.op, ECK_PROOF_TAIL, 0.0, 0, NULL, &err), ECK_E_RANGE);
    assert_int_equal(eck_certify(&c, a.op, a.op, ECK_PROOF_BOUND, 0.0, 0, NULL, &err), ECK_E_RANGE);
    eck_operator_free(infinite);
    subject_clear(&b);
    subject_clear(&z);
    subject_clear(&a);
}

// Norms whose squares leave the range of F64 keep their certificates.
static void ends_of_the_range(void **state)
{
    (void)state;
    const double sizes[] = { 1e300, 1e-300, 1e160, 1e-170, 4e-320 };
    for (size_t i = 0; i < 5; i++) {
        double a[48];
        for (int64_t j = 0; j < 48; j++)
            a[j] = sizes[i] * (uniform_number(4, (uint64_t)j) - 0.5);
        subject s;
        assert_true(subject_of(&s, a, 8, 6, ECK_DTYPE_F64));
        for (int p = 0; p < 3; p++) {
            eck_svd_options options = ECK_SVD_OPTIONS_INIT;
            options.rank = 2;
            options.proof = (eck_proof)p;
            eck_svd *const svd = svd_of(s.op, &options);
            const truth t = truth_of(&s, svd->u, svd->s->data, svd->v, 2);
            inside("ends of the range", &svd->certificate, &t);
            assert_true(svd->certificate.error > 0.1 && svd->certificate.error < 1.0);
            eck_svd_free(svd);
        }
        subject_clear(&s);
    }
}

int main(int argc, char **argv)
{
    if (argc > 1) cases = strtol(argv[1], NULL, 10);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_residual), cmocka_unit_test(by_tail),
        cmocka_unit_test(any_product), cmocka_unit_test(by_probes),
        cmocka_unit_test(edges),       cmocka_unit_test(ends_of_the_range),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    report_worst();
    return failed;
}
