// Row-major products by a column-major BLAS: a row-major matrix is the transpose of a column-major
// one, so C = A B is asked for as C^T = B^T A^T. Always true: no size reaches the BLAS that does
// not fit its 32-bit integer, and empty products never reach it.
#include "linalg/gemm.h"

#include <stddef.h>

#include "base/checked.h"

// The last arguments are the lengths of the character arguments, which Fortran passes by value.
void dgemm_(const char *transa, const char *transb, const int32_t *m, const int32_t *n,
            const int32_t *k, const double *alpha, const double *a, const int32_t *lda,
            const double *b, const int32_t *ldb, const double *beta, double *c, const int32_t *ldc,
            size_t transa_length, size_t transb_length);
void sgemm_(const char *transa, const char *transb, const int32_t *m, const int32_t *n,
            const int32_t *k, const float *alpha, const float *a, const int32_t *lda,
            const float *b, const int32_t *ldb, const float *beta, float *c, const int32_t *ldc,
            size_t transa_length, size_t transb_length);
void dsyrk_(const char *uplo, const char *trans, const int32_t *n, const int32_t *k,
            const double *alpha, const double *a, const int32_t *lda, const double *beta, double *c,
            const int32_t *ldc, size_t uplo_length, size_t trans_length);
void dtrsm_(const char *side, const char *uplo, const char *trans, const char *diag,
            const int32_t *m, const int32_t *n, const double *alpha, const double *a,
            const int32_t *lda, double *b, const int32_t *ldb, size_t side_length,
            size_t uplo_length, size_t trans_length, size_t diag_length);

ecki_matrix ecki_matrix_of(const double *data, int64_t rows, int64_t cols)
{
    return (ecki_matrix){ data, rows, cols, cols, false };
}

ecki_matrix ecki_matrix_panel(eck_panel panel)
{
    return (ecki_matrix){ panel.data, panel.rows, panel.cols, panel.ld, false };
}

ecki_matrix ecki_transposed(ecki_matrix a)
{
    return (ecki_matrix){ a.data, a.cols, a.rows, a.ld, !a.transposed };
}

// Fails unless every size fits the BLAS.
static eck_status require_fit(int64_t largest, const char *routine, eck_error *err)
{
    if (largest <= INT32_MAX) return ECK_OK;
    return ecki_error(err, ECK_E_SHAPE, -1, "size %lld is too large for %s: at most %d",
                      (long long)largest, routine, INT32_MAX);
}

// A leading dimension as the BLAS wants it: at least 1.
static int32_t leading(int64_t ld)
{
    return (int32_t)ecki_max(ld, 1);
}

// c = beta c, for products over nothing; beta 0 clears NaN too. `lower` leaves i < j alone.
static void scale_panel(double beta, eck_panel c, bool lower)
{
    if (beta == 1.0) return;
    for (int64_t i = 0; i < c.rows; i++) {
        double *const row = (double *)c.data + i * c.ld;
        const int64_t end = lower ? i + 1 : c.cols;
        for (int64_t j = 0; j < end; j++)
            row[j] = beta == 0.0 ? 0.0 : beta * row[j];
    }
}

static int64_t largest_of(ecki_matrix a)
{
    return ecki_max(ecki_max(a.rows, a.cols), a.ld);
}

eck_status ecki_gemm(double alpha, ecki_matrix a, ecki_matrix b, double beta, eck_panel c,
                     eck_error *err)
{
    eck_status status = ECK_OK;
    ECK_REQUIRE(a.rows == c.rows && b.cols == c.cols && a.cols == b.rows, ECK_E_SHAPE, -1,
                "cannot multiply [%lld,%lld] by [%lld,%lld] into [%lld,%lld]", (long long)a.rows,
                (long long)a.cols, (long long)b.rows, (long long)b.cols, (long long)c.rows,
                (long long)c.cols);
    if (c.rows == 0 || c.cols == 0) goto done;
    if (a.cols == 0) {
        scale_panel(beta, c, false);
        goto done;
    }
    ECK_TRY(require_fit(ecki_max(ecki_max(largest_of(a), largest_of(b)), c.ld), "dgemm", err));
    const int32_t m = (int32_t)c.cols, n = (int32_t)c.rows, k = (int32_t)a.cols;
    const int32_t lda = leading(a.ld), ldb = leading(b.ld), ldc = leading(c.ld);
    dgemm_(b.transposed ? "T" : "N", a.transposed ? "T" : "N", &m, &n, &k, &alpha, b.data, &ldb,
           a.data, &lda, &beta, c.data, &ldc, 1, 1);
done:
    return status;
}

// c = beta c for F32; beta 0 clears NaN too.
static void scale_floats(float beta, eck_panel c)
{
    for (int64_t i = 0; beta != 1.0F && i < c.rows; i++) {
        float *const row = (float *)c.data + i * c.ld;
        for (int64_t j = 0; j < c.cols; j++)
            row[j] = beta == 0.0F ? 0.0F : beta * row[j];
    }
}

