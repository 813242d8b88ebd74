/**
 * Stage and chain: one ordinary layer, and the shorter layers that replace it. Plain data: no
 * mathematics, no files. Whatever reads or writes factors loops over the stages of a chain; nothing
 * knows how many there are.
 */
#ifndef ECKART_STAGE_H
#define ECKART_STAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "eckart/array.h"
#include "eckart/export.h"
#include "eckart/status.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { ECK_SPATIAL_MAX = 3 };

typedef enum eck_stage_kind {
    ECK_STAGE_LINEAR = 1, /**< weight [out,in]: y = W x + b */
    ECK_STAGE_CONV = 2, /**< weight [out, in/groups, k...] */
    ECK_STAGE_CONV_TRANSPOSE = 3, /**< weight [in, out/groups, k...] */
    ECK_STAGE_LOOKUP = 4, /**< weight [in,out]: row i of the table; in = vocabulary */
    ECK_STAGE_SCALE = 5 /**< weight [out]: y = d * x */
} eck_stage_kind;

/** One ordinary layer; the same struct describes the dense layer that a chain replaces. */
typedef struct eck_stage {
    eck_stage_kind kind;
    int32_t spatial; /**< spatial dimensions, 0..3 */
    int64_t in, out, groups; /**< channels; groups >= 1 */
    int64_t kernel[ECK_SPATIAL_MAX];
    int64_t stride[ECK_SPATIAL_MAX]; /**< -1: not in the file (safetensors), so no MACs are known */
    int64_t dilation[ECK_SPATIAL_MAX]; /**< -1: not in the file */
    eck_array *weight; /**< owned by the chain; NULL = still in the file */
    eck_array *bias; /**< owned by the chain; [out] or NULL; only on a last stage */
} eck_stage;

/** Owned by the caller, eck_chain_clear(); stages in the order data flows. {NULL, 0} is an empty
 * chain. */
typedef struct eck_chain {
    eck_stage *stages;
    int32_t count;
} eck_chain;

/** Frees stages, weights and biases; the struct can be used again. */
ECK_API void eck_chain_clear(eck_chain *chain);

/** A linear stage without weights: every field set, groups 1. */
ECK_API eck_stage eck_stage_linear(int64_t in, int64_t out);

/** A convolution without weights: kernel of `spatial` numbers, stride and dilation unknown. */
ECK_API eck_stage eck_stage_conv(int64_t in, int64_t out, int64_t groups, int32_t spatial,
                                 const int64_t *kernel);

/**
 * The shape of a stage's weight as its kind lays it out.
 * shape_out   ECK_DIMS_MAX numbers
 * Returns the number of dimensions
 */
ECK_API int32_t eck_stage_shape(const eck_stage *stage, int64_t *shape_out);

/** Numbers in the weight of a stage (without bias); INT64_MAX when that overflows. */
ECK_API int64_t eck_stage_parameters(const eck_stage *stage);

#ifdef __cplusplus
}
#endif
#endif
