// Copies of stored matrices in the layout their products want. Always true: every number is the one that was stored, so that
// results do not tell where a matrix lay.
#include "linalg/held.h"

#include <string.h>

#include "base/checked.h"
#include "base/compiler.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "linalg/op.h"
#include "linalg/pool.h"
#include "tensor/codec.h"

// Vectors of LONG numbers and more, sixteen and their products together, leave the second cache between two panels; where the
// other side is shorter by a third, the copy is paid for by a few products.
enum { LONG = 8192 };

// Tiles have LINES rows, or about NUMBERS numbers where rows stay rows; WIDTH columns of what lies in memory, RUN of a file, and
// SKEW unused numbers a row, so that rows do not fall on each other in the cache. They are turned SQUARE by SQUARE.
enum {
    LINES = ECKI_TURN_ROWS,
    NUMBERS = 1 << 16,
    WIDTH = 1024,
    RUN = 1 << 14,
    SKEW = ECKI_TURN_SKEW,
    SQUARE = 16
};

static bool too_long(int64_t length, int64_t other)
{
    return length >= LONG && length / 3 * 2 >= other;
}

bool ecki_held_turned(int64_t rows, int64_t cols)
{
    return too_long(cols, rows);
}

ecki_holding ecki_hold_plan(const eck_operator *a)
{
    const ecki_holding none = { 0, false };
    const eck_operator_info *const info = &a->info;
    int64_t count = 0, bytes = 0;
    if (!a->stored || eck_dtype_bits(info->storage) > 32 ||
        !ecki_mul(info->rows, info->cols, &count) || count == 0 ||
        !ecki_dtype_bytes(info->storage, count, &bytes) || bytes > ECKI_HELD_MOST)
        return none;
    const bool wide = too_long(info->cols, info->rows), tall = too_long(info->rows, info->cols);
    if (!a->view) return (ecki_holding){ bytes, wide };
    const bool by_columns = a->view->stride[0] == 1 && a->view->stride[1] != 1;
    if (by_columns ? !tall : !wide) return none;
    return (ecki_holding){ bytes, !by_columns };
}

// What the tasks share.
typedef struct hold_job {
    const eck_operator *a;
    bool by_columns;
    int64_t lines, width, ld; // of a tile of rows
    int64_t across; // tiles side by side
    ecki_pool pool; // for each thread: a tile
    char *out;
} hold_job;

// Sixteen rows, `ld` apart, become sixteen lines: blocks of 8, 4, 2 and 1 lanes change places between rows.
ECKI_CLONES static void turn_square(float *line, const float *tile, int64_t ld)
{
    ecki_f32x16 row[SQUARE];
    for (int i = 0; i < SQUARE; i++)
        row[i] = *(const ecki_f32x16 *)(tile + i * ld);
#define SWAP(half, low, high) \
    for (int i = 0; i < SQUARE; i++) { \
        if (i & (half)) continue; \
        const ecki_f32x16 a = row[i], b = row[i + (half)]; \
        row[i] = ECKI_SHUFFLE(ecki_i32x16, a, b, low); \
        row[i + (half)] = ECKI_SHUFFLE(ecki_i32x16, a, b, high); \
    }
#define LANES(...) __VA_ARGS__
    SWAP(8, LANES(0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23),
         LANES(8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31))
    SWAP(4, LANES(0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27),
         LANES(4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31))
    SWAP(2, LANES(0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29),
         LANES(2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31))
    SWAP(1, LANES(0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30),
         LANES(1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31))
#undef LANES
#undef SWAP
    for (int j = 0; j < SQUARE; j++)
        *(ecki_f32x16 *)(line + j * LINES) = row[j];
}

// What stands beside the edges of the tile is turned too, and left in the room.
void ecki_turn_tile(char *out, int64_t step, eck_dtype dtype, eck_panel tile)
{
    float line[SQUARE * LINES];
    for (int64_t j0 = 0; j0 < tile.cols; j0 += SQUARE) {
        const int64_t end = ecki_min(SQUARE, tile.cols - j0);
        for (int64_t i = 0; i < tile.rows; i += SQUARE)
            turn_square(line + i, (const float *)tile.data + i * tile.ld + j0, tile.ld);
        for (int64_t j = 0; j < end; j++)
            ecki_round_f32(dtype, line + j * LINES, out + (j0 + j) * step, tile.rows);
    }
}

