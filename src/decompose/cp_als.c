/**
 * Alternating least squares for CP. With V the elementwise product of the other modes' Grams and M the unfolding times
 * the columns of the other modes, the best factor of a mode is A = M V^-1.
 *
 * M is never formed from a Khatri-Rao product of all other modes: the tensor, as a matrix [left,right], is multiplied
 * by the columns of one half, and what comes out is contracted with the other modes of its own half.
 *
 * Against swamps the step of an iteration is lengthened by the cube root of its number whenever that lowers the error.
 *
 * While an iteration changes more than rounding does, M may be found in F32, at twice the speed; V and the solves are always
 * in F64, and so is all of the last iterations, those that say what the error is.
 */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "decompose/cp_parts.h"
#include "linalg/gemm.h"
#include "linalg/lapack.h"
#include "linalg/op.h"
#include "tensor/codec.h"

static void state_clear(ecki_cp_state *state)
{
    for (int32_t n = 0; n < ECK_DIMS_MAX; n++) {
        ecki_free(state->factor[n]);
        ecki_free(state->gram[n]);
    }
    memset(state, 0, sizeof *state);
}

/** Products in F64 from now on. */
static void end_narrow(ecki_cp_fit *fit)
{
    ecki_free(fit->narrow);
    ecki_free(fit->narrow_columns);
    ecki_free(fit->narrow_partial);
    fit->narrow = fit->narrow_columns = fit->narrow_partial = NULL;
}

void ecki_cp_fit_clear(ecki_cp_fit *fit)
{
    end_narrow(fit);
    state_clear(&fit->now);
    state_clear(&fit->before);
    ecki_free(fit->partial);
    ecki_free(fit->columns);
    ecki_free(fit->spare);
    ecki_free(fit->product);
    ecki_free(fit->normal);
    memset(fit, 0, sizeof *fit);
}

/** The cut between the halves that keeps both small. */
static void choose_halves(ecki_cp_fit *fit)
{
    int64_t total = 1, left = 1;
    double least = INFINITY;

    for (int32_t n = 0; n < fit->ndim; n++)
        total *= fit->shape[n];
    for (int32_t n = 1; n < fit->ndim; n++) {
        left *= fit->shape[n - 1];
        const double sum = (double)left + (double)(total / left);
        if (sum >= least) continue;
        least = sum;
        fit->half = n;
        fit->left = left;
        fit->right = total / left;
    }
}

static eck_status state_init(ecki_cp_state *state, const ecki_cp_fit *fit, eck_error *err)
{
    eck_status status = ECK_OK;

    for (int32_t n = 0; n < fit->ndim; n++) {
        ECK_ALLOC(state->factor[n], ecki_max(fit->shape[n] * fit->rank, 1));
        ECK_ALLOC(state->gram[n], fit->rank * fit->rank);
    }
done:
    return status;
}

eck_status ecki_cp_fit_init(ecki_cp_fit *out, const double *x, int32_t ndim, const int64_t *shape,
                            int64_t rank, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_cp_fit fit = { .x = x, .ndim = ndim, .rank = rank };
    int64_t longest = 1, room;

    memcpy(fit.shape, shape, (size_t)ndim * sizeof *shape);
    for (int32_t n = 0; n < ndim; n++)
        longest = ecki_max(longest, shape[n]);
    choose_halves(&fit);
    ECK_REQUIRE(ecki_mul(ecki_max(fit.left, fit.right), rank, &room), ECK_E_SHAPE, -1,
                "%lld terms of this tensor are too many", (long long)rank);
    ECK_TRY(state_init(&fit.now, &fit, err));
    ECK_TRY(state_init(&fit.before, &fit, err));
    ECK_ALLOC_RAW(fit.partial, room);
    ECK_ALLOC_RAW(fit.columns, room);
    ECK_ALLOC_RAW(fit.spare, room);
    ECK_ALLOC_RAW(fit.product, longest * rank);
    ECK_ALLOC_RAW(fit.normal, rank * rank);
    const double norm = ecki_norm_of(x, fit.left * fit.right);
    fit.norm2 = norm * norm;
    *out = fit;
    memset(&fit, 0, sizeof fit);
done:
    ecki_cp_fit_clear(&fit);
    return status;
}

