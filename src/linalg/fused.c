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
    APPLY_COLS = 256
};
#define GROUP_NUMBERS 3e7

#define KERNELS(build) \
    { \
#build, ecki_fused_pack_f32_##build, ecki_fused_inner_f32_##build, \
            ecki_fused_outer_f32_##build, ecki_fused_pack_f64_##build, \
            ecki_fused_inner_f64_##build \
    }
static const ecki_fused_kernels PORTABLE = KERNELS(portable);
#if defined(__x86_64__)
static const ecki_fused_kernels AVX2 = KERNELS(avx2), AVX512 = KERNELS(avx512);
#endif

const ecki_fused_kernels *ecki_fused_kernels_of(const ecki_cpu *cpu)
{
#if defined(__x86_64__)
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
    float *out;
    const double *wide_x; // [cols,width], of the F64 product
    eck_panel wide_out;
} fused_job;

// Both products of a panel want it, and the wider their results the more rows have to share going through these.
static int64_t panel_rows(int64_t width)
{
    return width <= 16 ? PANEL_ROWS : WIDE_ROWS;
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

static ecki_fused_rows rows_of(const fused_job *job, int64_t row, int64_t count, int64_t col,
                               int64_t cols)
{
    const int64_t size = eck_dtype_bits(job->a.dtype) / 8;
    const char *const data = (const char *)job->a.data + (row * job->a.stride[0] + col) * size;
    return (ecki_fused_rows){ data, job->a.dtype, job->a.stride[0], count, cols };
}

// y = scale^2 a x, z += a^T y for one packed panel.
static void panel_products(const fused_job *job, const ecki_fused_tile *panel, float *y, float *z)
{
    const int64_t count = panel->rows * job->width;
    memset(y, 0, (size_t)count * sizeof *y);
    const int64_t cols = padded(ecki_max(X_NUMBERS / job->width, 1), ECKI_FUSED_COLS);
    for (int64_t j = 0; j < job->cols; j += cols) {
        ecki_fused_tile tile = *panel;
        tile.packed = (const float *)panel->packed + j * panel->rows;
        tile.cols = ecki_min(cols, job->cols - j);
        job->kernels->inner(&tile, job->x + j * job->width, y);
    }
    const float scale = (float)(job->scale * job->scale);
    for (int64_t i = 0; scale != 1.0F && i < count; i++)
        y[i] *= scale;
    job->kernels->outer(panel, y, z);
}

static eck_status group_task(void *self, int64_t index, eck_error *err)
{
    const fused_job *const job = self;
    eck_status status = ECK_OK;
    float *packed = NULL, *y = NULL;
    const int64_t cols = padded(job->cols, ECKI_FUSED_COLS), each = panel_rows(job->width);
    float *const z = job->z + index * cols * job->width;
    const int64_t first = index * job->rows_each, end = ecki_min(first + job->rows_each, job->rows);
    ECK_ALLOC_RAW(y, each * job->width);
    ECK_ALLOC_RAW(packed, each * cols);
    memset(z, 0, (size_t)(cols * job->width) * sizeof *z);
    for (int64_t row = first; row < end; row += each) {
        const int64_t rows = ecki_min(each, end - row), full = padded(rows, ECKI_FUSED_ROWS);
        const ecki_fused_rows from = rows_of(job, row, rows, 0, job->cols);
        const ecki_fused_tile panel = { packed, full, job->cols, job->width };
        job->kernels->pack(&from, full, packed);
        panel_products(job, &panel, y, z);
    }
done:
    ecki_free(packed);
    ecki_free(y);
    return status;
}

// out = the groups' results, added in their order.
static eck_status reduce_task(void *self, int64_t index, eck_error *err)
{
    const fused_job *const job = self;
    const int64_t total = padded(job->cols, ECKI_FUSED_COLS) * job->width;
    const int64_t first = index * REDUCE * job->width;
    const int64_t count = ecki_min(REDUCE, job->cols - index * REDUCE) * job->width;
    float *const out = job->out + first;
    (void)err;
    memcpy(out, job->z + first, (size_t)count * sizeof *out);
    for (int64_t g = 1; g < job->groups; g++) {
        const float *const part = job->z + g * total + first;
        for (int64_t i = 0; i < count; i++)
            out[i] += part[i];
    }
    return ECK_OK;
}

eck_status ecki_fused_normal(const eck_view *view, double scale, const eck_panel panels[2],
                             const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    fused_job job = { .kernels = kernels_here(),
                      .a = *view,
                      .rows = view->shape[0],
                      .cols = view->shape[1],
                      .width = panels[0].cols,
                      .scale = scale,
                      .x = panels[0].data,
                      .out = panels[1].data };
    const int32_t threads = ecki_threads(context);
    int64_t each = 0, count = 0;
    ECK_REQUIRE(ecki_mul(padded(job.cols, ECKI_FUSED_COLS), job.width, &each), ECK_E_NOMEM, -1,
                "not enough memory for a product");
    job.groups = groups_of(job.rows, (double)each);
    job.rows_each = padded((job.rows + job.groups - 1) / job.groups, panel_rows(job.width));
    job.groups = (job.rows + job.rows_each - 1) / job.rows_each;
    ECK_REQUIRE(ecki_mul(each, job.groups, &count), ECK_E_NOMEM, -1,
                "not enough memory for a product");
    ECK_ALLOC_RAW(job.z, count);
    ECK_TRY(ecki_parallel_for(job.groups, threads, group_task, &job, err));
    ECK_TRY(ecki_parallel_for((job.cols + REDUCE - 1) / REDUCE, threads, reduce_task, &job, err));
done:
    ecki_free(job.z);
    return status;
}

double ecki_fused_memory(double rows, double cols, double width, int32_t threads)
{
    const double groups = (double)groups_of((int64_t)fmin(rows, 1e15), cols * width);
    return 0.5 * (groups * cols * width + (double)threads * WIDE_ROWS * (cols + width)) + 1024.0;
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
        const ecki_fused_tile tile = { packed, full, from.cols, job->width };
        job->kernels->pack_f64(&from, full, packed);
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
