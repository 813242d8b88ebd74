// The certificate by residual: || A - B || computed element by element in F64, tiles in parallel,
// added in a fixed order. Always true: low <= truth <= high, since every rounding of the way is in
// the bound: that of reading A and B (ecki_measure), and that of the sums of squares.
#include "linalg/certificate.h"

#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/compiler.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "linalg/pool.h"
#include "tensor/codec.h"

enum { LANES = 8 };

// Rounding in F32 may leave the residual open by this share of it.
#define NARROW 1e-3

const char *eck_proof_name(eck_proof proof)
{
    switch (proof) {
    case ECK_PROOF_TAIL:
        return "exact";
    case ECK_PROOF_RESIDUAL:
        return "residual";
    case ECK_PROOF_BOUND:
        return "bound";
    }
    return "?";
}

// Sums of squares of one tile.
typedef struct tile_sums {
    double norm2, residual2;
} tile_sums;

typedef struct residual_job {
    const ecki_difference *d;
    bool narrow;
    int64_t rows, cols; // of a tile
    int64_t col_tiles;
    ecki_pool pool; // for each thread: a tile of A and one of B
    tile_sums *sums;
} residual_job;

static double add_lanes(const double *lane)
{
    return ((lane[0] + lane[4]) + (lane[1] + lane[5])) +
           ((lane[2] + lane[6]) + (lane[3] + lane[7]));
}

// Adds the squares of a and of a - b, n numbers, to a tile.
ECKI_CLONES static void add_row(tile_sums *sums, const double *a, const double *b, int64_t n)
{
    double norm[LANES] = { 0.0 }, residual[LANES] = { 0.0 };
    for (int64_t j = 0; j < n; j += LANES) {
        const int64_t lanes = ecki_min(LANES, n - j);
        for (int64_t l = 0; l < lanes; l++) {
            const double x = a[j + l], r = x - b[j + l];
            norm[l] += x * x;
            residual[l] += r * r;
        }
    }
    sums->norm2 += add_lanes(norm);
    sums->residual2 += add_lanes(residual);
}

// The same of F32 numbers.
ECKI_CLONES static void add_narrow_row(tile_sums *sums, const float *a, const float *b, int64_t n)
{
    double norm[LANES] = { 0.0 }, residual[LANES] = { 0.0 };
    const int64_t whole = n / LANES * LANES;
    for (int64_t j = 0; j < n; j += LANES) {
        const int64_t lanes = j < whole ? LANES : n - whole;
#pragma omp simd
        for (int64_t l = 0; l < lanes; l++) {
            const double x = (double)a[j + l], r = x - (double)b[j + l];
            norm[l] += x * x;
            residual[l] += r * r;
        }
    }
    sums->norm2 += add_lanes(norm);
    sums->residual2 += add_lanes(residual);
}

// Both read in F64.
static eck_status wide_tile(tile_sums *sums, const residual_job *job, const int64_t at[2],
                            eck_panel a, eck_panel b, eck_error *err)
{
    const ecki_difference *const d = job->d;
    eck_status status = ECK_OK;
    ECK_TRY(ecki_operator_block(d->a, at[0], at[1], a, d->scale_a, err));
    ECK_TRY(ecki_operator_block(d->b, at[0], at[1], b, d->scale_b, err));
    for (int64_t i = 0; i < a.rows; i++)
        add_row(sums, (const double *)a.data + i * a.cols, (const double *)b.data + i * b.cols,
                a.cols);
done:
    return status;
}

// Both read in F32, B as the product it is, A where it lies if it can be.
static eck_status narrow_tile(tile_sums *sums, const residual_job *job, const int64_t at[2],
                              eck_panel a, eck_panel b, eck_error *err)
{
    const ecki_difference *const d = job->d;
    const eck_view *const view = d->a->view;
    eck_status status = ECK_OK;
    const bool aligned = (uintptr_t)view->data % sizeof(float) == 0;
    if (view->dtype == ECK_DTYPE_F32 && view->stride[1] == 1 && aligned) {
        a.data = (float *)(uintptr_t)view->data + at[0] * view->stride[0] + at[1];
        a.ld = view->stride[0];
    } else {
        ECK_TRY(eck_operator_read(d->a, at[0], at[1], a, err));
    }
    ECK_TRY(d->b->extra.read_narrow(d->b->self, at[0], at[1], b, err));
    for (int64_t i = 0; i < a.rows; i++)
        add_narrow_row(sums, (const float *)a.data + i * a.ld, (const float *)b.data + i * b.cols,
                       a.cols);
done:
    return status;
}

static eck_status residual_task(void *self, int64_t index, eck_error *err)
{
    residual_job *const job = self;
    const eck_operator_info *const info = &job->d->a->info;
    const eck_dtype dtype = job->narrow ? ECK_DTYPE_F32 : ECK_DTYPE_F64;
    const int64_t at[2] = { index / job->col_tiles * job->rows,
                            index % job->col_tiles * job->cols };
    const int64_t rows = ecki_min(job->rows, info->rows - at[0]);
    const int64_t cols = ecki_min(job->cols, info->cols - at[1]);
    double *const a = ecki_pool_take(&job->pool), *const b = a + job->pool.each / 2;
    tile_sums sums = { 0.0, 0.0 };
    const eck_status status = (job->narrow ? narrow_tile : wide_tile)(
        &sums, job, at, ecki_panel(a, dtype, rows, cols), ecki_panel(b, dtype, rows, cols), err);
    if (status == ECK_OK) job->sums[index] = sums;
    ecki_pool_give(&job->pool, a);
    return status;
}

