// Pieces of tall matrices: lengths, scaling, triangles, Grams.
#include "linalg/tall.h"

#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/compiler.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "linalg/gemm.h"
#include "linalg/gram.h"
#include "tensor/codec.h"

// Up to so many columns a Gram is made by one thread for each of a few groups of pieces.
enum { NUMBERS = 1 << 15, ROWS_LEAST = 64, GRAM_GROUPS = 8, GRAM_COLUMNS = 256 };

int64_t ecki_tall_rows(int64_t k)
{
    return ecki_max(ROWS_LEAST, NUMBERS / ecki_max(k, 1));
}

typedef struct each_job {
    int64_t m, rows;
    ecki_rows_task task;
    void *self;
} each_job;

static eck_status each_task(void *self, int64_t index, eck_error *err)
{
    const each_job *const job = self;
    const int64_t first = index * job->rows;
    return job->task(job->self, first, ecki_min(job->rows, job->m - first), err);
}

eck_status ecki_tall_each(int64_t m, int64_t rows, ecki_rows_task task, void *self, eck_error *err)
{
    each_job job = { m, rows, task, self };
    return ecki_parallel_for((m + rows - 1) / rows, ecki_crew(), each_task, &job, err);
}

// What the tasks of one operation share.
typedef struct tall_job {
    double *x;
    const double *y; // of those that only read
    int64_t m, k, rows;
    const double *factor; // of columns, or a triangle
    bool divide;
    double *sums; // of the pieces, or of groups of them
    int64_t group; // pieces of a group
} tall_job;

// sum + lost += x, with what the addition to sum rounds off.
ECKI_INLINE void add_exactly(double *sum, double *lost, double x)
{
    const double total = *sum + x, part = total - *sum;
    *lost += (*sum - (total - part)) + (x - part);
    *sum = total;
}

ECKI_CLONES static void add_squares(double *sum, double *lost, const double *x, int64_t rows,
                                    int64_t k)
{
    for (int64_t i = 0; i < rows; i++)
#pragma omp simd
        for (int64_t j = 0; j < k; j++)
            add_exactly(&sum[j], &lost[j], x[i * k + j] * x[i * k + j]);
}

static eck_status squares_task(void *self, int64_t first, int64_t rows, eck_error *err)
{
    const tall_job *const job = self;
    double *const sum = job->sums + first / job->rows * 2 * job->k;
    (void)err;
    add_squares(sum, sum + job->k, job->y + first * job->k, rows, job->k);
    return ECK_OK;
}

eck_status ecki_tall_squares(double *sum, const double *x, int64_t m, int64_t k, eck_error *err)
{
    eck_status status = ECK_OK;
    tall_job job = { .y = x, .m = m, .k = k, .rows = ecki_tall_rows(k) };
    const int64_t pieces = (m + job.rows - 1) / job.rows;
    ECK_ALLOC(job.sums, (pieces * 2 + 1) * k);
    double *const lost = job.sums + pieces * 2 * k;
    memset(sum, 0, (size_t)k * sizeof *sum);
    ECK_TRY(ecki_tall_each(m, job.rows, squares_task, &job, err));
    for (int64_t p = 0; p < pieces; p++)
        for (int64_t j = 0; j < k; j++) {
            add_exactly(&sum[j], &lost[j], job.sums[p * 2 * k + j]);
            lost[j] += job.sums[(p * 2 + 1) * k + j];
        }
    for (int64_t j = 0; j < k; j++)
        sum[j] += lost[j];
done:
    ecki_free(job.sums);
    return status;
}

ECKI_CLONES static void multiply_rows(double *x, int64_t rows, int64_t k, const double *factor)
{
    for (int64_t i = 0; i < rows; i++)
#pragma omp simd
        for (int64_t j = 0; j < k; j++)
            x[i * k + j] *= factor[j];
}

ECKI_CLONES static void divide_rows(double *x, int64_t rows, int64_t k, const double *factor)
{
    for (int64_t i = 0; i < rows; i++)
#pragma omp simd
        for (int64_t j = 0; j < k; j++)
            x[i * k + j] /= factor[j];
}

static eck_status scale_task(void *self, int64_t first, int64_t rows, eck_error *err)
{
    const tall_job *const job = self;
    double *const x = job->x + first * job->k;
    (void)err;
    if (job->divide)
        divide_rows(x, rows, job->k, job->factor);
    else
        multiply_rows(x, rows, job->k, job->factor);
    return ECK_OK;
}

