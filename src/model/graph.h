/**
 * A model that is a graph (ONNX): which nodes use a weight, and how. A layer is one weight with all its uses, since a
 * chain replaces it in all of them or in none.
 */
#ifndef ECKI_GRAPH_H
#define ECKI_GRAPH_H

#include "format/onnx.h"
#include "model/model.h"

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

typedef struct ecki_site {
    int64_t node;
    ecki_site_kind kind;
} ecki_site;

/** The uses of one weight. */
typedef struct ecki_sites {
    int64_t tensor; /**< of the graph's tensors */
    ecki_site *list;
    int64_t count;
    int64_t
        *between; /**< Transpose and Identity nodes that stand between the weight and its uses */
    int64_t between_count;
    bool turned; /**< factors of a linear layer are stored [in,out] */
} ecki_sites;

/** Fills name, stage, orientation and reason of the layer that a tensor of a graph makes. */
eck_status ecki_graph_describe(ecki_layer *layer, const eck_model *model, int64_t tensor,
                               eck_error *err);

/** The uses of a layer's weight; ECK_E_RANGE for one that cannot be factored. Zero it to start. */
eck_status ecki_sites_find(ecki_sites *out, const eck_model *model, const ecki_layer *layer,
                           eck_error *err);
void ecki_sites_clear(ecki_sites *sites);

#endif
