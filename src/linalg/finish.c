// From F64 factors to a result: signs, rounding to storage, completion to square, certificate.
// Always true: for every right vector the largest |v_i|, the first of equals, is positive.
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "linalg/gemm.h"
#include "linalg/op.h"
#include "linalg/orthonormal.h"
#include "linalg/svd_job.h"
#include "linalg/tall.h"
#include "tensor/codec.h"

// The largest |v_ij| of every column, with its sign, of each piece of rows.
typedef struct sign_job {
    const double *v;
    int64_t k, rows;
    double *largest; // [pieces,k]
} sign_job;

static eck_status sign_task(void *self, int64_t first, int64_t rows, eck_error *err)
{
    const sign_job *const job = self;
    const int64_t k = job->k;
    double *const largest = job->largest + first / job->rows * k;
    (void)err;
    memcpy(largest, job->v + first * k, (size_t)k * sizeof *largest);
    for (int64_t i = first + 1; i < first + rows; i++)
        for (int64_t j = 0; j < k; j++) {
            const double x = job->v[i * k + j];
            largest[j] = fabs(x) > fabs(largest[j]) ? x : largest[j];
        }
    return ECK_OK;
}

// flip[j] = -1 where the largest |v_ij| is negative, else 1.
static eck_status find_signs(double *flip, const double *v, int64_t n, int64_t k, eck_error *err)
{
    eck_status status = ECK_OK;
    sign_job job = { .v = v, .k = k, .rows = ecki_tall_rows(k) };
    const int64_t pieces = (n + job.rows - 1) / job.rows;
    ECK_ALLOC_RAW(job.largest, pieces * k);
    ECK_TRY(ecki_tall_each(n, job.rows, sign_task, &job, err));
    for (int64_t j = 0; j < k; j++) {
        double largest = 0.0;
        for (int64_t p = 0; p < pieces; p++)
            if (fabs(job.largest[p * k + j]) > fabs(largest)) largest = job.largest[p * k + j];
        flip[j] = largest < 0.0 ? -1.0 : 1.0;
    }
done:
    ecki_free(job.largest);
    return status;
}

static eck_status fix_signs(ecki_svd_job *job, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t k = job->rank;
    double *flip = NULL;
    ECK_ALLOC_RAW(flip, k);
    ECK_TRY(find_signs(flip, job->v, job->a->info.cols, k, err));
    ECK_TRY(ecki_tall_scale(job->u, job->a->info.rows, k, flip, false, err));
    ECK_TRY(ecki_tall_scale(job->v, job->a->info.cols, k, flip, false, err));
done:
    ecki_free(flip);
    return status;
}

// One factor on its way to its storage.
typedef struct round_job {
    eck_array *out;
    ecki_matrix x;
    double scale;
} round_job;

// Rows of round(scale x); a number that leaves the range of the type is an error.
static eck_status round_task(void *self, int64_t first, int64_t rows, eck_error *err)
{
    eck_status status = ECK_OK;
    const round_job *const job = self;
    const int64_t cols = job->x.cols;
    const eck_dtype store = job->out->dtype;
    double *row = NULL;
    int64_t bytes = 0;
    ECK_ALLOC_RAW(row, cols);
    if (!ecki_dtype_bytes(store, cols, &bytes)) bytes = 0;
    for (int64_t i = first; i < first + rows; i++) {
        const double *const x = job->x.data + i * job->x.ld;
        char *const place = (char *)job->out->data + i * bytes;
        for (int64_t j = 0; j < cols; j++)
            row[j] = x[j] * job->scale;
        ecki_round_f64(store, row, place, cols);
        ecki_widen_f64(store, place, 1, row, cols);
        const int64_t bad = ecki_first_nonfinite(row, cols);
        ECK_REQUIRE(bad < 0, ECK_E_RANGE, i * cols + bad,
                    "factor element %lld leaves the range of %s: %g", (long long)(i * cols + bad),
                    eck_dtype_name(store), x[bad] * job->scale);
    }
done:
    ecki_free(row);
    return status;
}

// out = round(scale x).
static eck_status round_factor(eck_array **out, eck_dtype store, ecki_matrix x, double scale,
                               eck_error *err)
{
    eck_status status = ECK_OK;
    round_job job = { NULL, x, scale };
    ECK_TRY(eck_array_create(&job.out, store, 2, (int64_t[]){ x.rows, x.cols }, err));
    ECK_TRY(ecki_tall_each(x.rows, ecki_tall_rows(x.cols), round_task, &job, err));
    *out = job.out;
    job.out = NULL;
done:
    eck_array_free(job.out);
    return status;
}

