/**
 * Shapes of the values of a graph, as far as they follow from its inputs: what one pass costs.
 *
 * Only whole shapes are kept. Small tensors of whole numbers carry these too, because graphs compute shapes from shapes.
 * Nothing of a file can make this fail: what does not fit is unknown, and is told so.
 */
#ifndef ECKI_SHAPES_H
#define ECKI_SHAPES_H

#include "format/onnx.h"
#include "model/model.h"

enum { ECKI_NUMBERS_MAX = 16, ECKI_LIST_MAX = 16 };

/** A shape, and the numbers of a small tensor in their order. */
typedef struct ecki_shape {
    int32_t ndim;
    int32_t count; /**< of numbers; -1: not known */
    int64_t dims[ECK_DIMS_MAX];
    double numbers[ECKI_NUMBERS_MAX];
} ecki_shape;

/** What is known of a graph's values: by the first place of their name among the graph's uses; NULL unknown. */
typedef struct ecki_shapes {
    const ecki_onnx *onnx;
    ecki_shape **known;
    const ecki_file *file; /**< the graph's own */
} ecki_shapes;

/** The shape of a value of the main graph, or NULL. */
const ecki_shape *ecki_shapes_of(const ecki_shapes *shapes, const char *name);

/** A node that is asked what it makes. */
typedef struct ecki_asking {
    const ecki_shapes *shapes;
    const ecki_onnx_node *node;
    int32_t slot; /**< of its outputs */
} ecki_asking;

/** Fills the shape of one output; false if the operator or its inputs are not known. */
typedef bool (*ecki_rule)(ecki_shape *out, const ecki_asking *ask);

/** The rule of a standard operator, or NULL. */
ecki_rule ecki_shape_rule(const ecki_onnx *onnx, const ecki_onnx_node *node);

/* ---- what rules share ------------------------------------------------------------------------------------------- */

/** The shape of an input; NULL if it is unknown or left out. */
const ecki_shape *ecki_asked(const ecki_asking *ask, int32_t slot);

/** True if the node is given that input at all. */
bool ecki_has_input(const ecki_asking *ask, int32_t slot);

int64_t ecki_asked_integer(const ecki_asking *ask, const char *name, int64_t otherwise);

/** Whole numbers of an attribute or, where there is none, of an input (slot -1: never). */
typedef struct ecki_list {
    int32_t count; /**< -1: neither is there */
    int64_t values[ECKI_LIST_MAX];
} ecki_list;

/** False if the list is there but not known, or too long. */
bool ecki_asked_list(ecki_list *out, const ecki_asking *ask, const char *name, int32_t slot);

/** The number of a tensor of one element in an attribute; 0 where there is none, as ConstantOfShape has it; false if it
 *  cannot be read. */
bool ecki_asked_filling(double *out, const ecki_asking *ask, const char *name);

/** axis counted from the end if negative; false if it is outside 0 .. ndim - 1. */
bool ecki_axis(int32_t *out, int64_t axis, int32_t ndim);

/** A shape without numbers. */
ecki_shape ecki_shape_of(int32_t ndim, const int64_t *dims);

/** Elements; -1 if they are too many to count. */
int64_t ecki_shape_size(const ecki_shape *shape);

/** Both stretched to one shape, as elementwise operators do; false if they do not fit. */
bool ecki_broadcast(ecki_shape *out, const ecki_shape *a, const ecki_shape *b);

/** Rules of windows and products (shape_rules.c), and of what moves elements and numbers (shape_moves.c). */
typedef struct ecki_named_rule {
    const char *type;
    ecki_rule rule;
} ecki_named_rule;
extern const ecki_named_rule ecki_window_rules[], ecki_move_rules[]; // ended by NULL

#endif
