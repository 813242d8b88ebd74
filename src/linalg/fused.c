// The fused products over a whole matrix. Rows are cut into groups, groups into panels that stay in the cache between the two
// products; 16-bit numbers are widened a panel at a time. Always true: groups, panels and the order in which the groups'
// results are added depend on the shape alone, so that no bit depends on threads.
#include "linalg/fused.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "linalg/op.h"
#include "linalg/pool.h"
#include "tensor/codec.h"
#include "tensor/view.h"

// A panel has PANEL_ROWS rows; a group at least one, and there are at most GROUPS of them, fewer when their results
// would take more than GROUP_NUMBERS together. X_NUMBERS of X stay in the first cache.
enum {
    PANEL_ROWS = 24,
    WIDE_ROWS = 48,
    GROUPS = 16,
    X_NUMBERS = 8192,
    REDUCE = 1024,
    APPLY_ROWS = 48,
    APPLY_COLS = 64
};
#define GROUP_NUMBERS 3e7

#define KERNELS(build) \
    .name = #build, .pack = ecki_fused_pack_f32_##build, .inner = ecki_fused_inner_f32_##build, \
    .outer = ecki_fused_outer_f32_##build, .pack_f64 = ecki_fused_pack_f64_##build, \
    .inner_f64 = ecki_fused_inner_f64_##build
static const ecki_fused_kernels PORTABLE = { KERNELS(portable) };
#if defined(__x86_64__)
static const ecki_fused_kernels AVX2 = { KERNELS(avx2) }, AVX512 = { KERNELS(avx512) };
static const ecki_fused_kernels AMX = { KERNELS(avx512), .lay = ecki_fused_lay_amx,
                                        .group = ecki_fused_group_amx,
                                        .collect = ecki_fused_collect_amx };
#endif

const ecki_fused_kernels *ecki_fused_kernels_of(const ecki_cpu *cpu)
{
#if defined(__x86_64__)
    if (cpu->avx512 && cpu->amx) return &AMX;
    if (cpu->avx512) return &AVX512;
    if (cpu->avx2) return &AVX2;
#endif
    return cpu->neon ? &PORTABLE : NULL;
}

static const ecki_fused_kernels *kernels_here(void)
{
    const ecki_cpu cpu = ecki_cpu_features();
    return ecki_fused_kernels_of(&cpu);
}

static bool readable(const eck_view *view)
{
    return view->dtype == ECK_DTYPE_F32 || view->dtype == ECK_DTYPE_BF16 ||
           view->dtype == ECK_DTYPE_F16;
}

// True for rows of numbers that lie side by side, aligned as their type.
static bool rows_contiguous(const eck_view *view)
{
    return (view->stride[1] == 1 || view->shape[1] == 1) && view->stride[0] >= 0 &&
           (uintptr_t)view->data % (size_t)(eck_dtype_bits(view->dtype) / 8) == 0;
}

bool ecki_fused_takes(const eck_view *view, eck_side side, double scale, const eck_panel panels[2])
{
    const eck_view of = side == ECK_SIDE_RIGHT ? *view : eck_view_transposed(*view);
    const eck_panel x = panels[0], out = panels[1];
    const bool plain = x.dtype == ECK_DTYPE_F32 && x.cols > 0 && x.cols % 16 == 0 &&
                       x.ld == x.cols && out.ld == out.cols;
    // What lies in the middle must stay inside the range of F32.
    const bool mild = scale >= 0x1p-40 && scale <= 0x1p40;
    return plain && mild && readable(&of) && rows_contiguous(&of) && kernels_here() &&
           of.shape[0] > 0;
}

bool ecki_fused_takes_apply(const eck_view *view, bool transposed)
{
    const eck_view of = transposed ? eck_view_transposed(*view) : *view;
    return readable(&of) && rows_contiguous(&of) && kernels_here() && of.shape[1] > 0;
}

// What the tasks share. One group has rows_each rows.
typedef struct fused_job {
    const ecki_fused_kernels *kernels;
    eck_view a;
    int64_t rows, cols, width;
    int64_t groups, rows_each;
    double scale;
    const float *x;
    float *z; // [groups, cols, width]
    uint32_t *laid; // x as a matrix unit wants it
    ecki_pool panels; // for each task that runs: a packed panel and two inner products
    float *out;
    const double *wide_x; // [cols,width], of the F64 product
    eck_panel wide_out;
} fused_job;

