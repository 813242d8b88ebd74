// Test matrices by number: random ones come from a counter, so that element i never depends on the
// order of calls. Spectra are planted as Q_u diag(s) Q_v with orthogonal matrices made of rotations
// in a butterfly: every row meets every other, and the cost is m n log(m n).
#include "matrices.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

double uniform_number(uint64_t stream, uint64_t i)
{
    return ((double)(mix(mix(stream) + i) >> 11) + 0.5) * 0x1p-53;
}

double normal_number(uint64_t stream, uint64_t i)
{
    const double radius = sqrt(-2.0 * log(uniform_number(stream, 2 * i)));
    return radius * cos(6.283185307179586 * uniform_number(stream, 2 * i + 1));
}

// a = Q a for an orthogonal Q made of random rotations of rows i and i ^ 2^stage, all stages twice.
static void mix_rows(double *a, int64_t m, int64_t n, uint64_t stream)
{
    for (int64_t pass = 0; pass < 2; pass++)
        for (int64_t bit = 1; bit < m; bit *= 2)
            for (int64_t i = 0; i < m; i++) {
                if ((i & bit) || (i | bit) >= m) continue;
                const double angle = 6.283185307179586 *
                                     uniform_number(stream, (uint64_t)((pass * m + bit) * m + i));
                const double c = cos(angle), s = sin(angle);
                double *const x = a + i * n, *const y = a + (i | bit) * n;
                for (int64_t j = 0; j < n; j++) {
                    const double old = x[j];
                    x[j] = c * old - s * y[j];
                    y[j] = s * old + c * y[j];
                }
            }
}

// out [n,m] = a^T.
static void transpose(double *out, const double *a, int64_t m, int64_t n)
{
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++)
            out[j * m + i] = a[i * n + j];
}

// Spectra: value i of p.
typedef double (*spectrum_rule)(int64_t i, int64_t p);

static void plant(double *a, int64_t m, int64_t n, uint64_t stream, spectrum_rule rule)
{
    const int64_t p = m < n ? m : n;
    memset(a, 0, (size_t)(m * n) * sizeof *a);
    for (int64_t i = 0; i < p; i++)
        a[i * n + i] = rule(i, p);
    mix_rows(a, m, n, 2 * stream);
    double *const turned = test_malloc((size_t)(m * n + 1) * sizeof *turned);
    transpose(turned, a, m, n);
    mix_rows(turned, n, m, 2 * stream + 1);
    transpose(a, turned, n, m);
    test_free(turned);
}

static double share(int64_t i, int64_t p)
{
    return p > 1 ? (double)i / (double)(p - 1) : 0.0;
}

static double graded_7(int64_t i, int64_t p)
{
    return pow(1e-7, share(i, p));
}
static double graded_12(int64_t i, int64_t p)
{
    return pow(1e-12, share(i, p));
}
static double graded_30(int64_t i, int64_t p)
{
    return pow(1e-30, share(i, p));
}
static double arithmetic(int64_t i, int64_t p)
{
    return 1.0 - 0.999 * share(i, p);
}
static double one_big(int64_t i, int64_t p)
{
    return i == 0 ? 1.0 : 1e-3 * (1.0 - 0.5 * share(i, p));
}
static double two_clusters(int64_t i, int64_t p)
{
    return 2 * i < p ? 1.0 : 1e-3;
}
static double all_equal(int64_t i, int64_t p)
{
    (void)i;
    (void)p;
    return 1.0;
}
static double repeated(int64_t i, int64_t p)
{
    return 1.0 / (1.0 + (double)(8 * i / (p + 1)));
}
static double power_03(int64_t i, int64_t p)
{
    (void)p;
    return pow((double)(i + 1), -0.3);
}
static double power_1(int64_t i, int64_t p)
{
    (void)p;
    return 1.0 / (double)(i + 1);
}
static double power_2(int64_t i, int64_t p)
{
    (void)p;
    return 1.0 / ((double)(i + 1) * (double)(i + 1));
}
static double outliers(int64_t i, int64_t p)
{
    (void)p;
    return i < 4 ? 1000.0 / (double)(i + 1) : pow((double)(i + 1), -0.35);
}
static double low_rank(int64_t i, int64_t p)
{
    return i < p / 4 ? 1.0 - 0.5 * share(i, p) : 0.0;
}
static double noisy_rank(int64_t i, int64_t p)
{
    return i < p / 4 ? 1.0 - 0.5 * share(i, p) : 1e-6 * (1.0 - 0.5 * share(i, p));
}

