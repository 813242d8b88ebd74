// Q2 of stage 2, applied to vectors. Reflectors of WIDE consecutive sweeps at the same block overlap but for one row
// each: a diamond, H_0 H_1 .. = I - V T V^T with V of B + WIDE - 1 rows. Two reflectors that do not commute have a
// later sweep on the right in Q2 = H(sweep 0) H(sweep 1) ..; so groups of sweeps are taken from the last, and blocks
// within a group from the first. Always true: rows of z are worked on apart, in portions that depend on k alone.
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "linalg/real.h"
#include "linalg/two_stage.h"

enum { B = ECKI_BAND, WIDE = 32, ROWS = 128, BATCH = 4, TALL = B + WIDE - 1 };

// Diamonds of BATCH groups, and the vectors they are applied to.
typedef struct apply_job {
    real *z;
    int64_t k, n, blocks;
    const real *v, *tau;
    int64_t first_group;
    real *wide; // [BATCH,blocks] of V [tall,WIDE] and V T
    real *work; // [k,WIDE]
} apply_job;

static int64_t diamond_row(int64_t group, int64_t index)
{
    return group * WIDE + 1 + index * B;
}

// Rows of a diamond; none when it lies beyond the matrix.
static int64_t diamond_rows(int64_t n, int64_t group, int64_t index)
{
    return ecki_max(0, ecki_min(TALL, n - diamond_row(group, index)));
}

static real *diamond_place(const apply_job *job, int64_t group, int64_t index)
{
    return job->wide + ((group - job->first_group) * job->blocks + index) * 2 * TALL * WIDE;
}

// Column i of V is the reflector of sweep i of the group, i rows down.
static void spread(real *v, real *tau, const apply_job *job, int64_t group, int64_t index)
{
    for (int64_t i = 0; i < WIDE; i++) {
        const int64_t s = group * WIDE + i, row = diamond_row(group, index) + i;
        const int64_t length = s + 1 < job->n ? ecki_min(B, job->n - row) : 0;
        const real *const from =
            job->v + s * (job->n - 1) - s * (s - 1) / 2 + index * B; // as stage 2 kept them
        tau[i] = length > 0 ? job->tau[s * job->blocks + index] : 0.0;
        for (int64_t t = 0; t < length; t++)
            v[(i + t) * WIDE + i] = from[t];
    }
}

// V and V T of one diamond.
static eck_status build_task(void *self, int64_t task, eck_error *err)
{
    const apply_job *const job = self;
    eck_status status = ECK_OK;
    const int64_t group = job->first_group + task / job->blocks, index = task % job->blocks;
    const int64_t rows = diamond_rows(job->n, group, index);
    real tau[WIDE], gram[WIDE * WIDE], triangle[WIDE * WIDE];
    if (rows == 0) return ECK_OK;
    real *const v = diamond_place(job, group, index), *const vt = v + TALL * WIDE;
    memset(v, 0, TALL * WIDE * sizeof *v);
    spread(v, tau, job, group, index);
    const ecki_factor whole = ecki_block(v, rows, WIDE, WIDE);
    ECK_TRY(ecki_multiply(1.0, ecki_turned(whole), whole, 0.0, ecki_place(gram, WIDE, WIDE, WIDE),
                          err));
    ECKI_FN(ecki_reflector_triangle)(triangle, gram, tau, WIDE);
    ECK_TRY(ecki_multiply(1.0, whole, ecki_block(triangle, WIDE, WIDE, WIDE), 0.0,
                          ecki_place(vt, rows, WIDE, WIDE), err));
done:
    return status;
}

// Some rows of z: Z -= (Z V) (V T)^T for every diamond of the batch.
static eck_status apply_task(void *self, int64_t task, eck_error *err)
{
    const apply_job *const job = self;
    eck_status status = ECK_OK;
    const int64_t row = task * ROWS, rows = ecki_min(ROWS, job->k - row);
    const eck_panel product = ecki_place(job->work + row * WIDE, rows, WIDE, WIDE);
    for (int64_t group = job->first_group + BATCH - 1; group >= job->first_group; group--)
        for (int64_t index = 0; index < job->blocks; index++) {
            const int64_t tall = diamond_rows(job->n, group, index);
            if (tall == 0) break;
            real *const z = job->z + row * job->n + diamond_row(group, index);
            const real *const v = diamond_place(job, group, index);
            ECK_TRY(ecki_multiply(1.0, ecki_block(z, rows, tall, job->n),
                                  ecki_block(v, tall, WIDE, WIDE), 0.0, product, err));
            ECK_TRY(ecki_multiply(-1.0, ecki_whole(product),
                                  ecki_turned(ecki_block(v + TALL * WIDE, tall, WIDE, WIDE)), 1.0,
                                  ecki_place(z, rows, tall, job->n), err));
        }
done:
    return status;
}

eck_status ECKI_FN(ecki_chase_apply)(real *z, int64_t k, const real *store, int64_t n,
                                     const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_two_stage_layout layout = ecki_two_stage_layout_of(n);
    apply_job job = { .z = z, .k = k, .n = n, .blocks = ecki_chase_blocks(n) };
    const int32_t threads = ecki_threads(context);
    const int64_t groups = n > 2 ? (n - 2 + WIDE - 1) / WIDE : 0;
    job.v = store + layout.sweeps;
    job.tau = store + layout.sweep_tau;
    ECK_ALLOC_RAW(job.wide, BATCH * job.blocks * 2 * TALL * WIDE);
    ECK_ALLOC_RAW(job.work, k * WIDE);
    for (int64_t batch = (groups + BATCH - 1) / BATCH - 1; batch >= 0; batch--) {
        job.first_group = batch * BATCH;
        ECK_TRY(ecki_progress(context, "vectors", groups - job.first_group, groups, err));
        ECK_TRY(ecki_parallel_for(BATCH * job.blocks, threads, build_task, &job, err));
        ECK_TRY(ecki_parallel_for((k + ROWS - 1) / ROWS, threads, apply_task, &job, err));
    }
done:
    ecki_free(job.work);
    ecki_free(job.wide);
    return status;
}
