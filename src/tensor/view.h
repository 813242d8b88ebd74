/** Reading views inside the library, where the arguments are known to be right. */
#ifndef ECKI_VIEW_H
#define ECKI_VIEW_H

#include "eckart/array.h"

/** eck_view_read() without its checks. */
void ecki_view_read(const eck_view *view, int64_t row, int64_t col, eck_panel out);

/** eck_array_create() without the zeros, for numbers that are written at once. */
eck_status ecki_array_create_raw(eck_array **out, eck_dtype dtype, int32_t ndim,
                                 const int64_t *shape, eck_error *err);

#endif