#define PLANTED(rule) \
    static void fill_##rule(double *a, int64_t m, int64_t n, uint64_t stream) \
    { \
        plant(a, m, n, stream, rule); \
    }
PLANTED(graded_7)
PLANTED(graded_12)
PLANTED(graded_30)
PLANTED(arithmetic)
PLANTED(one_big)
PLANTED(two_clusters)
PLANTED(all_equal)
PLANTED(repeated)
PLANTED(power_03)
PLANTED(power_1)
PLANTED(power_2)
PLANTED(outliers)
PLANTED(low_rank)
PLANTED(noisy_rank)

// Matrices given by a formula for element (i,j).
#define FORMULA(name, value) \
    static void fill_##name(double *a, int64_t m, int64_t n, uint64_t stream) \
    { \
        (void)stream; \
        for (int64_t i = 0; i < m; i++) \
            for (int64_t j = 0; j < n; j++) \
                a[i * n + j] = (value); \
    }
FORMULA(zero, 0.0)
FORMULA(identity, i == j ? 1.0 : 0.0)
FORMULA(ones, 1.0)
FORMULA(diagonal, i == j ? 1.0 / (double)(i + 1) : 0.0)
FORMULA(hilbert, 1.0 / (double)(i + j + 1))
FORMULA(permutation, (i * 7 + 3) % m == j ? 1.0 : 0.0)
FORMULA(signs, uniform_number(stream + 5, (uint64_t)(i *n + j)) < 0.5 ? -1.0 : 1.0)
FORMULA(normal, normal_number(stream, (uint64_t)(i *n + j)))
FORMULA(frank, j >= i ? (double)(n - j) : j == i - 1 ? (double)(n - i) : 0.0)
FORMULA(grcar, j == i - 1 ? -1.0 : j >= i && j <= i + 3 ? 1.0 : 0.0)
FORMULA(wilkinson, i == j                     ? fabs((double)(n - 1) / 2.0 - (double)i)
                   : i - j == 1 || j - i == 1 ? 1.0
                                              : 0.0)
FORMULA(lauchli, i == 0 ? 1.0 : i - 1 == j ? 1.5e-8 : 0.0)
FORMULA(lauchli_f32, i == 0 ? 1.0 : i - 1 == j ? 3.5e-4 : 0.0)
FORMULA(companion, i == 0 ? (j % 2 ? -1.0 : 1.0) * (double)(j + 1) : i - 1 == j ? 1.0 : 0.0)
FORMULA(vandermonde, pow((double)(i + 1) / (double)m, (double)j))
FORMULA(bidiagonal, i == j ? 1.0 : j == i + 1 ? 1.0 - 1e-3 : 0.0)
FORMULA(zero_rows, i % 3 == 1 || j % 4 == 2 ? 0.0 : normal_number(stream, (uint64_t)(i *n + j)))
FORMULA(twin_rows, normal_number(stream, (uint64_t)(i / 2 * n + j / 2)))
FORMULA(huge, 1e38 * (uniform_number(stream, (uint64_t)(i *n + j)) - 0.5))
FORMULA(tiny, 1e-30 * (uniform_number(stream, (uint64_t)(i *n + j)) - 0.5))
FORMULA(denormal, 1e-40 * (uniform_number(stream, (uint64_t)(i *n + j)) - 0.5))
FORMULA(mixed_rows,
        pow(10.0, 15.0 * (2.0 * share(i, m) - 1.0)) * normal_number(stream, (uint64_t)(i *n + j)))

