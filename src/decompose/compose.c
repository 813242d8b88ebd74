/**
 * One stage after a map, multiplied out in F64, rows and columns as asked.
 *
 * Cross-correlations compose by adding their offsets:
 *     T'[o, i, p + q] += w[o, c, q] T[c, i, p]
 * Channels that no path connects are never touched: rows are cut at the groups of the stage, inner
 * channels at the blocks of the map, and each piece is a product of dense matrices, tile by tile.
 * With a 1 x 1 stage the product lands where it belongs; else it is added tap by tap.
 */
#include "decompose/compose.h"

#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "linalg/gemm.h"
#include "tensor/codec.h"

enum { TILE = 1 << 18 }; // numbers of the map widened at a time

/** Buffers of one read. */
struct buffers {
    double *weight; /**< [rows, inner channels] of the stage, one tap */
    double *tile; /**< [inner channels, columns] of the map */
    double *product; /**< [rows, columns]; only if the stage has more than one tap */
    int64_t *shift; /**< [taps of the map] where each lands for one tap of the stage */
    int64_t columns; /**< of a tile */
};

/** Rows of one group of the stage times the channels of one block of the map. */
struct piece {
    int64_t row, rows; /**< rows of the joint */
    int64_t channel, channels; /**< inner channels */
    int64_t input; /**< first input of the block, counted from the first the rows can see */
};

static const void *element(const void *data, eck_dtype dtype, int64_t index)
{
    return (const char *)data + index * (eck_dtype_bits(dtype) / 8);
}

int64_t ecki_stage_taps(const eck_stage *stage)
{
    int64_t taps = 1;

    if (stage->kind == ECK_STAGE_CONV)
        for (int32_t d = 0; d < stage->spatial; d++)
            taps *= stage->kernel[d];
    return taps;
}

int64_t ecki_stage_groups(const eck_stage *stage)
{
    if (stage->kind == ECK_STAGE_SCALE) return stage->out;
    return stage->kind == ECK_STAGE_CONV || stage->kind == ECK_STAGE_CONV_TRANSPOSE ? stage->groups
                                                                                    : 1;
}

/** Frobenius norm of a weight, at least. */
static double norm_of(const eck_array *array)
{
    enum { COUNT = 512 };
    double numbers[COUNT], sum = 0.0;
    const int64_t total = eck_array_count(array);

    for (int64_t first = 0; first < total; first += COUNT) {
        const int64_t count = ecki_min(COUNT, total - first);
        double part = 0.0;
        ecki_widen_f64(array->dtype, element(array->data, array->dtype, first), 1, numbers, count);
        for (int64_t i = 0; i < count; i++)
            part += numbers[i] * numbers[i];
        sum += part;
    }
    // Additions: 512 in a part, one for each part, two roundings for square and root.
    const double additions = (double)(COUNT + total / COUNT + 4);
    return sqrt(sum) * (1.0 + additions * 0x1p-53);
}

ecki_map ecki_map_of_stage(const eck_stage *stage)
{
    const int64_t taps = ecki_stage_taps(stage);
    ecki_map map = { .data = stage->weight->data,
                     .dtype = stage->weight->dtype,
                     .col_step = 1,
                     .channels = stage->out,
                     .blocks = ecki_stage_groups(stage),
                     .kernel = { 1, 1, 1 },
                     .taps = taps,
                     .magnitude = norm_of(stage->weight) };

    map.width = stage->in / map.blocks;
    map.row_step = map.width * taps;
    if (stage->kind == ECK_STAGE_LOOKUP) {
        map.row_step = 1;
        map.col_step = stage->out;
    }
    if (stage->kind == ECK_STAGE_CONV)
        memcpy(map.kernel, stage->kernel, (size_t)stage->spatial * sizeof *map.kernel);
    return map;
}

ecki_map ecki_joint_map(const ecki_joint *joint)
{
    const eck_stage *stage = joint->stage;
    ecki_map map = joint->map;

    map.data = NULL;
    map.dtype = ECK_DTYPE_F64;
    map.channels = stage->out;
    map.blocks = joint->blocks;
    map.width = joint->map.blocks * joint->map.width / joint->blocks;
    map.taps = 1;
    for (int32_t d = 0; d < ECK_SPATIAL_MAX; d++) {
        if (stage->kind == ECK_STAGE_CONV && d < stage->spatial)
            map.kernel[d] += stage->kernel[d] - 1;
        map.taps *= map.kernel[d];
    }
    map.row_step = map.width * map.taps;
    map.col_step = 1;
    map.magnitude = map.error = 0.0;
    return map;
}

