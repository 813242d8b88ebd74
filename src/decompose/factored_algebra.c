/**
 * Inner products, distances and principal angles of sums of thin products: everything happens
 * between the thin factors.
 *
 *   <B F, C G> = sum_pq (B^T C)_pq (F G^T)_pq
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "decompose/factored_parts.h"
#include "linalg/gemm.h"
#include "linalg/svd_job.h"
#include "tensor/codec.h"

static eck_status same_shape(const eck_factored_info *a, const eck_factored_info *b, eck_error *err)
{
    if (a->rows == b->rows && a->cols == b->cols) return ECK_OK;
    return ecki_error(err, ECK_E_SHAPE, -1, "%lld x %lld beside %lld x %lld", (long long)a->rows,
                      (long long)a->cols, (long long)b->rows, (long long)b->cols);
}

/** out [p,q] = B^T C of the left sides, or F G^T of the right ones, panel by panel. */
static eck_status cross_gram(double *out, const eck_factored *a, const eck_factored *b,
                             eck_side side, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t p = a->info.width, q = b->info.width;
    ecki_panels x = { 0 }, y = { 0 };

    ECK_TRY(ecki_panels_init(&x, a, side, err));
    ECK_TRY(ecki_panels_init(&y, b, side, err));
    x.height = y.height = ecki_min(x.height, y.height);
    for (int64_t at = 0; at < x.length; at += x.height) {
        const int64_t count = ecki_min(x.height, x.length - at);
        const bool left = side == ECK_SIDE_LEFT;
        const ecki_matrix one = left ? ecki_transposed(ecki_matrix_of(x.room, count, p))
                                     : ecki_matrix_of(x.room, p, count);
        const ecki_matrix two = left ? ecki_matrix_of(y.room, count, q)
                                     : ecki_transposed(ecki_matrix_of(y.room, q, count));
        ecki_panels_read(&x, x.room, at, count);
        ecki_panels_read(&y, y.room, at, count);
        ECK_TRY(ecki_gemm(1, one, two, at > 0 ? 1 : 0, ecki_panel(out, ECK_DTYPE_F64, p, q), err));
    }
done:
    ecki_panels_clear(&x);
    ecki_panels_clear(&y);
    return status;
}

eck_status eck_factored_inner(double *out, const eck_factored *a, const eck_factored *b,
                              eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t p = a->info.width, q = b->info.width;
    double *left = NULL, *right = NULL;

    ECK_TRY(same_shape(&a->info, &b->info, err));
    ECK_ALLOC_RAW(left, p * q);
    ECK_ALLOC_RAW(right, p * q);
    ECK_TRY(cross_gram(left, a, b, ECK_SIDE_LEFT, err));
    ECK_TRY(cross_gram(right, a, b, ECK_SIDE_RIGHT, err));
    double sum = 0;
    for (int64_t i = 0; i < p * q; i++)
        sum += left[i] * right[i];
    *out = sum * a->unit * b->unit;
done:
    ecki_free(left);
    ecki_free(right);
    return status;
}

eck_status eck_factored_distance(double *out, const eck_factored *f, const eck_term *term,
                                 eck_error *err)
{
    eck_status status = ECK_OK;
    eck_factored *other = NULL; // the term alone, without a decomposition
    double cross = 0, square = 0;

    ECK_ALLOC(other, 1);
    ECK_TRY(ecki_factored_take(other, term, 1, false, err));
    ECK_TRY(eck_factored_inner(&cross, f, other, err));
    ECK_TRY(eck_factored_inner(&square, other, other, err));
    // || X - Y ||^2 = || X ||^2 - 2 <X,Y> + || Y ||^2
    *out = sqrt(fmax(0, f->info.norm * f->info.norm - 2 * cross + square));
done:
    eck_factored_free(other);
    return status;
}

/* ---- angles -------------------------------------------------------------------------------- */

static int64_t numerical_rank(const eck_factored_info *info)
{
    const double tolerance = (double)ecki_max(info->rows, info->cols) * DBL_EPSILON;
    int64_t rank = 0;

    while (rank < info->count && info->values[rank] > tolerance * info->values[0])
        rank++;
    return rank;
}

