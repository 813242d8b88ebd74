// Stage 1: a symmetric matrix becomes a band, panel by panel. Of panel p (columns [p b, p b + b)) the rows from
// r0 = (p+1) b on are factored, P = Q R with Q = I - V T V^T, and the rest becomes
//
//     Q^T A Q = A - V W^T - W V^T,    W = Y - 1/2 V (T^T V^T Y),    Y = A V T.
//
// Only the triangle i >= j is kept, in tiles whose borders are multiples of TILE; the tiles on the diagonal are kept
// whole, so that every product is one of plain rectangles. Always true: a task writes to a tile of its own, and sums
// over tiles are taken in their order, so that the bits do not depend on threads.
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "linalg/real.h"
#include "linalg/two_stage.h"

enum { B = ECKI_BAND, S = ECKI_BAND_STRIDE, TILE = 256, APPLY_ROWS = 64, PAD = 8 };

// One reduction on its way; rows of u, z and y are those of A from `first` on.
typedef struct band_job {
    real *a;
    int64_t n, first;
    real *
        column; // [m,b] column-major, columns a few numbers apart lest all meet in one set of the cache
    real *u; // [m,2b]: V and W
    real *z; // [m,2b]: W and V
    real *y; // [m,b]
    real *partial; // [tiles,b,b]: V^T Y of each tile of rows
    real *t; // [b,b]
    real *half; // [b,b]: 1/2 T^T V^T Y
    real tau[B];
} band_job;

static real *at(const band_job *job, int64_t row, int64_t col)
{
    return job->a + row * job->n + col;
}

// Rows of tile `index` that lie at or after `first`.
static int64_t tile_begin(const band_job *job, int64_t index)
{
    return ecki_max(index * TILE, job->first);
}

static int64_t tile_end(const band_job *job, int64_t index)
{
    return ecki_min((index + 1) * TILE, job->n);
}

// Tiles that hold rows from `first` on: [first / TILE, tiles).
static int64_t tile_count(const band_job *job)
{
    return (job->n + TILE - 1) / TILE - job->first / TILE;
}

// The triangle above the diagonal, in the tiles on it.
static void mirror_diagonal(real *a, int64_t n)
{
    for (int64_t first = 0; first < n; first += TILE) {
        const int64_t end = ecki_min(first + TILE, n);
        for (int64_t i = first; i < end; i++)
            for (int64_t j = i + 1; j < end; j++)
                a[i * n + j] = a[j * n + i];
    }
}

// The block on the diagonal above `first`, final by now.
static void keep_diagonal(real *band, const band_job *job, int64_t start)
{
    for (int64_t j = start; j < ecki_min(job->first, job->n); j++)
        for (int64_t i = j; i < ecki_min(job->first, job->n); i++)
            band[j * S + i] = job->a[i * job->n + j];
}

// P = Q R: R goes to the band, V to u and in the place of P.
static eck_status factor_panel(real *band, band_job *job, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t m = job->n - job->first, start = job->first - B, count = ecki_min(m, B);
    const int64_t ld = m + PAD - m % PAD + PAD;
    memset(job->tau, 0, sizeof job->tau);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < B; j++)
            job->column[j * ld + i] = *at(job, job->first + i, start + j);
    ECK_TRY(ECKI_FN(ecki_geqrf)(job->column, m, B, ld, job->tau, err));
    for (int64_t j = 0; j < B; j++)
        for (int64_t i = 0; i <= ecki_min(j, m - 1); i++)
            band[(start + j) * S + job->first + i] = job->column[j * ld + i];
    for (int64_t i = 0; i < m; i++) {
        real *const row = job->u + i * 2 * B;
        for (int64_t j = 0; j < B; j++)
            row[j] = i > j && j < count ? job->column[j * ld + i] : i == j ? 1.0 : 0.0;
        memcpy(at(job, job->first + i, start), row, B * sizeof *row);
    }
done:
    return status;
}

// T of the panel.
static eck_status find_triangle(band_job *job, eck_error *err)
{
    const ecki_factor v = ecki_block(job->u, job->n - job->first, B, 2 * B);
    const eck_status status =
        ecki_multiply(1.0, ecki_turned(v), v, 0.0, ecki_place(job->half, B, B, B), err);
    if (status == ECK_OK) ECKI_FN(ecki_reflector_triangle)(job->t, job->half, job->tau, B);
    return status;
}

