// Batches of small matrices: options, results and memory of eck_svd_batch_compute(). Always true: a task writes the
// factors of its own matrices only, and what a matrix gives depends on its numbers alone.
#include "eckart/batch.h"

#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "linalg/batch_job.h"
#include "linalg/jacobi.h"
#include "tensor/codec.h"
#include "tensor/view.h"

enum { BOTH = ECK_WANT_LEFT | ECK_WANT_RIGHT };

void eck_svd_batch_options_init(eck_svd_batch_options *options)
{
    const eck_svd_batch_options defaults = ECK_SVD_BATCH_OPTIONS_INIT;
    *options = defaults;
}

void eck_svd_batch_free(eck_svd_batch *batch)
{
    if (!batch) return;
    eck_array_free(batch->u);
    eck_array_free(batch->s);
    eck_array_free(batch->vt);
    eck_array_free(batch->errors);
    ecki_free(batch);
}

eck_view ecki_batch_matrix(const ecki_batch_job *job, int64_t index)
{
    eck_view matrix = job->a;
    const int32_t leading = job->a.ndim - 2;
    int64_t offset = 0;
    for (int32_t i = leading - 1; i >= 0; i--) {
        offset += index % job->a.shape[i] * job->a.stride[i];
        index /= job->a.shape[i];
    }
    matrix.data = (const char *)job->a.data + offset * (eck_dtype_bits(job->a.dtype) / 8);
    matrix.ndim = 2;
    for (int32_t i = 0; i < 2; i++) {
        matrix.shape[i] = job->a.shape[leading + i];
        matrix.stride[i] = job->a.stride[leading + i];
    }
    return matrix;
}

void ecki_batch_read(void *out, const ecki_batch_job *job, int64_t first, int64_t count)
{
    const int64_t size = job->rows * job->cols, bytes = eck_dtype_bits(job->real) / 8;
    if (job->contiguous) {
        const eck_view from = ecki_batch_matrix(job, first);
        if (job->real == ECK_DTYPE_F64)
            ecki_widen_f64(from.dtype, from.data, 1, out, count * size);
        else
            ecki_widen_f32(from.dtype, from.data, 1, out, count * size);
        return;
    }
    for (int64_t i = 0; i < count; i++) {
        const eck_view from = ecki_batch_matrix(job, first + i);
        ecki_view_read(&from, 0, 0,
                       ecki_panel((char *)out + i * size * bytes, job->real, job->rows, job->cols));
    }
}

void *ecki_batch_place(const ecki_batch_job *job, const eck_array *array, int64_t index,
                       int64_t size)
{
    if (!array) return NULL;
    (void)job;
    return (char *)array->data + index * size * (eck_dtype_bits(array->dtype) / 8);
}

eck_status ecki_batch_refuse(const ecki_batch_job *job, const double *a, int64_t index,
                             eck_error *err)
{
    const int64_t size = job->rows * job->cols, at = ecki_first_nonfinite(a, size);
    return ecki_error(err, ECK_E_NONFINITE, index * size + at,
                      "cannot factor matrix %lld of the batch: element (%lld,%lld) is not finite",
                      (long long)index, (long long)(at / job->cols), (long long)(at % job->cols));
}

// True if the numbers of the whole view lie as those of a new array would.
static bool is_contiguous(const eck_view *a)
{
    int64_t step = 1;
    for (int32_t i = a->ndim - 1; i >= 0; i--) {
        if (a->shape[i] > 1 && a->stride[i] != step) return false;
        step *= a->shape[i];
    }
    return true;
}

// True for types whose every number F32 holds.
static bool fits_single(eck_dtype dtype)
{
    return dtype == ECK_DTYPE_F32 || (dtype != ECK_DTYPE_F64 && eck_dtype_bits(dtype) <= 16);
}

