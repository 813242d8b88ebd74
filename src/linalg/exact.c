// Algorithm A, values first: the F64 Gram of the short side, scaled by a power of two, reduced to
// tridiagonal form. Products of numbers of at most 24 bits are exact in F64, so that the Gram is
// wrong only by its sums. Always true: 2^p A gives the values of A times 2^p, bit for bit.
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "linalg/bisect.h"
#include "linalg/gram.h"
#include "linalg/op.h"
#include "linalg/spectrum.h"
#include "linalg/svd_job.h"
#include "tensor/codec.h"

// Of the trace, what has to be left for a difference to tell it: to some n 2^-53 / 2^-20 of itself.
#define LEADING_REST 0x1p-20

eck_side ecki_near_side(int64_t rows, int64_t cols)
{
    return rows >= cols ? ECK_SIDE_RIGHT : ECK_SIDE_LEFT;
}

eck_status ecki_spectrum_new(eck_spectrum **out, int64_t rows, int64_t cols, bool reduction,
                             eck_error *err)
{
    eck_status status = ECK_OK;
    eck_spectrum *spectrum = NULL;
    const int64_t count = ecki_min(rows, cols);
    ECK_ALLOC(spectrum, 1);
    spectrum->info.rows = rows;
    spectrum->info.cols = cols;
    spectrum->info.count = count;
    spectrum->t.n = count;
    ECK_ALLOC(spectrum->values, count);
    ECK_ALLOC(spectrum->tails, count + 1);
    ECK_ALLOC(spectrum->t.diagonal, count);
    ECK_ALLOC(spectrum->t.off_diagonal, count);
    if (reduction) ECK_ALLOC(spectrum->t.tau, count);
    spectrum->info.values = spectrum->values;
    spectrum->info.tails = spectrum->tails;
    *out = spectrum;
    spectrum = NULL;
done:
    eck_spectrum_free(spectrum);
    return status;
}

void eck_spectrum_free(eck_spectrum *spectrum)
{
    if (!spectrum) return;
    ecki_free(spectrum->values);
    ecki_free(spectrum->tails);
    ecki_free(spectrum->t.diagonal);
    ecki_free(spectrum->t.off_diagonal);
    ecki_free(spectrum->t.tau);
    ecki_free(spectrum->packed);
    ecki_free(spectrum);
}

void ecki_spectrum_drop_reduction(eck_spectrum *spectrum)
{
    ecki_free(spectrum->packed);
    spectrum->packed = NULL;
}

const eck_spectrum_info *eck_spectrum_get_info(const eck_spectrum *spectrum)
{
    return &spectrum->info;
}

// Longest chain of additions in one element of the Gram: within a panel, then over the panels.
static double gram_chain(int64_t order, int64_t length)
{
    const int64_t width = ecki_gram_width(order);
    return (double)(ecki_min(width, length) + length / ECKI_GRAM_DEPTH + 1);
}

// Bound of the absolute error of tails[k]^2, relative to the squared norm. The computed values are
// those of G + E with ||E||_F <= (chain + 8 + sqrt n) u ||A||_F^2 (sums of the Gram; reduction),
// and a sum of n - k of them moves by at most sqrt(n) ||E||_F.
static double tail_error_of(int64_t order, int64_t length)
{
    const double root = sqrt((double)order);
    return root * (gram_chain(order, length) + 8.0 + root) * 0x1p-53;
}

// exp of the entropy of s / sum s.
static double effective_rank(const double *values, int64_t count)
{
    double sum = 0.0, entropy = 0.0;
    for (int64_t i = count - 1; i >= 0; i--)
        sum += values[i];
    for (int64_t i = count - 1; i >= 0 && sum > 0.0; i--)
        if (values[i] > 0.0) entropy -= values[i] / sum * log(values[i] / sum);
    return sum > 0.0 ? exp(entropy) : 0.0;
}

