// Every method of an operator from its `read` (or `read` from its products), in panels whose size
// depends on the matrix alone and whose results are added in the order of the panels. Always true:
// tasks write to places of their own, so that the number of threads changes no bit, except in a
// Gram where there is no kernel for it (gram.h) and its products belong to the BLAS.
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "linalg/gemm.h"
#include "linalg/gram.h"
#include "linalg/op.h"
#include "linalg/pool.h"
#include "linalg/scans.h"
#include "tensor/codec.h"

// A task of a Gram reads GRAM_NUMBERS in whole lines, or GRAM_COLUMNS columns of them.
enum { GRAM_NUMBERS = 1 << 15, GRAM_LINES = 16, GRAM_COLUMNS = 72, READ_COLS = 256 };

static int64_t tiles_of(int64_t count, int64_t tile)
{
    return (count + tile - 1) / tile;
}

// Threads for so many tasks, at least one.
static int32_t crew_size(const eck_context *context, int64_t tasks)
{
    return (int32_t)ecki_max(1, ecki_min(ecki_threads(context), tasks));
}

// Columns col .. col+out.cols of A, rows row .. row+out.rows: A times columns of the identity.
static eck_status read_columns(const eck_operator *a, int64_t row, int64_t col, eck_panel out,
                               eck_error *err)
{
    eck_status status = ECK_OK;
    double *x = NULL, *y = NULL;
    int64_t x_count = 0, y_count = 0;
    ECK_REQUIRE(ecki_mul(a->info.cols, out.cols, &x_count) &&
                    ecki_mul(a->info.rows, out.cols, &y_count),
                ECK_E_NOMEM, -1, "not enough memory to read '%s' by products", a->name);
    ECK_ALLOC(x, x_count);
    ECK_ALLOC_RAW(y, y_count);
    for (int64_t j = 0; j < out.cols; j++)
        x[(col + j) * out.cols + j] = 1.0;
    ECK_TRY(a->methods.apply(a->self, 1.0, ecki_panel(x, ECK_DTYPE_F64, a->info.cols, out.cols),
                             ecki_panel(y, ECK_DTYPE_F64, a->info.rows, out.cols), err));
    for (int64_t i = 0; i < out.rows; i++)
        memcpy((double *)out.data + i * out.ld, y + (row + i) * out.cols,
               (size_t)out.cols * sizeof *y);
done:
    ecki_free(y);
    ecki_free(x);
    return status;
}

eck_status ecki_derive_read(const eck_operator *a, int64_t row, int64_t col, eck_panel out,
                            eck_error *err)
{
    eck_panel staged;
    eck_status status = ecki_staging_begin(&staged, out, err);
    if (status != ECK_OK) return status;
    for (int64_t j = 0; j < out.cols && status == ECK_OK; j += READ_COLS) {
        const eck_panel part = { (double *)staged.data + j, ECK_DTYPE_F64, out.rows,
                                 ecki_min(READ_COLS, out.cols - j), staged.ld };
        status = read_columns(a, row, col + j, part, err);
    }
    ecki_staging_end(&staged, out, status == ECK_OK);
    return status;
}

// What the tasks of one derived method share.
typedef struct derive_job {
    const eck_operator *a;
    double scale;
    eck_panel in, out;
    ecki_pool pool;
    ecki_block_scan *scans; // of every tile, row by row of tiles; of a Gram: of its panel's blocks
    bool nonfinite; // a block of the Gram's panels so far had such numbers
    int64_t col_tiles;
    ecki_gram_panel
        panel; // of a Gram: of rows of A for its right side, of columns for the left one
    int64_t lines, origin; // lines in it now, the first of them
    int64_t each; // lines, or for the left side columns of the Gram, of one task
    int64_t scan_count, tasks_before; // scans of all panels; tasks of those before this one
} derive_job;

// out[rows of a panel] = scale A[panel,:] x, over tiles of columns from the left.
static eck_status apply_task(void *self, int64_t index, eck_error *err)
{
    derive_job *const job = self;
    eck_status status = ECK_OK;
    const int64_t row = index * ECKI_PANEL_ROWS, cols = job->a->info.cols;
    const int64_t rows = ecki_min(ECKI_PANEL_ROWS, job->a->info.rows - row);
    eck_panel out = { (double *)job->out.data + row * job->out.ld, ECK_DTYPE_F64, rows,
                      job->out.cols, job->out.ld };
    double *const buffer = ecki_pool_take(&job->pool);
    for (int64_t col = 0; col < cols; col += ECKI_PANEL_COLS) {
        const int64_t width = ecki_min(ECKI_PANEL_COLS, cols - col);
        const eck_panel tile = ecki_panel(buffer, ECK_DTYPE_F64, rows, width);
        ECK_TRY(ecki_operator_block(job->a, row, col, tile, 1.0, err));
        const ecki_matrix x = { (const double *)job->in.data + col * job->in.ld, width,
                                job->in.cols, job->in.ld, false };
        ECK_TRY(ecki_gemm(job->scale, ecki_matrix_panel(tile), x, col > 0 ? 1.0 : 0.0, out, err));
    }
done:
    ecki_pool_give(&job->pool, buffer);
    return status;
}