/** An orthonormal basis of a side, [k,size] row-major: rows are the vectors. */
static eck_status basis_of(double **out, int64_t *count_out, const eck_factored *f, eck_side side,
                           eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t k = numerical_rank(&f->info);
    const int64_t size = side == ECK_SIDE_LEFT ? f->info.rows : f->info.cols;
    double *basis = NULL, *columns = NULL;
    bool carried = false;

    ECK_REQUIRE(f->info.orthogonal, ECK_E_RANGE, -1, "angles need a sum decomposed by QR: rank 0");
    ECK_ALLOC_RAW(basis, k * size);
    if (side == ECK_SIDE_RIGHT) {
        ECK_TRY(ecki_factored_right(basis, &carried, f, k, err));
    } else {
        ECK_ALLOC_RAW(columns, k * size);
        ECK_TRY(ecki_factored_left(columns, f, k, err));
        for (int64_t i = 0; i < size; i++)
            for (int64_t j = 0; j < k; j++)
                basis[j * size + i] = columns[i * k + j];
    }
    *out = basis;
    *count_out = k;
    basis = NULL;
done:
    ecki_free(columns);
    ecki_free(basis);
    return status;
}

typedef struct block {
    const double *numbers;
    int64_t count;
} block;

static eck_status block_load(void *self, double *a, eck_error *err)
{
    const block *b = self;
    (void)err;
    memcpy(a, b->numbers, (size_t)b->count * sizeof *a);
    return ECK_OK;
}

/** Singular values of x y^T for bases of n and m rows, n <= m: n values in [0,1], descending. */
static eck_status cosines_of(double *out, ecki_matrix x, ecki_matrix y, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_dense_svd svd = { .m = y.rows, .n = x.rows, .s = out };
    double *product = NULL;
    const char *solver = NULL;

    ECK_ALLOC_RAW(product, x.rows * y.rows);
    ECK_ALLOC_RAW(svd.a, x.rows * y.rows);
    ECK_TRY(ecki_gemm(1, x, ecki_transposed(y), 0,
                      ecki_panel(product, ECK_DTYPE_F64, x.rows, y.rows), err));
    block source = { product, x.rows * y.rows };
    ECK_TRY(ecki_dense_solve(&svd, ECKI_DGESDD, &solver, block_load, &source, err));
    for (int64_t i = 0; i < x.rows; i++)
        out[i] = fmin(out[i], 1);
done:
    ecki_free(svd.a);
    ecki_free(product);
    return status;
}

eck_status eck_factored_angles(eck_array **cosines_out, const eck_factored *a,
                               const eck_factored *b, eck_side side, eck_error *err)
{
    eck_status status = ECK_OK;
    double *x = NULL, *y = NULL;
    int64_t n = 0, m = 0;
    eck_array *cosines = NULL;
    const int64_t size = side == ECK_SIDE_LEFT ? a->info.rows : a->info.cols;

    ECK_REQUIRE(size == (side == ECK_SIDE_LEFT ? b->info.rows : b->info.cols), ECK_E_SHAPE, -1,
                "angles between spaces of %lld and %lld dimensions", (long long)size,
                (long long)(side == ECK_SIDE_LEFT ? b->info.rows : b->info.cols));
    ECK_TRY(basis_of(&x, &n, a, side, err));
    ECK_TRY(basis_of(&y, &m, b, side, err));
    ECK_TRY(eck_array_create(&cosines, ECK_DTYPE_F64, 1, (int64_t[]){ ecki_min(n, m) }, err));
    const ecki_matrix p = ecki_matrix_of(x, n, size), q = ecki_matrix_of(y, m, size);
    if (n > 0 && m > 0) ECK_TRY(cosines_of(cosines->data, n <= m ? p : q, n <= m ? q : p, err));
    *cosines_out = cosines;
    cosines = NULL;
done:
    eck_array_free(cosines);
    ecki_free(x);
    ecki_free(y);
    return status;
}