// For one tap q of the stage || w_q T || <= || w_q || || T ||; over all taps, by Cauchy and
// Schwarz,
//     || T' || <= sqrt(taps) || w || || T ||,
// with the fewer taps of the two, since w and T may change places. The same holds for absolute
// values. An element of T' is a sum of n products, off by at most (n + 2) u of their absolute
// values to first order; n + 3 covers the rest.
void ecki_joint_bound(ecki_map *out, const ecki_joint *joint)
{
    const eck_stage *stage = joint->stage;
    const int64_t taps = ecki_min(ecki_stage_taps(stage), joint->map.taps);
    const int64_t products = stage->in / ecki_stage_groups(stage) * taps;
    const double norm = sqrt((double)taps) * norm_of(stage->weight);

    out->magnitude = norm * joint->map.magnitude;
    out->error = norm * joint->map.error + (double)(products + 3) * 0x1p-53 * norm *
                                               (joint->map.magnitude + joint->map.error);
}

/** weight [rows,channels] = w[row + i, channel + j, tap]. */
static void load_weight(double *weight, const eck_stage *stage, const struct piece *piece,
                        int64_t tap)
{
    const int64_t taps = ecki_stage_taps(stage);
    const int64_t seen = stage->in / ecki_stage_groups(stage); // inner channels of a row
    const eck_array *array = stage->weight;

    for (int64_t i = 0; i < piece->rows; i++) {
        const int64_t index = ((piece->row + i) * seen + piece->channel % seen) * taps + tap;
        ecki_widen_f64(array->dtype, element(array->data, array->dtype, index), taps,
                       weight + i * piece->channels, piece->channels);
    }
}

/** The map's numbers of the piece's channels, columns first .. first + count - 1 of their block. */
static ecki_matrix load_tile(double *tile, const ecki_map *map, const struct piece *piece,
                             int64_t first, int64_t count)
{
    const int64_t start = piece->channel * map->row_step + first * map->col_step;

    if (map->dtype == ECK_DTYPE_F64 && map->col_step == 1) {
        ecki_matrix matrix =
            ecki_matrix_of((const double *)map->data + start, piece->channels, count);
        matrix.ld = map->row_step;
        return matrix;
    }
    for (int64_t c = 0; c < piece->channels; c++)
        ecki_widen_f64(map->dtype, element(map->data, map->dtype, start + c * map->row_step),
                       map->col_step, tile + c * count, count);
    return ecki_matrix_of(tile, piece->channels, count);
}

static eck_panel columns_of(eck_panel panel, int64_t first, int64_t count)
{
    panel.data = (double *)panel.data + first;
    panel.cols = count;
    return panel;
}

/** A stage of one tap: products of columns, into their place. out holds the piece's rows, columns
 * from `col` on. */
static eck_status add_product(const ecki_joint *joint, const struct piece *piece, int64_t col,
                              eck_panel out, const struct buffers *buffers, eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_map *map = &joint->map;
    const int64_t begin = piece->input * map->taps; // column where the block begins
    const int64_t first = ecki_max(begin, col);
    const int64_t last = ecki_min(begin + map->width * map->taps, col + out.cols);

    load_weight(buffers->weight, joint->stage, piece, 0);
    const ecki_matrix weight = ecki_matrix_of(buffers->weight, piece->rows, piece->channels);
    for (int64_t j = first; j < last; j += buffers->columns) {
        const int64_t count = ecki_min(buffers->columns, last - j);
        const ecki_matrix tile = load_tile(buffers->tile, map, piece, j - begin, count);
        ECK_TRY(ecki_gemm(1.0, weight, tile, 1.0, columns_of(out, j - col, count), err));
    }
done:
    return status;
}

/** shift[p] = index of offset p + q in the joint's kernel, for the flat offset q of the stage. */
static void find_shifts(int64_t *shift, const ecki_joint *joint, const int64_t *kernel, int64_t q)
{
    const int64_t *inner = joint->map.kernel;
    int64_t own[ECK_SPATIAL_MAX] = { 1, 1, 1 }, at[ECK_SPATIAL_MAX];
    int64_t p = 0;

    memcpy(own, joint->stage->kernel, (size_t)joint->stage->spatial * sizeof *own);
    for (int32_t d = ECK_SPATIAL_MAX - 1; d >= 0; d--) {
        at[d] = q % own[d];
        q /= own[d];
    }
    for (int64_t a = 0; a < inner[0]; a++)
        for (int64_t b = 0; b < inner[1]; b++)
            for (int64_t c = 0; c < inner[2]; c++)
                shift[p++] = ((a + at[0]) * kernel[1] + b + at[1]) * kernel[2] + c + at[2];
}

/** Adds a product [rows, count inputs x taps] to the columns of inputs `input` .. at their shifts.
 */
static void scatter(eck_panel out, int64_t col, const ecki_joint *joint, const double *product,
                    const int64_t *shift, const int64_t inputs[2])
{
    const int64_t taps = joint->map.taps;
    const int64_t wide = ecki_joint_map(joint).taps;

    for (int64_t r = 0; r < out.rows; r++) {
        double *row = (double *)out.data + r * out.ld;
        for (int64_t i = inputs[0]; i < inputs[1]; i++, product += taps)
            for (int64_t p = 0; p < taps; p++) {
                const int64_t j = i * wide + shift[p] - col;
                if (j >= 0 && j < out.cols) row[j] += product[p];
            }
    }
}

/** A stage of several taps: one product for each tap and tile of inputs, added where its offsets
 * lead. */
