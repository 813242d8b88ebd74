/**
 * ONNX: the graph of a model as an index of spans. Fields by number, as the protobuf schema of ONNX has them:
 *
 *   model       ir_version 1, graph 7, opset_import 8, metadata_props 14, training_info 20, functions 25
 *   graph       node 1, initializer 5, input 11, output 12, value_info 13, quantization_annotation 14,
 *               sparse_initializer 15
 *   node        input 1, output 2, name 3, op_type 4, attribute 5, domain 7
 *   attribute   name 1, f 2, i 3, s 4, t 5, g 6, floats 7, ints 8, graphs 11
 *   tensor      dims 1, data_type 2, segment 3, float_data 4, int32_data 5, string_data 6, int64_data 7, name 8,
 *               raw_data 9, double_data 10, uint64_data 11, external_data 13, data_location 14
 *
 * All other fields are unknown here and kept, since an output is the input with some spans replaced (format/splice.h).
 * Written by hand and not by a protobuf library: those hold the whole message, most stop at 2 GiB, and what they do not
 * know they move or drop.
 *
 * Initializers and the tensors of Constant nodes are the container's entries; their numbers are read where they lie,
 * also in the files they name. Graphs in the attributes of nodes (If, Loop, Scan) are read too.
 */
#ifndef ECKI_ONNX_H
#define ECKI_ONNX_H

#include "base/error.h"
#include "format/container.h"
#include "format/format.h"
#include "format/wire.h"

enum { ECKI_ONNX_DEPTH = 32, ECKI_ONNX_INTS = 64 };

/** The types of attributes as the file has them. */
enum {
    ECKI_ONNX_FLOAT = 1,
    ECKI_ONNX_INT = 2,
    ECKI_ONNX_STRING = 3,
    ECKI_ONNX_TENSOR = 4,
    ECKI_ONNX_GRAPH = 5,
    ECKI_ONNX_FLOATS_LIST = 6,
    ECKI_ONNX_INTS_LIST = 7
};

/** A message on the way to a graph, whose length changes with what is in it. 0: the file, without a length. */
typedef struct ecki_frame {
    int64_t length_at; /**< byte of its length; -1 none */
    ecki_span content;
    int32_t parent; /**< -1 none; always before it */
} ecki_frame;

typedef struct ecki_onnx_graph {
    int32_t frame, parent; /**< graph it lies in, or -1 */
    int64_t owner; /**< node whose attribute it is, or -1 */
} ecki_onnx_graph;

typedef struct ecki_onnx_attribute {
    const char *name;
    int32_t type;
    int64_t integer;
    float real;
    const char *text; /**< of a short string; else NULL */
    int64_t ints; /**< index of the first in the graph's integers */
    int32_t int_count; /**< -1: more than ECKI_ONNX_INTS, not kept */
    int64_t tensor; /**< of an attribute that is a tensor with numbers: index of tensors; else -1 */
    ecki_span field; /**< with its tag */
} ecki_onnx_attribute;

typedef struct ecki_onnx_node {
    int32_t graph;
    int32_t frame; /**< of a node with graphs in its attributes; else 0 */
    ecki_span field; /**< with its tag */
    ecki_span content;
    int64_t length_at; /**< byte of its length */
    const char *name, *type, *domain; /**< "" where there is none */
    int64_t inputs, outputs; /**< of the first, in names */
    int32_t input_count, output_count;
    int64_t attributes;
    int32_t attribute_count;
} ecki_onnx_node;

/** An initializer, or what a Constant node makes. */
typedef struct ecki_onnx_tensor {
    const char *name;
    int32_t graph;
    int64_t node; /**< the Constant node, or -1 */
    int64_t entry; /**< in the container; -1: of a type that holds no numbers */
    ecki_span field, content; /**< of the TensorProto; field of the attribute for a Constant */
    int32_t type; /**< as the file has it */
    bool external;
} ecki_onnx_tensor;

/** What is said of a value: input, output or value_info of a graph. */
typedef struct ecki_onnx_value {
    const char *name;
    int32_t graph, type;
    int32_t ndim; /**< -1: not said */
    int64_t shape[ECK_DIMS_MAX]; /**< -1: a name or nothing */
    ecki_span field;
} ecki_onnx_value;

