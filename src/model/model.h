/**
 * What the files of src/model share: the opened model, its layers as records, the parsed manifest.
 *
 * A model never changes after opening, but for which layers are selected (eck_model_select) and what is known of its inputs
 * (eck_model_set_input). tensors[i] describes
 * container->entries[i]. Layers come in the order of their weights in the container.
 */
#ifndef ECKI_MODEL_H
#define ECKI_MODEL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/hash.h"
#include "eckart/model.h"
#include "format/cache.h"
#include "format/format.h"

/** A layer and what decides whether it is factored. */
typedef struct ecki_layer {
    eck_layer view; /**< what callers see; name, skipped and tied_to point into this record */
    char *name, *tied_to;
    char *reason; /**< built-in reason to copy it, or NULL */
    bool impossible; /**< the reason is not a matter of choice */
    char *selected_reason; /**< reason after eck_model_select(), or NULL */
    int32_t module; /**< of a factored layer: index into the manifest's modules; else -1 */
    eck_use *uses; /**< owned; the view has their count and where they lie */
    char *macs_unknown; /**< owned, or NULL */
    bool sized; /**< a use says what size comes out: one stage alone can be told that */
} ecki_layer;

/** The shape that was given for an input of a graph. */
typedef struct ecki_given {
    char *name;
    int32_t ndim;
    int64_t shape[ECK_DIMS_MAX];
} ecki_given;

typedef struct ecki_manifest_stage {
    char *weight; /**< tensor name */
    eck_stage stage; /**< kind and shape, no numbers */
    bool turned; /**< a linear weight is stored [in,out] */
} ecki_manifest_stage;

/** Texts that a manifest lists. */
typedef struct ecki_strings {
    char **list;
    int64_t count;
} ecki_strings;

/** One factored module as the manifest describes it. */
typedef struct ecki_module {
    char *name, *kind, *bias; /**< bias: tensor name or NULL */
    eck_method method;
    eck_dtype dtype; /**< of the dense weight */
    int32_t ndim;
    int64_t shape[ECK_DIMS_MAX]; /**< of the dense weight as stored in the source */
    int64_t ranks[ECK_RANKS_MAX];
    int32_t rank_count;
    ecki_manifest_stage *stages;
    int32_t stage_count;
    double error, error_high, floor; /**< error INFINITY: nothing promised, null in the file */
    eck_certificate certificate;
    char *tensor; /**< of a graph: the weight that the chain replaces; else NULL */
    ecki_strings nodes; /**< and the nodes that used it, as the file had them, in hexadecimal */
    ecki_strings between; /**< nodes that stood between */
} ecki_module;

/** The manifest: which modules are chains, and where it all came from. */
typedef struct ecki_manifest {
    char *source_name;
    char **source_files, **source_hashes;
    int64_t source_count;
    ecki_module *modules;
    int64_t module_count;
} ecki_manifest;

struct eck_model {
    char *path;
    ecki_container *container;
    eck_tensor *tensors;
    ecki_layer *layers;
    int64_t layer_count;
    int64_t *layers_by_name; /**< their indices, sorted */
    ecki_manifest *manifest; /**< NULL: no output of ours */
    char *model_type; /**< of config.json, or NULL */
    bool has_head; /**< the architecture predicts words from the last hidden state */
    bool causal, ties_embeddings, ties_known;
    ecki_given *given;
    int64_t given_count;
};

/* ---- layers.c: names and shapes to layers ---------------------------------------------------------------------- */

eck_status ecki_layers_find(eck_model *model, eck_error *err);
void ecki_layers_clear(eck_model *model);

/** Index of the layer of that name, -1 none. */
int64_t ecki_layer_find(const eck_model *model, const char *name);

/** "linear", "conv", "embedding", "conv1d_gpt2": the manifest's word for the module a layer replaces; static. */
const char *ecki_layer_kind(const eck_layer *layer);

