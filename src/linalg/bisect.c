// Values by bisection. The signs of the leading minors of T - x tell how many values lie below x (Sturm); a minor follows
// from the two before it without a division, and WIDTH shifts x go through the recurrence together. Every computed minor
// is that of a matrix whose numbers differ from T - x by a few u each, so that each count is right for a matrix within
// 6 u g of T, if no minor leaves the range: every STEPS of them the last two are brought back into it. Always true: what
// is found depends on T and the places asked for alone, as every lane works for itself.
#include "linalg/bisect.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/compiler.h"
#include "base/memory.h"
#include "base/parallel.h"

enum { LANES = 8, VECTORS = 4, WIDTH = LANES * VECTORS, STEPS = 4 };
static const double ALONE = 1e4; // values times order below which threads start for nothing

// T is scaled so that g lies in [1/2, 1). An off-diagonal below LEAST stands as that: it moves no value by more than
// twice that, and no two minors in a row can vanish.
static const double LEAST = 0x1p-90;
// The larger of two minors in a row, M: a step takes it down to no less than M LEAST^2 / 4, and up to no more than 4 M. STEPS
// of them stay within a factor BACK, and what is below SMALL or above LARGE comes to lie between by it.
static const double SMALL = 0x1p-250, LARGE = 0x1p480, BACK = 0x1p728;
// An interval that is cut no more: below 1 no number may lie inside.
static const double NARROW = 0x1p-53;
// A value nearer to 0 than that is 0: those of a part of T that has none come out so.
static const double ZERO = 4 * LEAST;

typedef struct bisect_job {
    double *values;
    ecki_places places;
    int64_t n; // of the arrays, a multiple of STEPS
    double *diagonal, *squares; // squares[i]: of the number between i - 1 and i
    double low, high; // all values lie between
    int exponent; // T is 2^exponent times what lies here
    int64_t order;
    int64_t each; // values of a task
    double *grid; // [points] shifts, and how many values lie below each
    int64_t *below;
    int64_t points;
} bisect_job;

// Brings two minors in a row back into the range: most are there. Numbers without a sign are in the order of their bits.
ECKI_INLINE void bring_back(ecki_f64x8 *minor, ecki_f64x8 *before)
{
    const ecki_f64x8 one = { 1, 1, 1, 1, 1, 1, 1, 1 };
    const ecki_i64x8 sign = (ecki_i64x8)-one ^ (ecki_i64x8)one;
    const ecki_i64x8 size = (ecki_i64x8)((ecki_f64x8)((ecki_i64x8)*minor & ~sign) +
                                         (ecki_f64x8)((ecki_i64x8)*before & ~sign));
    const ecki_i64x8 small = (size - (ecki_i64x8)(one * SMALL)) >> 63;
    const ecki_i64x8 large = ((ecki_i64x8)(one * LARGE) - size) >> 63;
    const ecki_f64x8 factor =
        (ecki_f64x8)((small & (ecki_i64x8)(one * BACK)) | (large & (ecki_i64x8)(one / BACK)) |
                     (~(small | large) & (ecki_i64x8)one));
    *minor *= factor;
    *before *= factor;
}

// counts[i]: values below x[i].
ECKI_CLONES static void count_below(int64_t *counts, const double *x, const bisect_job *job)
{
    ecki_f64x8 shift[VECTORS], minor[VECTORS], before[VECTORS];
    ecki_i64x8 count[VECTORS];
    memcpy(shift, x, sizeof shift);
    for (int v = 0; v < VECTORS; v++) {
        minor[v] = (ecki_f64x8){ 1, 1, 1, 1, 1, 1, 1, 1 };
        before[v] = minor[v] - minor[v];
        count[v] = (ecki_i64x8)before[v];
    }
    for (int64_t i = 0; i < job->n; i += STEPS) {
        _Pragma("GCC unroll 4") for (int64_t j = i; j < i + STEPS; j++)
        {
            const double d = job->diagonal[j], square = job->squares[j];
            _Pragma("GCC unroll 4") for (int v = 0; v < VECTORS; v++)
            {
                const ecki_f64x8 next = (d - shift[v]) * minor[v] - square * before[v];
                // one value more lies below where the sign changes
                count[v] += ((ecki_i64x8)next ^ (ecki_i64x8)minor[v]) >> 63;
                before[v] = minor[v];
                minor[v] = next;
            }
        }
        _Pragma("GCC unroll 4") for (int v = 0; v < VECTORS; v++) bring_back(&minor[v], &before[v]);
    }
    for (int v = 0; v < VECTORS; v++)
        count[v] = -count[v];
    memcpy(counts, count, sizeof count);
}

