// Stage 2: a band becomes tridiagonal. Sweep s annihilates column s below its first subdiagonal and chases the bulge
// this makes down the band, a block of B rows at a time: block j of sweep s acts on rows s+1+jB .. s+(j+1)B. Sweeps go
// in groups of GROUP; in wave w of a group its sweep i does block w - 2 i, so that what the group touches stays in
// cache, and the next group follows two blocks behind the last sweep of this one. Always true: block j of sweep s runs
// after block j+1 of sweep s-1, whatever the threads do, so that the bits do not depend on them.
#include <stdatomic.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "linalg/chase_kernel.h"
#include "linalg/real.h"
#include "linalg/two_stage.h"

enum { B = ECKI_BAND, S = ECKI_BAND_STRIDE, GROUP = 8, THREADS_MIN = 4 };

typedef struct chase_job {
    real *band;
    int64_t n, blocks;
    real *v, *tau; // NULL: reflectors are not kept
    ECKI_FN(ecki_chase_kernels) kernels;
    atomic_llong *done; // waves every group has done
} chase_job;

// A sweep between its blocks: the reflector the next one begins with.
typedef struct sweep {
    real numbers[2][B];
    int64_t length;
    real tau;
} sweep;

// Blocks of sweep s: its rows s+1 .. n-1 in portions of B; none when there is nothing to annihilate.
static int64_t sweep_blocks(int64_t n, int64_t s)
{
    return s + 2 < n ? (n - 1 - s + B - 1) / B : 0;
}

// Where the numbers of sweep s begin.
static int64_t sweep_start(int64_t n, int64_t s)
{
    return s * (n - 1) - s * (s - 1) / 2;
}

// Keeps the reflector of block `index` of sweep s.
static void keep(const chase_job *job, int64_t s, int64_t index, const ECKI_FN(ecki_reflector) * h)
{
    if (!job->v) return;
    memcpy(job->v + sweep_start(job->n, s) + index * B, h->v, (size_t)h->length * sizeof *h->v);
    job->tau[s * job->blocks + index] = h->tau;
}

// Block `index` of sweep s.
static void run_block(const chase_job *job, sweep *state, int64_t s, int64_t index)
{
    const int64_t row = s + 1 + index * B, rows = ecki_min(B, job->n - row);
    ECKI_FN(ecki_reflector) h = { state->numbers[index % 2], rows, 0.0 };
    if (index == 0) {
        real *const column = job->band + s * S + row;
        const real first = ECKI_FN(ecki_make_reflector)(&h, column);
        memset(column, 0, (size_t)rows * sizeof *column);
        column[0] = first;
    } else {
        const ECKI_FN(ecki_reflector)
            above = { state->numbers[1 - index % 2], state->length, state->tau };
        job->kernels.off_diagonal(job->band + (row - B) * S + row, &above, &h);
    }
    job->kernels.both_sides(job->band + row * S + row, &h);
    keep(job, s, index, &h);
    state->length = rows;
    state->tau = h.tau;
}

// Waits until the group before this one is far enough ahead of wave `wave`.
static void wait_for(const chase_job *job, int64_t group, int64_t wave)
{
    if (group == 0) return;
    const int64_t last = sweep_blocks(job->n, (group - 1) * GROUP) + 2 * (GROUP - 1);
    const int64_t wanted = ecki_min(wave + 2 * GROUP, last);
    for (int64_t waited = 0;
         atomic_load_explicit(&job->done[group - 1], memory_order_acquire) < wanted; waited++)
        ecki_wait_step(waited);
}

static eck_status group_task(void *self, int64_t group, eck_error *err)
{
    const chase_job *const job = self;
    sweep sweeps[GROUP];
    (void)err;
    const int64_t first = group * GROUP, waves = sweep_blocks(job->n, first) + 2 * (GROUP - 1);
    for (int64_t wave = 0; wave < waves; wave++) {
        wait_for(job, group, wave);
        for (int64_t i = 0; i < GROUP; i++) {
            const int64_t index = wave - 2 * i;
            if (index >= 0 && index < sweep_blocks(job->n, first + i))
                run_block(job, &sweeps[i], first + i, index);
        }
        atomic_store_explicit(&job->done[group], wave + 1, memory_order_release);
    }
    return ECK_OK;
}

eck_status ECKI_FN(ecki_chase)(real *band, int64_t n, real *v, real *tau,
                               const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_cpu cpu = ecki_cpu_features();
    chase_job job = { band, n, ecki_chase_blocks(n), v, tau, ECKI_FN(ecki_chase_kernels_for)(&cpu),
                      NULL };
    const int64_t groups = n > 2 ? (n - 2 + GROUP - 1) / GROUP : 0;
    ECK_ALLOC(job.done, groups);
    for (int64_t i = 0; i < groups; i++)
        atomic_init(&job.done[i], 0);
    // Threads that wait for one another are worth it only where there are several: one of two that other work
    // takes away for a moment stops both.
    const int32_t threads = ecki_threads(context);
    ECK_TRY(ecki_parallel_for(groups, threads < THREADS_MIN ? 1 : threads, group_task, &job, err));
done:
    ecki_free(job.done);
    return status;
}