// Both products of a panel want it, and the wider their results the more rows have to share going through these.
static int64_t panel_rows(const fused_job *job)
{
    if (job->kernels->group) return ECKI_TILED_ROWS;
    return job->width <= 32 ? PANEL_ROWS : WIDE_ROWS;
}

static int64_t groups_of(int64_t rows, double numbers)
{
    const int64_t most = (int64_t)fmax(1.0, fmin(GROUPS, GROUP_NUMBERS / fmax(numbers, 1.0)));
    return ecki_max(1, ecki_min(most, (rows + PANEL_ROWS - 1) / PANEL_ROWS));
}

// Numbers up to a multiple.
static int64_t padded(int64_t count, int64_t multiple)
{
    return (count + multiple - 1) / multiple * multiple;
}

// Columns of the matrix as the kernels want them.
static int64_t full_cols(const fused_job *job)
{
    return job->kernels->group ? ecki_tiled_columns(job->cols) : padded(job->cols, ECKI_FUSED_COLS);
}

static ecki_fused_rows rows_of(const fused_job *job, int64_t row, int64_t count, int64_t col,
                               int64_t cols)
{
    const int64_t size = eck_dtype_bits(job->a.dtype) / 8;
    const char *const data = (const char *)job->a.data + (row * job->a.stride[0] + col) * size;
    return (ecki_fused_rows){ data, job->a.dtype, job->a.stride[0], count, cols };
}

// One group on its way through its panels. A part of the columns of one panel is spent in the outer product, then the
// same part of the next takes its place and goes into the inner one, while the part after it comes from memory.
typedef struct group_run {
    const fused_job *job;
    int64_t row, end; // rows that are left
    int64_t part; // columns of a part
    float *packed, *z;
    ecki_fused_tile spent, fresh; // whole panels; rows 0: none
    float *y_spent, *y_fresh;
} group_run;

// Columns j .. of a panel, which are packed together.
static ecki_fused_tile part_of_panel(const group_run *run, const ecki_fused_tile *panel, int64_t j)
{
    ecki_fused_tile tile = *panel;
    tile.packed = run->packed + j * panel->rows;
    tile.cols = ecki_min(run->part, run->job->cols - j);
    return tile;
}

// Tells the outer product of part j what to fetch: the part after it of the fresh panel, or the first of the one after that.
static void look_ahead(const group_run *run, ecki_fused_tile *tile, int64_t rows, int64_t j)
{
    const fused_job *const job = run->job;
    const bool last = j + run->part >= job->cols;
    const int64_t row = last ? run->row + rows : run->row, col = last ? 0 : j + run->part;
    const int64_t size = eck_dtype_bits(job->a.dtype) / 8;
    if (row >= run->end) return;
    tile->ahead = rows_of(job, row, 1, col, 1).data;
    tile->ahead_step = job->a.stride[0] * size;
    tile->ahead_rows = ecki_min(tile->rows, run->end - row);
    tile->ahead_block = ECKI_FUSED_COLS * size;
}

// Outer product of the panel before, packing and inner product of the next `rows` rows, part by part.
static void next_panel(group_run *run, int64_t rows)
{
    const fused_job *const job = run->job;
    const int64_t full = padded(rows, ECKI_FUSED_ROWS), count = full * job->width;
    const float scale = (float)(job->scale * job->scale);
    run->fresh = (ecki_fused_tile){ .rows = full, .width = job->width };
    memset(run->y_fresh, 0, (size_t)count * sizeof *run->y_fresh);
    for (int64_t j = 0; j < job->cols; j += run->part) {
        if (run->spent.rows > 0) {
            ecki_fused_tile tile = part_of_panel(run, &run->spent, j);
            look_ahead(run, &tile, rows, j);
            job->kernels->outer(&tile, run->y_spent, run->z + j * job->width);
        }
        if (rows == 0) continue;
        const ecki_fused_tile tile = part_of_panel(run, &run->fresh, j);
        const ecki_fused_rows from = rows_of(job, run->row, rows, j, tile.cols);
        job->kernels->pack(&from, full, run->packed + j * full);
        job->kernels->inner(&tile, job->x + j * job->width, run->y_fresh);
    }
    for (int64_t i = 0; scale != 1.0F && i < count; i++)
        run->y_fresh[i] *= scale;
    float *const y = run->y_spent;
    run->y_spent = run->y_fresh;
    run->y_fresh = y;
    run->spent = run->fresh;
    run->row += rows;
}

