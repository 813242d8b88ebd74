/**
 * Tucker decompositions on the way: bases and core in F64, of the scaled tensor.
 */
#ifndef ECKI_TUCKER_PARTS_H
#define ECKI_TUCKER_PARTS_H

#include "decompose/multilinear_parts.h"

typedef struct ecki_tucker_work {
    ecki_block core; /**< modes in their order */
    double *basis[ECK_DIMS_MAX]; /**< [size,rank]; NULL: kept */
    int64_t ranks[ECK_DIMS_MAX];
    int64_t size[ECK_DIMS_MAX]; /**< of the tensor's modes */
    double tails[ECK_DIMS_MAX]; /**< relative to the tensor */
    double discarded2; /**< sum of their squares */
} ecki_tucker_work;

void ecki_tucker_work_clear(ecki_tucker_work *work);

/** ST-HOSVD of scale X. */
eck_status ecki_tucker_truncate(ecki_tucker_work *out, const ecki_subject *subject,
                                const eck_tucker_options *options, const eck_context *context,
                                eck_error *err);

/** HOOI from what ST-HOSVD found, at the same ranks; sets error, sweeps and converged. */
eck_status ecki_tucker_sweep(eck_tucker *tucker, ecki_tucker_work *work,
                             const ecki_subject *subject, const eck_tucker_options *options,
                             const eck_context *context, eck_error *err);

#endif