// Relative error of the root of a sum of squares of a tiled matrix: one rounding for the square,
// the longest chain of additions (lanes of a row, rows of a tile, tiles), half of all under the
// root.
static double sum_error(const residual_job *job, int64_t tiles)
{
    return (double)(job->cols / LANES + 5 + job->rows + tiles + 3) * 0x1p-53;
}

// The error of a read of the whole, without the norm where that is not needed for it.
static eck_status read_error(double *out, const eck_operator *a, const eck_context *context,
                             eck_error *err)
{
    ecki_measure measure = { 0.0, a->info.read_error, 0 };
    eck_status status = ECK_OK;
    if (a->extra.measure) status = a->extra.measure(&measure, a->self, context, err);
    if (status == ECK_OK) *out = measure.error;
    return status;
}

// The same of a read that computes in F32.
static eck_status narrow_read_error(double *out, const eck_operator *a, const eck_context *context,
                                    eck_error *err)
{
    ecki_measure measure;
    const eck_status status = ecki_operator_measure(&measure, a, context, err);
    if (status == ECK_OK)
        *out = measure.error + (double)measure.depth * 0x1p-24 * measure.magnitude;
    return status;
}

// Turns the sums into norms with their bounds.
static eck_status finish_distance(ecki_distance *out, const residual_job *job, tile_sums all,
                                  int64_t tiles, const eck_context *context, eck_error *err)
{
    const ecki_difference *const d = job->d;
    eck_status status = ECK_OK;
    double a = 0.0, b = 0.0;
    ECK_REQUIRE(isfinite(all.norm2) && isfinite(all.residual2), ECK_E_NONFINITE, -1,
                "cannot compare '%s' with '%s': a value is not finite", d->a->name, d->b->name);
    ECK_TRY(read_error(&a, d->a, context, err));
    ECK_TRY((job->narrow ? narrow_read_error : read_error)(&b, d->b, context, err));
    const double error = a * d->scale_a + b * d->scale_b;
    const double relative = sum_error(job, tiles);
    out->norm = sqrt(all.norm2);
    out->residual = sqrt(all.residual2);
    // The subtraction itself is off by u relative; the norm below which we divide by 2 relative.
    out->high = out->residual * (1.0 + 2.0 * relative) + error;
    out->low = fmax(0.0, out->residual * (1.0 - 2.0 * relative) - error);
    out->floor = 20.0 * (error + relative * out->residual);
done:
    return status;
}

// Tiles of what lies in memory stay in the second cache with what they are made of; of a file long runs are read.
static void cut_tiles(residual_job *job)
{
    const eck_operator_info *const a = &job->d->a->info, *const b = &job->d->b->info;
    const bool resident = a->resident && b->resident;
    job->rows = ecki_min(resident ? ECKI_CHECK_ROWS : ECKI_PANEL_ROWS, ecki_max(a->rows, 1));
    job->cols = ecki_min(resident ? ECKI_CHECK_COLS : ECKI_PANEL_COLS, ecki_max(a->cols, 1));
}

static eck_status measure_residual(ecki_distance *out, residual_job *job,
                                   const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_operator_info *const info = &job->d->a->info;
    tile_sums all = { 0.0, 0.0 };
    cut_tiles(job);
    job->col_tiles = (info->cols + job->cols - 1) / job->cols;
    const int64_t tiles = (info->rows + job->rows - 1) / job->rows * job->col_tiles;
    const int32_t threads = (int32_t)ecki_max(1, ecki_min(ecki_threads(context), tiles));
    ECK_ALLOC(job->sums, tiles);
    ECK_TRY(ecki_pool_init(&job->pool, 2 * job->rows * job->cols, threads, err));
    ECK_TRY(ecki_parallel_for(tiles, threads, residual_task, job, err));
    for (int64_t i = 0; i < tiles; i++) {
        all.norm2 += job->sums[i].norm2;
        all.residual2 += job->sums[i].residual2;
    }
    ecki_pool_clear(&job->pool); // measuring may scan, with panels of its own
    ECK_TRY(finish_distance(out, job, all, tiles, context, err));
done:
    ecki_pool_clear(&job->pool);
    ecki_free(job->sums);
    job->sums = NULL;
    return status;
}

// True where F32 holds what is read of A, and B is a product that can be computed in F32.
static bool can_be_narrow(const ecki_difference *d)
{
    return d->narrow && d->scale_a == 1.0 && d->scale_b == 1.0 && d->a->view && d->a->stored &&
           eck_dtype_bits(d->a->info.storage) <= 32 && d->b->extra.read_narrow;
}

