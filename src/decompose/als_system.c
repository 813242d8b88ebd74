/**
 * The small systems of a half step: Gram, factor, answer. Always true: finite numbers in, finite numbers out, however
 * singular the matrix; and the same bytes for the same numbers.
 */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "decompose/als_parts.h"
#include "linalg/bisect.h"
#include "linalg/gemm.h"
#include "linalg/lapack.h"
#include "linalg/svd_job.h"
#include "tensor/codec.h"

// What a singular matrix is lifted by, relative to its largest diagonal element: large enough that rounding, amplified
// by its inverse, stays 1e-8; what it bends the answer by is taken back by refining.
#define LIFT 0x1p-26

enum { REFINEMENTS = 2 };

eck_status ecki_als_gram(double *gram, const double *f, int64_t rows, int64_t k, eck_error *err)
{
    const eck_status status = ecki_syrk(1.0, ecki_transposed(ecki_matrix_of(f, rows, k)), 0.0,
                                        ecki_panel(gram, ECK_DTYPE_F64, k, k), err);
    for (int64_t i = 0; i < k; i++)
        for (int64_t j = 0; j < i; j++)
            gram[j * k + i] = gram[i * k + j];
    return status;
}

/** lower = L of G + diagonal I. *least_out: the least pivot over the largest diagonal element; negative if there was
 * none to be had. */
static eck_status factorise(double *least_out, ecki_als_system *s, double diagonal, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t n = s->n;
    int64_t info = 0;
    double most = 0.0, least = INFINITY;

    memcpy(s->lower, s->gram, (size_t)(n * n) * sizeof *s->lower);
    for (int64_t i = 0; i < n; i++) {
        s->lower[i * n + i] += diagonal;
        most = fmax(most, s->lower[i * n + i]);
    }
    ECK_TRY(ecki_dpotrf(s->lower, n, &info, err));
    for (int64_t i = 0; i < n && info == 0; i++)
        least = fmin(least, s->lower[i * n + i] * s->lower[i * n + i]);
    *least_out = info == 0 ? least / most : -1.0;
done:
    return status;
}

eck_status ecki_als_factorise(ecki_als_system *s, eck_error *err)
{
    eck_status status = ECK_OK;
    double most = 0.0, least = 0.0;

    s->lifted = s->zero = false;
    s->least = 0.0;
    for (int64_t i = 0; i < s->n; i++)
        most = fmax(most, s->gram[i * s->n + i]);
    s->zero = !(most + s->ridge > 0.0);
    if (s->zero) goto done;
    ECK_TRY(factorise(&least, s, s->ridge, err));
    s->least = least;
    // A pivot below n eps of the largest diagonal element is made of rounding.
    s->lifted = !(least > 4.0 * (double)s->n * 0x1p-52);
    if (s->lifted) ECK_TRY(factorise(&least, s, s->ridge + LIFT * (most + s->ridge), err));
    ECK_REQUIRE(least > 0.0, ECK_E_SOLVER, -1, "dpotrf refuses a lifted Gram matrix of order %lld",
                (long long)s->n);
done:
    return status;
}

eck_status ecki_als_back(const ecki_als_system *s, double *x, int64_t rows, double *work,
                         eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t n = s->n, count = rows * n;
    double *const b = work, *const residual = work + count;

    if (s->zero) {
        memset(x, 0, (size_t)count * sizeof *x);
        return ECK_OK;
    }
    if (!s->lifted) return ecki_dpotrs(x, rows, s->lower, n, err);
    memcpy(b, x, (size_t)count * sizeof *b);
    ECK_TRY(ecki_dpotrs(x, rows, s->lower, n, err));
    // Iterated Tikhonov: x += (G + r + lift)^-1 (b - x (G + r)).
    for (int step = 0; step < REFINEMENTS; step++) {
        for (int64_t i = 0; i < count; i++)
            residual[i] = b[i] - s->ridge * x[i];
        ECK_TRY(ecki_gemm(-1.0, ecki_matrix_of(x, rows, n), ecki_matrix_of(s->gram, n, n), 1.0,
                          ecki_panel(residual, ECK_DTYPE_F64, rows, n), err));
        ECK_TRY(ecki_dpotrs(residual, rows, s->lower, n, err));
        for (int64_t i = 0; i < count; i++)
            x[i] += residual[i];
    }
done:
    return status;
}

