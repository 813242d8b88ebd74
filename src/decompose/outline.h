/** Chains without numbers, from inside: stages into the caller's memory, and what they cost. */
#ifndef ECKI_OUTLINE_H
#define ECKI_OUTLINE_H

#include <stdint.h>

#include "eckart/decompose.h"

enum { ECKI_STAGES_MAX = ECK_SPATIAL_MAX + 2 };

/** Spatial dimensions with a kernel of more than one tap; axes_out [ECK_SPATIAL_MAX]. Returns how many. */
int32_t ecki_wide_axes(int32_t *axes_out, const eck_stage *dense);

/** Ranks of a method for a layer it applies to. */
int32_t ecki_rank_count(eck_method method, const eck_stage *dense);

/** The stages of a method that applies, with those inner widths; stages [ECKI_STAGES_MAX]. Returns how many. */
int32_t ecki_outline(eck_stage *stages, const eck_stage *dense, eck_method method,
                     const int64_t *ranks);

/** Parameters of all stages; INT64_MAX when that overflows. */
int64_t ecki_outline_parameters(const eck_stage *dense, eck_method method, const int64_t *ranks);

/** Multiply-adds per output position, of a transposed convolution per input position, edges left aside; -1: a stride that
 *  matters is unknown. */
int64_t ecki_outline_macs(const eck_stage *dense, eck_method method, const int64_t *ranks);

#endif
