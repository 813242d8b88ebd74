// Tall blocks of F32 vectors: projections, orthonormal columns, turns. Always true: rows are worked on in pieces of
// PIECE, whose sums are added in F64 in their order, so that no bit depends on threads.
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "linalg/gemm.h"
#include "linalg/krylov.h"
#include "tensor/codec.h"

enum { PIECE = 512 };

// What the tasks of one operation share.
typedef struct piece_job {
    ecki_block left, right, out;
    const float *small; // the small factor of a product
    float alpha, beta;
    float *parts; // sums of the pieces
    double *wide_parts;
} piece_job;

static int64_t pieces_of(int64_t rows)
{
    return (rows + PIECE - 1) / PIECE;
}

static eck_panel piece_panel(ecki_block b, int64_t index)
{
    const int64_t row = index * PIECE;
    return (eck_panel){ b.data + row * b.ld, ECK_DTYPE_F32, ecki_min(PIECE, b.rows - row),
                        b.columns, b.ld };
}

static eck_status inner_task(void *self, int64_t index, eck_error *err)
{
    const piece_job *const job = self;
    const int64_t l = job->left.columns, b = job->right.columns;
    return ecki_gemm_f32(1.0F, piece_panel(job->left, index), true, piece_panel(job->right, index),
                         0.0F, ecki_panel(job->parts + index * l * b, ECK_DTYPE_F32, l, b), err);
}

static eck_status outer_task(void *self, int64_t index, eck_error *err)
{
    const piece_job *const job = self;
    const eck_panel small = { (void *)(uintptr_t)job->small, ECK_DTYPE_F32, job->left.columns,
                              job->out.columns, job->out.columns };
    return ecki_gemm_f32(job->alpha, piece_panel(job->left, index), false, small, job->beta,
                         piece_panel(job->out, index), err);
}

// out = alpha left small + beta out.
static eck_status multiply(piece_job *job, int32_t threads, eck_error *err)
{
    return ecki_parallel_for(pieces_of(job->out.rows), threads, outer_task, job, err);
}

eck_status ecki_block_project(double *h, ecki_block basis, ecki_block z, int32_t threads,
                              eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t count = basis.columns * z.columns, pieces = pieces_of(z.rows);
    piece_job job = { .left = basis, .right = z, .out = z, .alpha = -1.0F, .beta = 1.0F };
    float *narrow = NULL;
    ECK_ALLOC_RAW(job.parts, pieces * count);
    ECK_ALLOC_RAW(narrow, count);
    ECK_TRY(ecki_parallel_for(pieces, threads, inner_task, &job, err));
    memset(h, 0, (size_t)count * sizeof *h);
    for (int64_t p = 0; p < pieces; p++)
        for (int64_t i = 0; i < count; i++)
            h[i] += (double)job.parts[p * count + i];
    for (int64_t i = 0; i < count; i++)
        narrow[i] = (float)h[i];
    job.small = narrow;
    ECK_TRY(multiply(&job, threads, err));
done:
    ecki_free(narrow);
    ecki_free(job.parts);
    return status;
}

eck_status ecki_block_turn(ecki_block out, ecki_block basis, const double *turn, int32_t threads,
                           eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t count = basis.columns * out.columns;
    piece_job job = { .left = basis, .out = out, .alpha = 1.0F, .beta = 0.0F };
    float *narrow = NULL;
    ECK_ALLOC_RAW(narrow, count);
    for (int64_t i = 0; i < count; i++)
        narrow[i] = (float)turn[i];
    job.small = narrow;
    ECK_TRY(multiply(&job, threads, err));
done:
    ecki_free(narrow);
    return status;
}

void ecki_block_lengths(double *sums, ecki_block z)
{
    memset(sums, 0, (size_t)z.columns * sizeof *sums);
    for (int64_t i = 0; i < z.rows; i++)
        for (int64_t j = 0; j < z.columns; j++)
            sums[j] += (double)z.data[i * z.ld + j] * (double)z.data[i * z.ld + j];
}

// A piece in F64, [rows,columns], owned by the caller.
static eck_status widen_piece(double **out, eck_panel piece, eck_error *err)
{
    eck_status status = ECK_OK;
    double *wide = NULL;
    ECK_ALLOC_RAW(wide, piece.rows * piece.cols);
    for (int64_t r = 0; r < piece.rows; r++)
        ecki_widen_f64(ECK_DTYPE_F32, (const float *)piece.data + r * piece.ld, 1,
                       wide + r * piece.cols, piece.cols);
    *out = wide;
done:
    return status;
}

// The Gram of one piece, F64, its lower triangle.
static eck_status gram_task(void *self, int64_t index, eck_error *err)
{
    const piece_job *const job = self;
    eck_status status = ECK_OK;
    const int64_t b = job->right.columns;
    const eck_panel piece = piece_panel(job->right, index);
    double *wide = NULL;
    ECK_TRY(widen_piece(&wide, piece, err));
    ECK_TRY(ecki_syrk(1.0, ecki_transposed(ecki_matrix_of(wide, piece.rows, b)), 0.0,
                      ecki_panel(job->wide_parts + index * b * b, ECK_DTYPE_F64, b, b), err));
done:
    ecki_free(wide);
    return status;
}