// Rows of a tile: X = A V, kept in z; Y = X T; and V^T Y of these rows.
static eck_status multiply_task(void *self, int64_t index, eck_error *err)
{
    const band_job *const job = self;
    eck_status status = ECK_OK;
    const int64_t tile = job->first / TILE + index, n = job->n;
    const int64_t begin = tile_begin(job, tile), end = tile_end(job, tile), rows = end - begin;
    real *const v = job->u + (begin - job->first) * 2 * B;
    real *const y = job->y + (begin - job->first) * B;
    const eck_panel x = ecki_place(job->z + (begin - job->first) * 2 * B, rows, B, 2 * B);
    ECK_TRY(ecki_multiply(1.0, ecki_block(at(job, begin, job->first), rows, end - job->first, n),
                          ecki_block(job->u, end - job->first, B, 2 * B), 0.0, x, err));
    const ecki_factor below = ecki_block(at(job, end, begin), n - end, rows, n);
    if (end < n)
        ECK_TRY(ecki_multiply(1.0, ecki_turned(below),
                              ecki_block(job->u + (end - job->first) * 2 * B, n - end, B, 2 * B),
                              1.0, x, err));
    ECK_TRY(ecki_multiply(1.0, ecki_whole(x), ecki_block(job->t, B, B, B), 0.0,
                          ecki_place(y, rows, B, B), err));
    ECK_TRY(ecki_multiply(1.0, ecki_turned(ecki_block(v, rows, B, 2 * B)),
                          ecki_block(y, rows, B, B), 0.0,
                          ecki_place(job->partial + index * B * B, B, B, B), err));
done:
    return status;
}

// half = 1/2 T^T sum of V^T Y over the tiles in their order.
static eck_status add_partials(band_job *job, eck_error *err)
{
    real *const sum = job->partial;
    for (int64_t tile = 1; tile < tile_count(job); tile++)
        for (int64_t i = 0; i < B * B; i++)
            sum[i] += job->partial[tile * B * B + i];
    return ecki_multiply(0.5, ecki_turned(ecki_block(job->t, B, B, B)), ecki_block(sum, B, B, B),
                         0.0, ecki_place(job->half, B, B, B), err);
}

// Rows of a tile: W = Y - V half; u = [V W], z = [W V].
static eck_status combine_task(void *self, int64_t index, eck_error *err)
{
    const band_job *const job = self;
    eck_status status = ECK_OK;
    const int64_t tile = job->first / TILE + index;
    const int64_t begin = tile_begin(job, tile) - job->first,
                  end = tile_end(job, tile) - job->first;
    ECK_TRY(ecki_multiply(-1.0, ecki_block(job->u + begin * 2 * B, end - begin, B, 2 * B),
                          ecki_block(job->half, B, B, B), 1.0,
                          ecki_place(job->y + begin * B, end - begin, B, B), err));
    for (int64_t i = begin; i < end; i++) {
        real *const u = job->u + i * 2 * B, *const z = job->z + i * 2 * B;
        memcpy(u + B, job->y + i * B, B * sizeof *u);
        memcpy(z, job->y + i * B, B * sizeof *z);
        memcpy(z + B, u, B * sizeof *z);
    }
done:
    return status;
}

// One tile of the triangle: A -= [V W] [W V]^T.
static eck_status update_task(void *self, int64_t index, eck_error *err)
{
    const band_job *const job = self;
    int64_t row = 0, col = index;
    while (col > row)
        col -= ++row;
    row += job->first / TILE;
    col += job->first / TILE;
    const int64_t i = tile_begin(job, row), rows = tile_end(job, row) - i;
    const int64_t j = tile_begin(job, col), cols = tile_end(job, col) - j;
    const ecki_factor u = ecki_block(job->u + (i - job->first) * 2 * B, rows, 2 * B, 2 * B);
    const ecki_factor z = ecki_block(job->z + (j - job->first) * 2 * B, cols, 2 * B, 2 * B);
    return ecki_multiply(-1.0, u, ecki_turned(z), 1.0,
                         ecki_place(at(job, i, j), rows, cols, job->n), err);
}

// Everything below and right of one panel.
static eck_status reduce_panel(real *band, band_job *job, int32_t threads, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t tiles = tile_count(job);
    ECK_TRY(factor_panel(band, job, err));
    ECK_TRY(find_triangle(job, err));
    ECK_TRY(ecki_parallel_for(tiles, threads, multiply_task, job, err));
    ECK_TRY(add_partials(job, err));
    ECK_TRY(ecki_parallel_for(tiles, threads, combine_task, job, err));
    ECK_TRY(ecki_parallel_for(tiles * (tiles + 1) / 2, threads, update_task, job, err));
done:
    return status;
}