// Sets a panel to zero.
static void clear_panel(eck_panel out)
{
    for (int64_t i = 0; i < out.rows; i++)
        memset((double *)out.data + i * out.ld, 0, (size_t)out.cols * sizeof(double));
}

// A product by columns, for operators with the other product only: `read` exists then.
eck_status ecki_derive_apply(const eck_operator *a, double scale, eck_panel x, eck_panel out,
                             const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    derive_job job = { .a = a, .scale = scale, .in = x, .out = out };
    const int64_t count = tiles_of(a->info.rows, ECKI_PANEL_ROWS);
    const int32_t threads = crew_size(context, count);
    const int64_t each = ecki_max(1, ecki_min(ECKI_PANEL_ROWS, a->info.rows) *
                                         ecki_min(ECKI_PANEL_COLS, a->info.cols));
    if (a->info.cols == 0) {
        clear_panel(out);
        goto done;
    }
    ECK_TRY(ecki_pool_init(&job.pool, each, threads, err));
    ECK_TRY(ecki_parallel_for(count, threads, apply_task, &job, err));
done:
    ecki_pool_clear(&job.pool);
    return status;
}

// out[columns of a panel] = scale A[:,panel]^T y, over tiles of rows from the top.
static eck_status apply_transpose_task(void *self, int64_t index, eck_error *err)
{
    derive_job *const job = self;
    eck_status status = ECK_OK;
    const int64_t col = index * ECKI_TRANSPOSE_COLS, rows = job->a->info.rows;
    const int64_t width = ecki_min(ECKI_TRANSPOSE_COLS, job->a->info.cols - col);
    eck_panel out = { (double *)job->out.data + col * job->out.ld, ECK_DTYPE_F64, width,
                      job->out.cols, job->out.ld };
    double *const buffer = ecki_pool_take(&job->pool);
    for (int64_t row = 0; row < rows; row += ECKI_TRANSPOSE_ROWS) {
        const int64_t height = ecki_min(ECKI_TRANSPOSE_ROWS, rows - row);
        const eck_panel tile = ecki_panel(buffer, ECK_DTYPE_F64, height, width);
        ECK_TRY(ecki_operator_block(job->a, row, col, tile, 1.0, err));
        const ecki_matrix y = { (const double *)job->in.data + row * job->in.ld, height,
                                job->in.cols, job->in.ld, false };
        ECK_TRY(ecki_gemm(job->scale, ecki_transposed(ecki_matrix_panel(tile)), y,
                          row > 0 ? 1.0 : 0.0, out, err));
    }
done:
    ecki_pool_give(&job->pool, buffer);
    return status;
}

eck_status ecki_derive_apply_transpose(const eck_operator *a, double scale, eck_panel y,
                                       eck_panel out, const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    derive_job job = { .a = a, .scale = scale, .in = y, .out = out };
    const int64_t count = tiles_of(a->info.cols, ECKI_TRANSPOSE_COLS);
    const int32_t threads = crew_size(context, count);
    const int64_t each = ecki_max(1, ecki_min(ECKI_TRANSPOSE_ROWS, a->info.rows) *
                                         ecki_min(ECKI_TRANSPOSE_COLS, a->info.cols));
    if (a->info.rows == 0) {
        clear_panel(out);
        goto done;
    }
    ECK_TRY(ecki_pool_init(&job.pool, each, threads, err));
    ECK_TRY(ecki_parallel_for(count, threads, apply_transpose_task, &job, err));
done:
    ecki_pool_clear(&job.pool);
    return status;
}

int64_t ecki_gram_width(int64_t order)
{
    return ecki_max(ECKI_GRAM_WIDTH, (1 << 17) / ecki_max(order, 1));
}

// Lines that one task reads for the right side of a Gram.
static int64_t gram_lines(int64_t order)
{
    return ecki_max(GRAM_LINES, GRAM_NUMBERS / ecki_max(order, 1));
}