/* ---- by singular values ---------------------------------------------------------------------- */

/** b, or its transpose where that is the tall one. */
typedef struct rows_source {
    const double *b;
    int64_t count, k;
} rows_source;

static eck_status rows_load(void *self, double *a, eck_error *err)
{
    const rows_source *const from = self;
    const int64_t m = from->count, k = from->k;
    (void)err;
    if (m < k) // row-major b is LAPACK's b^T
        memcpy(a, from->b, (size_t)(m * k) * sizeof *a);
    else
        for (int64_t j = 0; j < k; j++)
            for (int64_t i = 0; i < m; i++)
                a[j * m + i] = from->b[i * k + j];
    return ECK_OK;
}

/** x = Q diag(s / (s^2 + ridge)) P^T t for b = P diag(s) Q^T; P and Q change places with the shape. */
static void filtered(double *x, const double *t, const rows_source *from, const ecki_dense_svd *svd,
                     double ridge)
{
    const int64_t m = svd->m, n = svd->n;
    const bool tall = from->count >= from->k;
    // Values below this are rounding of b.
    const double cut = (double)m * 0x1p-52 * svd->s[0];

    memset(x, 0, (size_t)from->k * sizeof *x);
    for (int64_t i = 0; i < n && svd->s[i] > cut; i++) {
        double part = 0.0;
        for (int64_t r = 0; r < from->count; r++)
            part += (tall ? svd->u[i * m + r] : svd->vt[r * n + i]) * t[r];
        part *= svd->s[i] / (svd->s[i] * svd->s[i] + ridge);
        for (int64_t l = 0; l < from->k; l++)
            x[l] += part * (tall ? svd->vt[l * n + i] : svd->u[i * m + l]);
    }
}

eck_status ecki_als_least_squares(double *x, ecki_matrix b, const double *t, double ridge,
                                  eck_error *err)
{
    eck_status status = ECK_OK;
    rows_source from = { b.data, b.rows, b.cols };
    ecki_dense_svd svd = { .m = ecki_max(b.rows, b.cols), .n = ecki_min(b.rows, b.cols) };
    const char *solver = NULL;

    ECK_ALLOC_RAW(svd.a, svd.m * svd.n);
    ECK_ALLOC_RAW(svd.s, svd.n);
    ECK_ALLOC_RAW(svd.u, svd.m * svd.n);
    ECK_ALLOC_RAW(svd.vt, svd.n * svd.n);
    ECK_TRY(ecki_dense_solve(&svd, ECKI_DGESDD, &solver, rows_load, &from, err));
    filtered(x, t, &from, &svd, ridge);
done:
    ecki_free(svd.vt);
    ecki_free(svd.u);
    ecki_free(svd.s);
    ecki_free(svd.a);
    return status;
}

eck_status ecki_als_largest(double *out, const double *gram, int64_t k, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_tridiagonal t = { .n = k };
    double *copy = NULL, trace = 0.0, largest = 0.0;

    ECK_ALLOC_RAW(copy, k * k);
    ECK_ALLOC_RAW(t.diagonal, k);
    ECK_ALLOC_RAW(t.off_diagonal, k);
    ECK_ALLOC_RAW(t.tau, k);
    memcpy(copy, gram, (size_t)(k * k) * sizeof *copy);
    for (int64_t i = 0; i < k; i++)
        trace += gram[i * k + i];
    ECK_TRY(ecki_dsytrd(&t, copy, err));
    ECK_TRY(ecki_bisect(&largest, &t, (ecki_places){ 0, 1 }, 1, err));
    // The reduction is off by a small multiple of k eps of the largest.
    *out = fmin(largest * (1.0 + 16.0 * (double)k * 0x1p-52), trace);
done:
    ecki_free(t.tau);
    ecki_free(t.off_diagonal);
    ecki_free(t.diagonal);
    ecki_free(copy);
    return status;
}
