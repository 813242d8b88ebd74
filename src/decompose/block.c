/**
 * F64 tensors whose modes are multiplied by matrices, always at an end: a product with the first mode moves it to the
 * end, so that one call of the BLAS does it and no unfolding is ever formed.
 */
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "decompose/multilinear_parts.h"
#include "linalg/gemm.h"
#include "tensor/codec.h"

void ecki_block_clear(ecki_block *block)
{
    ecki_free(block->data);
    memset(block, 0, sizeof *block);
}

int64_t ecki_block_count(const ecki_block *block)
{
    int64_t count = 1;

    for (int32_t i = 0; i < block->ndim; i++)
        count *= block->shape[i];
    return count;
}

eck_status ecki_block_init(ecki_block *out, const eck_view *tensor, const int32_t *order,
                           eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_block block = { .ndim = tensor->ndim };
    eck_view turned = *tensor;
    const int64_t total = eck_view_count(tensor);

    for (int32_t i = 0; i < tensor->ndim; i++) {
        block.mode[i] = order ? order[i] : i;
        block.shape[i] = turned.shape[i] = tensor->shape[block.mode[i]];
        turned.stride[i] = tensor->stride[block.mode[i]];
    }
    ECK_ALLOC_RAW(block.data, total);
    eck_view row;
    if (eck_view_unfold(&row, &turned, NULL, 0)) {
        ecki_widen_f64(turned.dtype, turned.data, row.stride[1], block.data, total);
    } else {
        eck_operator *a = NULL;
        ECK_TRY(eck_operator_unfolding(&a, turned, NULL, 0, err));
        status = eck_operator_read(a, 0, 0, ecki_panel(block.data, ECK_DTYPE_F64, 1, total), err);
        eck_operator_free(a);
        ECK_TRY(status);
    }
    *out = block;
    block.data = NULL;
done:
    ecki_free(block.data);
    return status;
}

void ecki_block_turned(ecki_block *block, int64_t width)
{
    const int32_t last = block->ndim - 1, mode = block->mode[0];

    for (int32_t i = 0; i < last; i++) {
        block->shape[i] = block->shape[i + 1];
        block->mode[i] = block->mode[i + 1];
    }
    block->shape[last] = width;
    block->mode[last] = mode;
}

void ecki_transpose(double *out, const double *in, int64_t rows, int64_t cols)
{
    enum { SIDE = 32 };

    for (int64_t i = 0; i < rows; i += SIDE)
        for (int64_t j = 0; j < cols; j += SIDE)
            for (int64_t k = i; k < ecki_min(i + SIDE, rows); k++)
                for (int64_t l = j; l < ecki_min(j + SIDE, cols); l++)
                    out[l * rows + k] = in[k * cols + l];
}

eck_status ecki_block_rotate(ecki_block *block, eck_error *err)
{
    eck_status status = ECK_OK;
    double *turned = NULL;
    const int64_t rows = block->shape[0], count = ecki_block_count(block);

    ECK_ALLOC_RAW(turned, count);
    ecki_transpose(turned, block->data, rows, count / rows);
    ecki_free(block->data);
    block->data = turned;
    ecki_block_turned(block, rows);
done:
    return status;
}

/** Puts a product in the place of what it was made of. */
static void replace(ecki_block *out, ecki_block *in, const ecki_block *made)
{
    if (out == in) ecki_free(in->data);
    *out = *made;
}

eck_status ecki_block_multiply_first(ecki_block *out, ecki_block *in, const double *m,
                                     int64_t width, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_block made = *in;
    const int64_t rows = in->shape[0], rest = ecki_block_count(in) / rows;

    made.data = NULL;
    ECK_ALLOC_RAW(made.data, rest * width);
    // out [rest,width] = in [rows,rest]^T m [rows,width]
    ECK_TRY(ecki_gemm(1.0, ecki_transposed(ecki_matrix_of(in->data, rows, rest)),
                      ecki_matrix_of(m, rows, width), 0.0,
                      ecki_panel(made.data, ECK_DTYPE_F64, rest, width), err));
    ecki_block_turned(&made, width);
    replace(out, in, &made);
    made.data = NULL;
done:
    ecki_free(made.data);
    return status;
}

