// The four fundamental subspaces: the columns of full U and V before and after the numerical rank.
#include <string.h>

#include "base/checked.h"
#include "base/error.h"
#include "eckart/svd.h"
#include "tensor/codec.h"

void eck_subspaces_clear(eck_subspaces *subspaces)
{
    if (!subspaces) return;
    eck_array_free(subspaces->column);
    eck_array_free(subspaces->left_null);
    eck_array_free(subspaces->row);
    eck_array_free(subspaces->null);
    memset(subspaces, 0, sizeof *subspaces);
}

// Columns first .. last of a square basis, copied in its own type.
static eck_status copy_columns(eck_array **out, const eck_array *basis, int64_t first, int64_t last,
                               eck_error *err)
{
    eck_view view = eck_array_view(basis);
    view.data = (const char *)view.data + first * (eck_dtype_bits(view.dtype) / 8);
    view.shape[1] = last - first;
    return eck_array_convert(out, view, view.dtype, err);
}

eck_status eck_subspaces_compute(eck_subspaces *out, const eck_svd *svd, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t r = svd->numerical_rank;
    eck_subspaces found = { .rank = r };
    ECK_REQUIRE(svd->u && svd->v && svd->u->shape[1] == svd->rows && svd->v->shape[1] == svd->cols,
                ECK_E_RANGE, -1, "subspaces need full U and V");
    ECK_REQUIRE(svd->rank >= r, ECK_E_RANGE, -1,
                "subspaces of rank %lld need as many vectors, not %lld", (long long)r,
                (long long)svd->rank);
    ECK_TRY(copy_columns(&found.column, svd->u, 0, r, err));
    ECK_TRY(copy_columns(&found.left_null, svd->u, r, svd->rows, err));
    ECK_TRY(copy_columns(&found.row, svd->v, 0, r, err));
    ECK_TRY(copy_columns(&found.null, svd->v, r, svd->cols, err));
    *out = found;
    memset(&found, 0, sizeof found);
done:
    eck_subspaces_clear(&found);
    return status;
}
