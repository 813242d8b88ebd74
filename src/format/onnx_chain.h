/**
 * The one edit of a graph: a node becomes the nodes of a chain. Every stage is an ordinary node of the operators that
 * ONNX has always had; the last one makes what the node made, under its name.
 */
#ifndef ECKI_ONNX_CHAIN_H
#define ECKI_ONNX_CHAIN_H

#include "base/text.h"
#include "eckart/stage.h"
#include "format/onnx.h"

/** How a node uses a weight. */
typedef enum ecki_site_kind {
    ECKI_SITE_MATMUL = 1, /**< X W */
    ECKI_SITE_MATMUL_LEFT, /**< W X */
    ECKI_SITE_GEMM, /**< X W, either transposed, with a factor and an addend */
    ECKI_SITE_GEMM_LEFT, /**< W X, likewise */
    ECKI_SITE_CONV,
    ECKI_SITE_CONV_TRANSPOSE,
    ECKI_SITE_GATHER /**< rows of W */
} ecki_site_kind;

/** A stage, and the tensor that holds its weight. */
typedef struct ecki_onnx_stage {
    eck_stage stage;
    const char *weight;
    bool turned; /**< a linear weight is stored [in,out] */
} ecki_onnx_stage;

/** A node to be replaced. */
typedef struct ecki_onnx_site {
    const ecki_onnx *onnx;
    const ecki_file *file; /**< what the node lies in */
    int64_t node;
    ecki_site_kind kind;
} ecki_onnx_site;

/** The name of what such a node multiplies the weight with. */
const char *ecki_onnx_site_data(const ecki_onnx *onnx, int64_t node, ecki_site_kind kind);

/**
 * Adds the nodes of a chain, as fields of a graph.
 * Errors ECK_E_UNSUPPORTED a stage that cannot stand in for part of such a node; ECK_E_RANGE a name that is taken
 */
eck_status ecki_onnx_put_chain(ecki_text *out, const ecki_onnx_site *site,
                               const ecki_onnx_stage *stages, int32_t count, eck_error *err);

/** The shape in which a stage's weight is stored for such a node; returns the number of dimensions. */
int32_t ecki_onnx_stage_shape(const ecki_onnx_stage *stage, ecki_site_kind kind,
                              int64_t *shape_out);

#endif