// Columns that one task should read for the left side, of panels that wide.
static int64_t gram_columns(int64_t width)
{
    return ecki_max(1, ecki_min(GRAM_COLUMNS, GRAM_NUMBERS / ecki_max(width, 1)));
}

// Reads part of the panel, scans it and packs it: some of its lines, or for the left side of the Gram, whose lines are columns
// of A, some numbers of all lines.
static eck_status gram_task(void *self, int64_t index, eck_error *err)
{
    derive_job *const job = self;
    eck_status status = ECK_OK;
    const bool right = job->col_tiles == 0;
    const int64_t first = index * job->each, cols = job->a->info.cols;
    const int64_t count = ecki_min(job->each, (right ? job->lines : job->panel.order) - first);
    const int64_t row = right ? job->origin + first : first, col = right ? 0 : job->origin;
    double *const buffer = ecki_pool_take(&job->pool);
    const eck_panel block =
        ecki_panel(buffer, ECK_DTYPE_F64, count, right ? job->panel.order : job->lines);
    ECK_TRY(ecki_operator_block(job->a, row, col, block, job->scale, err));
    if (job->scans)
        job->scans[job->tasks_before + index] =
            ecki_scan_block(buffer, block, row * cols + col, cols);
    const ecki_matrix packed = ecki_matrix_panel(block);
    ecki_gram_pack(&job->panel, right ? first : 0, right ? 0 : first,
                   right ? packed : ecki_transposed(packed));
done:
    ecki_pool_give(&job->pool, buffer);
    return status;
}

double ecki_gram_blocks(double order, double length)
{
    const int64_t whole = (int64_t)fmin(order, 1e9);
    const double width = fmin((double)ecki_gram_width(whole), fmax(length, 1.0));
    const double panels = ceil(length / width);
    const double by_lines = ceil(width / (double)gram_lines(whole));
    return panels * fmax(by_lines, ceil(order / (double)gram_columns((int64_t)width)));
}

double ecki_gram_memory(double order, double length, int32_t threads)
{
    const int64_t whole = (int64_t)fmin(order, 1e9);
    const double width = fmin((double)ecki_gram_width(whole), length);
    const double by_lines = order * fmin(width, (double)gram_lines(whole));
    const double by_columns =
        width * fmin(order, ecki_gram_columns_most(gram_columns((int64_t)width)));
    return ecki_gram_panel_numbers(order, width) + threads * fmax(by_lines, by_columns);
}

// Tasks that read a panel of so many lines.
static int64_t gram_tasks(const derive_job *job, int64_t lines)
{
    return tiles_of(job->col_tiles == 0 ? lines : job->panel.order, job->each);
}

// One panel of a Gram, read and added; of a scan, the panel's blocks. A panel with numbers that are not finite is not
// added: nobody will use the sum. `task`: how many went before.
static eck_status gram_panel(derive_job *job, int64_t task, const eck_context *context,
                             eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t tasks = gram_tasks(job, job->lines);
    job->tasks_before = task;
    ECK_TRY(ecki_parallel_for(tasks, job->pool.count, gram_task, job, err));
    for (int64_t i = 0; job->scans && i < tasks; i++)
        job->nonfinite = job->nonfinite || job->scans[task + i].nonfinite > 0;
    if (!job->nonfinite)
        ECK_TRY(ecki_gram_add(job->origin == 0, job->out, &job->panel, job->lines,
                              ecki_threads(context), err));
done:
    return status;
}

// A panel and what its tasks read into. col_tiles 0: the right side.
static eck_status gram_begin(derive_job *job, eck_side side, int64_t width,
                             const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    const bool right = side == ECK_SIDE_RIGHT;
    const int64_t order = job->out.rows;
    int64_t each = 0;
    job->col_tiles = right ? 0 : 1;
    ECK_TRY(ecki_gram_panel_init(&job->panel, ecki_gram_kernels_here(), order, width, err));
    job->each = right ? gram_lines(order) : ecki_gram_columns(&job->panel, gram_columns(width));
    ECK_REQUIRE(ecki_mul(ecki_min(job->each, right ? width : order), right ? order : width, &each),
                ECK_E_NOMEM, -1, "not enough memory for a Gram panel");
    ECK_TRY(ecki_pool_init(&job->pool, each, crew_size(context, gram_tasks(job, width)), err));
done:
    return status;
}

