/**
 * Graphs put together by hand for tests: weights, values and nodes as fields, without any library of ONNX.
 */
#ifndef MADE_GRAPH_H
#define MADE_GRAPH_H

#include <stdint.h>

#include "base/text.h"

/** A graph in the making: its fields, and the versions it is for. */
typedef struct made_graph {
    ecki_text graph;
    int64_t ir, opset;
} made_graph;

/** An initializer F32 [rows,cols], with k another two dimensions; numbers fall off as those of a made spectrum do. */
void made_weight(made_graph *m, const char *name, int64_t rows, int64_t cols, int64_t k);

/** An input (field 11) or output (12), of no type. */
void made_value(made_graph *m, int32_t field, const char *name);

/** "Type a b -> y key=1": a node; lists are "key=1,2". */
void made_node(made_graph *m, const char *text);

/** The whole model; owned, ecki_text_clear(). The graph is used up. */
ecki_text made_model(made_graph *m);

#endif