static eck_status check_view(ecki_batch_job *job, const eck_view *a, eck_error *err)
{
    eck_status status = ECK_OK;
    int64_t numbers = 0;
    ECK_REQUIRE(a->ndim >= 2 && a->ndim <= ECK_DIMS_MAX, ECK_E_SHAPE, -1,
                "a batch of matrices has 2 to %d dimensions, not %d", ECK_DIMS_MAX, a->ndim);
    ECK_REQUIRE(eck_dtype_is_readable(a->dtype), ECK_E_RANGE, -1,
                "type %s holds no numbers to factor", eck_dtype_name(a->dtype));
    ECK_REQUIRE(ecki_shape_count(a->ndim, a->shape, &numbers) &&
                    ecki_shape_count(a->ndim - 2, a->shape, &job->count),
                ECK_E_SHAPE, -1, "the batch has more numbers than can be counted");
    job->a = *a;
    job->rows = a->shape[a->ndim - 2];
    job->cols = a->shape[a->ndim - 1];
    job->contiguous = is_contiguous(a);
    ECK_REQUIRE(job->rows > 0 && job->cols > 0, ECK_E_SHAPE, -1,
                "the matrices of the batch are empty: [%lld,%lld]", (long long)job->rows,
                (long long)job->cols);
done:
    return status;
}

static eck_status check_options(ecki_batch_job *job, const eck_svd_batch_options *options,
                                eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_svd_batch_options defaults = ECK_SVD_BATCH_OPTIONS_INIT;
    const eck_svd_batch_options *const o = options ? options : &defaults;
    const int64_t most = ecki_min(job->rows, job->cols);
    ECK_REQUIRE(o->version == 1, ECK_E_RANGE, -1, "options of version %u, not 1", o->version);
    ECK_REQUIRE(o->rank >= 0 && o->rank <= most, ECK_E_RANGE, -1,
                "rank: found %lld, allowed: 0 to %lld", (long long)o->rank, (long long)most);
    ECK_REQUIRE((o->want & ~(uint32_t)(ECK_WANT_VALUES | BOTH)) == 0, ECK_E_RANGE, -1,
                "want: found %u, allowed: values, left and right", o->want);
    ECK_REQUIRE(!o->errors || (o->want & BOTH) == BOTH, ECK_E_RANGE, -1,
                "errors need left and right vectors");
    ECK_REQUIRE(o->compute == ECK_DTYPE_NONE || o->compute == ECK_DTYPE_F64 ||
                    (o->compute == ECK_DTYPE_F32 && fits_single(job->a.dtype)),
                ECK_E_RANGE, -1, "compute: found %s, allowed for %s: F64%s",
                eck_dtype_name(o->compute), eck_dtype_name(job->a.dtype),
                fits_single(job->a.dtype) ? " or F32" : "");
    job->kept = o->rank ? o->rank : most;
    job->vectors = (o->want & BOTH) != 0;
    job->errors = o->errors;
    job->real = o->compute ? o->compute : fits_single(job->a.dtype) ? ECK_DTYPE_F32 : ECK_DTYPE_F64;
done:
    return status;
}

// An array [.., tail] of a batch.
static eck_status result_array(eck_array **out, const ecki_batch_job *job, eck_dtype dtype,
                               const int64_t *tail, int32_t count, eck_error *err)
{
    int64_t shape[ECK_DIMS_MAX + 2];
    const int32_t leading = job->a.ndim - 2;
    memcpy(shape, job->a.shape, (size_t)leading * sizeof *shape);
    if (count > 0) memcpy(shape + leading, tail, (size_t)count * sizeof *shape);
    return eck_array_create(out, dtype, leading + count, shape, err);
}

// The result with its arrays still empty; want as checked.
static eck_status create_result(eck_svd_batch **out, const ecki_batch_job *job, uint32_t want,
                                eck_error *err)
{
    eck_status status = ECK_OK;
    eck_svd_batch *batch = NULL;
    const int64_t u[2] = { job->rows, job->kept }, vt[2] = { job->kept, job->cols };
    ECK_ALLOC(batch, 1);
    batch->count = job->count;
    batch->rows = job->rows;
    batch->cols = job->cols;
    batch->rank = job->kept;
    ECK_TRY(result_array(&batch->s, job, job->real, vt, 1, err));
    if (want & ECK_WANT_LEFT) ECK_TRY(result_array(&batch->u, job, job->real, u, 2, err));
    if (want & ECK_WANT_RIGHT) ECK_TRY(result_array(&batch->vt, job, job->real, vt, 2, err));
    if (job->errors) ECK_TRY(result_array(&batch->errors, job, ECK_DTYPE_F64, NULL, 0, err));
    *out = batch;
    batch = NULL;
done:
    eck_svd_batch_free(batch);
    return status;
}

