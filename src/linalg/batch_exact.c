// Batches of larger matrices: each through the exact lane on one thread, whose factors are copied to their place.
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "linalg/batch_job.h"
#include "tensor/codec.h"
#include "tensor/view.h"

static eck_svd_options options_of(const ecki_batch_job *job)
{
    eck_svd_options options = ECK_SVD_OPTIONS_INIT;
    options.engine = ECK_ENGINE_EXACT;
    options.rank = job->kept;
    options.store = job->real;
    options.proof = ECK_PROOF_TAIL;
    if (!job->vectors) options.want = ECK_WANT_VALUES;
    return options;
}

int64_t ecki_batch_exact_memory(const ecki_batch_job *job)
{
    eck_operator_info info = ECK_OPERATOR_INFO_INIT;
    const eck_svd_options options = options_of(job);
    info.rows = job->rows;
    info.cols = job->cols;
    info.storage = eck_dtype_is_weight(job->a.dtype) ? job->a.dtype : job->real;
    const int64_t one = eck_svd_memory(&info, &options, job->vectors ? job->kept : -1);
    // The error is computed beside the factors; an operator and its view beside both.
    const int64_t beside = (job->errors ? 8 * ecki_batch_error_room(job) : 0) + 1024;
    return ecki_min(one, INT64_MAX - beside) + beside;
}

// Rows of a result: vt is the transpose of what the engine gives.
static void copy_right(const ecki_batch_job *job, const eck_svd *svd, int64_t index)
{
    const int64_t n = job->cols, k = job->kept, bytes = eck_dtype_bits(job->real) / 8;
    char *const to = ecki_batch_place(job, job->out->vt, index, k * n);
    const char *const from = svd->v->data;
    for (int64_t j = 0; j < k; j++)
        for (int64_t i = 0; i < n; i++)
            memcpy(to + (j * n + i) * bytes, from + (i * k + j) * bytes, (size_t)bytes);
}

static void copy_factors(const ecki_batch_job *job, const eck_svd *svd, int64_t index)
{
    const int64_t k = job->kept, bytes = eck_dtype_bits(job->real) / 8;
    ecki_round_f64(job->real, svd->s->data, ecki_batch_place(job, job->out->s, index, k), k);
    if (job->out->u)
        memcpy(ecki_batch_place(job, job->out->u, index, job->rows * k), svd->u->data,
               (size_t)(job->rows * k * bytes));
    if (job->out->vt) copy_right(job, svd, index);
}

static eck_status find_error(const ecki_batch_job *job, int64_t index, eck_error *err)
{
    eck_status status = ECK_OK;
    double *room = NULL;
    const eck_view a = ecki_batch_matrix(job, index);
    if (!job->errors) return ECK_OK;
    ECK_ALLOC_RAW(room, ecki_batch_error_room(job));
    ecki_view_read(&a, 0, 0, ecki_panel(room, ECK_DTYPE_F64, job->rows, job->cols));
    ((double *)job->out->errors->data)[index] = ecki_batch_error(room, job, index);
done:
    ecki_free(room);
    return status;
}

// What went wrong with one matrix, said of the batch.
static eck_status say_which(const ecki_batch_job *job, int64_t index, eck_error *err)
{
    const int64_t size = job->rows * job->cols, at = err->offset;
    if (err->status != ECK_E_NONFINITE) return err->status;
    return ecki_error(err, ECK_E_NONFINITE, index * size + at,
                      "cannot factor matrix %lld of the batch: element (%lld,%lld) is not finite",
                      (long long)index, (long long)(at / job->cols), (long long)(at % job->cols));
}

static eck_status exact_task(void *self, int64_t index, eck_error *err)
{
    const ecki_batch_job *const job = self;
    const eck_svd_options options = options_of(job);
    const eck_context alone = { 1, 1, 0, NULL, NULL };
    eck_status status = ECK_OK;
    eck_operator *a = NULL;
    eck_svd *svd = NULL;
    ECK_TRY(ecki_progress(job->context, "decompose", index, job->count, err));
    ECK_TRY(eck_operator_dense(&a, ecki_batch_matrix(job, index), err));
    status = eck_svd_compute(&svd, a, &options, &alone, err);
    if (status != ECK_OK) status = say_which(job, index, err);
    if (status != ECK_OK) goto done;
    copy_factors(job, svd, index);
    ECK_TRY(find_error(job, index, err));
done:
    eck_svd_free(svd);
    eck_operator_free(a);
    return status;
}

eck_status ecki_batch_exact(ecki_batch_job *job, int32_t threads, eck_error *err)
{
    job->out->engine = ECK_ENGINE_EXACT;
    job->out->kernel = "lapack";
    return ecki_parallel_for(job->count, threads, exact_task, job, err);
}
