/** The difference of two layers: operators, sums, rounding noise. */
#include "model/difference.h"

#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/compiler.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "linalg/held.h"
#include "linalg/op.h"
#include "linalg/pool.h"
#include "model/adapter_parts.h"
#include "tensor/codec.h"

enum {
    LANES = 16,
    PANEL_NUMBERS = 1 << 15,
    TURN_WIDTH = 4096, // columns of a tile that is turned: runs of 8 KiB of a file of BF16
    HELD_BYTES = 1 << 29 // of a difference in memory: 16384 x 8192
};

eck_status ecki_difference_open(ecki_difference_pair *out, const eck_model *base, int64_t layer,
                                const eck_model *tuned, int64_t entry, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_difference_pair pair = { 0 };
    const eck_layer *l = &base->layers[layer].view;

    ECK_TRY(eck_model_layer_operator(&pair.base, base, layer, err));
    ECK_TRY(ecki_tensor_operator(&pair.tuned, tuned, entry, l->dense.out,
                                 ecki_stage_columns(&l->dense), l->stored_transposed, err));
    ECK_TRY(eck_operator_sum(&pair.difference, (const eck_operator *[]){ pair.tuned, pair.base },
                             (double[]){ 1, -1 }, 2, err));
    *out = pair;
    memset(&pair, 0, sizeof pair);
done:
    ecki_difference_close(&pair);
    return status;
}

void ecki_difference_close(ecki_difference_pair *pair)
{
    eck_operator_free(pair->difference);
    eck_operator_free(pair->tuned);
    eck_operator_free(pair->base);
    memset(pair, 0, sizeof *pair);
}

/** Numbers of a type around x lie the larger of epsilon 2^floor(log2 |x|) and `least` apart; both 0: never noise. */
typedef struct spacing {
    double epsilon, least;
} spacing;

static spacing spacing_of(eck_dtype dtype)
{
    const double epsilon = eck_dtype_epsilon(dtype);
    // smallest exponent with full precision: -126 for F32 and BF16, -14 for F16
    const int lowest = dtype == ECK_DTYPE_F16 ? -14 : -126;

    if (dtype == ECK_DTYPE_F64) return (spacing){ 0, 0 };
    return (spacing){ epsilon, ldexp(epsilon, lowest) };
}

