// Engine DEFLATED, in five steps: the F64 Gram; its outliers found and removed in F64; what is left, G', reduced to
// tridiagonal form in F32 and solved in F64; vectors back in F32, made orthonormal together with the outliers in F64;
// A times them in F64. Always true: what is claimed rests on what the F64 products captured and on a bound of how far
// the F32 reduction can be off; what does not reach the excess that was asked for goes to the exact lane.
#include "linalg/deflated.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "linalg/bisect.h"
#include "linalg/gemm.h"
#include "linalg/op.h"
#include "linalg/orthonormal.h"
#include "linalg/ritz.h"
#include "linalg/two_stage.h"
#include "tensor/codec.h"

// Rounding of F32, and the share by which a reduction of order n is off: (8 + sqrt n) units of ||G'||_F, as for the F64
// Gram (docs/methods/svd.md), and one for rounding G' itself.
#define UNIT32 0x1p-24

typedef struct deflated_run {
    ecki_svd_job *job;
    ecki_ritz ritz;
    int64_t n, k;
    double *gram; // scaled, whole
    ecki_outliers outliers;
    double coupling; // || P G X ||_F
    double left; // || G' ||_F
    double shrink; // power of two: G' shrink has numbers of at most 1
    eck_spectrum *rest; // values and tridiagonal form of G'
    float *matrix; // G' shrink
    double *squares; // of the rows of each task
    float *store; // reflectors of G'
    float *back; // [k - outliers, n]: vectors of G', the smallest value first
    double promised; // sum of the k largest values found
    double bound; // of the sum of the k largest eigenvalues of G
} deflated_run;

bool ecki_deflated_fits(const eck_operator_info *info, const eck_svd_options *o)
{
    const int64_t least = ecki_min(info->rows, info->cols);
    const bool full = (o->want & ECK_WANT_FULL) && !(o->want & ECK_WANT_COMPACT);
    return info->storage != ECK_DTYPE_F64 && o->rule == ECK_RULE_RANK && o->rank > 0 &&
           2 * o->rank <= least && ecki_wants_factors(o) && !full;
}

enum { ROWS = 64 }; // of a task that only moves numbers

static int64_t row_tasks(int64_t n)
{
    return (n + ROWS - 1) / ROWS;
}

// Some columns of the triangle i < j, from the other.
static eck_status mirror_task(void *self, int64_t index, eck_error *err)
{
    const deflated_run *const run = self;
    double *const a = run->gram;
    const int64_t n = run->n, first = index * ROWS, end = ecki_min(first + ROWS, n);
    (void)err;
    for (int64_t i0 = 0; i0 < end; i0 += ROWS)
        for (int64_t i = i0; i < ecki_min(i0 + ROWS, end); i++)
            for (int64_t j = ecki_max(first, i + 1); j < end; j++)
                a[i * n + j] = a[j * n + i];
    return ECK_OK;
}

static eck_status make_gram(deflated_run *run, eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_svd_job *const job = run->job;
    int64_t room = 0;
    ECK_TRY(ecki_spectrum_room(&room, run->n, err));
    ECK_ALLOC_RAW(run->gram, room);
    ECK_TRY(eck_operator_gram(job->a, run->ritz.side, run->ritz.scale,
                              ecki_panel(run->gram, ECK_DTYPE_F64, run->n, run->n), job->context,
                              err));
    ECK_TRY(
        ecki_parallel_for(row_tasks(run->n), ecki_threads(job->context), mirror_task, run, err));
    const int64_t most = ecki_min(ECKI_OUTLIERS_MOST, run->k - 1);
    ECK_TRY(ecki_outliers_find(&run->outliers, run->gram, run->n, most, job->context, err));
    ECK_TRY(
        ecki_outliers_remove(&run->coupling, run->gram, &run->outliers, run->n, job->context, err));
done:
    return status;
}

// Some rows of G' in F32, and their squares.
static eck_status narrow_task(void *self, int64_t index, eck_error *err)
{
    const deflated_run *const run = self;
    const int64_t n = run->n, first = index * ROWS * n, end = ecki_min(first + ROWS * n, n * n);
    double sum = 0.0;
    (void)err;
    for (int64_t i = first; i < end; i += n) {
        double row = 0.0;
        for (int64_t j = i; j < i + n; j++) {
            const double number = run->gram[j] * run->shrink;
            row += number * number;
            run->matrix[j] = (float)number;
        }
        sum += row;
    }
    run->squares[index] = sum;
    return ECK_OK;
}