// Bytes of the result, and what every thread adds.
static bool bytes_needed(int64_t *result_out, int64_t *thread_out, const ecki_batch_job *job,
                         uint32_t want)
{
    enum { HEADS = 1024 };
    int64_t numbers = job->kept, bytes = 0;
    if (want & ECK_WANT_LEFT) numbers += job->rows * job->kept;
    if (want & ECK_WANT_RIGHT) numbers += job->cols * job->kept;
    const int64_t each = numbers * (eck_dtype_bits(job->real) / 8) + (job->errors ? 8 : 0);
    const bool lanes = ecki_jacobi_fits(job->rows, job->cols);
    *thread_out = lanes ? 8 * ecki_batch_lanes_each(job) : ecki_batch_exact_memory(job);
    return ecki_mul(each, job->count, &bytes) && ecki_add(bytes, HEADS, result_out);
}

// Threads the memory allows, of those the context does.
static eck_status choose_threads(int32_t *out, const ecki_batch_job *job, uint32_t want,
                                 eck_error *err)
{
    eck_status status = ECK_OK;
    int64_t result = 0, each = 0, least = 0;
    const int64_t limit = job->context ? job->context->memory : 0;
    const bool known = bytes_needed(&result, &each, job, want) && ecki_add(result, each, &least);
    ECK_REQUIRE(known, ECK_E_SHAPE, -1, "the factors have more bytes than can be counted");
    ECK_REQUIRE(limit <= 0 || least <= limit, ECK_E_BUDGET, -1,
                "a batch of %lld [%lld,%lld] needs %lld bytes, %lld are allowed",
                (long long)job->count, (long long)job->rows, (long long)job->cols, (long long)least,
                (long long)limit);
    const int64_t threads = ecki_threads(job->context);
    *out = (int32_t)(limit <= 0 ? threads : ecki_min(threads, (limit - result) / each));
done:
    return status;
}

int64_t eck_svd_batch_memory(const eck_view *a, const eck_svd_batch_options *options,
                             int32_t threads)
{
    const eck_svd_batch_options defaults = ECK_SVD_BATCH_OPTIONS_INIT;
    ecki_batch_job job = { .count = 0 };
    int64_t result = 0, each = 0;
    if (check_view(&job, a, NULL) != ECK_OK || check_options(&job, options, NULL) != ECK_OK)
        return INT64_MAX;
    const bool known =
        bytes_needed(&result, &each, &job, options ? options->want : defaults.want) &&
        ecki_mul(each, ecki_max(threads, 1), &each) && ecki_add(result, each, &result);
    return known ? result : INT64_MAX;
}

eck_status eck_svd_batch_compute(eck_svd_batch **out, eck_view a,
                                 const eck_svd_batch_options *options, const eck_context *context,
                                 eck_error *err)
{
    eck_status status = ECK_OK;
    eck_svd_batch *batch = NULL;
    const eck_svd_batch_options defaults = ECK_SVD_BATCH_OPTIONS_INIT;
    const uint32_t want = options ? options->want : defaults.want;
    const double start = ecki_clock();
    ecki_batch_job job = { .context = context };
    int32_t threads = 1;
    ECK_TRY(check_view(&job, &a, err));
    ECK_TRY(check_options(&job, options, err));
    ECK_TRY(choose_threads(&threads, &job, want, err));
    ECK_TRY(create_result(&batch, &job, want, err));
    job.out = batch;
    if (ecki_jacobi_fits(job.rows, job.cols))
        ECK_TRY(ecki_batch_lanes(&job, threads, err));
    else
        ECK_TRY(ecki_batch_exact(&job, threads, err));
    batch->seconds = ecki_clock() - start;
    *out = batch;
    batch = NULL;
done:
    eck_svd_batch_free(batch);
    return status;
}
