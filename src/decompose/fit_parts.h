/** Fits from inside: the chains of kernels, for svd_fit.c, which certifies them. */
#ifndef ECKI_FIT_PARTS_H
#define ECKI_FIT_PARTS_H

#include "base/error.h"
#include "eckart/decompose.h"

/** Weights of every stage of an outlined chain of a convolution, any method, groups or none. */
eck_status ecki_kernel_chain(eck_chain *chain, const eck_weight *weight, const eck_point *point,
                             const eck_fit_options *options, const eck_context *context,
                             eck_error *err);

#endif