/** True if a method makes a chain of the layer that can stand in all its uses. */
bool ecki_layer_takes(const ecki_layer *layer, eck_method method);

/* ---- shapes.c: how often a layer of a graph runs ----------------------------------------------------------------- */

/** Fills uses and multiply-adds of every layer, or why they are not known. Only memory can run out. */
eck_status ecki_shapes_find(eck_model *model, eck_error *err);

/** Takes a layer's uses away. */
void ecki_layer_forget(ecki_layer *layer);

/* ---- manifest.c ------------------------------------------------------------------------------------------------- */

void ecki_manifest_free(ecki_manifest *manifest);

/** Parses and checks against the container's tensors: every named tensor is there, with the shape its place asks for. */
eck_status ecki_manifest_parse(ecki_manifest **out, const char *text, int64_t length,
                               const ecki_container *container, eck_error *err);

/** As JSON text, keys in a fixed order; indent 0 for one line. Owned, ecki_free(). */
eck_status ecki_manifest_print(char **out, const ecki_manifest *manifest, int32_t indent,
                               eck_error *err);

/** Length of the text when every number of a certificate takes the most digits it can: what a header must reserve. */
eck_status ecki_manifest_room(int64_t *out, const ecki_manifest *manifest, eck_error *err);

/** Fills name, kind, shape, ranks, bias and stages (shapes and names, no numbers) of the chain a point makes of a layer. */
eck_status ecki_module_outline(ecki_module *module, const eck_model *model, const eck_layer *layer,
                               const eck_point *point, eck_error *err);
void ecki_module_clear(ecki_module *module);

/** The shape in which the weight of a stage is stored; returns the number of dimensions. */
int32_t ecki_stage_stored(const ecki_manifest_stage *stage, int64_t *shape_out);

/** The dense layer a module stands for, without weights. */
eck_stage ecki_module_dense(const ecki_module *module);

/* ---- content.c: fingerprints ------------------------------------------------------------------------------------ */

/** SHA-256 of each file of the model and of each tensor, in one pass; and of all files together. */
typedef struct ecki_content {
    char (*files)[ECKI_HASH_HEX];
    char (*tensors)[ECKI_HASH_HEX];
    char source[ECKI_HASH_HEX];
} ecki_content;

/** cache may be NULL; with one, hashes of files that have not changed (device, inode, size, time) are remembered. */
eck_status ecki_content_compute(ecki_content **out, const eck_model *model, const ecki_cache *cache,
                                const eck_context *context, eck_error *err);
void ecki_content_free(ecki_content *content);

/* ---- weights.c: operators over files ------------------------------------------------------------------------------ */

/** The whole tensor in memory; owned by the caller, eck_array_free(). */
eck_status ecki_tensor_load(eck_array **out, const eck_model *model, int64_t tensor,
                            eck_error *err);

/** out [cols,rows] = in [rows,cols]^T, elements of `size` bytes. */
void ecki_turn(void *out, const void *in, int64_t rows, int64_t cols, int64_t size);

/** A tensor as [rows,cols] (product of shape must match), or its transpose. */
eck_status ecki_tensor_operator(eck_operator **out, const eck_model *model, int64_t tensor,
                                int64_t rows, int64_t cols, bool transposed, eck_error *err);

/* ---- fit.c: how many layers at once --------------------------------------------------------------------------------- */

/** What any run over a model holds beside the layers' work: copy buffers, index, manifest. */
int64_t ecki_base_memory(const eck_model *model);

/** The most that one layer needs, and whether that is a kernel taken apart by a method other than the SVD. */
typedef struct ecki_hunger {
    int64_t bytes;
    bool kernel;
} ecki_hunger;

/** Layers worked on at once: as many as threads and memory (the context's less the base, or six times the model's largest
 *  tensor in F32, 1 GiB where one kernel needs more than that) allow, at least one. */
int32_t ecki_workers(const eck_model *model, ecki_hunger most, const eck_context *context);

#endif