/** out = numbers in F32 times a power of two that leaves the largest near 1, which is returned. */
static double narrowed(float *out, const double *numbers, int64_t count)
{
    double most = 0.0;

    for (int64_t i = 0; i < count; i++)
        most = fmax(most, fabs(numbers[i]));
    const double scale = most > 0.0 ? ecki_scale_of(most) : 1.0;
    for (int64_t i = 0; i < count; i++)
        out[i] = (float)(scale * numbers[i]);
    return scale;
}

eck_status ecki_cp_fit_narrow(ecki_cp_fit *fit, eck_error *err)
{
    eck_status status = ECK_OK;
    // Below so many multiplications the rounding to F32 takes as long as it saves.
    const double least = 4e6, count = (double)fit->left * (double)fit->right;
    const int64_t room = ecki_max(fit->left, fit->right) * fit->rank;

    if (count * (double)fit->rank < least) return ECK_OK;
    ECK_ALLOC_RAW(fit->narrow, fit->left * fit->right);
    ECK_ALLOC_RAW(fit->narrow_columns, room);
    ECK_ALLOC_RAW(fit->narrow_partial, room);
    fit->widen = 1.0 / narrowed(fit->narrow, fit->x, fit->left * fit->right);
done:
    return status;
}

// ---- products

/** columns [product of shapes,rank]: the columns of modes first .. last - 1 multiplied, row-major. */
static void multiply_columns(double *columns, const ecki_cp_fit *fit, int32_t first, int32_t last)
{
    const int64_t rank = fit->rank;
    int64_t rows = fit->shape[last - 1];

    memcpy(columns, fit->now.factor[last - 1], (size_t)(rows * rank) * sizeof *columns);
    for (int32_t n = last - 2; n >= first; n--) {
        // From the end, so that what is read is not yet overwritten.
        for (int64_t i = fit->shape[n] - 1; i >= 0; i--) {
            const double *a = fit->now.factor[n] + i * rank;
            for (int64_t j = rows - 1; j >= 0; j--)
                for (int64_t r = 0; r < rank; r++)
                    columns[(i * rows + j) * rank + r] = a[r] * columns[j * rank + r];
        }
        rows *= fit->shape[n];
    }
}

/** partial [rows,rank] in F32 from columns [others,rank]. */
static eck_status multiply_narrow(ecki_cp_fit *fit, bool left, int64_t rows, int64_t others,
                                  eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_factor x = { ecki_panel(fit->narrow, ECK_DTYPE_F32, fit->left, fit->right), !left };
    const ecki_factor columns = { ecki_panel(fit->narrow_columns, ECK_DTYPE_F32, others, fit->rank),
                                  false };
    const double scale = narrowed(fit->narrow_columns, fit->columns, others * fit->rank);

    ECK_TRY(ecki_multiply(1.0, x, columns, 0.0,
                          ecki_panel(fit->narrow_partial, ECK_DTYPE_F32, rows, fit->rank), err));
    for (int64_t i = 0; i < rows * fit->rank; i++)
        fit->partial[i] = fit->widen / scale * (double)fit->narrow_partial[i];
done:
    return status;
}

/** The tensor times the columns of the half that does not hold `mode`: [elements of the mode's half,rank]. */
static eck_status make_partial(ecki_cp_fit *fit, bool left, eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_matrix x = ecki_matrix_of(fit->x, fit->left, fit->right);
    const int64_t rows = left ? fit->left : fit->right, others = left ? fit->right : fit->left;

    multiply_columns(fit->columns, fit, left ? fit->half : 0, left ? fit->ndim : fit->half);
    if (fit->narrow) return multiply_narrow(fit, left, rows, others, err);
    ECK_TRY(ecki_gemm(1.0, left ? x : ecki_transposed(x),
                      ecki_matrix_of(fit->columns, others, fit->rank), 0.0,
                      ecki_panel(fit->partial, ECK_DTYPE_F64, rows, fit->rank), err));
done:
    return status;
}