static void band_job_clear(band_job *job)
{
    ecki_free(job->half);
    ecki_free(job->t);
    ecki_free(job->partial);
    ecki_free(job->y);
    ecki_free(job->z);
    ecki_free(job->u);
    ecki_free(job->column);
}

static eck_status band_job_init(band_job *job, real *a, int64_t n, eck_error *err)
{
    eck_status status = ECK_OK;
    memset(job, 0, sizeof *job);
    job->a = a;
    job->n = n;
    ECK_ALLOC_RAW(job->column, (n + 2 * PAD) * B);
    ECK_ALLOC_RAW(job->u, n * 2 * B);
    ECK_ALLOC_RAW(job->z, n * 2 * B);
    ECK_ALLOC_RAW(job->y, n * B);
    ECK_ALLOC_RAW(job->partial, (n / TILE + 1) * B * B);
    ECK_ALLOC_RAW(job->t, B * B);
    ECK_ALLOC_RAW(job->half, B * B);
done:
    return status;
}

eck_status ECKI_FN(ecki_band_reduce)(real *band, real *a, int64_t n, real *panel_t,
                                     const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    band_job job;
    const int32_t threads = ecki_threads(context), saved = ecki_blas_enter(1);
    ECK_TRY(band_job_init(&job, a, n, err));
    mirror_diagonal(a, n);
    for (int64_t start = 0; start < n; start += B) {
        job.first = start + B;
        keep_diagonal(band, &job, start);
        if (job.first >= n) break;
        ECK_TRY(ecki_progress(context, "reduce", start, n, err));
        ECK_TRY(reduce_panel(band, &job, threads, err));
        if (panel_t) memcpy(panel_t + start * B, job.t, B * B * sizeof *job.t);
    }
done:
    band_job_clear(&job);
    ecki_blas_leave(saved);
    return status;
}

// A panel's place in front ends above the rows that any later panel lies in.
void ECKI_FN(ecki_band_pack)(real *a, int64_t n)
{
    real *to = a;
    for (int64_t first = B; first < n; first += B)
        for (int64_t i = first; i < n; i++) {
            memmove(to, a + i * n + first - B, B * sizeof *to);
            to += B;
        }
}

// What the tasks that apply Q1 share.
typedef struct apply_job {
    real *z;
    int64_t k, n;
    const real *store;
    real *work; // [rows of z, 2b]
} apply_job;

// Some rows of z: Z -= ((Z V) T^T) V^T, panels from the last.
static eck_status apply_task(void *self, int64_t index, eck_error *err)
{
    const apply_job *const job = self;
    eck_status status = ECK_OK;
    const int64_t n = job->n, row = index * APPLY_ROWS, rows = ecki_min(APPLY_ROWS, job->k - row);
    const ecki_two_stage_layout layout = ecki_two_stage_layout_of(n);
    real *const work = job->work + row * 2 * B;
    const eck_panel left = ecki_place(work, rows, B, B),
                    right = ecki_place(work + rows * B, rows, B, B);
    const real *v = job->store + layout.panel_t; // the end of the panels
    for (int64_t panel = (n - 1) / B - 1; panel >= 0; panel--) {
        const int64_t first = (panel + 1) * B, m = n - first;
        real *const z = job->z + row * n + first;
        v -= m * B;
        const ecki_factor t = ecki_block(job->store + layout.panel_t + panel * B * B, B, B, B);
        ECK_TRY(
            ecki_multiply(1.0, ecki_block(z, rows, m, n), ecki_block(v, m, B, B), 0.0, left, err));
        ECK_TRY(ecki_multiply(1.0, ecki_whole(left), ecki_turned(t), 0.0, right, err));
        ECK_TRY(ecki_multiply(-1.0, ecki_whole(right), ecki_turned(ecki_block(v, m, B, B)), 1.0,
                              ecki_place(z, rows, m, n), err));
    }
done:
    return status;
}

eck_status ECKI_FN(ecki_band_apply)(real *z, int64_t k, const real *store, int64_t n,
                                    const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    apply_job job = { z, k, n, store, NULL };
    const int64_t tasks = (k + APPLY_ROWS - 1) / APPLY_ROWS;
    ECK_ALLOC_RAW(job.work, k * 2 * B);
    ECK_TRY(ecki_parallel_for(tasks, ecki_threads(context), apply_task, &job, err));
done:
    ecki_free(job.work);
    return status;
}