void ecki_spectrum_describe(eck_spectrum *spectrum, const double *scaled, double norm2)
{
    eck_spectrum_info *const info = &spectrum->info;
    const int64_t n = info->count;
    // tails[k]^2 = sum_{i>k} s_i^2 / ||A||^2, from the small end: nothing cancels.
    const double largest = n > 0 ? scaled[0] : 0.0; // `scaled` may be the values themselves
    double sum = 0.0;
    spectrum->tails[n] = 0.0;
    for (int64_t i = n - 1; i >= 0; i--) {
        sum += scaled[i] * scaled[i];
        spectrum->tails[i] = norm2 > 0.0 ? fmin(1.0, sqrt(sum / norm2)) : 0.0;
        spectrum->values[i] = scaled[i] / spectrum->scale;
    }
    if (norm2 > 0.0) spectrum->tails[0] = 1.0;
    spectrum->norm2 = norm2;
    const double first = n > 0 ? spectrum->values[0] : 0.0;
    info->norm2 = norm2 / spectrum->scale / spectrum->scale;
    info->tail_error = tail_error_of(n, ecki_max(info->rows, info->cols));
    info->tolerance =
        (double)ecki_max(info->rows, info->cols) * eck_dtype_epsilon(spectrum->storage) * first;
    info->numerical_rank = 0;
    while (info->numerical_rank < n && spectrum->values[info->numerical_rank] > info->tolerance)
        info->numerical_rank++;
    info->stable_rank = first > 0.0 ? norm2 / (largest * largest) : 0.0;
    info->effective_rank = effective_rank(spectrum->values, n);
}

// The `count` largest values alone, and what the trace leaves of the others as one more; *found_out false where that is
// so little of it that rounding would show.
static eck_status find_leading(bool *found_out, double *values, const eck_spectrum *spectrum,
                               double trace, int64_t count, int32_t threads, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t n = spectrum->t.n;
    double rest = trace;
    *found_out = false;
    if (count <= 0 || count >= n) return ECK_OK;
    ECK_TRY(ecki_bisect(values, &spectrum->t, (ecki_places){ 0, count }, threads, err));
    for (int64_t i = 0; i < count; i++)
        rest -= values[i];
    *found_out = rest > LEADING_REST * trace;
    if (!*found_out) goto done;
    values[count] = rest;
    memset(values + count + 1, 0, (size_t)(n - count - 1) * sizeof *values);
done:
    return status;
}

// Values of the tridiagonal matrix as singular values of scale A: descending, clamped at 0; `leading` of them, 0: all.
static eck_status find_values(eck_spectrum *spectrum, double trace, double norm2, int64_t leading,
                              int32_t threads, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t n = spectrum->t.n;
    double *values = NULL;
    double sum = 0.0;
    bool found = false;
    ECK_ALLOC_RAW(values, n);
    ECK_TRY(find_leading(&found, values, spectrum, trace, leading, threads, err));
    if (!found) ECK_TRY(ecki_bisect(values, &spectrum->t, (ecki_places){ 0, n }, threads, err));
    for (int64_t i = n - 1; i >= 0; i--)
        sum += values[i];
    const double allowed = 8.0 * (double)(n + 1) * 0x1p-53 * trace;
    ECK_REQUIRE(fabs(sum - trace) <= allowed, ECK_E_SOLVER, -1,
                "eigenvalues sum to %.17g, the trace is %.17g: the BLAS or LAPACK is at fault", sum,
                trace);
    for (int64_t i = 0; i < n; i++)
        values[i] = sqrt(fmax(values[i], 0.0));
    ecki_spectrum_describe(spectrum, values, norm2);
done:
    ecki_free(values);
    return status;
}

// A scale at which no square of a number up to `max` leaves the range of F64, and none that counts vanishes.
static bool squares_fit(double max)
{
    return max == 0.0 || (max > 0x1p-400 && max < 0x1p400);
}

// The scan, and for a matrix in a file the Gram with it: there a read costs more than all arithmetic. *gram_out is NULL
// if only the scan was made.
static eck_status scan_once(eck_scan *scan, double **gram_out, const eck_operator *a,
                            const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t rows = a->info.rows, cols = a->info.cols, n = ecki_min(rows, cols);
    const bool derived = !a->methods.gram && !a->extra.gram && !a->methods.scan;
    double *gram = NULL;
    int64_t room = 0;
    if (a->info.resident || !derived || n == 0) return eck_operator_scan(scan, a, context, err);
    ECK_TRY(ecki_spectrum_room(&room, n, err));
    ECK_ALLOC_RAW(gram, room);
    ECK_TRY(ecki_derive_gram_scan(scan, a, ecki_near_side(rows, cols),
                                  ecki_panel(gram, ECK_DTYPE_F64, n, n), context, err));
    if (scan->nonfinite > 0 || !squares_fit(scan->max)) goto done;
    const double scale = ecki_scale_of(scan->max), scale2 = scale * scale; // powers of two: exact
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j <= i; j++)
            gram[i * n + j] *= scale2;
    *gram_out = gram;
    gram = NULL;