// job->out = scale^2 sum over panels P of P^T P (side right, P a panel of rows) or P P^T (left, of columns); `scanned`: the
// scans of all blocks in job->scans, job->scan_count of them.
static eck_status add_panels(derive_job *job, eck_side side, bool scanned,
                             const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t length = side == ECK_SIDE_RIGHT ? job->a->info.rows : job->a->info.cols;
    const int64_t width = ecki_min(ecki_gram_width(job->out.rows), length);
    if (length == 0) clear_panel(job->out);
    if (length == 0 || job->out.rows == 0) return ECK_OK;
    ECK_TRY(gram_begin(job, side, width, context, err));
    if (scanned) {
        job->scan_count = length / width * gram_tasks(job, width);
        if (length % width > 0) job->scan_count += gram_tasks(job, length % width);
        ECK_ALLOC(job->scans, job->scan_count);
    }
    for (int64_t at = 0, task = 0; at < length; at += width) {
        job->lines = ecki_min(width, length - at);
        job->origin = at;
        ECK_TRY(ecki_progress(context, "gram", at, length, err));
        ECK_TRY(gram_panel(job, task, context, err));
        task += gram_tasks(job, job->lines);
    }
done:
    ecki_pool_clear(&job->pool);
    ecki_gram_panel_clear(&job->panel);
    return status;
}

eck_status ecki_derive_gram(const eck_operator *a, eck_side side, double scale, eck_panel out,
                            const eck_context *context, eck_error *err)
{
    derive_job job = { .a = a, .scale = scale, .out = out };
    return add_panels(&job, side, false, context, err);
}

static eck_status scan_task(void *self, int64_t index, eck_error *err)
{
    derive_job *const job = self;
    const eck_operator_info *const info = &job->a->info;
    const int64_t row = index / job->col_tiles * ECKI_SCAN_ROWS;
    const int64_t col = index % job->col_tiles * ECKI_PANEL_COLS;
    double *const buffer = ecki_pool_take(&job->pool);
    const eck_panel tile =
        ecki_panel(buffer, ECK_DTYPE_F64, ecki_min(ECKI_SCAN_ROWS, info->rows - row),
                   ecki_min(ECKI_PANEL_COLS, info->cols - col));
    const eck_status status = ecki_operator_block(job->a, row, col, tile, 1.0, err);
    if (status == ECK_OK) {
        const int64_t origin = row * info->cols + col;
        job->scans[index] = ecki_scan_block(buffer, tile, origin, info->cols);
    }
    ecki_pool_give(&job->pool, buffer);
    return status;
}

eck_status ecki_derive_gram_scan(eck_scan *scan_out, const eck_operator *a, eck_side side,
                                 eck_panel out, const eck_context *context, eck_error *err)
{
    derive_job job = { .a = a, .scale = 1.0, .out = out };
    const eck_status status = add_panels(&job, side, true, context, err);
    double sum = 0.0;
    int exponent = 0;
    if (status == ECK_OK) *scan_out = ecki_scans_add(&sum, &exponent, job.scans, job.scan_count);
    ecki_free(job.scans);
    return status;
}

// A scan with its sum apart from its exponent.
static eck_status scan_tiles(eck_scan *out, double *sum_out, int *exponent_out,
                             const eck_operator *a, const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    derive_job job = { .a = a, .col_tiles = tiles_of(a->info.cols, ECKI_PANEL_COLS) };
    const int64_t count = tiles_of(a->info.rows, ECKI_SCAN_ROWS) * job.col_tiles;
    const int32_t threads = crew_size(context, count);
    const int64_t each = ecki_max(1, ecki_min(ECKI_SCAN_ROWS, a->info.rows) *
                                         ecki_min(ECKI_PANEL_COLS, a->info.cols));
    ECK_ALLOC(job.scans, count);
    ECK_TRY(ecki_pool_init(&job.pool, each, threads, err));
    ECK_TRY(ecki_parallel_for(count, threads, scan_task, &job, err));
    *out = ecki_scans_add(sum_out, exponent_out, job.scans, count);
done:
    ecki_pool_clear(&job.pool);
    ecki_free(job.scans);
    return status;
}

eck_status ecki_derive_scan(eck_scan *out, const eck_operator *a, const eck_context *context,
                            eck_error *err)
{
    double sum = 0.0;
    int exponent = 0;
    return scan_tiles(out, &sum, &exponent, a, context, err);
}

eck_status ecki_derive_norm(double *out, const eck_operator *a, double scale,
                            const eck_context *context, eck_error *err)
{
    double sum = 0.0;
    int exponent = 0;
    eck_scan scan;
    const eck_status status = scan_tiles(&scan, &sum, &exponent, a, context, err);
    if (status == ECK_OK) *out = sum > 0.0 ? ldexp(sqrt(sum), exponent + ilogb(scale)) : 0.0;
    return status;
}
