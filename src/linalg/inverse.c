// Inverse iteration. T - lambda = P L U by rows that change places where that keeps multipliers below 1, LANES values side by
// side, then solves from the same start for all. The vectors are made orthonormal together, by products of matrices, not one
// against the other. Always true: a lane works for itself, so that what is found does not depend on the processor.
#include "linalg/inverse.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/checked.h"
#include "base/compiler.h"
#include "base/memory.h"
#include "base/random.h"
#include "linalg/orthonormal.h"

enum { LANES = 8, PASSES = 4 };

// T is scaled so that its largest sum of a row lies in [1/2, 1). A pivot below LEAST stands as that, which is what rounding may
// have made of T anyway. ENOUGH: a residual of a vector that needs no further pass, eight times what a value is off by.
static const double LEAST = 0x1p-52, ENOUGH = 0x1p-47;
// Orthogonal to those before it a vector keeps at least so much of its length, or its residual grows by more than four.
static const double APART = 0.25;

// One row of P L U for all lanes.
typedef struct row {
    ecki_f64x8 inverse, next, after; // U: 1 / pivot, and what stands behind it
    ecki_f64x8 factor; // L
    ecki_i64x8 changed; // all bits: this row and the next have changed places
} row;

typedef struct inverse_job {
    int64_t n;
    double *diagonal, *off_diagonal, *start;
    double scale;
    row *rows;
    ecki_f64x8 *x;
} inverse_job;

double ecki_inverse_numbers(double n, double count)
{
    // rows, lanes, the matrix; the vectors, and once more where they are nearly dependent; triangles
    return (5.0 * LANES + LANES + 3.0) * n + 2.0 * n * count + 4.0 * count * count;
}

ECKI_INLINE void exchange(const ecki_i64x8 *mask, ecki_f64x8 *a, ecki_f64x8 *b)
{
    const ecki_i64x8 other = ((ecki_i64x8)*a ^ (ecki_i64x8)*b) & *mask;
    *a = (ecki_f64x8)((ecki_i64x8)*a ^ other);
    *b = (ecki_f64x8)((ecki_i64x8)*b ^ other);
}

ECKI_INLINE void keep_from_zero(ecki_f64x8 *pivot)
{
    const ecki_f64x8 zero = { 0 }, one = { 1, 1, 1, 1, 1, 1, 1, 1 };
    const ecki_i64x8 size = (ecki_i64x8)*pivot & ~(ecki_i64x8)-zero;
    const ecki_i64x8 small = (size - (ecki_i64x8)(one * LEAST)) >> 63;
    *pivot = (ecki_f64x8)((small & (ecki_i64x8)(one * LEAST)) | (~small & (ecki_i64x8)*pivot));
}

ECKI_CLONES static void factor(const inverse_job *job, const double *values)
{
    const ecki_f64x8 zero = { 0 }, one = { 1, 1, 1, 1, 1, 1, 1, 1 };
    const ecki_i64x8 sign = (ecki_i64x8)-zero;
    ecki_f64x8 lambda, pivot, next;
    memcpy(&lambda, values, sizeof lambda);
    pivot = job->diagonal[0] - lambda;
    next = zero + job->off_diagonal[0];
    for (int64_t i = 0; i + 1 < job->n; i++) {
        row *const r = &job->rows[i];
        ecki_f64x8 low = zero + job->off_diagonal[i], after = zero;
        ecki_f64x8 low_next = job->diagonal[i + 1] - lambda;
        ecki_f64x8 low_after = zero + job->off_diagonal[i + 1];
        // numbers without a sign are in the order of their bits
        r->changed = (((ecki_i64x8)pivot & ~sign) - ((ecki_i64x8)low & ~sign)) >> 63;
        exchange(&r->changed, &pivot, &low);
        exchange(&r->changed, &next, &low_next);
        exchange(&r->changed, &after, &low_after);
        keep_from_zero(&pivot);
        r->inverse = one / pivot;
        r->next = next;
        r->after = after;
        r->factor = low * r->inverse;
        pivot = low_next - r->factor * next;
        next = low_after - r->factor * after;
    }
    keep_from_zero(&pivot);
    job->rows[job->n - 1] = (row){ .inverse = one / pivot };
}

