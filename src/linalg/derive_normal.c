// A^T (A X) and A (A^T X) from one read of A, in panels: rows of A for the first, columns for the second. A panel is
// read once, its part of the inner product made, and both are still in the cache for the outer one. Always true: the
// panels and what one task adds depend on the matrix alone, every number of the result is added in the order of the
// panels by one task at a time, and no product of BLAS runs on more than one thread: no bit depends on threads.
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "linalg/gemm.h"
#include "linalg/op.h"
#include "tensor/codec.h"

// A panel holds about PANEL_NUMBERS, in strips of STRIP rows (or columns) a task; results in strips of OUTER.
enum { PANEL_NUMBERS = 1 << 22, PANEL_LINES = 256, STRIP = 32, OUTER = 512 };

typedef struct normal_job {
    const eck_operator *a;
    bool right; // panels of rows
    double scale;
    eck_panel x, out;
    eck_panel panel; // [lines,length] of rows, or [length,lines] of columns
    eck_panel inner; // [lines,x.cols]
    int64_t origin; // first line of the panel
    bool first;
} normal_job;

// A part of a panel, in place.
static eck_panel part_of(eck_panel whole, int64_t row, int64_t col, int64_t rows, int64_t cols)
{
    const int64_t size = eck_dtype_bits(whole.dtype) / 8;
    whole.data = (char *)whole.data + (row * whole.ld + col) * size;
    whole.rows = rows;
    whole.cols = cols;
    return whole;
}

// c = a b + beta c in the type of the panels; `turned` takes the transpose of a.
static eck_status multiply(eck_panel a, bool turned, eck_panel b, double beta, eck_panel c,
                           eck_error *err)
{
    if (c.dtype == ECK_DTYPE_F64) {
        const ecki_matrix left = ecki_matrix_panel(a);
        return ecki_gemm(1.0, turned ? ecki_transposed(left) : left, ecki_matrix_panel(b), beta, c,
                         err);
    }
    return ecki_gemm_f32(1.0F, a, turned, b, (float)beta, c, err);
}

// block *= scale. A float may not hold the scale, but it holds the product.
static void scale_block(eck_panel block, double scale)
{
    for (int64_t i = 0; scale != 1.0 && i < block.rows; i++)
        for (int64_t j = 0; j < block.cols; j++) {
            if (block.dtype == ECK_DTYPE_F64)
                ((double *)block.data)[i * block.ld + j] *= scale;
            else
                ((float *)block.data)[i * block.ld + j] =
                    (float)(((float *)block.data)[i * block.ld + j] * scale);
        }
}

// Reads one strip of the panel and makes its lines of the inner product: inner = strip x, or strip^T x.
static eck_status inner_task(void *self, int64_t index, eck_error *err)
{
    const normal_job *const job = self;
    eck_status status = ECK_OK;
    const int64_t line = index * STRIP, lines = ecki_min(STRIP, job->inner.rows - line);
    const eck_panel block = job->right ? part_of(job->panel, line, 0, lines, job->panel.cols)
                                       : part_of(job->panel, 0, line, job->panel.rows, lines);
    const int64_t row = job->right ? job->origin + line : 0,
                  col = job->right ? 0 : job->origin + line;
    ECK_TRY(eck_operator_read(job->a, row, col, block, err));
    scale_block(block, job->scale);
    ECK_TRY(multiply(block, !job->right, job->x, 0.0,
                     part_of(job->inner, line, 0, lines, job->inner.cols), err));
done:
    return status;
}

// out = panel^T inner (+ out), or panel inner, for one strip of the result.
static eck_status outer_task(void *self, int64_t index, eck_error *err)
{
    const normal_job *const job = self;
    const int64_t at = index * OUTER, count = ecki_min(OUTER, job->out.rows - at);
    const eck_panel block = job->right ? part_of(job->panel, 0, at, job->panel.rows, count)
                                       : part_of(job->panel, at, 0, count, job->panel.cols);
    return multiply(block, job->right, job->inner, job->first ? 0.0 : 1.0,
                    part_of(job->out, at, 0, count, job->out.cols), err);
}

static eck_status run_panel(normal_job *job, const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    const int32_t threads = ecki_threads(context);
    ECK_TRY(
        ecki_parallel_for((job->inner.rows + STRIP - 1) / STRIP, threads, inner_task, job, err));
    ECK_TRY(ecki_parallel_for((job->out.rows + OUTER - 1) / OUTER, threads, outer_task, job, err));
done:
    return status;
}

