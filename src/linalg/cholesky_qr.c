// Algorithm C: with the Gram in F64 two rounds of Cholesky QR make any numerically independent
// columns orthonormal to working accuracy (Yamamoto et al. 2015). What it cannot do goes
// to Householder reflectors, which never fail. Always true: finite in, finite and orthonormal out.
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "linalg/gemm.h"
#include "linalg/lapack.h"
#include "linalg/orthonormal.h"
#include "linalg/tall.h"
#include "tensor/codec.h"

enum { COLUMNS = 256, BLOCK = 32 };

eck_status ecki_orthogonality(double *out, const double *x, int64_t m, int64_t k, eck_error *err)
{
    eck_status status = ECK_OK;
    double *block = NULL, *lengths = NULL;
    double worst = 0.0;
    ECK_ALLOC_RAW(block, ecki_min(COLUMNS, k) * k);
    ECK_ALLOC_RAW(lengths, k);
    ECK_TRY(ecki_tall_squares(lengths, x, m, k, err));
    for (int64_t first = 0; first < k; first += COLUMNS) {
        const int64_t count = ecki_min(COLUMNS, k - first), width = k - first;
        const ecki_matrix strip = { x + first, m, count, k, false };
        const ecki_matrix rest = { x + first, m, width, k, false };
        ECK_TRY(ecki_gemm(1.0, ecki_transposed(strip), rest, 0.0,
                          ecki_panel(block, ECK_DTYPE_F64, count, width), err));
        for (int64_t i = 0; i < count; i++) {
            worst = fmax(worst, fabs(lengths[first + i] - 1.0));
            for (int64_t j = i + 1; j < width; j++)
                worst = fmax(worst, fabs(block[i * width + j]));
        }
    }
    *out = worst;
done:
    ecki_free(lengths);
    ecki_free(block);
    return status;
}

// One round: L of X^T X = L L^T into lower, X = X L^-T. good_out false: X is not independent
// enough.
static eck_status cholesky_round(double *x, int64_t m, int64_t k, double *lower, bool *good_out,
                                 eck_error *err)
{
    eck_status status = ECK_OK;
    int64_t info = 0;
    double least = INFINITY, most = 0.0;
    *good_out = false;
    ECK_TRY(ecki_tall_gram(lower, x, m, k, err));
    ECK_TRY(ecki_dpotrf(lower, k, &info, err));
    for (int64_t i = 0; i < k && info == 0; i++) {
        least = fmin(least, lower[i * k + i]);
        most = fmax(most, lower[i * k + i]);
    }
    // Beyond 1e-8 = sqrt(u) the Gram loses the small directions to rounding; stay well away from it.
    if (info != 0 || !(least > 1e-6 * most)) goto done;
    ECK_TRY(ecki_tall_solve(x, m, k, lower, err));
    *good_out = true;
done:
    return status;
}

// out [cols,rows] = x^T, [rows,cols] row-major.
static void transpose(double *out, const double *x, int64_t rows, int64_t cols)
{
    for (int64_t i0 = 0; i0 < rows; i0 += BLOCK)
        for (int64_t j0 = 0; j0 < cols; j0 += BLOCK)
            for (int64_t i = i0; i < ecki_min(i0 + BLOCK, rows); i++)
                for (int64_t j = j0; j < ecki_min(j0 + BLOCK, cols); j++)
                    out[j * rows + i] = x[i * cols + j];
}

// The same by reflectors, with X = Q lower^T; the sign of a column is that of the diagonal of R.
static eck_status householder_round(double *x, int64_t m, int64_t k, double *lower, eck_error *err)
{
    eck_status status = ECK_OK;
    double *q = NULL, *tau = NULL, *sign = NULL;
    ECK_ALLOC_RAW(q, m * k);
    ECK_ALLOC_RAW(tau, k);
    ECK_ALLOC_RAW(sign, k);
    transpose(q, x, m, k);
    ECK_TRY(ecki_dgeqrf(q, m, k, m, tau, err));
    for (int64_t i = 0; i < k; i++)
        sign[i] = q[i * m + i] < 0.0 ? -1.0 : 1.0;
    for (int64_t j = 0; j < k; j++)
        for (int64_t i = 0; i <= j; i++)
            lower[j * k + i] = sign[i] * q[j * m + i];
    ECK_TRY(ecki_dorgqr(q, m, k, k, tau, err));
    transpose(x, q, k, m);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < k; j++)
            x[i * k + j] *= sign[j];
done:
    ecki_free(sign);
    ecki_free(tau);
    ecki_free(q);
    return status;
}

