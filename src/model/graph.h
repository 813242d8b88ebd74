/**
 * A model that is a graph (ONNX): which nodes use a weight, and how. A layer is one weight with all its uses, since a
 * chain replaces it in all of them or in none.
 */
#ifndef ECKI_GRAPH_H
#define ECKI_GRAPH_H

#include "format/onnx_chain.h"
#include "format/splice.h"
#include "model/model.h"

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

/** All uses of a tensor of the container as a weight, and the stage they make of it; none if one of them is of another kind.
 * Zero both to start. */
eck_status ecki_sites_seen(ecki_sites *out, eck_stage *stage_out, const eck_model *model,
                           int64_t entry, eck_error *err);

/* ---- outputs (graph_edit.c) --------------------------------------------------------------------------------------- */

/** Fills what the manifest says of a layer's place in the graph: the tensor, the nodes that use it, and which stages are
 * stored [in,out]. The stages are there already. */
eck_status ecki_graph_outline(ecki_module *module, const eck_model *model, const ecki_layer *layer,
                              eck_error *err);

/** A tensor that an output holds and its source does not, or holds elsewhere. */
typedef struct ecki_graph_tensor {
    const char *name;
    int64_t bytes;
    int64_t hole; /**< of the splice; -1: it lies in the data file */
    int64_t offset; /**< there */
    int64_t entry; /**< tensor of the source it copies, or -1 */
} ecki_graph_tensor;

/** An output, laid out: the source's file with spans replaced, and a file of external data if it has or needs one. */
typedef struct ecki_graph_edit {
    const eck_model *model;
    ecki_splice *splice;
    ecki_graph_tensor *tensors;
    int64_t tensor_count;
    bool *gone; /**< tensors of the graph that the output does not hold */
    const char *location; /**< name of the data file; NULL: none */
    int64_t size, data_size; /**< of both files, without the manifest */
} ecki_graph_edit;

typedef struct ecki_graph_request {
    const ecki_manifest *manifest; /**< what becomes chains, or, to restore, what is chains */
    const eck_dtype *dtypes; /**< by module: of factors, or of the dense weight */
    bool restore;
    const char *location; /**< name a data file would have */
} ecki_graph_request;

/** Zero it to start; model and request are borrowed until it is cleared. */
eck_status ecki_graph_edit_make(ecki_graph_edit *out, const eck_model *model,
                                const ecki_graph_request *request, eck_error *err);
void ecki_graph_edit_clear(ecki_graph_edit *edit);

#endif
