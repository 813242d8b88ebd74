// Batches whose matrices fit the lanes: blocks of them, read, solved and handed out by tasks. Always true: a task takes
// whole blocks, cut the same way for any number of threads.
#include <math.h>
#include <stdatomic.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "linalg/batch_job.h"
#include "linalg/jacobi.h"
#include "linalg/pool.h"
#include "tensor/codec.h"

// A task has about so many numbers; a vector and a cache line as long as any.
enum { TASK_NUMBERS = 1 << 16, VECTOR_BYTES = 64, LEAST = 512 };

typedef struct lanes_job {
    ecki_batch_job *batch;
    ecki_jacobi_plan plan;
    ecki_jacobi_kernel kernel;
    int64_t width, blocks, tasks; // matrices a block, blocks a task
    ecki_pool pool;
    atomic_int_least64_t unconverged;
} lanes_job;

// Parts of a task's buffer, in F64 numbers from its begin.
typedef struct layout {
    int64_t read, wide, work, all;
} layout;

static layout layout_of(const ecki_batch_job *job, const ecki_jacobi_plan *plan, int64_t width)
{
    const int64_t bytes = eck_dtype_bits(job->real) / 8, line = VECTOR_BYTES / 8;
    const int64_t size = job->rows * job->cols;
    layout out = { 0 };
    // A kernel may read one vector beyond its matrices.
    out.wide = (width * size * bytes + VECTOR_BYTES) / 8 + 1;
    out.work = out.wide + ecki_batch_error_room(job);
    out.work = (out.work + line - 1) / line * line;
    out.all = out.work + width * ecki_jacobi_work(plan) * bytes / 8;
    out.all = ecki_max(LEAST / 8, (out.all + line - 1) / line * line);
    return out;
}

// Plan, kernel and width of a batch.
static void prepare(lanes_job *job)
{
    const ecki_batch_job *const batch = job->batch;
    const ecki_cpu cpu = ecki_cpu_features();
    ecki_jacobi_plan_of(&job->plan, batch->rows, batch->cols, batch->kept, batch->vectors);
    job->kernel = ecki_jacobi_kernel_of(batch->real, &cpu);
    job->width = ecki_jacobi_width(&job->plan, &job->kernel);
}

int64_t ecki_batch_lanes_each(const ecki_batch_job *batch)
{
    ecki_batch_job copy = *batch;
    lanes_job job = { .batch = &copy };
    prepare(&job);
    return layout_of(batch, &job.plan, job.width).all;
}

// Errors of the matrices of a block, as read.
static void block_errors(const lanes_job *job, double *buffer, const layout *parts, int64_t first,
                         int64_t count)
{
    const ecki_batch_job *const batch = job->batch;
    const int64_t size = batch->rows * batch->cols;
    const char *const read = (const char *)(buffer + parts->read);
    double *const errors = batch->out->errors->data;
    for (int64_t i = 0; i < count; i++) {
        ecki_widen_f64(batch->real, read + i * size * (eck_dtype_bits(batch->real) / 8), 1,
                       buffer + parts->wide, size);
        errors[first + i] = ecki_batch_error(buffer + parts->wide, batch, first + i);
    }
}

// The error of the first matrix of a block with a number that is not finite.
static eck_status refuse_block(const lanes_job *job, double *buffer, const layout *parts,
                               int64_t first, eck_error *err)
{
    const ecki_batch_job *const batch = job->batch;
    const int64_t size = batch->rows * batch->cols;
    const char *matrix = (const char *)(buffer + parts->read);
    for (int64_t i = first;; i++, matrix += size * (eck_dtype_bits(batch->real) / 8)) {
        ecki_widen_f64(batch->real, matrix, 1, buffer + parts->wide, size);
        if (ecki_first_nonfinite(buffer + parts->wide, size) >= 0)
            return ecki_batch_refuse(batch, buffer + parts->wide, i, err);
    }
}

static eck_status solve_block(lanes_job *job, double *buffer, int64_t first, eck_error *err)
{
    const ecki_batch_job *const batch = job->batch;
    const layout parts = layout_of(batch, &job->plan, job->width);
    const int64_t k = batch->kept, count = ecki_min(job->width, batch->count - first);
    ecki_jacobi_block block = { .count = count,
                                .a = buffer + parts.read,
                                .u = ecki_batch_place(batch, batch->out->u, first, batch->rows * k),
                                .s = ecki_batch_place(batch, batch->out->s, first, k),
                                .vt =
                                    ecki_batch_place(batch, batch->out->vt, first, k * batch->cols),
                                .work = buffer + parts.work };
    ecki_batch_read(buffer + parts.read, batch, first, count);
    job->kernel.solve(&job->plan, &block);
    if (!block.finite) return refuse_block(job, buffer, &parts, first, err);
    if (block.unconverged) atomic_fetch_add(&job->unconverged, block.unconverged);
    if (batch->errors) block_errors(job, buffer, &parts, first, count);
    return ECK_OK;
}

static eck_status lanes_task(void *self, int64_t index, eck_error *err)
{
    lanes_job *const job = self;
    double *const buffer = ecki_pool_take(&job->pool);
    const int64_t each = job->blocks * job->width, first = index * each;
    eck_status status = ECK_OK;
    ECK_TRY(ecki_progress(job->batch->context, "decompose", first, job->batch->count, err));
    for (int64_t at = first; at < ecki_min(first + each, job->batch->count); at += job->width)
        ECK_TRY(solve_block(job, buffer, at, err));
done:
    ecki_pool_give(&job->pool, buffer);
    return status;
}

eck_status ecki_batch_lanes(ecki_batch_job *batch, int32_t threads, eck_error *err)
{
    eck_status status = ECK_OK;
    lanes_job job = { .batch = batch };
    prepare(&job);
    const layout parts = layout_of(batch, &job.plan, job.width);
    job.blocks = ecki_max(1, TASK_NUMBERS / (job.width * batch->rows * batch->cols));
    const int64_t each = job.blocks * job.width;
    job.tasks = batch->count / each + (batch->count % each > 0);
    const int32_t crew = (int32_t)ecki_max(1, ecki_min(threads, job.tasks));
    ECK_TRY(ecki_pool_init(&job.pool, parts.all, crew, err));
    ECK_TRY(ecki_parallel_for(job.tasks, crew, lanes_task, &job, err));
    batch->out->engine = ECK_ENGINE_JACOBI;
    batch->out->kernel = job.kernel.name;
    batch->out->unconverged = atomic_load(&job.unconverged);
done:
    ecki_pool_clear(&job.pool);
    return status;
}
