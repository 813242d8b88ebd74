/**
 * Half steps by observed entries: every row has a small problem of its own. Always true: a row is worked on by one
 * thread, in the order of its entries, so that the number of threads changes no bit; a row without entries is 0.
 */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "decompose/als_parts.h"
#include "linalg/gemm.h"
#include "linalg/pool.h"
#include "tensor/codec.h"

// Below this a Gram matrix is no longer trusted: a pivot p costs the residual u / sqrt(p).
#define TRUSTED 0x1p-20

enum { ROWS = 32, GATHER = 256 }; // rows of a task; rows of f gathered for one product

/** What the tasks of one half step share. */
typedef struct rows_job {
    const ecki_als_problem *problem;
    const ecki_entries *entries;
    const double *f; // the fixed factor, [other side,rank]
    const double *y; // descend: where the gradient is taken
    double *x;
    double steepest; // descend: largest eigenvalue of f^T f
    double *sums; // loss: of every task
    ecki_pool pool;
} rows_job;

/** Numbers a task needs: a gathered block with its values, Gram, factor, right side, refinements. */
static int64_t room(int64_t k)
{
    return GATHER * (k + 1) + 2 * k * k + 4 * k;
}

/** Calls a task for every run of rows. */
static eck_status run(rows_job *job, ecki_task task, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t tasks = (job->entries->rows + ROWS - 1) / ROWS;
    const int32_t threads = (int32_t)ecki_max(1, ecki_min(job->problem->threads, tasks));

    ECK_TRY(ecki_pool_init(&job->pool, room(job->problem->rank), threads, err));
    ECK_TRY(ecki_parallel_for(tasks, threads, task, job, err));
done:
    ecki_pool_clear(&job->pool);
    return status;
}

static rows_job make_job(const ecki_als_problem *p, eck_side side, double *x, const double *f)
{
    const ecki_entries *const entries = side == ECK_SIDE_LEFT ? &p->by_row : &p->by_col;
    return (rows_job){ .problem = p, .entries = entries, .f = f, .x = x };
}

/* ---- alternating least squares --------------------------------------------------------------- */

/** Row r of block = root of w_j times f_j for entry j = first + r, and the same of a_j to values. */
static void gather(double *block, double *values, const rows_job *job, int64_t first, int64_t count)
{
    const ecki_entries *const e = job->entries;
    const int64_t k = job->problem->rank;
    for (int64_t j = 0; j < count; j++) {
        const double root = e->root ? e->root[first + j] : 1.0;
        const double *const row = job->f + (int64_t)e->index[first + j] * k;
        for (int64_t l = 0; l < k; l++)
            block[j * k + l] = root * row[l];
        values[j] = root * e->value[first + j];
    }
}

// G = sum_j w_j f_j^T f_j and b = sum_j w_j a_j f_j over the entries of row i, a block at a time.
static eck_status normal_equations(double *gram, double *b, double *block, const rows_job *job,
                                   int64_t i, eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_entries *const e = job->entries;
    const int64_t k = job->problem->rank;
    double *const values = block + GATHER * k;

    for (int64_t at = e->start[i]; at < e->start[i + 1]; at += GATHER) {
        const int64_t count = ecki_min(GATHER, e->start[i + 1] - at);
        const double beta = at > e->start[i] ? 1.0 : 0.0;
        gather(block, values, job, at, count);
        const ecki_matrix gathered = ecki_transposed(ecki_matrix_of(block, count, k));
        ECK_TRY(ecki_syrk(1.0, gathered, beta, ecki_panel(gram, ECK_DTYPE_F64, k, k), err));
        ECK_TRY(ecki_gemm(1.0, gathered, ecki_matrix_of(values, count, 1), beta,
                          ecki_panel(b, ECK_DTYPE_F64, k, 1), err));
    }
    for (int64_t l = 0; l < k; l++)
        for (int64_t j = 0; j < l; j++)
            gram[j * k + l] = gram[l * k + j];
done:
    return status;
}

/** Row i where its normal equations have lost too much: fewer entries than unknowns, or nearly so. */
static eck_status solve_carefully(double *x, const rows_job *job, int64_t i, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t first = job->entries->start[i], count = job->entries->start[i + 1] - first;
    const int64_t k = job->problem->rank;
    double *block = NULL;

    ECK_ALLOC_RAW(block, count * (k + 1));
    gather(block, block + count * k, job, first, count);
    ECK_TRY(ecki_als_least_squares(x, ecki_matrix_of(block, count, k), block + count * k,
                                   job->problem->ridge, err));
done:
    ecki_free(block);
    return status;
}

static eck_status solve_task(void *self, int64_t index, eck_error *err)
{
    eck_status status = ECK_OK;
    rows_job *const job = self;
    const ecki_entries *const e = job->entries;
    const int64_t k = job->problem->rank, end = ecki_min((index + 1) * ROWS, e->rows);
    double *const block = ecki_pool_take(&job->pool), *const gram = block + GATHER * (k + 1);
    double *const lower = gram + k * k, *const work = lower + k * k;

    for (int64_t i = index * ROWS; i < end; i++) {
        double *const x = job->x + i * k;
        ecki_als_system system = {
            .gram = gram, .lower = lower, .n = k, .ridge = job->problem->ridge
        };
        memset(x, 0, (size_t)k * sizeof *x);
        if (e->start[i] == e->start[i + 1]) continue;
        ECK_TRY(normal_equations(gram, x, block, job, i, err));
        ECK_TRY(ecki_als_factorise(&system, err));
        if (system.least > TRUSTED)
            ECK_TRY(ecki_als_back(&system, x, 1, work, err));
        else
            ECK_TRY(solve_carefully(x, job, i, err));
    }
done:
    ecki_pool_give(&job->pool, block);
    return status;
}