static eck_status gram_of(double *gram, ecki_block z, int32_t threads, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t count = z.columns * z.columns, pieces = pieces_of(z.rows);
    piece_job job = { .right = z };
    ECK_ALLOC_RAW(job.wide_parts, pieces * count);
    ECK_TRY(ecki_parallel_for(pieces, threads, gram_task, &job, err));
    memset(gram, 0, (size_t)count * sizeof *gram);
    for (int64_t p = 0; p < pieces; p++)
        for (int64_t i = 0; i < z.columns; i++)
            for (int64_t j = 0; j <= i; j++)
                gram[j * z.columns + i] += job.wide_parts[p * count + i * z.columns + j];
done:
    ecki_free(job.wide_parts);
    return status;
}

// r^T r = gram, upper triangles; a column whose rest is at most least[j]^2 gets a zero row. Returns how many did.
static int64_t cholesky(double *r, const double *gram, const double *least, int64_t b)
{
    int64_t dependent = 0;
    memset(r, 0, (size_t)(b * b) * sizeof *r);
    for (int64_t j = 0; j < b; j++) {
        for (int64_t i = 0; i < j; i++) {
            double sum = gram[i * b + j];
            for (int64_t t = 0; t < i; t++)
                sum -= r[t * b + i] * r[t * b + j];
            r[i * b + j] = r[i * b + i] > 0.0 ? sum / r[i * b + i] : 0.0;
        }
        double rest = gram[j * b + j];
        for (int64_t t = 0; t < j; t++)
            rest -= r[t * b + j] * r[t * b + j];
        // Of the square of a length nothing below 2^-48 of it is known.
        const double lost = fmax(least[j] * least[j], 0x1p-48 * gram[j * b + j]);
        if (rest > lost)
            r[j * b + j] = sqrt(rest);
        else
            dependent++;
    }
    return dependent;
}

// inverse of an upper r with zeros where the diagonal is zero.
static void invert(double *inverse, const double *r, int64_t b)
{
    memset(inverse, 0, (size_t)(b * b) * sizeof *inverse);
    for (int64_t j = 0; j < b; j++) {
        if (!(r[j * b + j] > 0.0)) continue;
        inverse[j * b + j] = 1.0 / r[j * b + j];
        for (int64_t i = j - 1; i >= 0; i--) {
            double sum = 0.0;
            for (int64_t t = i + 1; t <= j; t++)
                sum += r[i * b + t] * inverse[t * b + j];
            inverse[i * b + j] = r[i * b + i] > 0.0 ? -sum / r[i * b + i] : 0.0;
        }
    }
}

// Rows of out = rows of left times an upper triangle, in F64: in F32 a column that is short beside its parts would come
// out with their rounding, and so would what later columns have of it.
static eck_status divide_task(void *self, int64_t index, eck_error *err)
{
    const piece_job *const job = self;
    eck_status status = ECK_OK;
    const int64_t b = job->right.columns;
    const eck_panel from = piece_panel(job->right, index), to = piece_panel(job->out, index);
    double *wide = NULL, *product = NULL;
    ECK_TRY(widen_piece(&wide, from, err));
    ECK_ALLOC_RAW(product, from.rows * b);
    ECK_TRY(ecki_gemm(1.0, ecki_matrix_of(wide, from.rows, b),
                      ecki_matrix_of(job->wide_parts, b, b), 0.0,
                      ecki_panel(product, ECK_DTYPE_F64, from.rows, b), err));
    for (int64_t r = 0; r < from.rows; r++)
        for (int64_t j = 0; j < b; j++)
            ((float *)to.data)[r * to.ld + j] = (float)product[r * b + j];
done:
    ecki_free(product);
    ecki_free(wide);
    return status;
}

// x = z inverse.
static eck_status divide(ecki_block x, ecki_block z, double *inverse, int32_t threads,
                         eck_error *err)
{
    piece_job job = { .right = z, .out = x, .wide_parts = inverse };
    return ecki_parallel_for(pieces_of(z.rows), threads, divide_task, &job, err);
}

// r = second r, both upper.
static void collect(double *r, const double *second, int64_t b)
{
    for (int64_t j = 0; j < b; j++)
        for (int64_t i = 0; i <= j; i++) {
            double sum = 0.0;
            for (int64_t t = i; t <= j; t++)
                sum += second[i * b + t] * r[t * b + j];
            r[i * b + j] = sum; // rows above i are not needed any more for this column
        }
}

eck_status ecki_block_orthonormalize(ecki_block x, ecki_block z, double *r, const double *least,
                                     int64_t *fresh_out, int32_t threads, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t b = z.columns, count = b * b;
    double *small = NULL;
    ECK_ALLOC(small, 3 * count + b);
    double *const gram = small, *const inverse = small + count, *const second = small + 2 * count;
    const double *const nothing = small + 3 * count;
    ECK_TRY(gram_of(gram, z, threads, err));
    *fresh_out = cholesky(r, gram, least, b);
    invert(inverse, r, b);
    ECK_TRY(divide(x, z, inverse, threads, err));
    ECK_TRY(gram_of(gram, x, threads, err));
    cholesky(second, gram, nothing, b);
    invert(inverse, second, b);
    for (int64_t i = 0; i < z.rows; i++)
        memcpy(z.data + i * z.ld, x.data + i * x.ld, (size_t)b * sizeof *z.data);
    ECK_TRY(divide(x, z, inverse, threads, err));
    collect(r, second, b);
done:
    ecki_free(small);
    return status;
}