eck_status ecki_distance_residual(ecki_distance *out, const ecki_difference *d,
                                  const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    residual_job job = { .d = d, .narrow = can_be_narrow(d) };
    ECK_TRY(ecki_progress(context, "check", 0, 1, err));
    if (job.narrow) {
        status = measure_residual(out, &job, context, err);
        const bool sharp = status == ECK_OK && out->high - out->residual <= NARROW * out->residual;
        // What leaves the range of F32 may be in that of F64.
        if (sharp || (status != ECK_OK && status != ECK_E_NONFINITE)) goto done;
        job.narrow = false;
    }
    ECK_TRY(measure_residual(out, &job, context, err));
done:
    return status;
}

void ecki_certificate_fill(eck_certificate *out, const ecki_distance *distance)
{
    const double norm = distance->norm;
    // A zero matrix has no relative error: 0 if it is met, infinite if it is not.
    const double none = distance->residual > 0.0 ? INFINITY : 0.0;
    const bool zero = !(norm > 0.0);
    out->error = zero ? none : distance->residual / norm;
    out->error_low = zero ? none : distance->low / norm * (1.0 - 0x1p-48);
    out->error_high = zero ? none : distance->high / norm * (1.0 + 0x1p-48);
    out->floor = zero ? 0.0 : distance->floor / norm;
    out->optimum_low = 0.0;
    out->optimum_high = out->error_high;
    out->excess_high = INFINITY;
    out->orthogonality = -1.0;
}

static eck_status require_same_shape(const eck_operator *a, const eck_operator *b, eck_error *err)
{
    const eck_operator_info *const ai = &a->info, *const bi = &b->info;
    if (ai->rows == bi->rows && ai->cols == bi->cols) return ECK_OK;
    return ecki_error(err, ECK_E_SHAPE, -1, "cannot compare '%s' [%lld,%lld] with '%s' [%lld,%lld]",
                      a->name, (long long)ai->rows, (long long)ai->cols, b->name,
                      (long long)bi->rows, (long long)bi->cols);
}

// Probes, relative to a norm whose square may have left the range.
static eck_status probe_distance(ecki_distance *out, const ecki_difference *d, const eck_scan *scan,
                                 const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    double norm = sqrt(scan->norm2) * d->scale_a;
    const bool sound = isfinite(scan->norm2) && (scan->norm2 > 1e-280 || scan->max == 0.0);
    if (!sound) ECK_TRY(ecki_derive_norm(&norm, d->a, d->scale_a, context, err));
    ECK_TRY(ecki_distance_probes(out, d, norm, context, err));
done:
    return status;
}

eck_status eck_certify(eck_certificate *out, const eck_operator *a,
                       const eck_operator *approximation, eck_proof proof, double failure,
                       uint64_t seed, const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_certificate certificate = { .proof = proof };
    eck_scan scan;
    ecki_distance distance;
    ECK_TRY(require_same_shape(a, approximation, err));
    ECK_REQUIRE(proof == ECK_PROOF_RESIDUAL || proof == ECK_PROOF_BOUND, ECK_E_RANGE, -1,
                "proof '%s' needs a spectrum, not two operators", eck_proof_name(proof));
    ECK_TRY(eck_operator_scan(&scan, a, context, err));
    ECK_REQUIRE(scan.nonfinite == 0, ECK_E_NONFINITE, scan.first_nonfinite,
                "cannot certify '%s': element %lld is not finite", a->name,
                (long long)scan.first_nonfinite);
    const double scale = ecki_scale_of(scan.max);
    const ecki_difference d = { a, approximation, scale, scale, failure, seed, false };
    if (proof == ECK_PROOF_RESIDUAL)
        ECK_TRY(ecki_distance_residual(&distance, &d, context, err));
    else
        ECK_TRY(probe_distance(&distance, &d, &scan, context, err));
    ecki_certificate_fill(&certificate, &distance);
    certificate.stored = approximation->info.storage;
    certificate.norm2 = scan.norm2;
    certificate.failure = proof == ECK_PROOF_BOUND ? failure : 0.0;
    *out = certificate;
done:
    return status;
}

eck_status ecki_certify_narrow(eck_certificate *out, const eck_operator *a,
                               const eck_operator *approximation, const eck_context *context,
                               eck_error *err)
{
    eck_status status = ECK_OK;
    eck_certificate certificate = { .proof = ECK_PROOF_RESIDUAL };
    ecki_distance distance;
    // Squares of F32 numbers stay in the range of F64 as they are.
    const ecki_difference d = { a, approximation, 1.0, 1.0, 0.0, 0, true };
    ECK_TRY(require_same_shape(a, approximation, err));
    if (!can_be_narrow(&d))
        return eck_certify(out, a, approximation, ECK_PROOF_RESIDUAL, 0.0, 0, context, err);
    ECK_TRY(ecki_distance_residual(&distance, &d, context, err));
    ecki_certificate_fill(&certificate, &distance);
    certificate.stored = approximation->info.storage;
    certificate.norm2 = distance.norm * distance.norm;
    *out = certificate;
done:
    return status;
}