done:
    ecki_free(gram);
    return status;
}

// The Gram if there is none yet, its trace, the reduction, which consumes it.
static eck_status gram_and_reduce(eck_spectrum *spectrum, double *trace_out, double **gram,
                                  const eck_operator *a, const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t n = spectrum->t.n, rows = spectrum->info.rows, cols = spectrum->info.cols;
    double trace = 0.0;
    int64_t room = 0;
    if (!*gram) {
        ECK_TRY(ecki_spectrum_room(&room, n, err));
        ECK_ALLOC_RAW(*gram, room);
        ECK_TRY(eck_operator_gram(a, ecki_near_side(rows, cols), spectrum->scale,
                                  ecki_panel(*gram, ECK_DTYPE_F64, n, n), context, err));
    }
    for (int64_t i = 0; i < n; i++)
        trace += (*gram)[i * n + i];
    ECK_TRY(ecki_progress(context, "reduce", 0, 1, err));
    ECK_TRY(ecki_spectrum_reduce(spectrum, gram, context, err));
    *trace_out = trace;
done:
    return status;
}

// Fails unless the trace of the Gram is the squared norm, up to the rounding of both sums.
static eck_status require_trace(const eck_spectrum *spectrum, double trace, double norm2,
                                eck_error *err)
{
    const int64_t length = ecki_max(spectrum->info.rows, spectrum->info.cols);
    const double chain = gram_chain(spectrum->t.n, length) + (double)spectrum->t.n;
    const double allowed = 4.0 * (chain + 1e4) * 0x1p-53 * norm2;
    if (fabs(trace - norm2) <= allowed) return ECK_OK;
    return ecki_error(err, ECK_E_SOLVER, -1,
                      "the Gram matrix has trace %.17g, the squared norm is %.17g: the operator or "
                      "the BLAS is at fault",
                      trace, norm2);
}

static eck_status build(eck_spectrum **out, const eck_operator *a, bool reduction, int64_t leading,
                        const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_spectrum *spectrum = NULL;
    eck_scan scan;
    double trace = 0.0, *gram = NULL;
    const int32_t threads = ecki_threads(context), saved = ecki_blas_enter(threads);
    ECK_REQUIRE(a->info.storage != ECK_DTYPE_F64, ECK_E_RANGE, -1,
                "the spectrum of '%s' needs storage of at most 32 bits, not F64", a->name);
    ECK_TRY(scan_once(&scan, &gram, a, context, err));
    ECK_REQUIRE(scan.nonfinite == 0, ECK_E_NONFINITE, scan.first_nonfinite,
                "cannot factor '%s': element %lld is not finite, and %lld more", a->name,
                (long long)scan.first_nonfinite, (long long)scan.nonfinite - 1);
    ECK_TRY(ecki_spectrum_new(&spectrum, a->info.rows, a->info.cols, reduction, err));
    spectrum->storage = a->info.storage;
    spectrum->scale = ecki_scale_of(scan.max);
    spectrum->one_thread = saved == 0 || threads == 1;
    const double norm2 = scan.norm2 * spectrum->scale * spectrum->scale;
    if (spectrum->t.n > 0) {
        ECK_TRY(gram_and_reduce(spectrum, &trace, &gram, a, context, err));
        ECK_TRY(require_trace(spectrum, trace, norm2, err));
        ECK_TRY(find_values(spectrum, trace, norm2, leading, threads, err));
    } else {
        ecki_spectrum_describe(spectrum, spectrum->values, norm2);
    }
    *out = spectrum;
    spectrum = NULL;
done:
    ecki_free(gram);
    eck_spectrum_free(spectrum);
    ecki_blas_leave(saved);
    return status;
}

eck_status ecki_spectrum_build(eck_spectrum **out, const eck_operator *a, bool reduction,
                               const eck_context *context, eck_error *err)
{
    return build(out, a, reduction, 0, context, err);
}

eck_status ecki_spectrum_leading(eck_spectrum **out, const eck_operator *a, int64_t count,
                                 const eck_context *context, eck_error *err)
{
    return build(out, a, true, count, context, err);
}

eck_status eck_spectrum_create(eck_spectrum **out, const eck_operator *a,
                               const eck_context *context, eck_error *err)
{
    const eck_context fit = ecki_fit_context(context, &a->info);
    return ecki_spectrum_build(out, a, true, &fit, err);
}
