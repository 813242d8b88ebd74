// Sizes that do not wrap.
#include "base/checked.h"

bool ecki_shape_count(int32_t ndim, const int64_t *shape, int64_t *count_out)
{
    int64_t product = 1;
    bool empty = false;
    for (int32_t i = 0; i < ndim; i++) {
        if (shape[i] < 0) return false;
        if (shape[i] == 0)
            empty = true;
        else if (!ecki_mul(product, shape[i], &product))
            return false;
    }
    if (ndim < 0) return false;
    *count_out = empty ? 0 : product;
    return true;
}