// T scaled and filled up to a multiple of STEPS with rows that change no sign.
static eck_status take(bisect_job *job, const ecki_tridiagonal *t, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t n = t->n;
    double widest = 0.0, low = INFINITY, high = -INFINITY;
    int exponent = 0;

    job->order = n;
    job->n = (n + STEPS - 1) / STEPS * STEPS;
    ECK_ALLOC_RAW(job->diagonal, job->n);
    ECK_ALLOC_RAW(job->squares, job->n);
    for (int64_t i = 0; i < n; i++) {
        const double radius = (i > 0 ? fabs(t->off_diagonal[i - 1]) : 0.0) +
                              (i + 1 < n ? fabs(t->off_diagonal[i]) : 0.0);
        ECK_REQUIRE(isfinite(t->diagonal[i]) && isfinite(radius), ECK_E_SOLVER, i,
                    "row %lld of a tridiagonal matrix is not finite", (long long)i);
        widest = fmax(widest, fabs(t->diagonal[i]) + radius);
        low = fmin(low, t->diagonal[i] - radius);
        high = fmax(high, t->diagonal[i] + radius);
    }
    frexp(widest, &exponent);
    job->exponent = exponent;
    job->low = ldexp(low, -exponent) - ZERO;
    job->high = ldexp(high, -exponent) + ZERO;
    for (int64_t i = 0; i < job->n; i++) {
        const double off = i > 0 && i < n ? fabs(ldexp(t->off_diagonal[i - 1], -exponent)) : 0.0;
        job->diagonal[i] = i < n ? ldexp(t->diagonal[i], -exponent) : 2.0;
        job->squares[i] = i == 0 || i >= n ? 0.0 : fmax(off, LEAST) * fmax(off, LEAST);
    }
done:
    return status;
}

static int compare(const void *left, const void *right)
{
    const double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static eck_status grid_task(void *self, int64_t index, eck_error *err)
{
    const bisect_job *const job = self;
    (void)err;
    count_below(job->below + index * WIDTH, job->grid + index * WIDTH, job);
    return ECK_OK;
}

// As many shifts as values are wanted, evenly over all there can be, and the two beside 0.
static eck_status make_grid(bisect_job *job, int32_t threads, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t even = job->points - 2;
    ECK_ALLOC_RAW(job->grid, job->points);
    ECK_ALLOC_RAW(job->below, job->points);
    for (int64_t i = 0; i < even; i++)
        job->grid[i] = job->low + (job->high - job->low) * ((double)(i + 1) / (double)(even + 1));
    job->grid[even] = -ZERO;
    job->grid[even + 1] = ZERO;
    qsort(job->grid, (size_t)job->points, sizeof *job->grid, compare);
    ECK_TRY(ecki_parallel_for(job->points / WIDTH, threads, grid_task, job, err));
done:
    return status;
}

// An interval with at most `place` values below its low end and more below its high one, as counts go.
typedef struct interval {
    double low, high;
    int64_t place;
} interval;

static interval from_grid(const bisect_job *job, int64_t place)
{
    int64_t first = -1, last = job->points; // below[first] <= place < below[last]
    while (last - first > 1) {
        const int64_t middle = first + (last - first) / 2;
        if (job->below[middle] <= place)
            first = middle;
        else
            last = middle;
    }
    return (interval){ first < 0 ? job->low : job->grid[first],
                       last == job->points ? job->high : job->grid[last], place };
}

// Cuts every interval by `each` shifts; false when all are narrow.
static bool cut(interval *intervals, int64_t count, const bisect_job *job)
{
    const int64_t each = WIDTH / count;
    double x[WIDTH] = { 0.0 };
    int64_t below[WIDTH];
    bool wide = false;
    for (int64_t i = 0; i < count; i++) {
        const double size = intervals[i].high - intervals[i].low;
        wide = wide || size > NARROW;
        for (int64_t j = 0; j < each; j++)
            x[i * each + j] = intervals[i].low + size * ((double)(j + 1) / (double)(each + 1));
    }
    if (!wide) return false;
    count_below(below, x, job);
    for (int64_t i = 0; i < count; i++) {
        interval *const part = &intervals[i];
        int64_t j = 0;
        while (j < each && below[i * each + j] <= part->place)
            j++;
        if (j < each) part->high = x[i * each + j];
        if (j > 0) part->low = x[i * each + j - 1];
    }
    return true;
}

static eck_status values_task(void *self, int64_t index, eck_error *err)
{
    const bisect_job *const job = self;
    const int64_t first = index * job->each;
    const int64_t count = ecki_min(job->each, job->places.count - first);
    interval intervals[WIDTH];
    (void)err;
    for (int64_t i = 0; i < count; i++)
        intervals[i] = from_grid(job, job->order - 1 - (job->places.first + first + i));
    while (cut(intervals, count, job))
        continue;
    for (int64_t i = 0; i < count; i++) {
        const double value = 0.5 * intervals[i].low + 0.5 * intervals[i].high;
        job->values[first + i] = fabs(value) < ZERO ? 0.0 : ldexp(value, job->exponent);
    }
    return ECK_OK;
}

// Counts that are not exact may bring near values out of order by what they are wrong by.
static void sink(double *values, int64_t count)
{
    for (int64_t i = 1; i < count; i++)
        values[i] = fmin(values[i], values[i - 1]);
}

eck_status ecki_bisect(double *values, const ecki_tridiagonal *t, ecki_places places,
                       int32_t threads, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t groups = (places.count + WIDTH - 1) / WIDTH;
    bisect_job job = { .values = values, .places = places, .points = groups * WIDTH };
    if (places.count == 0) return ECK_OK;
    job.each = (places.count + groups - 1) / groups;
    if ((double)t->n * (double)places.count < ALONE) threads = 1;
    ECK_TRY(take(&job, t, err));
    ECK_TRY(make_grid(&job, threads, err));
    ECK_TRY(ecki_parallel_for(groups, threads, values_task, &job, err));
    sink(values, places.count);
done:
    ecki_free(job.diagonal);
    ecki_free(job.squares);
    ecki_free(job.grid);
    ecki_free(job.below);
    return status;
}
