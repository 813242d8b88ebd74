/**
 * Unfoldings of tensors: as views where strides allow, else as operators that gather what is read.
 *
 * Dimensions of an unfolding are merged where one steps over exactly the next; what is left are a few runs each way.
 * Always true of a built operator: every element it can be asked for lies inside the tensor's view.
 */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "decompose/multilinear_parts.h"
#include "linalg/gemm.h"
#include "linalg/op.h"
#include "tensor/codec.h"

/** Dimensions one after the other in row-major order, merged as far as they go. */
struct runs {
    int32_t count;
    int64_t size[ECK_DIMS_MAX], stride[ECK_DIMS_MAX];
    int64_t total;
};

struct unfolding {
    const char *data;
    eck_dtype dtype;
    int64_t element; /**< bytes */
    struct runs rows, cols;
};

static void runs_add(struct runs *runs, int64_t size, int64_t stride)
{
    const int32_t last = runs->count - 1;

    runs->total *= size;
    if (size == 1) return;
    if (last >= 0 && runs->stride[last] == size * stride) {
        runs->size[last] *= size;
        runs->stride[last] = stride;
        return;
    }
    runs->size[runs->count] = size;
    runs->stride[runs->count++] = stride;
}

/** Element where row or column `index` begins. */
static int64_t runs_offset(const struct runs *runs, int64_t index)
{
    int64_t offset = 0;

    for (int32_t i = runs->count - 1; i >= 0; i--) {
        offset += index % runs->size[i] * runs->stride[i];
        index /= runs->size[i];
    }
    return offset;
}

/** Bit set of the modes; 0 with *good = false unless they are different modes of the tensor. */
static uint32_t modes_of(bool *good, const eck_view *tensor, const int32_t *modes, int32_t count)
{
    uint32_t set = 0;

    *good =
        tensor->ndim >= 0 && tensor->ndim <= ECK_DIMS_MAX && count >= 0 && count <= tensor->ndim;
    for (int32_t i = 0; *good && i < count; i++) {
        *good = modes[i] >= 0 && modes[i] < tensor->ndim && !(set >> modes[i] & 1u);
        if (*good) set |= 1u << modes[i];
    }
    return *good ? set : 0;
}

static bool unfold(struct runs *rows, struct runs *cols, const eck_view *tensor,
                   const int32_t *modes, int32_t count)
{
    bool good = false;
    const uint32_t set = modes_of(&good, tensor, modes, count);

    memset(rows, 0, sizeof *rows);
    memset(cols, 0, sizeof *cols);
    rows->total = cols->total = 1;
    for (int32_t i = 0; good && i < count; i++)
        runs_add(rows, tensor->shape[modes[i]], tensor->stride[modes[i]]);
    for (int32_t n = 0; good && n < tensor->ndim; n++)
        if (!(set >> n & 1u)) runs_add(cols, tensor->shape[n], tensor->stride[n]);
    return good;
}

bool eck_view_unfold(eck_view *out, const eck_view *tensor, const int32_t *modes, int32_t count)
{
    struct runs rows, cols;
    int64_t total;

    if (!unfold(&rows, &cols, tensor, modes, count) || rows.count > 1 || cols.count > 1)
        return false;
    if (!ecki_shape_count(tensor->ndim, tensor->shape, &total)) return false;
    *out = (eck_view){ .data = tensor->data,
                       .dtype = tensor->dtype,
                       .ndim = 2,
                       .shape = { rows.total, cols.total },
                       .stride = { rows.count ? rows.stride[0] : cols.total,
                                   cols.count ? cols.stride[0] : 1 } };
    return true;
}

/** One row: columns col .. col + count - 1, run by run of the innermost dimension. */
static void gather(double *out, const struct unfolding *u, int64_t start, int64_t col,
                   int64_t count)
{
    const struct runs *cols = &u->cols;
    const int64_t inner = cols->count ? cols->size[cols->count - 1] : 1;
    const int64_t step = cols->count ? cols->stride[cols->count - 1] : 1;

    for (int64_t done = 0; done < count;) {
        const int64_t run = ecki_min(inner - (col + done) % inner, count - done);
        const int64_t at = start + runs_offset(cols, col + done);
        ecki_widen_f64(u->dtype, u->data + at * u->element, step, out + done, run);
        done += run;
    }
}

static eck_status unfolding_read(void *self, int64_t row, int64_t col, eck_panel out,
                                 eck_error *err)
{
    eck_status status = ECK_OK;
    const struct unfolding *u = self;
    eck_panel staged;

    ECK_TRY(ecki_staging_begin(&staged, out, err));
    for (int64_t i = 0; i < out.rows; i++)
        gather((double *)staged.data + i * staged.ld, u, runs_offset(&u->rows, row + i), col,
               out.cols);
    ecki_staging_end(&staged, out, true);
done:
    return status;
}

/** The type that decides the lane. */
static eck_dtype storage_of(eck_dtype dtype)
{
    if (eck_dtype_is_weight(dtype)) return dtype;
    return eck_dtype_bits(dtype) <= 16 ? ECK_DTYPE_F32 : ECK_DTYPE_F64;
}