// s^i on the diagonal, -c s^i to the right of it, s = sin 1.2, c = cos 1.2 (Kahan 1966).
FORMULA(kahan, i == j  ? pow(sin(1.2), (double)i)
               : j > i ? -cos(1.2) * pow(sin(1.2), (double)i)
                       : 0.0)

const matrix_class MATRIX_CLASSES[] = {
    { "zero", fill_zero, false, false },
    { "identity", fill_identity, false, false },
    { "ones", fill_ones, false, false },
    { "diagonal", fill_diagonal, false, false },
    { "permutation", fill_permutation, true, false },
    { "signs", fill_signs, false, true },
    { "normal", fill_normal, false, true },
    { "graded 1e-7", fill_graded_7, false, true },
    { "graded 1e-12", fill_graded_12, false, true },
    { "graded 1e-30", fill_graded_30, false, true },
    { "arithmetic", fill_arithmetic, false, true },
    { "one big", fill_one_big, false, true },
    { "two clusters", fill_two_clusters, false, true },
    { "all equal", fill_all_equal, false, true },
    { "repeated", fill_repeated, false, true },
    { "power -0.3", fill_power_03, false, true },
    { "power -1", fill_power_1, false, true },
    { "power -2", fill_power_2, false, true },
    { "outliers", fill_outliers, false, true },
    { "low rank", fill_low_rank, false, true },
    { "low rank + noise", fill_noisy_rank, false, true },
    { "hilbert", fill_hilbert, false, false },
    { "kahan", fill_kahan, true, false },
    { "lauchli", fill_lauchli, false, false },
    { "lauchli f32", fill_lauchli_f32, false, false },
    { "vandermonde", fill_vandermonde, false, false },
    { "companion", fill_companion, true, false },
    { "wilkinson", fill_wilkinson, true, false },
    { "frank", fill_frank, true, false },
    { "grcar", fill_grcar, true, false },
    { "bidiagonal", fill_bidiagonal, true, false },
    { "zero rows", fill_zero_rows, false, false },
    { "twin rows", fill_twin_rows, false, false },
    { "huge", fill_huge, false, true },
    { "tiny", fill_tiny, false, true },
    { "denormal", fill_denormal, false, false },
    { "mixed rows", fill_mixed_rows, false, false },
    { NULL, NULL, false, false },
};

void must(eck_status status, const eck_error *err)
{
    if (status != ECK_OK) fail_msg("%s: %s", eck_status_name(status), err->message);
}

double *wide_of(const eck_array *array)
{
    eck_array *copy = NULL;
    eck_error err = ECK_ERROR_INIT;
    must(eck_array_convert(&copy, eck_array_view(array), ECK_DTYPE_F64, &err), &err);
    const size_t bytes = (size_t)eck_array_count(array) * sizeof(double);
    double *const out = test_malloc(bytes + 1);
    if (bytes) memcpy(out, copy->data, bytes);
    eck_array_free(copy);
    return out;
}

bool subject_of(subject *out, const double *a, int64_t m, int64_t n, eck_dtype storage)
{
    subject s = { .m = m, .n = n };
    eck_error err = ECK_ERROR_INIT;
    must(eck_array_convert(&s.array, eck_view_matrix(a, ECK_DTYPE_F64, m, n), storage, &err), &err);
    s.wide = wide_of(s.array);
    bool finite = true;
    for (int64_t i = 0; i < m * n; i++)
        finite = finite && isfinite(s.wide[i]);
    if (finite)
        must(eck_operator_dense(&s.op, eck_array_view(s.array), &err), &err);
    else
        subject_clear(&s);
    *out = s;
    return finite;
}

subject subject_of_class(const matrix_class *c, int64_t m, int64_t n, eck_dtype storage,
                         uint64_t stream)
{
    double *const a = test_malloc((size_t)(m * n + 1) * sizeof *a);
    subject s;
    c->fill(a, m, n, stream);
    subject_of(&s, a, m, n, storage);
    test_free(a);
    return s;
}