int64_t ecki_normal_lines(int64_t length)
{
    return ecki_max(STRIP, ecki_min(PANEL_LINES, PANEL_NUMBERS / ecki_max(length, 1)));
}

static void clear_panel(eck_panel out)
{
    for (int64_t i = 0; i < out.rows; i++) {
        const eck_panel row = part_of(out, i, 0, 1, out.cols);
        memset(row.data, 0, (size_t)(out.cols * eck_dtype_bits(out.dtype) / 8));
    }
}

eck_status ecki_derive_normal(const eck_operator *a, eck_side side, double scale,
                              const eck_panel panels[2], const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    normal_job job = { .a = a, .scale = scale, .x = panels[0], .out = panels[1], .first = true };
    char *panel = NULL, *inner = NULL;
    const eck_dtype dtype = job.out.dtype;
    const int64_t size = eck_dtype_bits(dtype) / 8;
    job.right = side == ECK_SIDE_RIGHT;
    const int64_t total = job.right ? a->info.rows : a->info.cols, length = job.out.rows;
    const int64_t most = ecki_min(ecki_normal_lines(length), total);
    int64_t count = 0;
    if (total == 0) clear_panel(job.out);
    ECK_REQUIRE(ecki_mul(most, length, &count) && ecki_mul(count, size, &count), ECK_E_NOMEM, -1,
                "not enough memory for a panel of '%s'", a->name);
    ECK_ALLOC_RAW(panel, count);
    ECK_ALLOC_RAW(inner, most * job.x.cols * size);
    for (int64_t at = 0; at < total && length > 0 && job.x.cols > 0; at += most) {
        const int64_t lines = ecki_min(most, total - at);
        job.panel =
            ecki_panel(panel, dtype, job.right ? lines : length, job.right ? length : lines);
        job.inner = ecki_panel(inner, dtype, lines, job.x.cols);
        job.origin = at;
        ECK_TRY(run_panel(&job, context, err));
        job.first = false;
    }
done:
    ecki_free(inner);
    ecki_free(panel);
    return status;
}

// Widens or rounds a panel into another of its shape.
static void convert(eck_panel out, eck_panel in)
{
    for (int64_t i = 0; i < out.rows; i++)
        for (int64_t j = 0; j < out.cols; j++) {
            const double x = in.dtype == ECK_DTYPE_F64 ? ((double *)in.data)[i * in.ld + j]
                                                       : ((float *)in.data)[i * in.ld + j];
            if (out.dtype == ECK_DTYPE_F64)
                ((double *)out.data)[i * out.ld + j] = x;
            else
                ((float *)out.data)[i * out.ld + j] = (float)x;
        }
}

eck_status ecki_normal_by_products(const eck_operator *a, eck_side side, double scale,
                                   const eck_panel panels[2], const eck_context *context,
                                   ecki_room *room, eck_error *err)
{
    eck_status status = ECK_OK;
    double *wide = NULL, *inner = NULL;
    const eck_panel x = panels[0], out = panels[1];
    const bool right = side == ECK_SIDE_RIGHT, staged = x.dtype != ECK_DTYPE_F64;
    const int64_t across = right ? a->info.rows : a->info.cols;
    int64_t inner_count = 0, wide_count = 0, count = 0;
    ECK_REQUIRE(ecki_mul(across, x.cols, &inner_count) && ecki_mul(x.rows, x.cols, &wide_count) &&
                    ecki_add(inner_count, staged ? wide_count : 0, &count),
                ECK_E_NOMEM, -1, "not enough memory for a product with '%s'", a->name);
    inner = ecki_room_take(room, count, sizeof *inner);
    ECK_HAVE(inner);
    wide = inner + inner_count;
    const eck_panel middle = ecki_panel(inner, ECK_DTYPE_F64, across, x.cols);
    const eck_panel copy = ecki_panel(wide, ECK_DTYPE_F64, x.rows, x.cols);
    if (staged) convert(copy, x);
    const eck_panel from = staged ? copy : x, to = staged ? copy : out;
    if (right) {
        ECK_TRY(eck_operator_apply(a, scale, from, middle, context, err));
        ECK_TRY(eck_operator_apply_transpose(a, scale, middle, to, context, err));
    } else {
        ECK_TRY(eck_operator_apply_transpose(a, scale, from, middle, context, err));
        ECK_TRY(eck_operator_apply(a, scale, middle, to, context, err));
    }
    if (staged) convert(out, copy);
done:
    return status;
}
