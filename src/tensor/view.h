/** Reading views inside the library, where the arguments are known to be right. */
#ifndef ECKI_VIEW_H
#define ECKI_VIEW_H

#include "eckart/array.h"

/** eck_view_read() without its checks. */
void ecki_view_read(const eck_view *view, int64_t row, int64_t col, eck_panel out);

#endif