// G' in F32, its norm, and its tridiagonal form. The Gram is given back.
static eck_status reduce(deflated_run *run, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t n = run->n;
    const eck_context *const context = run->job->context;
    double max = 0.0, norm2 = 0.0;
    int64_t room = 0;
    ecki_two_stage_count(n, &room); // fits: the Gram has been made
    ECK_ALLOC_RAW(run->matrix, ecki_max(room, n * n));
    ECK_ALLOC_RAW(run->squares, row_tasks(n));
    for (int64_t i = 0; i < n; i++)
        max = fmax(max, fabs(run->gram[i * n + i])); // of a positive matrix the diagonal is largest
    run->shrink = ecki_scale_of(max);
    ECK_TRY(ecki_parallel_for(row_tasks(n), ecki_threads(context), narrow_task, run, err));
    for (int64_t i = 0; i < row_tasks(n); i++)
        norm2 += run->squares[i];
    run->left = sqrt(norm2) / run->shrink;
    ecki_free(run->gram);
    run->gram = NULL;
    ECK_TRY(ecki_two_stage_reduce_f32(&run->rest->t, &run->matrix, &run->store, context, err));
done:
    return status;
}

// Values of G', as roots, descending.
static eck_status find_values(deflated_run *run, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t n = run->n;
    double *const values = run->rest->values;
    ECK_TRY(ecki_bisect(values, &run->rest->t, (ecki_places){ 0, n },
                        ecki_threads(run->job->context), err));
    for (int64_t i = 0; i < n; i++)
        values[i] = sqrt(fmax(values[i], 0.0));
    run->rest->scale = 1.0; // the reduction is that of the values themselves
done:
    return status;
}

// G = G' + X T X^T + E with ||E||_F <= coupling and rounding; by Ky Fan the k largest eigenvalues of G sum to at most
// those of G' and T, plus sqrt(k) ||E||_F.
static void find_bound(deflated_run *run)
{
    const int64_t n = run->n, k = run->k;
    const double off = (9.0 + sqrt((double)n)) * UNIT32 * run->left + sqrt(2.0) * run->coupling;
    double sum = 0.0;
    int64_t i = 0, j = 0;
    while (i + j < k) {
        const double s = i < n ? run->rest->values[i] : -1.0, value = s * s / run->shrink;
        const bool outlier =
            j < run->outliers.count && (i >= n || run->outliers.values[j] >= value);
        sum += outlier ? run->outliers.values[j] : value;
        *(outlier ? &j : &i) += 1;
    }
    run->promised = sum;
    run->bound = sum + sqrt((double)k) * off;
}

// True when a tail of this square, with this much more in the optimum at most, is within the excess that was asked.
static bool near_enough(const deflated_run *run, double captured)
{
    const double tail2 = run->ritz.norm2 - captured, optimum2 = run->ritz.norm2 - run->bound;
    return optimum2 > 0.0 && sqrt(tail2 / optimum2) - 1.0 <= run->job->options.excess;
}

// Some rows of near = the outliers, then the vectors of G', the largest value first.
static eck_status gather_task(void *self, int64_t index, eck_error *err)
{
    const deflated_run *const run = self;
    const int64_t n = run->n, k = run->k, d = run->outliers.count, count = k - d;
    const int64_t first = index * ROWS, end = ecki_min(first + ROWS, n);
    (void)err;
    for (int64_t i = first; i < end; i++)
        for (int64_t j = 0; j < d; j++)
            run->ritz.near[i * k + j] = run->outliers.vectors[i * d + j];
    for (int64_t j = 0; j < count; j++) {
        const float *const vector = run->back + (count - 1 - j) * n;
        for (int64_t i = first; i < end; i++)
            run->ritz.near[i * k + d + j] = vector[i];
    }
    return ECK_OK;
}

