// Views: numbers of others, read in any order. What is read lies at data + sum_d index_d * stride_d
// elements. A view that cannot be (more dimensions than ECK_DIMS_MAX) has dtype NONE, which every
// reader refuses.
#include "tensor/view.h"

#include <limits.h>
#include <stdlib.h>

#include "base/checked.h"
#include "tensor/codec.h"

enum { TILE = 32 };

eck_view eck_view_of(const void *data, eck_dtype dtype, int32_t ndim, const int64_t *shape)
{
    eck_view view = { .data = data, .dtype = dtype, .ndim = ndim };
    if (ndim < 0 || ndim > ECK_DIMS_MAX) {
        view.dtype = ECK_DTYPE_NONE;
        view.ndim = 0;
        return view;
    }
    int64_t step = 1;
    for (int32_t i = ndim - 1; i >= 0; i--) {
        view.shape[i] = shape[i];
        view.stride[i] = step;
        // Saturated: a shape this large cannot be held, and is refused wherever its elements are
        // counted.
        if (!ecki_mul(step, ecki_max(shape[i], 1), &step)) step = INT64_MAX;
    }
    return view;
}

eck_view eck_view_matrix(const void *data, eck_dtype dtype, int64_t rows, int64_t cols)
{
    const int64_t shape[2] = { rows, cols };
    return eck_view_of(data, dtype, 2, shape);
}

eck_view eck_view_transposed(eck_view view)
{
    if (view.ndim < 2) return view;
    eck_view turned = view;
    const int32_t a = view.ndim - 2;
    const int32_t b = view.ndim - 1;
    turned.shape[a] = view.shape[b];
    turned.shape[b] = view.shape[a];
    turned.stride[a] = view.stride[b];
    turned.stride[b] = view.stride[a];
    return turned;
}

int64_t eck_view_count(const eck_view *view)
{
    int64_t count;
    return ecki_shape_count(view->ndim, view->shape, &count) ? count : INT64_MAX;
}

// The address of element (row, col) of a 2-d view.
static const char *element(const eck_view *view, int64_t row, int64_t col)
{
    const int64_t size = eck_dtype_bits(view->dtype) / 8;
    return (const char *)view->data + (row * view->stride[0] + col * view->stride[1]) * size;
}

// Reads one row of the block at (row, col) into row i of the panel.
static void read_row(const eck_view *view, int64_t row, int64_t col, eck_panel out, int64_t i)
{
    const char *const from = element(view, row + i, col);
    if (out.dtype == ECK_DTYPE_F64)
        ecki_widen_f64(view->dtype, from, view->stride[1], (double *)out.data + i * out.ld,
                       out.cols);
    else
        ecki_widen_f32(view->dtype, from, view->stride[1], (float *)out.data + i * out.ld,
                       out.cols);
}

// Reads a tile of at most TILE x TILE whose columns are the contiguous ones: widened column by
// column, then turned.
static void read_turned_tile(const eck_view *view, int64_t row, int64_t col, eck_panel out)
{
    union {
        double f64[TILE][TILE];
        float f32[TILE][TILE];
    } tile; // [column][row]
    for (int64_t j = 0; j < out.cols; j++) {
        const char *const from = element(view, row, col + j);
        if (out.dtype == ECK_DTYPE_F64)
            ecki_widen_f64(view->dtype, from, view->stride[0], tile.f64[j], out.rows);
        else
            ecki_widen_f32(view->dtype, from, view->stride[0], tile.f32[j], out.rows);
    }
    for (int64_t i = 0; i < out.rows; i++) {
        for (int64_t j = 0; j < out.cols; j++) {
            if (out.dtype == ECK_DTYPE_F64)
                ((double *)out.data)[i * out.ld + j] = tile.f64[j][i];
            else
                ((float *)out.data)[i * out.ld + j] = tile.f32[j][i];
        }
    }
}

void ecki_view_read(const eck_view *view, int64_t row, int64_t col, eck_panel out)
{
    // whole rows that lie one after another on both sides are one long row
    if (view->stride[1] == 1 && view->stride[0] == out.cols && out.ld == out.cols && col == 0)
        out = ecki_panel(out.data, out.dtype, ecki_min(out.rows, 1), out.rows * out.cols);
    if (llabs(view->stride[1]) <= llabs(view->stride[0]) || out.rows == 1) {
        for (int64_t i = 0; i < out.rows; i++)
            read_row(view, row, col, out, i);
        return;
    }
    const int64_t size = eck_dtype_bits(out.dtype) / 8;
    for (int64_t i = 0; i < out.rows; i += TILE) {
        for (int64_t j = 0; j < out.cols; j += TILE) {
            eck_panel tile = ecki_panel((char *)out.data + (i * out.ld + j) * size, out.dtype,
                                        ecki_min(TILE, out.rows - i), ecki_min(TILE, out.cols - j));
            tile.ld = out.ld;
            read_turned_tile(view, row + i, col + j, tile);
        }
    }
}

eck_status eck_view_read(const eck_view *view, int64_t row, int64_t col, eck_panel out,
                         eck_error *err)
{
    if (view->ndim != 2)
        return ecki_error(err, ECK_E_SHAPE, -1, "cannot read a block: %d dimensions, not 2",
                          view->ndim);
    if (!eck_dtype_is_readable(view->dtype))
        return ecki_error(err, ECK_E_RANGE, -1, "cannot read a block: type '%s' holds no numbers",
                          eck_dtype_name(view->dtype));
    if (out.dtype != ECK_DTYPE_F64 && out.dtype != ECK_DTYPE_F32)
        return ecki_error(err, ECK_E_RANGE, -1,
                          "cannot read a block into type '%s', only into F64 or F32",
                          eck_dtype_name(out.dtype));
    const int64_t rows = view->shape[0];
    const int64_t cols = view->shape[1];
    // Written so that nothing overflows.
    const bool fits = row >= 0 && col >= 0 && out.rows >= 0 && out.cols >= 0 && row <= rows &&
                      col <= cols && out.rows <= rows - row && out.cols <= cols - col;
    if (!fits || out.ld < out.cols)
        return ecki_error(
            err, ECK_E_RANGE, -1,
            "cannot read a block of %lld x %lld (row step %lld) at (%lld,%lld) from %lld x %lld",
            (long long)out.rows, (long long)out.cols, (long long)out.ld, (long long)row,
            (long long)col, (long long)rows, (long long)cols);
    ecki_view_read(view, row, col, out);
    return ECK_OK;
}

eck_panel ecki_panel(void *data, eck_dtype dtype, int64_t rows, int64_t cols)
{
    const eck_panel panel = { data, dtype, rows, cols, cols };
    return panel;
}