// x = U^-1 x, or U^-1 L^-1 P x; then of length 1. residuals: of x as a vector of T.
ECKI_CLONES static void solve(const inverse_job *job, bool whole, double *residuals)
{
    const ecki_f64x8 zero = { 0 };
    ecki_f64x8 *const x = job->x;
    const int64_t n = job->n;
    ecki_f64x8 sum = zero, behind = zero, beyond = zero, lengths;
    for (int64_t i = 0; whole && i + 1 < n; i++) {
        const row *const r = &job->rows[i];
        ecki_f64x8 low = x[i + 1];
        exchange(&r->changed, &x[i], &low);
        x[i + 1] = low - r->factor * x[i];
    }
    for (int64_t i = n - 1; i >= 0; i--) {
        const row *const r = &job->rows[i];
        x[i] = (x[i] - r->next * behind - r->after * beyond) * r->inverse;
        sum += x[i] * x[i];
        beyond = behind;
        behind = x[i];
    }
    for (int l = 0; l < LANES; l++)
        residuals[l] = 1.0 / sqrt(sum[l]);
    memcpy(&lengths, residuals, sizeof lengths);
    for (int64_t i = 0; i < n; i++)
        x[i] *= lengths;
}

static eck_status take(inverse_job *job, bool *sound, const ecki_tridiagonal *t, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t n = job->n = t->n;
    double widest = 0.0;
    int exponent = 0;

    ECK_ALLOC_RAW(job->diagonal, n);
    ECK_ALLOC(job->off_diagonal, n);
    ECK_ALLOC_RAW(job->start, n);
    ECK_ALLOC(job->rows, n);
    ECK_ALLOC_RAW(job->x, n);
    for (int64_t i = 0; i < n; i++)
        widest = fmax(widest, fabs(t->diagonal[i]) + (i > 0 ? fabs(t->off_diagonal[i - 1]) : 0.0) +
                                  (i + 1 < n ? fabs(t->off_diagonal[i]) : 0.0));
    frexp(widest, &exponent);
    *sound = widest > 0.0 && exponent > -1000 && exponent < 1000;
    job->scale = *sound ? ldexp(1.0, -exponent) : 1.0;
    for (int64_t i = 0; i < n; i++) {
        job->diagonal[i] = t->diagonal[i] * job->scale;
        if (i + 1 < n) job->off_diagonal[i] = t->off_diagonal[i] * job->scale;
        job->start[i] = ecki_random_uniform(17, 0, (uint64_t)i) - 0.5;
    }
done:
    return status;
}

// Columns first .. first + some - 1 of row-major out [n,count]; *found false: one has not come near enough.
static void find_some(double *out, bool *found, const inverse_job *job, const double *values,
                      const int64_t range[3])
{
    const int64_t first = range[0], some = range[1], count = range[2];
    double lambda[LANES], residuals[LANES];
    bool enough = false;
    for (int64_t l = 0; l < LANES; l++)
        lambda[l] = values[first + ecki_min(l, some - 1)] * job->scale;
    factor(job, lambda);
    for (int64_t i = 0; i < job->n; i++)
        for (int l = 0; l < LANES; l++)
            job->x[i][l] = job->start[i];
    solve(job, false, residuals);
    for (int pass = 1; pass < PASSES && !enough; pass++) {
        solve(job, true, residuals);
        enough = true;
        // what has left the range has a residual that is no number, or 0
        for (int l = 0; l < LANES; l++)
            enough = enough && residuals[l] <= ENOUGH && residuals[l] > 0.0;
    }
    *found = *found && enough;
    for (int64_t i = 0; i < job->n; i++)
        memcpy(out + i * count + first, &job->x[i], (size_t)some * sizeof *out);
}

eck_status ecki_inverse_iteration(double *z, const ecki_tridiagonal *t, const double *values,
                                  int64_t count, int64_t *info_out, eck_error *err)
{
    eck_status status = ECK_OK;
    inverse_job job = { 0 };
    double *x = NULL, *r = NULL;
    bool found = false;
    *info_out = 0;
    if (count == 0) return ECK_OK;
    ECK_TRY(take(&job, &found, t, err));
    ECK_ALLOC_RAW(x, job.n * count);
    ECK_ALLOC_RAW(r, count * count);
    for (int64_t at = 0; at < count && found; at += LANES)
        find_some(x, &found, &job, values, (int64_t[]){ at, ecki_min(LANES, count - at), count });
    if (found) ECK_TRY(ecki_orthonormalize(x, job.n, count, r, err));
    for (int64_t j = 0; j < count && found; j++)
        found = fabs(r[j * count + j]) >= APART;
    *info_out = found ? 0 : 1;
    for (int64_t i = 0; i < job.n && found; i++)
        for (int64_t j = 0; j < count; j++)
            z[j * job.n + i] = x[i * count + j];
done:
    ecki_free(job.diagonal);
    ecki_free(job.off_diagonal);
    ecki_free(job.start);
    ecki_free(job.rows);
    ecki_free(job.x);
    ecki_free(x);
    ecki_free(r);
    return status;
}