// The vectors of G' back from its tridiagonal basis, in F32; *good_out false: not all were found.
static eck_status bring_back(deflated_run *run, bool *good_out, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t n = run->n, count = run->k - run->outliers.count;
    const ecki_vector_request request = { count, false, run->job->context };
    const char *solver = NULL;
    double *z = NULL;
    int64_t info = 0;
    ECK_ALLOC_RAW(z, n * count);
    ECK_TRY(ecki_spectrum_portions(z, &solver, run->rest, &request, &info, err));
    *good_out = info == 0;
    if (info != 0) goto done;
    ECK_ALLOC_RAW(run->back, n * count);
    for (int64_t i = 0; i < n * count; i++)
        run->back[i] = (float)z[i];
    ECK_TRY(ecki_two_stage_apply_f32(run->back, count, run->store, n, run->job->context, err));
done:
    ecki_free(z);
    return status;
}

static eck_status make_near(deflated_run *run, bool *good_out, eck_error *err)
{
    eck_status status = ECK_OK;
    ECK_TRY(bring_back(run, good_out, err));
    if (!*good_out) goto done;
    ecki_free(run->store);
    run->store = NULL;
    ECK_ALLOC_RAW(run->ritz.near, run->n * run->k);
    ECK_TRY(ecki_parallel_for(row_tasks(run->n), ecki_threads(run->job->context), gather_task, run,
                              err));
    ecki_free(run->back);
    run->back = NULL;
    ECK_TRY(ecki_orthonormalize(run->ritz.near, run->n, run->k, NULL, err));
done:
    return status;
}

static eck_status begin(deflated_run *run, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_svd_job *const job = run->job;
    const eck_operator_info *const info = &job->a->info;
    eck_scan scan;
    ECK_TRY(eck_operator_scan(&scan, job->a, job->context, err));
    ECK_REQUIRE(scan.nonfinite == 0, ECK_E_NONFINITE, scan.first_nonfinite,
                "cannot factor '%s': element %lld is not finite, and %lld more", job->a->name,
                (long long)scan.first_nonfinite, (long long)scan.nonfinite - 1);
    run->n = ecki_min(info->rows, info->cols);
    run->k = job->options.rank;
    ECK_TRY(ecki_ritz_init(&run->ritz, job, &scan, ecki_near_side(info->rows, info->cols), err));
    ECK_TRY(ecki_spectrum_new(&run->rest, run->n, run->n, false, err));
done:
    return status;
}

// Everything up to the vectors; *good_out false as soon as it is clear that the exact lane has to do it.
static eck_status find_near(deflated_run *run, bool *good_out, eck_error *err)
{
    eck_status status = ECK_OK;
    *good_out = false;
    if (!(run->ritz.norm2 > 0.0)) goto done;
    ECK_TRY(make_gram(run, err));
    ECK_TRY(reduce(run, err));
    ECK_TRY(find_values(run, err));
    find_bound(run);
    // Vectors capture about what the values promise: if that is not near enough, they need not be made.
    if (!near_enough(run, run->promised)) goto done;
    ECK_TRY(make_near(run, good_out, err));
done:
    return status;
}

static void clear(deflated_run *run)
{
    ecki_free(run->gram);
    ecki_free(run->matrix);
    ecki_free(run->squares);
    ecki_free(run->store);
    ecki_free(run->back);
    ecki_outliers_clear(&run->outliers);
    eck_spectrum_free(run->rest);
    ecki_ritz_clear(&run->ritz);
}

eck_status ecki_svd_deflated(eck_svd **out, ecki_svd_job *job, bool *answered_out, eck_error *err)
{
    eck_status status = ECK_OK;
    deflated_run run = { .job = job };
    bool good = false;
    *answered_out = false;
    if (!ecki_deflated_fits(&job->a->info, &job->options)) return ECK_OK;
    ECK_TRY(begin(&run, err));
    ECK_TRY(find_near(&run, &good, err));
    if (!good) goto done;
    ECK_TRY(ecki_ritz_settle(&run.ritz, run.k, err));
    if (!near_enough(&run, run.ritz.captured)) goto done;
    job->rank = run.k;
    job->engine = ECK_ENGINE_DEFLATED;
    job->solver = "two-stage-f32";
    ECK_TRY(ecki_ritz_finish(out, &run.ritz, fmax(0.0, run.bound - run.ritz.captured), 0.0, err));
    *answered_out = true;
done:
    clear(&run);
    return status;
}