eck_status ecki_block_multiply_last(ecki_block *out, ecki_block *in, const double *m, int64_t width,
                                    eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_block made = *in;
    const int64_t size = in->shape[in->ndim - 1], rest = ecki_block_count(in) / size;

    made.data = NULL;
    ECK_ALLOC_RAW(made.data, rest * width);
    ECK_TRY(ecki_gemm(1.0, ecki_matrix_of(in->data, rest, size), ecki_matrix_of(m, size, width),
                      0.0, ecki_panel(made.data, ECK_DTYPE_F64, rest, width), err));
    made.shape[in->ndim - 1] = width;
    replace(out, in, &made);
    made.data = NULL;
done:
    ecki_free(made.data);
    return status;
}

/** One product: at an end that still wants one, or after the first mode was turned away. left: bits of the modes that want
 *  theirs. *own: the block is a product of ours. */
static eck_status multiply_once(ecki_block *block, ecki_block *from, uint32_t *left,
                                const ecki_multipliers *by, eck_error *err)
{
    eck_status status = ECK_OK;
    const int32_t last = from->mode[from->ndim - 1];

    if (*left >> last & 1u) {
        ECK_TRY(ecki_block_multiply_last(block, from, by->m[last], by->width[last], err));
        *left &= ~(1u << last);
        goto done;
    }
    const int32_t first = from->mode[0];
    ECK_TRY(ecki_block_multiply_first(block, from, by->m[first], by->width[first], err));
    *left &= ~(1u << first);
done:
    return status;
}

static eck_status copy_of(ecki_block *out, const ecki_block *in, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_block made = *in;

    ECK_ALLOC_RAW(made.data, ecki_block_count(in));
    memcpy(made.data, in->data, (size_t)ecki_block_count(in) * sizeof *in->data);
    *out = made;
done:
    return status;
}

eck_status ecki_block_multiply(ecki_block *out, const ecki_block *in, const ecki_multipliers *by,
                               int32_t first, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_block block = { 0 }, borrowed = *in;
    uint32_t left = 0;

    for (int32_t n = 0; n < in->ndim; n++)
        if (by->m[in->mode[n]]) left |= 1u << in->mode[n];
    while (left) {
        ecki_block *from = block.data ? &block : &borrowed;
        const bool end = left >> from->mode[0] & 1u || left >> from->mode[from->ndim - 1] & 1u;
        if (end) {
            ECK_TRY(multiply_once(&block, from, &left, by, err));
            continue;
        }
        if (!block.data) ECK_TRY(copy_of(&block, in, err));
        ECK_TRY(ecki_block_rotate(&block, err));
    }
    if (!block.data) ECK_TRY(copy_of(&block, in, err));
    while (first >= 0 && block.mode[0] != first)
        ECK_TRY(ecki_block_rotate(&block, err));
    *out = block;
    block.data = NULL;
done:
    ecki_block_clear(&block);
    return status;
}

eck_status ecki_block_sort(ecki_block *block, eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_view view = eck_view_of(block->data, ECK_DTYPE_F64, block->ndim, block->shape);
    int32_t order[ECK_DIMS_MAX];
    bool sorted = true;
    ecki_block made;

    for (int32_t i = 0; i < block->ndim; i++) {
        order[block->mode[i]] = i;
        sorted = sorted && block->mode[i] == i;
    }
    if (sorted) return ECK_OK;
    ECK_TRY(ecki_block_init(&made, &view, order, err));
    for (int32_t i = 0; i < made.ndim; i++)
        made.mode[i] = i;
    ecki_free(block->data);
    *block = made;
done:
    return status;
}
