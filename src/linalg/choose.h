/**
 * Engine AUTO: which lane answers, from the shape, the rank and the kind of processor.
 */
#ifndef ECKI_CHOOSE_H
#define ECKI_CHOOSE_H

#include "eckart/svd.h"

/** eck_svd_choose() for checked options and a number of threads. */
void ecki_choose(eck_engine_choice *out, const eck_operator *a, const eck_svd_options *options,
                 const eck_context *context);

#endif
