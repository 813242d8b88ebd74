/**
 * Half steps where every entry is known and weighs the same: two products with A an iteration, and small systems shared
 * by all rows. Always true: nothing depends on the number of threads, for products are made of panels of their own and
 * the rest runs on one.
 */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "decompose/als_parts.h"
#include "linalg/certificate.h"
#include "linalg/gemm.h"
#include "linalg/op.h"
#include "tensor/codec.h"

// Below this part of || A ||^2 the loss is no longer taken from a difference of large numbers.
#define CANCELS 1e-3

enum { BLOCK = 256 }; // rows solved at a time

/* ---- opening ------------------------------------------------------------------------------- */

/** A in memory, exactly, in F32 where that holds it. A file is then read once and not in every iteration. */
static eck_status copy_operator(ecki_als_problem *p, eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_operator_info *info = eck_operator_get_info(p->a);
    const bool narrow = eck_dtype_bits(info->storage) <= 32 && info->read_error == 0.0;
    const int64_t shape[] = { p->rows, p->cols };

    ECK_TRY(eck_array_create(&p->copy, narrow ? ECK_DTYPE_F32 : ECK_DTYPE_F64, 2, shape, err));
    for (int64_t row = 0; row < p->rows; row += ECKI_PANEL_ROWS) {
        const int64_t rows = ecki_min(ECKI_PANEL_ROWS, p->rows - row);
        char *const at = (char *)p->copy->data + row * p->cols * (narrow ? 4 : 8);
        ECK_TRY(
            eck_operator_read(p->a, row, 0, ecki_panel(at, p->copy->dtype, rows, p->cols), err));
    }
    ECK_TRY(eck_operator_dense(&p->own, eck_array_view(p->copy), err));
    p->source = p->own;
done:
    return status;
}

eck_status ecki_als_dense_open(ecki_als_problem *p, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_scan scan;

    p->source = p->a;
    if (!eck_operator_get_info(p->a)->resident) ECK_TRY(copy_operator(p, err));
    ECK_TRY(eck_operator_scan(&scan, p->source, p->context, err));
    ECK_REQUIRE(scan.nonfinite == 0, ECK_E_NONFINITE, scan.first_nonfinite,
                "cannot fit '%s': element %lld is not finite, and no mask leaves it out",
                eck_operator_get_info(p->a)->name, (long long)scan.first_nonfinite);
    p->scale = ecki_scale_of(scan.max);
    ECK_TRY(ecki_derive_norm(&p->norm2, p->source, p->scale, p->context, err));
    p->norm2 *= p->norm2;
    p->observed = p->rows * p->cols;
    p->weight = (double)p->observed;
    p->weight_scale = 1.0;
    ECK_ALLOC_RAW(p->product, ecki_max(p->rows, p->cols) * p->rank);
done:
    return status;
}

/* ---- half steps ---------------------------------------------------------------------------- */

/** product = scale A f (LEFT) or scale A^T f (RIGHT). */
static eck_status multiply(const ecki_als_problem *p, eck_side side, const double *f,
                           eck_error *err)
{
    const bool left = side == ECK_SIDE_LEFT;
    eck_context context = ECK_CONTEXT_INIT;
    const eck_panel in = { (void *)(uintptr_t)f, ECK_DTYPE_F64, left ? p->cols : p->rows, p->rank,
                           p->rank };
    const eck_panel out = ecki_panel(p->product, ECK_DTYPE_F64, left ? p->rows : p->cols, p->rank);

    context.threads = p->threads;
    return left ? eck_operator_apply(p->source, p->scale, in, out, &context, err)
                : eck_operator_apply_transpose(p->source, p->scale, in, out, &context, err);
}

/** f^T f of the fixed factor. gram_out owned by the caller, ecki_free(). */
static eck_status fixed_gram(double **gram_out, const ecki_als_problem *p, eck_side side,
                             const double *f, eck_error *err)
{
    eck_status status = ECK_OK;
    double *gram = NULL;

    ECK_ALLOC_RAW(gram, p->rank * p->rank);
    ECK_TRY(ecki_als_gram(gram, f, side == ECK_SIDE_LEFT ? p->cols : p->rows, p->rank, err));
    *gram_out = gram;
    gram = NULL;
done:
    ecki_free(gram);
    return status;
}