// c = beta c for either type.
static void scale_either(double beta, eck_panel c)
{
    c.dtype == ECK_DTYPE_F32 ? scale_floats((float)beta, c) : scale_panel(beta, c, false);
}

eck_status ecki_multiply(double alpha, ecki_factor a, ecki_factor b, double beta, eck_panel c,
                         eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_panel *const left = &a.panel, *const right = &b.panel;
    const int64_t rows = a.transposed ? left->cols : left->rows;
    const int64_t inner = a.transposed ? left->rows : left->cols;
    const int64_t over = b.transposed ? right->cols : right->rows;
    const int64_t cols = b.transposed ? right->rows : right->cols;
    ECK_REQUIRE(rows == c.rows && cols == c.cols && inner == over, ECK_E_SHAPE, -1,
                "cannot multiply [%lld,%lld] by [%lld,%lld] into [%lld,%lld]", (long long)rows,
                (long long)inner, (long long)over, (long long)cols, (long long)c.rows,
                (long long)c.cols);
    ECK_REQUIRE(left->dtype == c.dtype && right->dtype == c.dtype, ECK_E_RANGE, -1,
                "cannot multiply %s by %s into %s", eck_dtype_name(left->dtype),
                eck_dtype_name(right->dtype), eck_dtype_name(c.dtype));
    if (c.rows == 0 || c.cols == 0) goto done;
    if (inner == 0) {
        scale_either(beta, c);
        goto done;
    }
    const int64_t largest =
        ecki_max(ecki_max(left->rows, left->ld), ecki_max(right->rows, right->ld));
    ECK_TRY(require_fit(ecki_max(largest, ecki_max(c.rows, c.ld)), "gemm", err));
    const int32_t m = (int32_t)c.cols, n = (int32_t)c.rows, k = (int32_t)inner;
    const int32_t lda = leading(left->ld), ldb = leading(right->ld), ldc = leading(c.ld);
    const char *const turn_b = b.transposed ? "T" : "N", *const turn_a = a.transposed ? "T" : "N";
    const float alpha32 = (float)alpha, beta32 = (float)beta;
    if (c.dtype == ECK_DTYPE_F32)
        sgemm_(turn_b, turn_a, &m, &n, &k, &alpha32, right->data, &ldb, left->data, &lda, &beta32,
               c.data, &ldc, 1, 1);
    else
        dgemm_(turn_b, turn_a, &m, &n, &k, &alpha, right->data, &ldb, left->data, &lda, &beta,
               c.data, &ldc, 1, 1);
done:
    return status;
}

eck_status ecki_gemm_f32(float alpha, eck_panel a, bool turned, eck_panel b, float beta,
                         eck_panel c, eck_error *err)
{
    return ecki_multiply(alpha, (ecki_factor){ a, turned }, (ecki_factor){ b, false }, beta, c,
                         err);
}

eck_status ecki_syrk(double alpha, ecki_matrix a, double beta, eck_panel c, eck_error *err)
{
    eck_status status = ECK_OK;
    ECK_REQUIRE(a.rows == c.rows && c.rows == c.cols, ECK_E_SHAPE, -1,
                "cannot put the Gram of [%lld,%lld] into [%lld,%lld]", (long long)a.rows,
                (long long)a.cols, (long long)c.rows, (long long)c.cols);
    if (c.rows == 0) goto done;
    if (a.cols == 0) {
        scale_panel(beta, c, true);
        goto done;
    }
    ECK_TRY(require_fit(ecki_max(largest_of(a), c.ld), "dsyrk", err));
    const int32_t n = (int32_t)a.rows, k = (int32_t)a.cols;
    const int32_t lda = leading(a.ld), ldc = leading(c.ld);
    // The lower triangle of a row-major matrix is the upper one to the BLAS.
    dsyrk_("U", a.transposed ? "N" : "T", &n, &k, &alpha, a.data, &lda, &beta, c.data, &ldc, 1, 1);
done:
    return status;
}

eck_status ecki_trsm(ecki_matrix lower, eck_panel x, eck_error *err)
{
    eck_status status = ECK_OK;
    const double one = 1.0;
    ECK_REQUIRE(lower.rows == lower.cols && lower.cols == x.cols && !lower.transposed, ECK_E_SHAPE,
                -1, "cannot divide [%lld,%lld] by a triangle [%lld,%lld]", (long long)x.rows,
                (long long)x.cols, (long long)lower.rows, (long long)lower.cols);
    if (x.rows == 0 || x.cols == 0) goto done;
    ECK_TRY(require_fit(ecki_max(ecki_max(largest_of(lower), x.rows), x.ld), "dtrsm", err));
    const int32_t m = (int32_t)x.cols, n = (int32_t)x.rows;
    const int32_t lda = leading(lower.ld), ldb = leading(x.ld);
    // X = X L^-T is X^T = R^-T X^T for the column-major R = L^T.
    dtrsm_("L", "U", "T", "N", &m, &n, &one, lower.data, &lda, x.data, &ldb, 1, 1, 1, 1);
done:
    return status;
}