// The same on a matrix unit.
static eck_status tiled_group(fused_job *job, int64_t index)
{
    const int64_t row = index * job->rows_each, count = ecki_min(job->rows_each, job->rows - row);
    float *const room = (float *)ecki_pool_take(&job->panels);
    const ecki_fused_group group = { .rows = rows_of(job, row, count, 0, job->cols),
                                     .width = job->width,
                                     .scale = (float)(job->scale * job->scale),
                                     .x = job->laid,
                                     .z = job->z + index * full_cols(job) * job->width,
                                     .room = room };
    job->kernels->group(&group);
    ecki_pool_give(&job->panels, (double *)room);
    return ECK_OK;
}

static eck_status group_task(void *self, int64_t index, eck_error *err)
{
    fused_job *const job = self;
    (void)err;
    if (job->kernels->group) return tiled_group(job, index);
    const int64_t cols = padded(job->cols, ECKI_FUSED_COLS), each = panel_rows(job);
    const int64_t first = index * job->rows_each, numbers = each * job->width;
    group_run run = { .job = job, .row = first, .z = job->z + index * cols * job->width };
    run.end = ecki_min(first + job->rows_each, job->rows);
    run.part = padded(ecki_max(X_NUMBERS / job->width, 1), ECKI_FUSED_COLS);
    run.packed = (float *)ecki_pool_take(&job->panels);
    run.y_spent = run.packed + each * cols;
    run.y_fresh = run.y_spent + numbers;
    memset(run.z, 0, (size_t)(cols * job->width) * sizeof *run.z);
    while (run.row < run.end)
        next_panel(&run, ecki_min(each, run.end - run.row));
    next_panel(&run, 0);
    ecki_pool_give(&job->panels, (double *)run.packed);
    return ECK_OK;
}

// out = the groups' results, added in their order.
static eck_status reduce_task(void *self, int64_t index, eck_error *err)
{
    const fused_job *const job = self;
    const int64_t total = full_cols(job) * job->width, first = index * REDUCE * job->width;
    const int64_t cols = ecki_min(REDUCE, job->cols - index * REDUCE);
    const bool tiles = job->kernels->group != NULL;
    const int64_t count = (tiles ? ecki_tiled_columns(cols) : cols) * job->width;
    float *const out = tiles ? job->z + first : job->out + first;
    (void)err;
    if (!tiles) memcpy(out, job->z + first, (size_t)count * sizeof *out);
    for (int64_t g = 1; g < job->groups; g++) {
        const float *const part = job->z + g * total + first;
        for (int64_t i = 0; i < count; i++)
            out[i] += part[i];
    }
    if (tiles) job->kernels->collect(out, cols, job->width, job->out + first);
    return ECK_OK;
}

eck_status ecki_fused_normal(const ecki_fused_matrix *a, const eck_panel panels[2],
                             const eck_context *context, ecki_room *room, eck_error *err)
{
    eck_status status = ECK_OK;
    fused_job job = { .kernels = a->kernels ? a->kernels : kernels_here(),
                      .a = *a->view,
                      .rows = a->view->shape[0],
                      .cols = a->view->shape[1],
                      .width = panels[0].cols,
                      .scale = a->scale,
                      .x = panels[0].data,
                      .out = panels[1].data };
    const int32_t threads = ecki_threads(context);
    const int64_t rows = panel_rows(&job);
    int64_t each = 0, panel = 0, laid = 0, count = 0;
    ECK_REQUIRE(ecki_mul(full_cols(&job), job.width, &each), ECK_E_NOMEM, -1,
                "not enough memory for a product");
    job.groups = groups_of(job.rows, (double)each);
    job.rows_each = padded((job.rows + job.groups - 1) / job.groups, panel_rows(&job));
    job.groups = (job.rows + job.rows_each - 1) / job.rows_each;
    const int32_t tasks = (int32_t)ecki_min(threads, job.groups);
    ECK_REQUIRE(ecki_mul(each, job.groups, &count) &&
                    ecki_mul(rows, full_cols(&job) + 3 * job.width, &panel) &&
                    ecki_mul(job.kernels->group ? 3 : 0, each / 2, &laid) &&
                    ecki_add(count, panel * tasks + laid, &count),
                ECK_E_NOMEM, -1, "not enough memory for a product");
    job.z = ecki_room_take(room, count, sizeof *job.z);
    ECK_HAVE(job.z);
    ecki_pool_lend(&job.panels, (double *)(job.z + each * job.groups), panel / 2, tasks);
    if (job.kernels->group) {
        job.laid = (uint32_t *)(job.z + each * job.groups + panel * tasks);
        job.kernels->lay(job.x, job.cols, job.width, job.laid);
    }
    ECK_TRY(ecki_parallel_for(job.groups, threads, group_task, &job, err));
    ECK_TRY(ecki_parallel_for((job.cols + REDUCE - 1) / REDUCE, threads, reduce_task, &job, err));
done:
    return status;
}

