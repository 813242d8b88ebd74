/**
 * The decomposition of a sum of thin products from the Grams of its factors: one pass over each
 * side and no basis. What it costs is accuracy in the small values, so that it serves only where
 * the leading terms asked for stand clear of the rounding; and the vectors of any sum.
 *
 * With F = first, B = last, F F^T = L L^T, G = B^T B:  L^T G L = V diag(s^2) V^T,
 *   left vectors  U = B (L V) / s,   s times right vectors^T = (1/s) (G L V)^T F.
 * No triangle is inverted, so that nearly dependent columns do no harm of their own.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "decompose/factored_parts.h"
#include "linalg/bisect.h"
#include "linalg/gemm.h"
#include "linalg/gram.h"
#include "linalg/inverse.h"
#include "linalg/lapack.h"
#include "tensor/codec.h"

/** The Grams' rounding, in eps, relative to mu^2: sums of a few thousand products in blocks. */
static const double gram_rounding = 64;
static const double wanted = 1e-9; // relative to || dW ||, as the header promises

static void mirror(double *g, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = i + 1; j < n; j++)
            g[i * n + j] = g[j * n + i];
}

/** mu = sum_i |a_i| |b_i| over the inner index: bounds what cancels in the sum. */
static double magnitude(const double *first_gram, const double *last_gram, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += sqrt(first_gram[i * n + i] * last_gram[i * n + i]);
    return sum;
}

/** z [n,k] column-major, ascending -> vectors row-major [n,k], descending. */
static void reverse_columns(double *out, const double *z, int64_t n, int64_t k)
{
    for (int64_t j = 0; j < k; j++)
        for (int64_t i = 0; i < n; i++)
            out[i * k + j] = z[(k - 1 - j) * n + i];
}

/** Work of one attempt. */
typedef struct attempt {
    double *root, *last_gram, *core;
    ecki_tridiagonal t;
    double *values, *spare;
    double norm2; /**< sum of all s_i^2: the trace */
} attempt;

static void attempt_clear(attempt *a)
{
    ecki_free(a->root);
    ecki_free(a->last_gram);
    ecki_free(a->core);
    ecki_free(a->t.diagonal);
    ecki_free(a->t.off_diagonal);
    ecki_free(a->t.tau);
    ecki_free(a->values);
    ecki_free(a->spare);
}

static eck_status attempt_init(attempt *a, int64_t n, eck_error *err)
{
    eck_status status = ECK_OK;

    ECK_ALLOC_RAW(a->root, n * n);
    ECK_ALLOC_RAW(a->last_gram, n * n);
    ECK_ALLOC_RAW(a->core, n * n);
    ECK_ALLOC(a->t.diagonal, n);
    ECK_ALLOC(a->t.off_diagonal, n);
    ECK_ALLOC(a->t.tau, n);
    ECK_ALLOC(a->values, n);
    ECK_ALLOC(a->spare, n);
    a->t.n = n;
done:
    return status;
}

/** The Gram of a side, n x n, on and below the diagonal, from panels while they lie in cache. */
static eck_status panels_gram(double *gram, ecki_panels *panels, ecki_gram_panel *packed,
                              eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t n = panels->f->info.width;
    const bool left = panels->side == ECK_SIDE_LEFT;

    panels->largest = 0;
    for (int64_t at = 0; at < panels->length; at += panels->height) {
        const int64_t count = ecki_min(panels->height, panels->length - at);
        const ecki_matrix lines = left ? ecki_matrix_of(panels->room, count, n)
                                       : ecki_transposed(ecki_matrix_of(panels->room, n, count));
        ecki_panels_read(panels, panels->room, at, count);
        ecki_gram_pack(packed, 0, 0, lines);
        ECK_TRY(
            ecki_gram_add(at == 0, ecki_panel(gram, ECK_DTYPE_F64, n, n), packed, count, 1, err));
    }
done:
    return status;
}

static eck_status side_gram(double *gram, eck_factored *f, eck_side side, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_panels panels = { 0 };
    ecki_gram_panel packed = { 0 };
    bool again = false;

    ECK_TRY(ecki_panels_init(&panels, f, side, err));
    ECK_TRY(
        ecki_gram_panel_init(&packed, ecki_gram_kernels_here(), f->info.width, panels.height, err));
    ECK_TRY(panels_gram(gram, &panels, &packed, err));
    ECK_TRY(ecki_panels_judge(&panels, f, &again, err));
    if (again) ECK_TRY(panels_gram(gram, &panels, &packed, err));
done:
    ecki_gram_panel_clear(&packed);
    ecki_panels_clear(&panels);
    return status;
}

/** Grams of both sides; *mu of both, then root = L. *definite tells whether there is an L. */
static eck_status grams(attempt *a, double *mu, bool *definite, eck_factored *f, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t n = f->info.width;
    int64_t info = 0;

    ECK_TRY(side_gram(a->root, f, ECK_SIDE_RIGHT, err));
    ECK_TRY(side_gram(a->last_gram, f, ECK_SIDE_LEFT, err));
    mirror(a->last_gram, n);
    *mu = magnitude(a->root, a->last_gram, n);
    ECK_TRY(ecki_dpotrf(a->root, n, &info, err));
    *definite = info == 0;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = i + 1; j < n; j++)
            a->root[i * n + j] = 0;