// x = A f (f^T f + ridge I)^-1, in blocks of rows.
eck_status ecki_als_dense_solve(const ecki_als_problem *p, eck_side side, double *x,
                                const double *f, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t rows = side == ECK_SIDE_LEFT ? p->rows : p->cols, k = p->rank;
    ecki_als_system system = { .n = k, .ridge = p->ridge };
    double *work = NULL;

    ECK_TRY(fixed_gram(&system.gram, p, side, f, err));
    ECK_ALLOC_RAW(system.lower, k * k);
    ECK_ALLOC_RAW(work, 2 * BLOCK * k);
    ECK_TRY(ecki_als_factorise(&system, err));
    ECK_TRY(multiply(p, side, f, err));
    memcpy(x, p->product, (size_t)(rows * k) * sizeof *x);
    for (int64_t row = 0; row < rows; row += BLOCK)
        ECK_TRY(ecki_als_back(&system, x + row * k, ecki_min(BLOCK, rows - row), work, err));
done:
    ecki_free(work);
    ecki_free(system.lower);
    ecki_free(system.gram);
    return status;
}

// x = y - (y (f^T f + ridge I) - A f) / (largest eigenvalue of f^T f + ridge).
eck_status ecki_als_dense_descend(const ecki_als_problem *p, eck_side side, double *x,
                                  const double *y, const double *f, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t rows = side == ECK_SIDE_LEFT ? p->rows : p->cols, k = p->rank;
    double *gram = NULL, steepest = 0.0;

    ECK_TRY(fixed_gram(&gram, p, side, f, err));
    ECK_TRY(ecki_als_largest(&steepest, gram, k, err));
    steepest += p->ridge;
    ECK_TRY(multiply(p, side, f, err));
    memcpy(x, y, (size_t)(rows * k) * sizeof *x);
    if (!(steepest > 0.0)) goto done; // f is 0, and the gradient with it
    const double step = 1.0 / steepest;
    ECK_TRY(ecki_gemm(-step, ecki_matrix_of(y, rows, k), ecki_matrix_of(gram, k, k),
                      1.0 - step * p->ridge, ecki_panel(x, ECK_DTYPE_F64, rows, k), err));
    for (int64_t i = 0; i < rows * k; i++)
        x[i] += step * p->product[i];
done:
    ecki_free(gram);
    return status;
}

/* ---- loss ---------------------------------------------------------------------------------- */

/** sum_i a_i b_i, block by block, so that rounding grows with the root of few numbers. */
static double inner(const double *a, const double *b, int64_t count)
{
    double sum = 0.0;
    for (int64_t at = 0; at < count; at += BLOCK) {
        double part = 0.0;
        for (int64_t i = at; i < ecki_min(at + BLOCK, count); i++)
            part += a[i] * b[i];
        sum += part;
    }
    return sum;
}

/** || scale A - u v^T ||^2, element by element. */
static eck_status measured_loss(double *out, const ecki_als_problem *p, const double *u,
                                const double *v, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_operator *product = NULL;
    ecki_distance distance;
    eck_context context = ECK_CONTEXT_INIT;

    context.threads = p->threads;
    ECK_TRY(ecki_operator_factored(&product, eck_view_matrix(u, ECK_DTYPE_F64, p->rows, p->rank),
                                   NULL, eck_view_matrix(v, ECK_DTYPE_F64, p->cols, p->rank), err));
    const ecki_difference d = { p->source, product, p->scale, 1.0, 0.0, 0, false };
    ECK_TRY(ecki_distance_residual(&distance, &d, &context, err));
    *out = distance.residual * distance.residual;
done:
    eck_operator_free(product);
    return status;
}

// || A ||^2 - 2 <A^T u, v> + <u^T u, v^T v> while that is a difference of numbers far apart.
eck_status ecki_als_dense_loss(double *out, const ecki_als_problem *p, const double *u,
                               const double *v, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t k = p->rank;
    double *left = NULL, *right = NULL;

    ECK_TRY(fixed_gram(&left, p, ECK_SIDE_RIGHT, u, err));
    ECK_TRY(fixed_gram(&right, p, ECK_SIDE_LEFT, v, err));
    const double loss =
        p->norm2 - 2.0 * inner(p->product, v, p->cols * k) + inner(left, right, k * k);
    if (loss > CANCELS * p->norm2)
        *out = loss;
    else
        ECK_TRY(measured_loss(out, p, u, v, err));
done:
    ecki_free(right);
    ecki_free(left);
    return status;
}
