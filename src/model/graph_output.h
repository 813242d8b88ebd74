/**
 * An output that is a graph: one .onnx file, and <name>.onnx.data beside it where the source had external data or the
 * one file would hold more than protobuf can. The data file is published first, so that nothing leads to what is not
 * there.
 */
#ifndef ECKI_GRAPH_OUTPUT_H
#define ECKI_GRAPH_OUTPUT_H

#include "model/graph.h"
#include "model/output.h"

typedef struct ecki_graph_output ecki_graph_output;

/** As ecki_model_output_create(). items: borrowed; those that are no copies are the manifest's tensors. */
eck_status ecki_graph_output_create(ecki_graph_output **out, const eck_model *model,
                                    const ecki_items *items, const ecki_output_options *options,
                                    eck_error *err);

/** Bytes of an item; thread-safe for different ranges. */
eck_status ecki_graph_output_write(ecki_graph_output *output, int64_t item, int64_t offset,
                                   const void *bytes, int64_t count, eck_error *err);

/** True if the item must be written: it is no copy that lies in the graph's own file. */
bool ecki_graph_output_holds(const ecki_graph_output *output, int64_t item);

/** Everything but items, the manifest (NULL: none), then the files appear. */
eck_status ecki_graph_output_publish(ecki_graph_output *output, const ecki_manifest *manifest,
                                     eck_error *err);
void ecki_graph_output_free(ecki_graph_output *output);

/** Compares an output with what its source and manifest make of it, every byte but factors and manifest.
 *  reason_out  owned text, ecki_free(), or NULL if it is as it must be */
eck_status ecki_graph_output_check(char **reason_out, const eck_model *before,
                                   const eck_model *after, eck_error *err);

#endif