done:
    return status;
}

/** values[i] = s_i of the `count` largest, of core = L^T G L, which is reduced in place, and the squared norm. */
static eck_status solve(attempt *a, int64_t count, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t n = a->t.n;

    memcpy(a->core, a->last_gram, (size_t)(n * n) * sizeof *a->core);
    ECK_TRY(ecki_dsygst(a->core, a->root, n, err));
    ECK_TRY(ecki_dsytrd(&a->t, a->core, err));
    ECK_TRY(ecki_bisect(a->values, &a->t, (ecki_places){ 0, count }, ecki_crew(), err));
    for (int64_t i = 0; i < count; i++)
        a->values[i] = sqrt(fmax(a->values[i], 0));
    a->norm2 = 0;
    for (int64_t i = 0; i < n; i++)
        a->norm2 += a->t.diagonal[i];
done:
    return status;
}

/** True if term k stands clear: an error c eps mu^2 of s^2 moves the product by that over s_k. */
static bool clear_of_rounding(const attempt *a, int64_t k, double mu)
{
    return gram_rounding * DBL_EPSILON * mu * mu <= wanted * a->values[k - 1] * sqrt(a->norm2) &&
           a->values[k - 1] > 0;
}

/** Sum of s_i^2 from the k-th on: what rounding leaves of the trace without those before, and nothing if there are none. */
static double left_out(const attempt *a, int64_t k)
{
    double rest2 = a->norm2;
    for (int64_t i = 0; i < k; i++)
        rest2 -= a->values[i] * a->values[i];
    return k < a->t.n ? fmax(rest2, 0) : 0;
}

/** The k leading vectors of a symmetric matrix reduced in place by dsytrd. */
static eck_status leading_vectors(double *out, const attempt *a, int64_t k, eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_tridiagonal *t = &a->t;
    const int64_t n = t->n;
    double *z = NULL, *reduced = a->core;
    int64_t info = 1;

    ECK_ALLOC_RAW(z, n * n);
    for (int64_t i = 0; i < k; i++)
        a->spare[i] = a->values[k - 1 - i] * a->values[k - 1 - i];
    if (k <= n / 4) ECK_TRY(ecki_inverse_iteration(z, t, a->spare, k, &info, err));
    if (info != 0 && k <= n / 2) ECK_TRY(ecki_dstemr(z, t, (ecki_places){ 0, k }, &info, err));
    if (info != 0) {
        ECK_TRY(ecki_dstedc(z, t, &info, err));
        ECK_REQUIRE(info == 0, ECK_E_SOLVER, -1, "dstemr and dstedc failed: info %lld",
                    (long long)info);
        memmove(z, z + (n - k) * n, (size_t)(n * k) * sizeof *z);
    }
    // the reflectors stand above the superdiagonal: in rows 1 .. n-1 of columns 2 .. n
    const ecki_reflectors h = { reduced + n, n - 1, n - 1, t->tau, n };
    if (n > 1) ECK_TRY(ecki_dormql(z, n, k, &h, err));
    reverse_columns(out, z, n, k);
done:
    ecki_free(z);
    return status;
}

/** L V and G L V of the k leading vectors V. */
static eck_status mixes(eck_factored *f, const attempt *a, int64_t k, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t n = a->t.n;
    double *vectors = NULL;

    ECK_ALLOC_RAW(vectors, n * k);
    ECK_ALLOC_RAW(f->left_mix, n * k);
    ECK_ALLOC_RAW(f->right_mix, n * k);
    ECK_TRY(leading_vectors(vectors, a, k, err));
    ECK_TRY(ecki_gemm(1, ecki_matrix_of(a->root, n, n), ecki_matrix_of(vectors, n, k), 0,
                      ecki_panel(f->left_mix, ECK_DTYPE_F64, n, k), err));
    ECK_TRY(ecki_gemm(1, ecki_matrix_of(a->last_gram, n, n), ecki_matrix_of(f->left_mix, n, k), 0,
                      ecki_panel(f->right_mix, ECK_DTYPE_F64, n, k), err));
done:
    ecki_free(vectors);
    return status;
}

eck_status ecki_factored_grams(bool *served, eck_factored *f, int64_t rank, bool all,
                               eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t n = f->info.width;
    const int64_t k = ecki_min(rank, ecki_min(n, ecki_min(f->info.rows, f->info.cols)));
    attempt a = { 0 };
    double mu = 0;
    bool definite = false;

    *served = false;
    if (n > ecki_min(f->info.rows, f->info.cols)) return ECK_OK; // the Gram would be singular
    ECK_TRY(attempt_init(&a, n, err));
    ECK_TRY(grams(&a, &mu, &definite, f, err));
    if (!definite) goto done;
    ECK_TRY(solve(&a, all ? n : k, err));
    if (!clear_of_rounding(&a, k, mu)) goto done;
    ECK_TRY(mixes(f, &a, k, err));
    const double rest2 = all ? 0 : left_out(&a, k);
    ECK_TRY(ecki_factored_describe(f, a.values, all ? n : k, rest2, err));
    f->info.magnitude = mu * f->unit;
    f->known = k;
    *served = true;
done:
    attempt_clear(&a);
    return status;
}

