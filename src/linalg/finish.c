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
#include "tensor/codec.h"

// flip[j] = -1 where the largest |v_ij| is negative, else 1.
static void find_signs(double *flip, double *largest, const double *v, int64_t n, int64_t k)
{
    for (int64_t j = 0; j < k; j++) {
        flip[j] = 1.0;
        largest[j] = 0.0;
    }
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < k; j++) {
            const double x = v[i * k + j];
            if (fabs(x) > largest[j]) {
                largest[j] = fabs(x);
                flip[j] = x < 0.0 ? -1.0 : 1.0;
            }
        }
}

static void flip_columns(double *x, int64_t m, int64_t k, const double *flip)
{
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < k; j++)
            x[i * k + j] *= flip[j];
}

static eck_status fix_signs(ecki_svd_job *job, eck_error *err)
{
    eck_status status = ECK_OK;
    double *flip = NULL, *largest = NULL;
    const int64_t k = job->rank;
    ECK_ALLOC_RAW(flip, k);
    ECK_ALLOC_RAW(largest, k);
    find_signs(flip, largest, job->v, job->a->info.cols, k);
    flip_columns(job->u, job->a->info.rows, k, flip);
    flip_columns(job->v, job->a->info.cols, k, flip);
done:
    ecki_free(largest);
    ecki_free(flip);
    return status;
}

// out = round(scale x) row by row; a number that leaves the range of the type is an error.
static eck_status round_factor(eck_array **out, eck_dtype store, ecki_matrix x, double scale,
                               eck_error *err)
{
    eck_status status = ECK_OK;
    eck_array *array = NULL;
    double *row = NULL;
    int64_t bytes = 0;
    const int64_t shape[2] = { x.rows, x.cols };
    ECK_TRY(eck_array_create(&array, store, 2, shape, err));
    ECK_ALLOC_RAW(row, x.cols);
    if (!ecki_dtype_bytes(store, x.cols, &bytes)) bytes = 0;
    for (int64_t i = 0; i < x.rows; i++) {
        char *const place = (char *)array->data + i * bytes;
        for (int64_t j = 0; j < x.cols; j++)
            row[j] = x.data[i * x.ld + j] * scale;
        ecki_round_f64(store, row, place, x.cols);
        ecki_widen_f64(store, place, 1, row, x.cols);
        const int64_t bad = ecki_first_nonfinite(row, x.cols);
        ECK_REQUIRE(bad < 0, ECK_E_RANGE, i * x.cols + bad,
                    "factor element %lld leaves the range of %s: %g", (long long)(i * x.cols + bad),
                    eck_dtype_name(store), x.data[i * x.ld + bad] * scale);
    }
    *out = array;
    array = NULL;
done:
    ecki_free(row);
    eck_array_free(array);
    return status;
}

// The same for a factor completed to a square orthonormal matrix; right vectors keep their sign
// rule.
static eck_status round_completed(eck_array **out, eck_dtype store, ecki_matrix x, bool right,
                                  eck_error *err)
{
    eck_status status = ECK_OK;
    double *square = NULL, *flip = NULL, *largest = NULL;
    const int64_t m = x.rows;
    int64_t count = 0;
    ECK_REQUIRE(ecki_mul(m, m, &count), ECK_E_NOMEM, -1, "not enough memory for a full basis");
    ECK_ALLOC_RAW(square, count);
    ECK_ALLOC_RAW(flip, m);
    ECK_ALLOC_RAW(largest, m);
    ECK_TRY(ecki_complete(square, x.data, m, x.cols, err));
    find_signs(flip, largest, square, m, m);
    for (int64_t j = 0; j < x.cols; j++)
        flip[j] = 1.0;
    if (right) flip_columns(square, m, m, flip);
    ECK_TRY(round_factor(out, store, ecki_matrix_of(square, m, m), 1.0, err));
done:
    ecki_free(largest);
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