// The same for a factor completed to a square orthonormal matrix; right vectors keep their sign
// rule.
static eck_status round_completed(eck_array **out, eck_dtype store, ecki_matrix x, bool right,
                                  eck_error *err)
{
    eck_status status = ECK_OK;
    double *square = NULL, *flip = NULL;
    const int64_t m = x.rows;
    int64_t count = 0;
    ECK_REQUIRE(ecki_mul(m, m, &count), ECK_E_NOMEM, -1, "not enough memory for a full basis");
    ECK_ALLOC_RAW(square, count);
    ECK_ALLOC_RAW(flip, m);
    ECK_TRY(ecki_complete(square, x.data, m, x.cols, err));
    ECK_TRY(find_signs(flip, square, m, m, err));
    for (int64_t j = 0; j < x.cols; j++)
        flip[j] = 1.0;
    if (right) ECK_TRY(ecki_tall_scale(square, m, m, flip, false, err));
    ECK_TRY(round_factor(out, store, ecki_matrix_of(square, m, m), 1.0, err));
done:
    ecki_free(flip);
    ecki_free(square);
    return status;
}

// Rounds one factor if it is wanted.
static eck_status store_factor(eck_array **out, const ecki_svd_job *job, eck_side side,
                               eck_error *err)
{
    const bool right = side == ECK_SIDE_RIGHT;
    const int64_t m = right ? job->a->info.cols : job->a->info.rows;
    const ecki_matrix x = ecki_matrix_of(right ? job->v : job->u, m, job->rank);
    const bool compact = (job->options.want & ECK_WANT_COMPACT) != 0;
    if (!compact && (job->options.want & ECK_WANT_FULL))
        return round_completed(out, job->options.store, x, right, err);
    // The far factor of a COMPACT result is the only one with the scale of A.
    const double scale = compact && side != job->orthonormal ? 1.0 / job->spectrum->scale : 1.0;
    return round_factor(out, job->options.store, x, scale, err);
}

// All values; those of the chosen rank as the vectors made them.
static eck_status store_values(eck_array **out, const ecki_svd_job *job, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_array *array = NULL;
    const int64_t n = job->spectrum->info.count;
    ECK_TRY(eck_array_create(&array, ECK_DTYPE_F64, 1, &n, err));
    double *const s = array->data;
    for (int64_t i = 0; i < n; i++) {
        s[i] =
            i < job->rank && job->s ? job->s[i] / job->spectrum->scale : job->spectrum->values[i];
        if (i > 0) s[i] = fmin(s[i], s[i - 1]);
        ECK_REQUIRE(isfinite(s[i]), ECK_E_RANGE, -1,
                    "singular value %lld of '%s' leaves the range of F64", (long long)i,
                    job->a->name);
    }
    *out = array;
    array = NULL;
done:
    eck_array_free(array);
    return status;
}

// Factors that were not asked for but that the certificate needed.
static void drop_unwanted(eck_svd *svd, uint32_t want)
{
    if (want & (ECK_WANT_COMPACT | ECK_WANT_FULL)) return;
    if (!(want & ECK_WANT_LEFT)) {
        eck_array_free(svd->u);
        svd->u = NULL;
    }
    if (!(want & ECK_WANT_RIGHT)) {
        eck_array_free(svd->v);
        svd->v = NULL;
    }
}

static void describe(eck_svd *svd, const ecki_svd_job *job)
{
    const eck_spectrum_info *const info = &job->spectrum->info;
    svd->rows = job->a->info.rows;
    svd->cols = job->a->info.cols;
    svd->rank = job->rank;
    svd->numerical_rank = info->numerical_rank;
    svd->tolerance = info->tolerance;
    svd->engine = job->engine;
    svd->solver = job->solver;
    svd->reproducible = job->one_thread;
    svd->orthonormal = job->orthonormal;
    svd->spectral = (eck_spectral_proof){ -1.0, -1, 0.0 };
    svd->compact = (job->options.want & ECK_WANT_COMPACT) != 0;
    svd->energy = 1.0 - info->tails[job->rank] * info->tails[job->rank];
}

eck_status ecki_svd_finish(eck_svd **out, ecki_svd_job *job, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_svd *svd = NULL;
    ECK_ALLOC(svd, 1);
    describe(svd, job);
    ECK_TRY(store_values(&svd->s, job, err));
    if (ecki_wants_factors(&job->options)) {
        ECK_TRY(fix_signs(job, err));
        ECK_TRY(store_factor(&svd->u, job, ECK_SIDE_LEFT, err));
        ECK_TRY(store_factor(&svd->v, job, ECK_SIDE_RIGHT, err));
    }
    ECK_TRY(ecki_svd_certify(&svd->certificate, job, svd, err));
    drop_unwanted(svd, job->options.want);
    svd->seconds = ecki_clock() - job->start;
    *out = svd;
    svd = NULL;
done:
    eck_svd_free(svd);
    return status;
}

void eck_svd_free(eck_svd *svd)
{
    if (!svd) return;
    eck_array_free(svd->u);
    eck_array_free(svd->s);
    eck_array_free(svd->v);
    ecki_free(svd);
}