/** out [rows,rank] = sum over j of in [rows,size,rank] factor [size,rank]; out may be in. */
static void contract_last(double *out, const double *in, const double *factor, int64_t rows,
                          int64_t size, int64_t rank)
{
    for (int64_t i = 0; i < rows; i++) {
        const double *from = in + i * size * rank;
        double *to = out + i * rank;
        for (int64_t r = 0; r < rank; r++)
            to[r] = from[r] * factor[r];
        for (int64_t j = 1; j < size; j++)
            for (int64_t r = 0; r < rank; r++)
                to[r] += from[j * rank + r] * factor[j * rank + r];
    }
}

/** out [cols,rank] = sum over j of in [size,cols,rank] factor [size,rank]; out may be in. */
static void contract_first(double *out, const double *in, const double *factor, int64_t size,
                           int64_t cols, int64_t rank)
{
    for (int64_t j = 0; j < size; j++)
        for (int64_t i = 0; i < cols; i++) {
            const double *from = in + (j * cols + i) * rank;
            double *to = out + i * rank;
            for (int64_t r = 0; r < rank; r++)
                to[r] = (j > 0 ? to[r] : 0.0) + from[r] * factor[j * rank + r];
        }
}

/** What is left of the partial when all modes of its half but one are contracted. */
static void contract(ecki_cp_fit *fit, int32_t mode)
{
    const bool left = mode < fit->half;
    const int32_t first = left ? 0 : fit->half, last = left ? fit->half : fit->ndim;
    int64_t rows = left ? fit->left : fit->right;
    const double *from = fit->partial;

    for (int32_t n = last - 1; n > mode; n--) {
        rows /= fit->shape[n];
        contract_last(fit->spare, from, fit->now.factor[n], rows, fit->shape[n], fit->rank);
        from = fit->spare;
    }
    for (int32_t n = first; n < mode; n++) {
        rows /= fit->shape[n];
        contract_first(fit->spare, from, fit->now.factor[n], fit->shape[n], rows, fit->rank);
        from = fit->spare;
    }
    memcpy(fit->product, from, (size_t)(fit->shape[mode] * fit->rank) * sizeof *from);
}

eck_status ecki_cp_product(ecki_cp_fit *fit, int32_t mode, eck_error *err)
{
    const eck_status status = make_partial(fit, mode < fit->half, err);

    if (status == ECK_OK) contract(fit, mode);
    return status;
}

// ---- Grams

eck_status ecki_cp_gram(ecki_cp_fit *fit, int32_t mode, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t rank = fit->rank;
    double *g = fit->now.gram[mode];

    ECK_TRY(ecki_syrk(
        1.0, ecki_transposed(ecki_matrix_of(fit->now.factor[mode], fit->shape[mode], rank)), 0.0,
        ecki_panel(g, ECK_DTYPE_F64, rank, rank), err));
    for (int64_t i = 0; i < rank; i++)
        for (int64_t j = i + 1; j < rank; j++)
            g[i * rank + j] = g[j * rank + i];
done:
    return status;
}

void ecki_cp_normal(ecki_cp_fit *fit, int32_t but)
{
    const int64_t count = fit->rank * fit->rank;

    for (int64_t i = 0; i < count; i++)
        fit->normal[i] = 1.0;
    for (int32_t n = 0; n < fit->ndim; n++)
        for (int64_t i = 0; i < count && n != but; i++)
            fit->normal[i] *= fit->now.gram[n][i];
}

eck_status ecki_cp_normalize(ecki_cp_fit *fit, int32_t mode, double *lengths_out, eck_error *err)
{
    double *a = fit->now.factor[mode];
    const int64_t rank = fit->rank, rows = fit->shape[mode];

    for (int64_t r = 0; r < rank; r++) {
        double sum = 0.0;
        for (int64_t i = 0; i < rows; i++)
            sum += a[i * rank + r] * a[i * rank + r];
        const double length = sqrt(sum);
        if (lengths_out) lengths_out[r] = length;
        for (int64_t i = 0; i < rows && length > 0.0; i++)
            a[i * rank + r] /= length;
    }
    return ecki_cp_gram(fit, mode, err);
}

/** sum of all elements of the elementwise product of every Gram: the squared norm of the sum of terms. */
static double model_norm2(ecki_cp_fit *fit)
{
    double sum = 0.0;

    ecki_cp_normal(fit, -1);
    for (int64_t i = 0; i < fit->rank * fit->rank; i++)
        sum += fit->normal[i];
    return fmax(sum, 0.0);
}