eck_status ecki_als_entries_solve(const ecki_als_problem *p, eck_side side, double *x,
                                  const double *f, eck_error *err)
{
    rows_job job = make_job(p, side, x, f);
    return run(&job, solve_task, err);
}

/* ---- gradient descent ------------------------------------------------------------------------ */

/** a . b, k numbers. */
static double inner(const double *a, const double *b, int64_t k)
{
    double sum = 0.0;
    for (int64_t l = 0; l < k; l++)
        sum += a[l] * b[l];
    return sum;
}

// x = y - g / L for row i: g = sum_j w_j (y f_j - a_j) f_j + ridge y, and the largest eigenvalue of
// sum_j w_j f_j^T f_j is at most its trace and at most max w times that of f^T f.
static void descend_row(double *x, double *gradient, const rows_job *job, int64_t i)
{
    const ecki_entries *const e = job->entries;
    const int64_t k = job->problem->rank;
    const double *const y = job->y + i * k, ridge = job->problem->ridge;
    double trace = 0.0, heaviest = 0.0;

    memset(gradient, 0, (size_t)k * sizeof *gradient);
    for (int64_t at = e->start[i]; at < e->start[i + 1]; at++) {
        const double *const f = job->f + (int64_t)e->index[at] * k;
        const double w = e->root ? e->root[at] * e->root[at] : 1.0;
        const double residual = w * (inner(y, f, k) - e->value[at]);
        for (int64_t l = 0; l < k; l++)
            gradient[l] += residual * f[l];
        trace += w * inner(f, f, k);
        heaviest = fmax(heaviest, w);
    }
    const double steepest = fmin(trace, heaviest * job->steepest) + ridge;
    for (int64_t l = 0; l < k; l++)
        x[l] = steepest > 0.0 ? y[l] - (gradient[l] + ridge * y[l]) / steepest : y[l];
    if (e->start[i] == e->start[i + 1]) memset(x, 0, (size_t)k * sizeof *x);
}

static eck_status descend_task(void *self, int64_t index, eck_error *err)
{
    rows_job *const job = self;
    const int64_t k = job->problem->rank, end = ecki_min((index + 1) * ROWS, job->entries->rows);
    double *const gradient = ecki_pool_take(&job->pool);
    (void)err;
    for (int64_t i = index * ROWS; i < end; i++)
        descend_row(job->x + i * k, gradient, job, i);
    ecki_pool_give(&job->pool, gradient);
    return ECK_OK;
}

eck_status ecki_als_entries_descend(const ecki_als_problem *p, eck_side side, double *x,
                                    const double *y, const double *f, eck_error *err)
{
    eck_status status = ECK_OK;
    rows_job job = make_job(p, side, x, f);
    const int64_t k = p->rank;
    double *gram = NULL;

    job.y = y;
    ECK_ALLOC_RAW(gram, k * k);
    ECK_TRY(ecki_als_gram(gram, f, side == ECK_SIDE_LEFT ? p->cols : p->rows, k, err));
    ECK_TRY(ecki_als_largest(&job.steepest, gram, k, err));
    ECK_TRY(run(&job, descend_task, err));
done:
    ecki_free(gram);
    return status;
}

/* ---- the start ------------------------------------------------------------------------------- */

// x_i = sum_j w_j a_j f_j.
static eck_status multiply_task(void *self, int64_t index, eck_error *err)
{
    const rows_job *const job = self;
    const ecki_entries *const e = job->entries;
    const int64_t k = job->problem->rank, end = ecki_min((index + 1) * ROWS, e->rows);
    (void)err;
    for (int64_t i = index * ROWS; i < end; i++) {
        double *const x = job->x + i * k;
        memset(x, 0, (size_t)k * sizeof *x);
        for (int64_t at = e->start[i]; at < e->start[i + 1]; at++) {
            const double *const f = job->f + (int64_t)e->index[at] * k;
            const double w = e->root ? e->root[at] * e->root[at] : 1.0;
            for (int64_t l = 0; l < k; l++)
                x[l] += w * e->value[at] * f[l];
        }
    }
    return ECK_OK;
}

eck_status ecki_als_entries_multiply(const ecki_als_problem *p, eck_side side, double *x,
                                     const double *f, eck_error *err)
{
    rows_job job = make_job(p, side, x, f);
    return run(&job, multiply_task, err);
}

/* ---- loss ------------------------------------------------------------------------------------ */

static eck_status loss_task(void *self, int64_t index, eck_error *err)
{
    const rows_job *const job = self;
    const ecki_entries *const e = job->entries;
    const int64_t k = job->problem->rank, end = ecki_min((index + 1) * ROWS, e->rows);
    double sum = 0.0;
    (void)err;
    for (int64_t i = index * ROWS; i < end; i++)
        for (int64_t at = e->start[i]; at < e->start[i + 1]; at++) {
            const double off =
                e->value[at] - inner(job->y + i * k, job->f + (int64_t)e->index[at] * k, k);
            const double part = e->root ? e->root[at] * off : off;
            sum += part * part;
        }
    job->sums[index] = sum;
    return ECK_OK;
}

eck_status ecki_als_entries_loss(double *out, const ecki_als_problem *p, const double *u,
                                 const double *v, eck_error *err)
{
    eck_status status = ECK_OK;
    rows_job job = make_job(p, ECK_SIDE_LEFT, NULL, v);
    const int64_t tasks = (p->rows + ROWS - 1) / ROWS;
    double sum = 0.0;

    job.y = u;
    ECK_ALLOC(job.sums, tasks);
    ECK_TRY(run(&job, loss_task, err));
    for (int64_t i = 0; i < tasks; i++)
        sum += job.sums[i];
    *out = sum;
done:
    ecki_free(job.sums);
    return status;
}
