/** Curves from inside. */
#ifndef ECKI_CURVE_H
#define ECKI_CURVE_H

#include "base/error.h"
#include "eckart/decompose.h"

/** Adds the points of `more`, which is empty then; both end with the same dense point, which stays once and last. */
eck_status ecki_curve_join(eck_curve *curve, eck_curve *more, eck_error *err);

/** What a curve needs of a spectrum, from singular values; borrows the SVD's. tails owned, ecki_free(). */
typedef struct ecki_spectrum_numbers {
    double *tails;
    eck_spectrum_info info;
} ecki_spectrum_numbers;

eck_status ecki_spectrum_numbers_init(ecki_spectrum_numbers *out, const eck_svd *svd,
                                      eck_error *err);

#endif