/** 2^floor(log2 |x|): x without its sign and its mantissa. */
static inline double power_below(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits &= UINT64_C(0x7ff) << 52;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline double spacing_at(spacing s, double x)
{
    const double there = s.epsilon * power_below(x);
    return there > s.least ? there : s.least;
}

double ecki_spacing(eck_dtype dtype, double x)
{
    return spacing_at(spacing_of(dtype), x);
}

typedef struct scanning {
    const ecki_difference_pair *pair;
    int64_t height;
    ecki_difference_sums *sums; /**< one a panel, added in order */
    spacing base, tuned;
    bool narrow; /**< numbers of both are read as F32, which holds them */
    ecki_pool panels; /**< for each thread: two panels */
} scanning;

/** Numbers of both sides of a panel. */
typedef struct sides {
    const double *x, *y; /**< of the base, of the tuned one */
    int64_t count;
} sides;

/** Adds the sums over a panel. Number i goes to lane i mod LANES, so that the order does not depend on the build. */
ECKI_CLONES static void add_sums(ecki_difference_sums *out, const scanning *job, sides s)
{
    const spacing base = job->base, tuned = job->tuned;
    double xx[LANES] = { 0 }, yy[LANES] = { 0 }, dd[LANES] = { 0 }, noise[LANES] = { 0 };
    double changed[LANES] = { 0 };
    const int64_t whole = s.count / LANES * LANES;

    for (int64_t i = 0; i < s.count; i += LANES) {
        const int64_t some = i < whole ? LANES : s.count - whole;
#pragma omp simd
        for (int64_t l = 0; l < some; l++) {
            const double x = s.x[i + l], y = s.y[i + l], d = y - x;
            const double one = spacing_at(base, x), other = spacing_at(tuned, y);
            const double ulp = one > other ? one : other;
            xx[l] += x * x;
            yy[l] += y * y;
            dd[l] += d * d;
            noise[l] += ulp * ulp;
            changed[l] += d != 0 ? 1.0 : 0.0;
        }
    }
    for (int64_t l = 0; l < LANES; l++) {
        out->base += xx[l];
        out->tuned += yy[l];
        out->difference += dd[l];
        out->noise += noise[l] / 12;
        out->changed += (int64_t)changed[l];
    }
}

/** The same of F32 numbers, widened a piece at a time. */
static void add_narrow_sums(ecki_difference_sums *out, const scanning *job, const float *x,
                            const float *y, int64_t count)
{
    enum { PIECE = 1024 };
    double wide_x[PIECE], wide_y[PIECE];

    for (int64_t at = 0; at < count; at += PIECE) {
        const sides piece = { wide_x, wide_y, ecki_min(PIECE, count - at) };
        ecki_widen_f64(ECK_DTYPE_F32, x + at, 1, wide_x, piece.count);
        ecki_widen_f64(ECK_DTYPE_F32, y + at, 1, wide_y, piece.count);
        add_sums(out, job, piece);
    }
}

static eck_status scan_panel(void *self, int64_t index, eck_error *err)
{
    eck_status status = ECK_OK;
    scanning *job = self;
    const eck_operator_info *b = eck_operator_get_info(job->pair->base);
    const int64_t row = index * job->height, rows = ecki_min(job->height, b->rows - row);
    const int64_t count = rows * b->cols;
    const eck_dtype dtype = job->narrow ? ECK_DTYPE_F32 : ECK_DTYPE_F64;
    double *const x = ecki_pool_take(&job->panels), *const y = x + job->panels.each / 2;
    ecki_difference_sums sums = { 0 };

    ECK_TRY(eck_operator_read(job->pair->base, row, 0, ecki_panel(x, dtype, rows, b->cols), err));
    ECK_TRY(eck_operator_read(job->pair->tuned, row, 0, ecki_panel(y, dtype, rows, b->cols), err));
    if (job->narrow)
        add_narrow_sums(&sums, job, (const float *)x, (const float *)y, count);
    else
        add_sums(&sums, job, (sides){ x, y, count });
    ECK_REQUIRE(isfinite(sums.difference), ECK_E_NONFINITE, -1, "layer '%s' holds NaN or infinity",
                b->name);
    job->sums[index] = sums;
done:
    ecki_pool_give(&job->panels, x);
    return status;
}

/** Rows of a panel of work, so that it stays in cache. */
static int64_t panel_height(const eck_operator_info *info)
{
    return ecki_max(1, PANEL_NUMBERS / ecki_max(1, info->cols));
}

/** True if both sides are read exactly as F32. */
static bool narrow(const ecki_difference_pair *pair)
{
    return eck_dtype_bits(eck_operator_get_info(pair->base)->storage) <= 32 &&
           eck_dtype_bits(eck_operator_get_info(pair->tuned)->storage) <= 32;
}

eck_status ecki_difference_scan(ecki_difference_sums *out, const ecki_difference_pair *pair,
                                const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_operator_info *info = eck_operator_get_info(pair->base);
    const int64_t height = panel_height(info);
    const int64_t panels = (info->rows + height - 1) / height;
    const int32_t threads = (int32_t)ecki_max(1, ecki_min(ecki_threads(context), panels));
    scanning job = { .pair = pair,
                     .height = height,
                     .base = spacing_of(info->storage),
                     .tuned = spacing_of(eck_operator_get_info(pair->tuned)->storage),
                     .narrow = narrow(pair) };
    ecki_difference_sums total = { 0 };

    ECK_ALLOC(job.sums, panels);
    ECK_TRY(ecki_pool_init(&job.panels, 2 * ecki_max(1, ecki_min(height, info->rows) * info->cols),
                           threads, err));
    ECK_TRY(ecki_parallel_for(panels, threads, scan_panel, &job, err));
    for (int64_t i = 0; i < panels; i++) {
        total.base += job.sums[i].base;
        total.tuned += job.sums[i].tuned;
        total.difference += job.sums[i].difference;
        total.noise += job.sums[i].noise;
        total.changed += job.sums[i].changed;
    }
    *out = total;
done:
    ecki_pool_clear(&job.panels);
    ecki_free(job.sums);
    return status;
}

/* ---- held ---------------------------------------------------------------------------------- */

/** Sums of squares of what rounding to F32 changed and of what is held, and the largest of that. */
typedef struct hold_sums {
    double rounded, norm2, max;
} hold_sums;

typedef struct holding {
    const ecki_difference_pair *pair;
    bool turned;
    int64_t height, width; /**< of a tile */
    int64_t across; /**< tiles side by side */
    ecki_pool panels; /**< for each thread: a tile of the base and one of the tuned, F32 */
    float *out;
    hold_sums *sums; /**< one a tile, added in order */
} holding;

/** Adds a row of out = y - x rounded to F32; the sums go through lanes, then the rows. */
static void subtract(hold_sums *sums, float *out, const float *x, const float *y, int64_t count)
{
    double rounded = 0, norm2 = 0;
    float max = 0;

#pragma omp simd reduction(+ : rounded, norm2) reduction(max : max)
    for (int64_t i = 0; i < count; i++) {
        const double d = (double)y[i] - (double)x[i];
        const float near = (float)d, size = fabsf(near);
        const double off = d - (double)near;
        out[i] = near;
        rounded += off * off;
        norm2 += (double)near * (double)near;
        max = size > max ? size : max;
    }
    sums->rounded += rounded;
    sums->norm2 += norm2;
    sums->max = fmax(sums->max, (double)max);
}

static eck_status hold_tile(void *self, int64_t index, eck_error *err)
{
    eck_status status = ECK_OK;
    holding *job = self;
    const eck_operator_info *info = eck_operator_get_info(job->pair->base);
    const int64_t row = index / job->across * job->height, col = index % job->across * job->width;
    double *const room = ecki_pool_take(&job->panels);
    hold_sums sums = { 0 };
    eck_panel x = { room, ECK_DTYPE_F32, ecki_min(job->height, info->rows - row),
                    ecki_min(job->width, info->cols - col), job->width + ECKI_TURN_SKEW };
    eck_panel y = x;

    y.data = room + job->panels.each / 2;
    if (!job->turned) { // rows are whole, and go where they belong
        x.ld = y.ld = info->cols;
        y.data = job->out + row * info->cols;
    }
    ECK_TRY(eck_operator_read(job->pair->base, row, col, x, err));
    ECK_TRY(eck_operator_read(job->pair->tuned, row, col, y, err));
    for (int64_t i = 0; i < x.rows; i++) {
        float *const line = (float *)y.data + i * y.ld;
        subtract(&sums, line, (const float *)x.data + i * x.ld, line, x.cols);
    }
    if (job->turned)
        ecki_turn_tile((char *)(job->out + col * info->rows + row),
                       info->rows * (int64_t)sizeof *job->out, ECK_DTYPE_F32, y);
    job->sums[index] = sums;
done:
    ecki_pool_give(&job->panels, room);
    return status;
}

/** Bytes a held difference may have. */
static int64_t held_bytes(const eck_context *context)
{
    const int64_t limit = context ? context->memory : 0;
    return limit > 0 ? ecki_min(limit / 4, HELD_BYTES) : HELD_BYTES;
}

/** True if both sides are read exactly as F32 and the whole fits. */
static bool can_hold(const ecki_difference_pair *pair, const eck_context *context)
{
    const eck_operator_info *b = eck_operator_get_info(pair->base);
    int64_t count = 0;

    return narrow(pair) && ecki_mul(b->rows, b->cols, &count) &&
           count <= held_bytes(context) / (int64_t)sizeof(float);
}

/** Room for the difference, kept for the layers to come. */
static eck_status room_take(ecki_difference_room *room, int64_t count, const eck_context *context,
                            eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t most = ecki_min(room->largest, held_bytes(context) / (int64_t)sizeof(float));

    if (room->count >= count) return ECK_OK;
    ecki_free(room->room);
    room->count = 0;
    ECK_ALLOC_RAW(room->room, ecki_max(count, most));
    room->count = ecki_max(count, most);
done:
    return status;
}

/** Fills job->out. */
static eck_status hold_all(hold_sums *out, holding *job, const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_operator_info *info = eck_operator_get_info(job->pair->base);
    hold_sums all = { 0 };

    job->height = job->turned ? ECKI_TURN_ROWS : panel_height(info);
    job->width = job->turned ? ecki_min(TURN_WIDTH, info->cols) : info->cols;
    job->across = (info->cols + job->width - 1) / job->width;
    const int64_t tiles = (info->rows + job->height - 1) / job->height * job->across;
    const int32_t threads = (int32_t)ecki_max(1, ecki_min(ecki_threads(context), tiles));
    ECK_ALLOC(job->sums, tiles);
    ECK_TRY(
        ecki_pool_init(&job->panels, job->height * (job->width + ECKI_TURN_SKEW), threads, err));
    ECK_TRY(ecki_parallel_for(tiles, threads, hold_tile, job, err));
    for (int64_t i = 0; i < tiles; i++)
        all = (hold_sums){ all.rounded + job->sums[i].rounded, all.norm2 + job->sums[i].norm2,
                           fmax(all.max, job->sums[i].max) };
    *out = all;
done:
    ecki_pool_clear(&job->panels);
    ecki_free(job->sums);
    return status;
}

eck_status ecki_difference_hold(ecki_difference_pair *pair, ecki_difference_room *room,
                                const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_operator_info *info = eck_operator_get_info(pair->base);
    holding job = { .pair = pair, .turned = ecki_held_turned(info->rows, info->cols) };
    eck_operator *dense = NULL;
    hold_sums sums = { 0 };

    if (!can_hold(pair, context)) return ECK_OK;
    ECK_TRY(room_take(room, info->rows * info->cols, context, err));
    job.out = room->room;
    ECK_TRY(hold_all(&sums, &job, context, err));
    const int64_t rows = job.turned ? info->cols : info->rows;
    const int64_t cols = job.turned ? info->rows : info->cols;
    const eck_view view = eck_view_matrix(room->room, ECK_DTYPE_F32, rows, cols);
    ECK_TRY(eck_operator_dense(&dense, view, err));
    ECK_TRY(ecki_operator_rename(dense, info->name, err));
    dense->scanned = isfinite(sums.norm2);
    dense->scan = (eck_scan){ .max = sums.max, .norm2 = sums.norm2, .first_nonfinite = -1 };
    eck_operator_free(pair->difference);
    pair->difference = dense;
    pair->rounded = sqrt(sums.rounded);
    pair->turned = job.turned;
    dense = NULL;
done:
    eck_operator_free(dense);
    return status;
}

double ecki_clean_energy(double tail, int64_t k, const ecki_difference_sums *sums, int64_t rows,
                         int64_t cols)
{
    const double m = (double)rows, n = (double)cols, r = (double)k;
    const double caught = fmin(1, r * (m + n - r) / (m * n));
    const double whole = sums->difference - sums->noise;
    const double left = tail * tail * sums->difference - sums->noise * (1 - caught);

    if (whole <= 0) return 0;
    return fmax(0, fmin(1, 1 - fmax(0, left) / whole));
}