/* ---- vectors ------------------------------------------------------------------------------- */

/** out [rows,k] = q coefficients[:, :k], coefficients [inner,count]; q NULL: the identity. */
static eck_status basis_times(double *out, const double *q, const double *coefficients,
                              const int64_t sizes[4], eck_error *err)
{
    const int64_t rows = sizes[0], inner = sizes[1], count = sizes[2], k = sizes[3];
    ecki_matrix leading = ecki_matrix_of(coefficients, inner, count);

    leading.cols = k;
    if (q)
        return ecki_gemm(1, ecki_matrix_of(q, rows, inner), leading, 0,
                         ecki_panel(out, ECK_DTYPE_F64, rows, k), err);
    for (int64_t i = 0; i < rows; i++)
        memcpy(out + i * k, coefficients + i * count, (size_t)k * sizeof *out);
    return ECK_OK;
}

/** out [width,k] = mix[:, :k] / s. */
static void divide_mix(double *out, const double *mix, const eck_factored *f, int64_t k)
{
    for (int64_t i = 0; i < f->info.width; i++)
        for (int64_t j = 0; j < k; j++)
            out[i * k + j] = mix[i * f->known + j] / (f->values[j] / f->unit);
}

/** U = B (L V) / s, or s V_right^T = (1/s) (G L V)^T F. */
static eck_status vectors_by_grams(double *out, const eck_factored *f, eck_side side, int64_t k,
                                   eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t n = f->info.width;
    const bool left = side == ECK_SIDE_LEFT;
    ecki_panels panels = { 0 };
    double *mix = NULL;

    ECK_TRY(ecki_panels_init(&panels, f, side, err));
    ECK_ALLOC_RAW(mix, n * k);
    divide_mix(mix, left ? f->left_mix : f->right_mix, f, k);
    for (int64_t at = 0; at < panels.length; at += panels.height) {
        const int64_t count = ecki_min(panels.height, panels.length - at);
        const ecki_matrix turn = ecki_matrix_of(mix, n, k);
        const eck_panel rows = ecki_panel(out + at * k, ECK_DTYPE_F64, count, k);
        const eck_panel columns = { out + at, ECK_DTYPE_F64, k, count, panels.length };
        ecki_panels_read(&panels, panels.room, at, count);
        ECK_TRY(left ? ecki_gemm(1, ecki_matrix_of(panels.room, count, n), turn, 0, rows, err)
                     : ecki_gemm(1, ecki_transposed(turn), ecki_matrix_of(panels.room, n, count), 0,
                                 columns, err));
    }
done:
    ecki_free(mix);
    ecki_panels_clear(&panels);
    return status;
}

/** Moves [rows,k] to [rows,wide], zeros behind. */
static void widen_rows(double *x, int64_t rows, int64_t k, int64_t wide)
{
    if (k == wide) return;
    for (int64_t i = rows - 1; i >= 0; i--) {
        memmove(x + i * wide, x + i * k, (size_t)k * sizeof *x);
        memset(x + i * wide + k, 0, (size_t)(wide - k) * sizeof *x);
    }
}

eck_status ecki_factored_left(double *out, const eck_factored *f, int64_t k, eck_error *err)
{
    const int64_t have = ecki_min(k, f->known);
    eck_status status = ECK_OK;

    if (!f->info.orthogonal) return vectors_by_grams(out, f, ECK_SIDE_LEFT, k, err);
    ECK_TRY(basis_times(out, f->ql, f->core_u,
                        (int64_t[]){ f->info.rows, f->nl, f->info.count, have }, err));
    widen_rows(out, f->info.rows, have, k);
done:
    return status;
}

eck_status ecki_factored_right(double *out, bool *carried, const eck_factored *f, int64_t k,
                               eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t cols = f->info.cols, have = ecki_min(k, f->known);
    ecki_matrix core;

    *carried = !f->info.orthogonal;
    if (*carried) return vectors_by_grams(out, f, ECK_SIDE_RIGHT, k, err);
    core = ecki_matrix_of(f->core_v, f->nr, f->info.count);
    core.cols = have;
    if (f->qr)
        ECK_TRY(ecki_gemm(1, ecki_transposed(core),
                          ecki_transposed(ecki_matrix_of(f->qr, cols, f->nr)), 0,
                          ecki_panel(out, ECK_DTYPE_F64, have, cols), err));
    for (int64_t i = 0; !f->qr && i < have; i++)
        for (int64_t j = 0; j < cols; j++)
            out[i * cols + j] = f->core_v[j * f->info.count + i];
    memset(out + have * cols, 0, (size_t)((k - have) * cols) * sizeof *out);
done:
    return status;
}