void subject_clear(subject *s)
{
    eck_operator_free(s->op);
    eck_array_free(s->array);
    test_free(s->wide);
    memset(s, 0, sizeof *s);
}

eck_svd *svd_of(const eck_operator *a, const eck_svd_options *options)
{
    eck_svd *svd = NULL;
    eck_error err = ECK_ERROR_INIT;
    must(eck_svd_compute(&svd, a, options, NULL, &err), &err);
    return svd;
}

double norm_of(const double *x, int64_t count)
{
    // Scaled by a power of two, so that neither end of the range is lost.
    double max = 0.0, sum = 0.0;
    for (int64_t i = 0; i < count; i++)
        max = fmax(max, fabs(x[i]));
    if (!(max > 0.0)) return max;
    const double scale = ldexp(1.0, -ilogb(max) < -1020  ? -1020
                                    : -ilogb(max) > 1020 ? 1020
                                                         : -ilogb(max));
    for (int64_t i = 0; i < count; i++)
        sum += (x[i] * scale) * (x[i] * scale);
    return sqrt(sum) / scale;
}

double residual_norm(const subject *a, const eck_array *u, const double *s, const eck_array *v,
                     int64_t k)
{
    double *const left = wide_of(u), *const right = wide_of(v);
    double *const rest = test_malloc((size_t)(a->m * a->n + 1) * sizeof *rest);
    const int64_t lu = u->shape[1], lv = v->shape[1];
    memcpy(rest, a->wide, (size_t)(a->m * a->n) * sizeof *rest);
    for (int64_t i = 0; i < a->m; i++)
        for (int64_t j = 0; j < a->n; j++) {
            double sum = 0.0;
            for (int64_t t = 0; t < k; t++)
                sum += left[i * lu + t] * (s ? s[t] : 1.0) * right[j * lv + t];
            rest[i * a->n + j] -= sum;
        }
    const double norm = norm_of(rest, a->m * a->n);
    test_free(rest);
    test_free(right);
    test_free(left);
    return norm;
}

double loss_of_orthogonality(const eck_array *x)
{
    double *const wide = wide_of(x);
    const int64_t m = x->shape[0], k = x->shape[1];
    double *const gram = test_calloc((size_t)(k * k) + 1, sizeof *gram);
    double worst = 0.0;
    for (int64_t t = 0; t < m; t++)
        for (int64_t i = 0; i < k; i++)
            for (int64_t j = i; j < k; j++)
                gram[i * k + j] += wide[t * k + i] * wide[t * k + j];
    for (int64_t i = 0; i < k; i++)
        for (int64_t j = i; j < k; j++)
            worst = fmax(worst, fabs(gram[i * k + j] - (i == j ? 1.0 : 0.0)));
    test_free(gram);
    test_free(wide);
    return worst;
}

enum { NAMES = 32 };

// The worst ratio of measured to allowed under each name.
static struct {
    const char *what;
    char where[128];
    double measured, allowed, ratio;
    int64_t count;
} seen[NAMES];

void hold(const char *what, const char *where, double measured, double allowed)
{
    int i = 0;
    while (i < NAMES && seen[i].what && strcmp(seen[i].what, what) != 0)
        i++;
    assert_true(i < NAMES);
    const double ratio = allowed > 0.0 ? measured / allowed : measured > 0.0 ? INFINITY : 0.0;
    seen[i].what = what;
    if (seen[i].count++ == 0 || !(ratio <= seen[i].ratio)) {
        snprintf(seen[i].where, sizeof seen[i].where, "%s", where);
        seen[i].measured = measured;
        seen[i].allowed = allowed;
        seen[i].ratio = ratio;
    }
    if (!(measured <= allowed))
        fail_msg("%s, %s: %.6g is more than %.6g", what, where, measured, allowed);
}

void report_worst(void)
{
    for (int i = 0; i < NAMES && seen[i].what; i++)
        printf("  %-40s %7lld cases, worst %9.3g <= %9.3g  (%s)\n", seen[i].what,
               (long long)seen[i].count, seen[i].measured, seen[i].allowed, seen[i].where);
}