double ecki_cp_degeneracy(ecki_cp_fit *fit)
{
    const double whole = model_norm2(fit);
    double terms = 0.0;

    for (int64_t r = 0; r < fit->rank; r++)
        terms += fit->normal[r * fit->rank + r];
    return whole > 0.0 ? terms / whole : 1.0;
}

/** || X - X^ ||^2 / || X ||^2 from the product of one mode, whose factor and Gram are as they are now. */
static double error2_of(ecki_cp_fit *fit, int32_t mode)
{
    const double *a = fit->now.factor[mode];
    double inner = 0.0;

    for (int64_t i = 0; i < fit->shape[mode] * fit->rank; i++)
        inner += fit->product[i] * a[i];
    return fmax(1.0 + (model_norm2(fit) - 2.0 * inner) / fit->norm2, 0.0);
}

// ---- iterations

/** A = M V^-1. V is lifted by 1e-14 of its mean diagonal, more where it is still not definite: columns that say the same
 *  then share what they have to say. */
static eck_status solve(ecki_cp_fit *fit, int32_t mode, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t rank = fit->rank;
    double mean = 0.0, lift = 1e-14;
    int64_t info = 1;

    while (info != 0) {
        ecki_cp_normal(fit, mode);
        mean = 0.0;
        for (int64_t r = 0; r < rank; r++)
            mean += fit->normal[r * rank + r] / (double)rank;
        for (int64_t r = 0; r < rank; r++)
            fit->normal[r * rank + r] += lift * mean + (mean > 0.0 ? 0.0 : 1.0);
        ECK_TRY(ecki_dpotrf(fit->normal, rank, &info, err));
        ECK_REQUIRE(info == 0 || lift < 1.0, ECK_E_SOLVER, -1,
                    "the normal equations of a CP fit cannot be solved");
        lift *= 100.0;
    }
    memcpy(fit->now.factor[mode], fit->product, (size_t)(fit->shape[mode] * rank) * sizeof(double));
    ECK_TRY(ecki_dpotrs(fit->now.factor[mode], fit->shape[mode], fit->normal, rank, err));
done:
    return status;
}

/** Every factor once; the partial of the left half is there already. */
static eck_status iterate(ecki_cp_fit *fit, eck_error *err)
{
    eck_status status = ECK_OK;

    for (int32_t n = 0; n < fit->ndim; n++) {
        if (n == fit->half) ECK_TRY(make_partial(fit, false, err));
        contract(fit, n);
        ECK_TRY(solve(fit, n, err));
        if (n + 1 < fit->ndim)
            ECK_TRY(ecki_cp_normalize(fit, n, NULL, err));
        else
            ECK_TRY(ecki_cp_gram(fit, n, err));
    }
    fit->now.error2 = error2_of(fit, fit->ndim - 1);
done:
    return status;
}

static void state_copy(ecki_cp_state *to, const ecki_cp_state *from, const ecki_cp_fit *fit)
{
    for (int32_t n = 0; n < fit->ndim; n++) {
        memcpy(to->factor[n], from->factor[n],
               (size_t)(fit->shape[n] * fit->rank) * sizeof(double));
        memcpy(to->gram[n], from->gram[n], (size_t)(fit->rank * fit->rank) * sizeof(double));
    }
    to->error2 = from->error2;
}

/** now = before + step (now - before); before = now as it was. */
static eck_status extrapolate(ecki_cp_fit *fit, double step, eck_error *err)
{
    eck_status status = ECK_OK;

    for (int32_t n = 0; n < fit->ndim; n++) {
        double *now = fit->now.factor[n], *before = fit->before.factor[n];
        for (int64_t i = 0; i < fit->shape[n] * fit->rank; i++) {
            const double next = before[i] + step * (now[i] - before[i]);
            before[i] = now[i];
            now[i] = next;
        }
        memcpy(fit->before.gram[n], fit->now.gram[n],
               (size_t)(fit->rank * fit->rank) * sizeof(double));
        ECK_TRY(ecki_cp_gram(fit, n, err));
    }
    fit->before.error2 = fit->now.error2;
done:
    return status;
}