// Lengths of the columns; a column of zeros keeps length 1, so that it can be divided by it.
static eck_status column_lengths(double *length, const double *x, int64_t m, int64_t k,
                                 eck_error *err)
{
    eck_status status = ECK_OK;
    ECK_TRY(ecki_tall_squares(length, x, m, k, err));
    for (int64_t j = 0; j < k; j++)
        length[j] = length[j] > 0.0 ? sqrt(length[j]) : 1.0;
done:
    return status;
}

// r = lower^T r: what one round took off goes before what was taken off already.
static eck_status collect_r(double *r, double *lower, int64_t k, eck_error *err)
{
    eck_status status = ECK_OK;
    double *product = NULL;
    ECK_ALLOC_RAW(product, k * k);
    for (int64_t i = 0; i < k; i++)
        memset(lower + i * k + i + 1, 0, (size_t)(k - i - 1) * sizeof *lower);
    ECK_TRY(ecki_gemm(1.0, ecki_transposed(ecki_matrix_of(lower, k, k)), ecki_matrix_of(r, k, k),
                      0.0, ecki_panel(product, ECK_DTYPE_F64, k, k), err));
    memcpy(r, product, (size_t)(k * k) * sizeof *r);
done:
    ecki_free(product);
    return status;
}

// Rounds until two of them are done and the last was one of Cholesky, which leaves columns orthonormal
// to a few u; reflectors take the place of a round that Cholesky cannot do.
static eck_status run_rounds(double *x, int64_t m, int64_t k, double *r, eck_error *err)
{
    eck_status status = ECK_OK;
    double *lower = NULL;
    bool good = false, finished = false;
    ECK_ALLOC_RAW(lower, k * k);
    for (int round = 0; round < 3 && !finished; round++) {
        ECK_TRY(cholesky_round(x, m, k, lower, &good, err));
        if (!good) ECK_TRY(householder_round(x, m, k, lower, err));
        if (r) ECK_TRY(collect_r(r, lower, k, err));
        finished = good && round > 0;
    }
    ECK_REQUIRE(finished, ECK_E_SOLVER, -1, "columns did not become orthonormal");
done:
    ecki_free(lower);
    return status;
}

eck_status ecki_orthonormalize(double *x, int64_t m, int64_t k, double *r_out, eck_error *err)
{
    eck_status status = ECK_OK;
    double *length = NULL;
    if (k == 0) return ECK_OK;
    ECK_ALLOC_RAW(length, k);
    ECK_TRY(column_lengths(length, x, m, k, err));
    ECK_TRY(ecki_tall_scale(x, m, k, length, true, err));
    if (r_out) memset(r_out, 0, (size_t)(k * k) * sizeof *r_out);
    for (int64_t j = 0; r_out && j < k; j++)
        r_out[j * k + j] = length[j];
    ECK_TRY(run_rounds(x, m, k, r_out, err));
    ECK_TRY(column_lengths(length, x, m, k, err));
    ECK_TRY(ecki_tall_scale(x, m, k, length, true, err));
done:
    ecki_free(length);
    return status;
}

eck_status ecki_sharpen(double *x, int64_t m, int64_t k, eck_error *err)
{
    eck_status status = ECK_OK;
    double off = 0.0;
    ECK_TRY(ecki_orthogonality(&off, x, m, k, err));
    if (off > 2.0 * sqrt((double)k) * 0x1p-53) ECK_TRY(ecki_orthonormalize(x, m, k, NULL, err));
done:
    return status;
}

eck_status ecki_complete(double *out, const double *x, int64_t m, int64_t k, eck_error *err)
{
    eck_status status = ECK_OK;
    double *q = NULL, *tau = NULL;
    int64_t square = 0;
    ECK_REQUIRE(ecki_mul(m, m, &square), ECK_E_NOMEM, -1, "not enough memory for [%lld,%lld]",
                (long long)m, (long long)m);
    ECK_ALLOC_RAW(q, square);
    ECK_ALLOC_RAW(tau, k);
    transpose(q, x, m, k);
    ECK_TRY(ecki_dgeqrf(q, m, k, m, tau, err));
    ECK_TRY(ecki_dorgqr(q, m, m, k, tau, err));
    transpose(out, q, m, m);
    // The given columns come back up to their sign and the last bits: put them there themselves.
    for (int64_t i = 0; i < m; i++)
        memcpy(out + i * m, x + i * k, (size_t)k * sizeof *out);
done:
    ecki_free(tau);
    ecki_free(q);
    return status;
}