double ecki_fused_memory(double rows, double cols, double width, int32_t threads)
{
    const double groups = (double)groups_of((int64_t)fmin(rows, 1e15), cols * width);
    const double most = cols + ECKI_TILED_COLS; // made up
    return 0.5 * ((groups + 1.5) * most * width +
                  (double)threads * WIDE_ROWS * (most + 3.0 * width)) +
           1024.0;
}

// Asks for the columns from `col` on, which will be packed next, while those before are multiplied.
static void fetch_part(const fused_job *job, int64_t row, int64_t rows, int64_t col)
{
    const int64_t size = eck_dtype_bits(job->a.dtype) / 8,
                  bytes = ecki_min(APPLY_COLS, job->cols - col) * size;
    for (int64_t i = 0; i < rows; i++) {
        const char *const line = rows_of(job, row + i, 1, col, 1).data;
        for (int64_t at = 0; at < bytes; at += 64)
            __builtin_prefetch(line + at, 0, 2);
    }
}

// Rows of out = scale a x in F64.
static eck_status apply_task(void *self, int64_t index, eck_error *err)
{
    const fused_job *const job = self;
    eck_status status = ECK_OK;
    double *packed = NULL, *y = NULL;
    const int64_t row = index * APPLY_ROWS, rows = ecki_min(APPLY_ROWS, job->rows - row);
    const int64_t full = padded(rows, ECKI_FUSED_ROWS);
    ECK_ALLOC(y, full * job->width);
    ECK_ALLOC_RAW(packed, full * APPLY_COLS);
    for (int64_t j = 0; j < job->cols; j += APPLY_COLS) {
        const ecki_fused_rows from =
            rows_of(job, row, rows, j, ecki_min(APPLY_COLS, job->cols - j));
        const ecki_fused_tile tile = {
            .packed = packed, .rows = full, .cols = from.cols, .width = job->width
        };
        job->kernels->pack_f64(&from, full, packed);
        fetch_part(job, row, rows, j + APPLY_COLS);
        job->kernels->inner_f64(&tile, job->wide_x + j * job->width, y);
    }
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < job->wide_out.cols; j++)
            ((double *)job->wide_out.data)[(row + i) * job->wide_out.ld + j] =
                y[i * job->width + j] * job->scale;
done:
    ecki_free(packed);
    ecki_free(y);
    return status;
}

eck_status ecki_fused_apply(const eck_view *view, double scale, const eck_panel panels[2],
                            const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_panel x = panels[0];
    fused_job job = { .kernels = kernels_here(),
                      .a = *view,
                      .rows = view->shape[0],
                      .cols = view->shape[1],
                      .width = (x.cols + 7) / 8 * 8,
                      .scale = scale,
                      .wide_out = panels[1] };
    double *copy = NULL;
    int64_t count = 0;
    job.wide_x = x.data;
    if (job.width != x.ld || job.width != x.cols) { // columns of zeros make up the last vector
        ECK_REQUIRE(ecki_mul(job.cols, job.width, &count), ECK_E_NOMEM, -1,
                    "not enough memory for a product");
        ECK_ALLOC(copy, count);
        for (int64_t i = 0; i < job.cols; i++)
            memcpy(copy + i * job.width, (const double *)x.data + i * x.ld,
                   (size_t)x.cols * sizeof *copy);
        job.wide_x = copy;
    }
    ECK_TRY(ecki_parallel_for((job.rows + APPLY_ROWS - 1) / APPLY_ROWS, ecki_threads(context),
                              apply_task, &job, err));
done:
    ecki_free(copy);
    return status;
}