/** The longer step is kept if the error is lower there; the partial of the left half is that of what is kept. */
static eck_status try_step(bool *kept, ecki_cp_fit *fit, double step, eck_error *err)
{
    eck_status status = ECK_OK;
    const double reached = fit->now.error2;

    ECK_TRY(extrapolate(fit, step, err));
    ECK_TRY(make_partial(fit, true, err));
    contract(fit, 0);
    fit->now.error2 = error2_of(fit, 0);
    *kept = fit->now.error2 < reached;
    if (*kept) goto done;
    state_copy(&fit->now, &fit->before, fit);
    ECK_TRY(make_partial(fit, true, err));
done:
    return status;
}

/** Lengths of all columns into those of the last mode. */
static eck_status gather_lengths(ecki_cp_fit *fit, eck_error *err)
{
    eck_status status = ECK_OK;
    double *lengths = NULL;
    const int32_t last = fit->ndim - 1;

    ECK_ALLOC_RAW(lengths, fit->rank);
    for (int32_t n = 0; n < last; n++) {
        ECK_TRY(ecki_cp_normalize(fit, n, lengths, err));
        for (int64_t i = 0; i < fit->shape[last] * fit->rank; i++)
            fit->now.factor[last][i] *= lengths[i % fit->rank];
    }
    ECK_TRY(ecki_cp_gram(fit, last, err));
done:
    ecki_free(lengths);
    return status;
}

/** When to try the next longer step. */
struct pacing {
    int64_t wait, pause;
};

/** After iteration i: a longer step where it is time for one. Leaves the partial of the left half of what is kept. */
static eck_status lengthen(struct pacing *pacing, ecki_cp_fit *fit, int64_t i, eck_error *err)
{
    eck_status status = ECK_OK;
    bool kept = false;

    if (i < pacing->wait) {
        if (i + 1 == pacing->wait) state_copy(&fit->before, &fit->now, fit);
        return make_partial(fit, true, err);
    }
    ECK_TRY(try_step(&kept, fit, cbrt((double)i), err));
    pacing->pause = kept ? 1 : ecki_min(2 * pacing->pause, 16);
    pacing->wait = i + pacing->pause + (kept ? 0 : 1);
    if (pacing->wait == i + 1) state_copy(&fit->before, &fit->now, fit);
done:
    return status;
}

/** True where F32 has no more to give: the squared error is known to some 1e-7 of the squared norm there, and the last
 *  iteration is to be in F64. */
static bool narrow_ends(const ecki_cp_fit *fit, const ecki_cp_limits *limits, double gain,
                        int64_t i)
{
    const double least = 1e-6;

    return fit->narrow && (gain <= fmax(limits->tolerance, least) ||
                           fit->now.error2 < 100.0 * least || i + 1 >= limits->iterations);
}

eck_status ecki_cp_fit_run(ecki_cp_fit *fit, const ecki_cp_limits *limits, eck_error *err)
{
    eck_status status = ECK_OK;
    enum { FIRST_STEP = 4 };
    struct pacing pacing = { FIRST_STEP, 1 };
    double reached = INFINITY;

    for (int32_t n = 0; n < fit->ndim; n++)
        ECK_TRY(ecki_cp_normalize(fit, n, NULL, err));
    if (limits->iterations < 2) end_narrow(fit);
    ECK_TRY(make_partial(fit, true, err));
    fit->converged = false;
    for (int64_t i = 1; i <= limits->iterations; i++) {
        ECK_TRY(ecki_progress(limits->context, "iterations", i - 1, limits->iterations, err));
        ECK_TRY(iterate(fit, err));
        fit->iterations++;
        const double gain = reached - fit->now.error2;
        const bool ends = narrow_ends(fit, limits, gain, i);
        // What F32 says of the last gain is no reason to stop.
        fit->converged = !fit->narrow && !(gain > limits->tolerance);
        if (fit->converged || i == limits->iterations) break;
        reached = ends ? INFINITY : fit->now.error2;
        if (ends) end_narrow(fit);
        ECK_TRY(lengthen(&pacing, fit, i, err));
    }
    status = gather_lengths(fit, err);
done:
    return status;
}
