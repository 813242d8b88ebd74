/**
 * Smaller terms at a bounded error. Terms that cancel each other are large, lose digits when they are rounded and break
 * when they are trained; a little more error makes them much smaller.
 *
 * One mode at a time, the others having columns of length 1: least || A ||^2 with || X - A Z^T || <= bound is
 *     A = M (V + mu I)^-1,  mu >= 0 as large as the bound allows,
 * which one eigen-decomposition V = Q diag(l) Q^T and B = M Q turn into a search in one number:
 *     || X - A Z^T ||^2 = || X ||^2 - sum_r |b_r|^2 (2 / (l_r + mu) - l_r / (l_r + mu)^2).
 */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "decompose/cp_parts.h"
#include "linalg/gemm.h"
#include "tensor/codec.h"

enum { SWEEPS = 20, ITERATIONS_A_SWEEP = 4 };

/** One mode's problem: V = q diag(values) q^T, b [rows,rank] = M q, squares[r] = |b_r|^2. */
struct shrinking {
    eck_eigen *eigen;
    double *b, *squares;
    const double *values, *q;
    int64_t rows, rank;
    double norm2;
};

static void shrinking_clear(struct shrinking *s)
{
    eck_eigen_free(s->eigen);
    ecki_free(s->b);
    ecki_free(s->squares);
}

static eck_status shrinking_init(struct shrinking *s, const ecki_cp_fit *fit, int32_t mode,
                                 const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t rows = fit->shape[mode], rank = fit->rank;
    eck_operator *v = NULL;
    eck_svd_options options = ECK_SVD_OPTIONS_INIT;

    options.rule = ECK_RULE_THIN;
    options.proof = ECK_PROOF_TAIL;
    options.store = ECK_DTYPE_F64;
    ECK_TRY(eck_operator_dense(&v, eck_view_matrix(fit->normal, ECK_DTYPE_F64, rank, rank), err));
    ECK_TRY(eck_eigen_compute(&s->eigen, v, &options, context, err));
    s->values = s->eigen->values->data;
    s->q = s->eigen->vectors->data;
    s->rows = rows;
    s->rank = rank;
    s->norm2 = fit->norm2;
    ECK_ALLOC_RAW(s->b, rows * rank);
    ECK_ALLOC(s->squares, rank);
    ECK_TRY(ecki_gemm(1.0, ecki_matrix_of(fit->product, rows, rank),
                      ecki_matrix_of(s->q, rank, rank), 0.0,
                      ecki_panel(s->b, ECK_DTYPE_F64, rows, rank), err));
    for (int64_t i = 0; i < rows; i++)
        for (int64_t r = 0; r < rank; r++)
            s->squares[r] += s->b[i * rank + r] * s->b[i * rank + r];
done:
    eck_operator_free(v);
    return status;
}

/** Relative squared error with mu. Directions the columns do not have (l <= 0 but for rounding) take no part. */
static double error2_at(const struct shrinking *s, double mu)
{
    double gain = 0.0;

    for (int64_t r = 0; r < s->rank; r++) {
        const double l = fmax(s->values[r], 0.0), sum = l + mu;
        if (sum > 0.0) gain += s->squares[r] * (2.0 / sum - l / (sum * sum));
    }
    return 1.0 - gain / s->norm2;
}

/** The largest mu whose error stays below the bound: 0 if there is none. Errors rise with mu. */
static double largest_mu(const struct shrinking *s, double bound2)
{
    // Below 1e-13 of the largest value the normal equations hold no digits.
    double low = 1e-13 * fmax(s->values[0], 0.0), high = low;

    if (!(low > 0.0) || error2_at(s, low) > bound2) return 0.0;
    for (int i = 0; i < 60 && error2_at(s, high) <= bound2; i++)
        high *= 4.0;
    for (int i = 0; i < 60; i++) {
        const double middle = sqrt(low) * sqrt(high);
        if (error2_at(s, middle) <= bound2)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/** A = B diag(1 / (l + mu)) Q^T. */
static eck_status replace_factor(ecki_cp_fit *fit, int32_t mode, const struct shrinking *s,
                                 double mu, eck_error *err)
{
    for (int64_t i = 0; i < s->rows; i++)
        for (int64_t r = 0; r < s->rank; r++)
            s->b[i * s->rank + r] /= fmax(s->values[r], 0.0) + mu;
    fit->now.error2 = error2_at(s, mu);
    return ecki_gemm(1.0, ecki_matrix_of(s->b, s->rows, s->rank),
                     ecki_transposed(ecki_matrix_of(s->q, s->rank, s->rank)), 0.0,
                     ecki_panel(fit->now.factor[mode], ECK_DTYPE_F64, s->rows, s->rank), err);
}

/** One mode, given that every other has columns of length 1. */
static eck_status shrink_mode(ecki_cp_fit *fit, int32_t mode, double bound2,
                              const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    struct shrinking s = { 0 };

    ECK_TRY(ecki_cp_product(fit, mode, err));
    ecki_cp_normal(fit, mode);
    ECK_TRY(shrinking_init(&s, fit, mode, context, err));
    const double mu = largest_mu(&s, bound2);
    if (mu > 0.0) ECK_TRY(replace_factor(fit, mode, &s, mu, err));
done:
    shrinking_clear(&s);
    return status;
}

eck_status ecki_cp_shrink(ecki_cp_fit *fit, double bound, const ecki_cp_limits *limits,
                          eck_error *err)
{
    eck_status status = ECK_OK;
    double *lengths = NULL;
    const int32_t last = fit->ndim - 1;
    const int64_t sweeps = ecki_min(SWEEPS, ecki_max(limits->iterations / ITERATIONS_A_SWEEP, 1));
    double before = INFINITY;

    ECK_ALLOC_RAW(lengths, fit->rank);
    for (int64_t sweep = 0; sweep < sweeps; sweep++) {
        ECK_TRY(ecki_progress(limits->context, "smaller terms", sweep, sweeps, err));
        for (int32_t n = 0; n < fit->ndim; n++) {
            // The lengths travel with the mode that is being made.
            const int32_t from = (n + last) % fit->ndim;
            ECK_TRY(ecki_cp_normalize(fit, from, lengths, err));
            for (int64_t i = 0; i < fit->shape[n] * fit->rank; i++)
                fit->now.factor[n][i] *= lengths[i % fit->rank];
            ECK_TRY(shrink_mode(fit, n, bound * bound, limits->context, err));
        }
        ECK_TRY(ecki_cp_normalize(fit, last, lengths, err));
        double size = 0.0;
        for (int64_t r = 0; r < fit->rank; r++)
            size += lengths[r] * lengths[r];
        for (int64_t i = 0; i < fit->shape[last] * fit->rank; i++)
            fit->now.factor[last][i] *= lengths[i % fit->rank];
        ECK_TRY(ecki_cp_gram(fit, last, err));
        if (!(size < 0.99 * before)) break;
        before = size;
    }
done:
    ecki_free(lengths);
    return status;
}