eck_status eck_operator_unfolding(eck_operator **out, eck_view tensor, const int32_t *modes,
                                  int32_t count, eck_error *err)
{
    eck_status status = ECK_OK;
    struct unfolding *u = NULL;
    eck_view flat;
    int64_t total;
    const eck_operator_methods methods = { .version = 1,
                                           .read = unfolding_read,
                                           .free = ecki_free };
    eck_operator_info info = ECK_OPERATOR_INFO_INIT;

    ECK_REQUIRE(eck_dtype_is_readable(tensor.dtype), ECK_E_UNSUPPORTED, -1,
                "type %s holds no numbers to factor", eck_dtype_name(tensor.dtype));
    ECK_ALLOC(u, 1);
    ECK_REQUIRE(unfold(&u->rows, &u->cols, &tensor, modes, count), ECK_E_RANGE, -1,
                "these %d modes are not different modes of a tensor of %d", count, tensor.ndim);
    ECK_REQUIRE(ecki_shape_count(tensor.ndim, tensor.shape, &total), ECK_E_SHAPE, -1,
                "the sizes of the tensor overflow");
    if (eck_view_unfold(&flat, &tensor, modes, count)) {
        status = eck_operator_dense(out, flat, err);
        goto done;
    }
    u->data = tensor.data;
    u->dtype = tensor.dtype;
    u->element = eck_dtype_bits(tensor.dtype) / 8;
    info.rows = u->rows.total;
    info.cols = u->cols.total;
    info.storage = storage_of(tensor.dtype);
    info.resident = true;
    info.name = "tensor";
    ECK_TRY(eck_operator_create(out, &info, &methods, u, err));
    u = NULL;
done:
    ecki_free(u);
    return status;
}

eck_status eck_mode_gram(eck_panel out, eck_view tensor, int32_t mode, const eck_context *context,
                         eck_error *err)
{
    eck_status status = ECK_OK;
    eck_operator *a = NULL;
    double *g = out.data;

    ECK_TRY(eck_operator_unfolding(&a, tensor, &mode, 1, err));
    ECK_TRY(eck_operator_gram(a, ECK_SIDE_LEFT, 1.0, out, context, err));
    for (int64_t i = 0; i < out.rows; i++)
        for (int64_t j = i + 1; j < out.cols; j++)
            g[i * out.ld + j] = g[j * out.ld + i];
done:
    eck_operator_free(a);
    return status;
}

eck_status eck_view_norm(double *out, eck_view tensor, eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_context alone = { 1, 1, 0, NULL, NULL };
    eck_operator *a = NULL;
    eck_scan scan;
    double norm = 0.0;

    ECK_TRY(eck_operator_unfolding(&a, tensor, NULL, 0, err));
    ECK_TRY(eck_operator_scan(&scan, a, &alone, err));
    ECK_REQUIRE(scan.nonfinite == 0, ECK_E_NONFINITE, scan.first_nonfinite,
                "element %lld of the tensor is not finite", (long long)scan.first_nonfinite);
    // Norms of squares that leave the range are found after scaling by a power of two.
    const double scale = ecki_scale_of(scan.max);
    if (scan.max > 0.0) ECK_TRY(ecki_derive_norm(&norm, a, scale, &alone, err));
    *out = norm / scale;
done:
    eck_operator_free(a);
    return status;
}

// ---- matrices of ours

struct made {
    ecki_matrix a;
};

static eck_status made_read(void *self, int64_t row, int64_t col, eck_panel out, eck_error *err)
{
    const struct made *m = self;
    eck_panel staged;
    const eck_status status = ecki_staging_begin(&staged, out, err);

    if (status != ECK_OK) return status;
    for (int64_t i = 0; i < out.rows; i++)
        memcpy((double *)staged.data + i * staged.ld, m->a.data + (row + i) * m->a.ld + col,
               (size_t)out.cols * sizeof(double));
    ecki_staging_end(&staged, out, true);
    return ECK_OK;
}

/** One call: a sum of products of whole rows or columns needs no panels here. */
static eck_status made_gram(void *self, eck_side side, double scale, eck_panel out, eck_error *err)
{
    const struct made *m = self;

    return ecki_syrk(scale * scale, side == ECK_SIDE_LEFT ? m->a : ecki_transposed(m->a), 0.0, out,
                     err);
}

static eck_status made_apply(void *self, double scale, eck_panel x, eck_panel out, eck_error *err)
{
    const struct made *m = self;

    return ecki_gemm(scale, m->a, ecki_matrix_panel(x), 0.0, out, err);
}

static eck_status made_apply_transpose(void *self, double scale, eck_panel y, eck_panel out,
                                       eck_error *err)
{
    const struct made *m = self;

    return ecki_gemm(scale, ecki_transposed(m->a), ecki_matrix_panel(y), 0.0, out, err);
}

eck_status ecki_operator_made(eck_operator **out, const double *data, int64_t rows, int64_t cols,
                              const ecki_made *what, eck_error *err)
{
    eck_status status = ECK_OK;
    struct made *m = NULL;
    const eck_operator_methods methods = { .version = 1,
                                           .read = made_read,
                                           .apply = made_apply,
                                           .apply_transpose = made_apply_transpose,
                                           .gram = made_gram,
                                           .free = ecki_free };
    eck_operator_info info = ECK_OPERATOR_INFO_INIT;

    ECK_ALLOC(m, 1);
    m->a = ecki_matrix_of(data, rows, cols);
    info.rows = rows;
    info.cols = cols;
    info.storage = what->storage;
    info.read_error = what->error;
    info.resident = true;
    info.name = "tensor";
    ECK_TRY(eck_operator_create(out, &info, &methods, m, err));
    m = NULL;
done:
    ecki_free(m);
    return status;
}
