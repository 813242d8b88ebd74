// A matrix in memory, in any readable storage type and any strides. Reads are exact into F64.
// Products go to fused.h where it has kernels for them; everything else is derived.
#include "base/memory.h"
#include "linalg/op.h"

static eck_status dense_read(void *self, int64_t row, int64_t col, eck_panel out, eck_error *err)
{
    const eck_view *const view = self;
    return eck_view_read(view, row, col, out, err);
}

// The type that decides the lane: weights their own, else one whose numbers cover the view's.
static eck_dtype dense_storage(eck_dtype dtype)
{
    if (eck_dtype_is_weight(dtype)) return dtype;
    return eck_dtype_bits(dtype) <= 16 ? ECK_DTYPE_F32 : ECK_DTYPE_F64;
}

eck_status eck_operator_dense(eck_operator **out, eck_view a, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_view *view = NULL;
    const eck_operator_methods methods = { .version = 1, .read = dense_read, .free = ecki_free };
    eck_operator_info info = ECK_OPERATOR_INFO_INIT;
    ECK_REQUIRE(a.ndim == 2, ECK_E_SHAPE, -1, "a matrix has 2 dimensions, not %d", a.ndim);
    ECK_REQUIRE(eck_dtype_is_readable(a.dtype), ECK_E_RANGE, -1,
                "type %s holds no numbers to factor", eck_dtype_name(a.dtype));
    ECK_ALLOC(view, 1);
    *view = a;
    info.rows = a.shape[0];
    info.cols = a.shape[1];
    info.storage = dense_storage(a.dtype);
    info.resident = true;
    ECK_TRY(eck_operator_create(out, &info, &methods, view, err));
    (*out)->view = view;
    (*out)->stored = info.storage == a.dtype;
    view = NULL;
done:
    ecki_free(view);
    return status;
}