static void copy_tile(const hold_job *job, eck_panel tile, const int64_t at[2])
{
    const eck_dtype dtype = job->a->info.storage;
    const int64_t size = eck_dtype_bits(dtype) / 8, cols = job->a->info.cols;
    for (int64_t i = 0; i < tile.rows; i++)
        ecki_round_f32(dtype, (const float *)tile.data + i * tile.ld,
                       job->out + ((at[0] + i) * cols + at[1]) * size, tile.cols);
}

static eck_status hold_task(void *self, int64_t index, eck_error *err)
{
    hold_job *const job = self;
    const eck_operator_info *const info = &job->a->info;
    eck_status status = ECK_OK;
    const int64_t at[2] = { index / job->across * job->lines, index % job->across * job->width };
    double *const buffer = ecki_pool_take(&job->pool);
    const int64_t size = eck_dtype_bits(info->storage) / 8;
    const eck_panel tile = { buffer, ECK_DTYPE_F32, ecki_min(job->lines, info->rows - at[0]),
                             ecki_min(job->width, info->cols - at[1]), job->ld };
    ECK_TRY(eck_operator_read(job->a, at[0], at[1], tile, err));
    if (job->by_columns)
        ecki_turn_tile(job->out + (at[1] * info->rows + at[0]) * size, info->rows * size,
                       info->storage, tile);
    else
        copy_tile(job, tile, at);
done:
    ecki_pool_give(&job->pool, buffer);
    return status;
}

// Long runs of a file, which are read in one go; tiles of what lies in memory.
static void cut_tiles(hold_job *job)
{
    const eck_operator_info *const info = &job->a->info;
    job->width = ecki_min(job->a->view ? WIDTH : RUN, info->cols);
    job->lines = job->by_columns ? LINES : ecki_max(1, ecki_min(LINES, NUMBERS / job->width));
    job->ld = job->width + SKEW;
    job->across = (info->cols + job->width - 1) / job->width;
}

// Numbers of 8 bytes of a thread's tile.
static int64_t buffer_of(const hold_job *job)
{
    return (job->lines * job->ld + 1) / 2;
}

double ecki_held_tiles(const eck_operator *a, double threads)
{
    hold_job job = { .a = a, .by_columns = true };
    cut_tiles(&job);
    return threads * (double)buffer_of(&job);
}

eck_status ecki_held_make(ecki_held *out, const eck_operator *a, ecki_holding plan,
                          const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_operator_info *const info = &a->info;
    hold_job job = { .a = a, .by_columns = plan.by_columns };
    ecki_held held = { NULL, NULL };
    cut_tiles(&job);
    const int64_t tiles = (info->rows + job.lines - 1) / job.lines * job.across;
    const int32_t threads = (int32_t)ecki_max(1, ecki_min(ecki_threads(context), tiles));
    ECK_ALLOC_RAW(job.out, plan.bytes);
    held.numbers = job.out;
    ECK_TRY(ecki_pool_init(&job.pool, buffer_of(&job), threads, err));
    ECK_TRY(ecki_parallel_for(tiles, threads, hold_task, &job, err));
    eck_view view = eck_view_matrix(held.numbers, info->storage, info->rows, info->cols);
    if (plan.by_columns)
        view = eck_view_transposed(
            eck_view_matrix(held.numbers, info->storage, info->cols, info->rows));
    ECK_TRY(eck_operator_dense(&held.op, view, err));
    ECK_TRY(ecki_operator_rename(held.op, a->name, err));
    *out = held;
    held = (ecki_held){ NULL, NULL };
done:
    ecki_pool_clear(&job.pool);
    ecki_held_clear(&held);
    return status;
}

void ecki_held_clear(ecki_held *held)
{
    eck_operator_free(held->op);
    ecki_free(held->numbers);
    *held = (ecki_held){ NULL, NULL };
}