/** Where a name stands; definitions come before uses. */
typedef enum ecki_onnx_role {
    ECKI_ONNX_IS_INPUT, /**< index: values */
    ECKI_ONNX_IS_TENSOR, /**< index: tensors, an initializer */
    ECKI_ONNX_IS_MADE, /**< index: nodes, slot: output */
    ECKI_ONNX_IS_SPARSE, /**< a sparse initializer */
    ECKI_ONNX_IS_USED, /**< index: nodes, slot: input */
    ECKI_ONNX_IS_OUTPUT, /**< index: values */
    ECKI_ONNX_IS_SAID, /**< index: values, of value_info */
    ECKI_ONNX_IS_ANNOTATED /**< quantization_annotation */
} ecki_onnx_role;

typedef struct ecki_onnx_use {
    const char *name;
    ecki_onnx_role role;
    int32_t graph, slot;
    int64_t index;
} ecki_onnx_use;

typedef struct ecki_onnx {
    int64_t ir_version, opset; /**< opset of the standard domain; 0: not imported */
    ecki_frame *frames;
    int32_t frame_count;
    ecki_onnx_graph *graphs;
    int32_t graph_count;
    ecki_onnx_node *nodes; /**< in the order of the file, a node before those in its graphs */
    int64_t node_count;
    ecki_onnx_attribute *attributes;
    int64_t attribute_count;
    const char **names;
    int64_t name_count;
    int64_t *integers;
    int64_t integer_count;
    ecki_onnx_tensor *tensors;
    int64_t tensor_count;
    int64_t *by_entry; /**< tensors by entry of the container */
    ecki_onnx_value *values;
    int64_t value_count;
    ecki_onnx_use *uses; /**< sorted by name, definitions first */
    int64_t use_count;
    const char **functions; /**< names of the model's own functions in the standard domain */
    int64_t function_count;
    ecki_span manifest; /**< field of metadata_props["eckart"], or empty */
    bool training;
    int64_t opaque; /**< tensors that are no entries */
} ecki_onnx;

void ecki_onnx_free(ecki_onnx *onnx);

/** Places of a name, definitions first; count_out 0 if it stands nowhere. */
const ecki_onnx_use *ecki_onnx_find(const ecki_onnx *onnx, const char *name, int64_t *count_out);

/** The attribute of that name, or NULL. */
const ecki_onnx_attribute *ecki_onnx_attribute_of(const ecki_onnx *onnx, const ecki_onnx_node *node,
                                                  const char *name);

/** An integer attribute, or what it is where there is none. */
int64_t ecki_onnx_integer(const ecki_onnx *onnx, const ecki_onnx_node *node, const char *name,
                          int64_t otherwise);

/** True if the node is the standard operator of that type. */
bool ecki_onnx_is(const ecki_onnx *onnx, const ecki_onnx_node *node, const char *type);

/** The name of an input, "" if it is left out. */
const char *ecki_onnx_input(const ecki_onnx *onnx, const ecki_onnx_node *node, int32_t slot);
const char *ecki_onnx_output(const ecki_onnx *onnx, const ecki_onnx_node *node, int32_t slot);

/** The number of the type in the file; 0 if ONNX has none. */
int32_t ecki_onnx_type(eck_dtype dtype);

/* ---- between the files of the reader ---------------------------------------------------------------------------- */

/** What reading carries along. */
typedef struct ecki_onnx_reading {
    ecki_container *container;
    ecki_onnx *onnx;
    ecki_wire wire; /**< its cursor is not used, only window, file and err */
    char *directory; /**< external data is looked for here; NULL: nowhere */
    int32_t decoded; /**< file that holds numbers stored one by one, or -1 */
    int64_t decoded_room;
} ecki_onnx_reading;

/** Reads a TensorProto and adds it to tensors, and to the container's entries if it holds numbers. `tensor` has graph,
 * node, field and content set; its name is set too for a Constant. */
eck_status ecki_onnx_read_tensor(ecki_onnx_reading *r, ecki_onnx_tensor *tensor);

/** Index of the file that external data lies in, opened if it is not yet. */
eck_status ecki_onnx_open_external(int32_t *out, ecki_onnx_reading *r, const char *tensor,
                                   const char *location);

/** A field's text: UTF-8, at most `most` bytes, no control characters; lives as long as the container. */
eck_status ecki_onnx_string(const char **out, ecki_onnx_reading *r, const ecki_field *field,
                            const char *what);

/** Sorts uses; refuses names that come from nowhere, that two places define, and circles. */
eck_status ecki_onnx_link(ecki_onnx *onnx, const ecki_onnx_reading *r);

#endif