eck_status ecki_tall_scale(double *x, int64_t m, int64_t k, const double *factor, bool divide,
                           eck_error *err)
{
    tall_job job = { .x = x, .k = k, .factor = factor, .divide = divide };
    return ecki_tall_each(m, ecki_tall_rows(k), scale_task, &job, err);
}

static eck_status solve_task(void *self, int64_t first, int64_t rows, eck_error *err)
{
    const tall_job *const job = self;
    return ecki_trsm(ecki_matrix_of(job->factor, job->k, job->k),
                     ecki_panel(job->x + first * job->k, ECK_DTYPE_F64, rows, job->k), err);
}

eck_status ecki_tall_solve(double *x, int64_t m, int64_t k, const double *lower, eck_error *err)
{
    tall_job job = { .x = x, .k = k, .factor = lower };
    return ecki_tall_each(m, ecki_tall_rows(k), solve_task, &job, err);
}

// Rows that a Gram is fed at a time.
static int64_t gram_rows(int64_t m, int64_t k)
{
    const int64_t rows = ecki_max(1, ecki_min(ecki_tall_rows(k), m));
    return (rows + ECKI_GRAM_DEPTH - 1) / ECKI_GRAM_DEPTH * ECKI_GRAM_DEPTH;
}

double ecki_tall_memory(double m, double k, int32_t threads)
{
    const int64_t columns = (int64_t)fmin(k, 1e9), lines = (int64_t)fmin(m, 1e15);
    const double rows = (double)ecki_tall_rows(columns), pieces = ceil(m / rows);
    const double squares = 2.0 * pieces * k + 2.0 * k;
    if (k > GRAM_COLUMNS) return squares;
    const double fed = (double)gram_rows(lines, columns);
    const double groups = fmin(GRAM_GROUPS, ceil(m / fed));
    const double packed = ecki_gram_panel_numbers(k, fed) * fmin(threads, groups);
    return fmax(squares, groups * k * k + packed);
}

// The Gram of one group of pieces.
static eck_status gram_task(void *self, int64_t index, eck_error *err)
{
    eck_status status = ECK_OK;
    const tall_job *const job = self;
    const int64_t k = job->k, first = index * job->group * job->rows;
    const int64_t end = ecki_min(job->m, first + job->group * job->rows);
    const eck_panel gram = ecki_panel(job->sums + index * k * k, ECK_DTYPE_F64, k, k);
    ecki_gram_panel packed = { 0 };
    ECK_TRY(ecki_gram_panel_init(&packed, ecki_gram_kernels_here(), k, job->rows, err));
    for (int64_t i = first; i < end; i += job->rows) {
        const int64_t rows = ecki_min(job->rows, end - i);
        ecki_gram_pack(&packed, 0, 0, ecki_matrix_of(job->y + i * k, rows, k));
        ECK_TRY(ecki_gram_add(i == first, gram, &packed, rows, 1, err));
    }
done:
    ecki_gram_panel_clear(&packed);
    return status;
}

eck_status ecki_tall_gram(double *gram, const double *x, int64_t m, int64_t k, eck_error *err)
{
    eck_status status = ECK_OK;
    tall_job job = { .y = x, .m = m, .k = k, .sums = gram };
    double *sums = NULL;
    if (k > GRAM_COLUMNS || m == 0)
        return ecki_syrk(1.0, ecki_transposed(ecki_matrix_of(x, m, k)), 0.0,
                         ecki_panel(gram, ECK_DTYPE_F64, k, k), err);
    job.rows = gram_rows(m, k);
    const int64_t pieces = (m + job.rows - 1) / job.rows;
    job.group = (pieces + GRAM_GROUPS - 1) / GRAM_GROUPS;
    const int64_t groups = (pieces + job.group - 1) / job.group;
    if (groups > 1) {
        ECK_ALLOC_RAW(sums, groups * k * k);
        job.sums = sums;
    }
    ECK_TRY(ecki_parallel_for(groups, ecki_crew(), gram_task, &job, err));
    for (int64_t i = 0; sums && i < k; i++)
        for (int64_t j = 0; j <= i; j++) {
            gram[i * k + j] = 0.0;
            for (int64_t g = 0; g < groups; g++)
                gram[i * k + j] += sums[(g * k + i) * k + j];
        }
done:
    ecki_free(sums);
    return status;
}
