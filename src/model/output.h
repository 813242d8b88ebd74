/**
 * Writing a model: which tensors an output has, in which file, and one atomic step at the end. Compress and restore
 * differ in their items alone.
 */
#ifndef ECKI_OUTPUT_H
#define ECKI_OUTPUT_H

#include "format/atomic.h"
#include "format/carried.h"
#include "format/safetensors.h"
#include "model/model.h"

/** What goes along from the model's directory; what its own weights, index and manifest become is
 *  not left out. Nothing for a single file. */
eck_status ecki_output_carried(ecki_carried *out, const eck_model *model, eck_error *err);

/** One tensor of an output. */
typedef struct ecki_item {
    char *name;
    eck_dtype dtype;
    int32_t ndim;
    int64_t shape[ECK_DIMS_MAX], bytes;
    int64_t entry; /**< tensor of the source it copies, or -1 */
    int32_t shard; /**< file it lies in */
    int64_t slot; /**< index in that file's writer */
} ecki_item;

/** Zero it to start. */
typedef struct ecki_items {
    ecki_item *list;
    int64_t count, room, bytes;
    int32_t shards;
} ecki_items;

/** Adds a tensor. entry >= 0: a copy of that tensor of the source, whose type and shape it has; only
 *  spec->name counts then. The name is copied. */
eck_status ecki_items_add(ecki_items *items, const eck_model *model, const ecki_tensor_spec *spec,
                          int64_t entry, eck_error *err);

/** Adds a copy of tensor `entry` of the source under another name or its own. */
eck_status ecki_items_copy(ecki_items *items, const eck_model *model, const char *name,
                           int64_t entry, eck_error *err);

/** Names are unique, and every item gets its file: in order, at most shard_bytes each. */
eck_status ecki_items_finish(ecki_items *items, int64_t shard_bytes, eck_error *err);
void ecki_items_clear(ecki_items *items);

typedef struct ecki_output_options {
    const char *path, *prefix; /**< prefix "eckart" or "model": names of the files in a directory */
    bool replace;
    int64_t reserved; /**< header bytes kept free for the manifest of a single file */
    const ecki_manifest *manifest; /**< of a graph: what becomes chains, or is chains */
    bool restore; /**< of a graph: chains become what they were */
} ecki_output_options;

typedef struct ecki_model_output ecki_model_output;

/** Opens target and writers; nothing exists under the final name until publish. model, items: borrowed. */
eck_status ecki_model_output_create(ecki_model_output **out, const eck_model *model,
                                    const ecki_items *items, const ecki_output_options *options,
                                    eck_error *err);

/** Thread-safe for different ranges. */
eck_status ecki_model_output_write(ecki_model_output *output, int64_t item, int64_t offset,
                                   const void *bytes, int64_t count, eck_error *err);

/** Copies an item's bytes from the source, in pieces. */
eck_status ecki_model_output_copy(ecki_model_output *output, int64_t item, eck_error *err);

/** Manifest (NULL: none), index and carried files, then the one step. left_out: moved out of carried. */
eck_status ecki_model_output_publish(ecki_model_output *output, const ecki_manifest *manifest,
                                     const ecki_carried *carried, eck_error *err);
void ecki_model_output_free(ecki_model_output *output);

#endif