static eck_status add_taps(const ecki_joint *joint, const struct piece *piece, int64_t col,
                           eck_panel out, const struct buffers *buffers, eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_map *map = &joint->map;
    const ecki_map wide = ecki_joint_map(joint);
    const int64_t first = ecki_max(piece->input, col / wide.taps);
    const int64_t last =
        ecki_min(piece->input + map->width, (col + out.cols + wide.taps - 1) / wide.taps);
    const int64_t step = buffers->columns / map->taps;

    for (int64_t q = 0; q < ecki_stage_taps(joint->stage); q++) {
        load_weight(buffers->weight, joint->stage, piece, q);
        find_shifts(buffers->shift, joint, wide.kernel, q);
        const ecki_matrix weight = ecki_matrix_of(buffers->weight, piece->rows, piece->channels);
        for (int64_t i = first; i < last; i += step) {
            const int64_t inputs[2] = { i, ecki_min(i + step, last) };
            const int64_t count = (inputs[1] - i) * map->taps;
            const ecki_matrix tile =
                load_tile(buffers->tile, map, piece, (i - piece->input) * map->taps, count);
            const eck_panel product =
                ecki_panel(buffers->product, ECK_DTYPE_F64, piece->rows, count);
            ECK_TRY(ecki_gemm(1.0, weight, tile, 0.0, product, err));
            scatter(out, col, joint, buffers->product, buffers->shift, inputs);
        }
    }
done:
    return status;
}

static void buffers_clear(struct buffers *buffers)
{
    ecki_free(buffers->weight);
    ecki_free(buffers->tile);
    ecki_free(buffers->product);
    ecki_free(buffers->shift);
}

static eck_status buffers_init(struct buffers *buffers, const ecki_joint *joint, int64_t rows,
                               eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_map *map = &joint->map;
    const int64_t seen = joint->stage->in / ecki_stage_groups(joint->stage);
    const int64_t channels = ecki_min(seen, map->channels / map->blocks);
    const int64_t inputs = ecki_max(1, TILE / ecki_max(1, channels * map->taps));
    int64_t size;

    buffers->columns = ecki_min(inputs, map->width) * map->taps;
    ECK_REQUIRE(ecki_mul(rows, channels, &size), ECK_E_SHAPE, -1, "a stage is too large");
    ECK_ALLOC_RAW(buffers->weight, size);
    ECK_ALLOC_RAW(buffers->tile, channels * buffers->columns);
    if (ecki_stage_taps(joint->stage) > 1) {
        ECK_REQUIRE(ecki_mul(rows, buffers->columns, &size), ECK_E_SHAPE, -1,
                    "a stage is too large");
        ECK_ALLOC_RAW(buffers->product, size);
        ECK_ALLOC(buffers->shift, map->taps);
    }
done:
    return status;
}

/** Rows of one group of the stage: every block of the map that the group sees. */
static eck_status read_group(const ecki_joint *joint, struct piece piece, int64_t col,
                             eck_panel out, const struct buffers *buffers, eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_map *map = &joint->map;
    const int64_t groups = ecki_stage_groups(joint->stage);
    const int64_t run = map->channels / map->blocks;
    const int64_t block_out = piece.row / (joint->stage->out / joint->blocks);
    const int64_t input = block_out * (map->blocks * map->width / joint->blocks);
    const int64_t first = piece.row / (joint->stage->out / groups) * (joint->stage->in / groups);
    const int64_t last = first + joint->stage->in / groups;

    for (int64_t c = first; c < last; c += piece.channels) {
        piece.channel = c;
        piece.channels = ecki_min(last, (c / run + 1) * run) - c;
        piece.input = c / run * map->width - input;
        if (ecki_stage_taps(joint->stage) == 1)
            ECK_TRY(add_product(joint, &piece, col, out, buffers, err));
        else
            ECK_TRY(add_taps(joint, &piece, col, out, buffers, err));
    }
done:
    return status;
}

eck_status ecki_joint_read(const ecki_joint *joint, int64_t row, int64_t col, eck_panel out,
                           eck_error *err)
{
    eck_status status = ECK_OK;
    struct buffers buffers = { NULL, NULL, NULL, NULL, 0 };
    const int64_t run = joint->stage->out / ecki_stage_groups(joint->stage);

    ECK_TRY(buffers_init(&buffers, joint, ecki_min(out.rows, run), err));
    for (int64_t i = 0; i < out.rows; i++)
        memset((double *)out.data + i * out.ld, 0, (size_t)out.cols * sizeof(double));
    for (int64_t i = 0; i < out.rows;) {
        struct piece piece = { .row = row + i };
        piece.rows = ecki_min(out.rows - i, ((row + i) / run + 1) * run - (row + i));
        eck_panel rows = out;
        rows.data = (double *)out.data + i * out.ld;
        rows.rows = piece.rows;
        ECK_TRY(read_group(joint, piece, col, rows, &buffers, err));
        i += piece.rows;
    }
done:
    buffers_clear(&buffers);
    return status;
}
