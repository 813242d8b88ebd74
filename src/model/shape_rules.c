/**
 * What operators make of shapes, first half: windows, products, and what works number by number. Sizes that a file makes
 * up are held below LARGE, so that none of the formulas can overflow.
 */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "model/shapes.h"

#define LARGE (INT64_C(1) << 40)
#define STEP_MAX (INT64_C(1) << 20)

const ecki_shape *ecki_asked(const ecki_asking *ask, int32_t slot)
{
    return ecki_shapes_of(ask->shapes, ecki_onnx_input(ask->shapes->onnx, ask->node, slot));
}

bool ecki_has_input(const ecki_asking *ask, int32_t slot)
{
    return ecki_onnx_input(ask->shapes->onnx, ask->node, slot)[0] != '\0';
}

int64_t ecki_asked_integer(const ecki_asking *ask, const char *name, int64_t otherwise)
{
    return ecki_onnx_integer(ask->shapes->onnx, ask->node, name, otherwise);
}

bool ecki_asked_list(ecki_list *out, const ecki_asking *ask, const char *name, int32_t slot)
{
    const ecki_onnx *onnx = ask->shapes->onnx;
    const ecki_onnx_attribute *a = name ? ecki_onnx_attribute_of(onnx, ask->node, name) : NULL;

    out->count = -1;
    if (a) {
        if (a->type != ECKI_ONNX_INTS_LIST || a->int_count < 0 || a->int_count > ECKI_LIST_MAX)
            return false;
        out->count = a->int_count;
        for (int32_t i = 0; i < a->int_count; i++)
            out->values[i] = ecki_max(-LARGE, ecki_min(onnx->integers[a->ints + i], LARGE));
        return true;
    }
    if (slot < 0 || !ecki_has_input(ask, slot)) return true;
    const ecki_shape *numbers = ecki_asked(ask, slot);
    if (!numbers || numbers->count < 0 || numbers->count > ECKI_LIST_MAX) return false;
    out->count = numbers->count;
    for (int32_t i = 0; i < numbers->count; i++) {
        const double value = numbers->numbers[i];
        // "to the end" is written as the largest number there is
        out->values[i] = fabs(value) < (double)LARGE ? (int64_t)value : value > 0 ? LARGE : -LARGE;
    }
    return true;
}

bool ecki_axis(int32_t *out, int64_t axis, int32_t ndim)
{
    if (axis < 0) axis += ndim;
    if (axis < 0 || axis >= ndim) return false;
    *out = (int32_t)axis;
    return true;
}

ecki_shape ecki_shape_of(int32_t ndim, const int64_t *dims)
{
    ecki_shape shape = { .ndim = ndim, .count = -1 };
    if (ndim > 0) memcpy(shape.dims, dims, (size_t)ndim * sizeof *dims);
    return shape;
}

int64_t ecki_shape_size(const ecki_shape *shape)
{
    int64_t count;
    return ecki_shape_count(shape->ndim, shape->dims, &count) ? count : -1;
}

bool ecki_broadcast(ecki_shape *out, const ecki_shape *a, const ecki_shape *b)
{
    const int32_t ndim = a->ndim > b->ndim ? a->ndim : b->ndim;
    ecki_shape wide = { .ndim = ndim, .count = -1 };

    for (int32_t i = 0; i < ndim; i++) {
        const int32_t i_a = i - (ndim - a->ndim), i_b = i - (ndim - b->ndim);
        const int64_t x = i_a >= 0 ? a->dims[i_a] : 1, y = i_b >= 0 ? b->dims[i_b] : 1;
        if (x != y && x != 1 && y != 1) return false;
        wide.dims[i] = x == 1 ? y : x;
    }
    *out = wide;
    return true;
}

/* ---- windows ---------------------------------------------------------------------------------------------------- */

/** A window that moves over spatial dimensions. */
typedef struct window {
    int32_t spatial;
    int64_t kernel[ECK_DIMS_MAX], stride[ECK_DIMS_MAX], dilation[ECK_DIMS_MAX];
    int64_t begin[ECK_DIMS_MAX], end[ECK_DIMS_MAX];
    bool same; /**< padding follows from the input */
} window;

/** One number a dimension, each at least `least`; `otherwise` where the node says nothing. */
static bool read_steps(int64_t *out, const ecki_asking *ask, const char *name, int32_t count,
                       int64_t otherwise)
{
    ecki_list list;

    if (!ecki_asked_list(&list, ask, name, -1)) return false;
    if (list.count > 0 && list.count != count) return false;
    for (int32_t i = 0; i < count; i++) {
        out[i] = list.count > 0 ? list.values[i] : otherwise;
        if (out[i] < 1 || out[i] > STEP_MAX) return false;
    }
    return true;
}

/** Everything but the kernel, which is there already. */
static bool read_window(window *w, const ecki_asking *ask)
{
    const ecki_onnx_attribute *automatic =
        ecki_onnx_attribute_of(ask->shapes->onnx, ask->node, "auto_pad");
    const bool valid = automatic && automatic->text && strcmp(automatic->text, "VALID") == 0;
    ecki_list pads;

    w->same = automatic && automatic->text && strncmp(automatic->text, "SAME_", 5) == 0;
    if (!read_steps(w->stride, ask, "strides", w->spatial, 1) ||
        !read_steps(w->dilation, ask, "dilations", w->spatial, 1) ||
        !ecki_asked_list(&pads, ask, "pads", -1))
        return false;
    if (pads.count > 0 && pads.count != 2 * w->spatial) return false;
    for (int32_t i = 0; i < w->spatial; i++) {
        const bool none = pads.count <= 0 || valid || w->same;
        w->begin[i] = none ? 0 : pads.values[i];
        w->end[i] = none ? 0 : pads.values[i + w->spatial];
        if (w->kernel[i] < 1 || w->kernel[i] > STEP_MAX || w->begin[i] < -STEP_MAX ||
            w->begin[i] > STEP_MAX || w->end[i] < -STEP_MAX || w->end[i] > STEP_MAX)
            return false;
    }
    return true;
}

/** out = (in + pads - dilation (kernel - 1) - 1) / stride + 1, rounded down, or up where asked; SAME: in / stride, up. */
static bool slide(ecki_shape *out, const ecki_shape *x, const window *w, bool up)
{
    for (int32_t i = 0; i < w->spatial; i++) {
        const int64_t in = x->dims[2 + i];
        if (w->same) {
            out->dims[2 + i] = (in + w->stride[i] - 1) / w->stride[i];
            continue;
        }
        const int64_t room = in + w->begin[i] + w->end[i] - w->dilation[i] * (w->kernel[i] - 1) - 1;
        if (room < 0) return false;
        int64_t count = (room + (up ? w->stride[i] - 1 : 0)) / w->stride[i] + 1;
        // a window that would begin behind the input and what pads its front is left out
        if (up && (count - 1) * w->stride[i] >= in + w->begin[i]) count--;
        out->dims[2 + i] = count;
    }
    return true;
}

/** The data of a node with windows; its kernel from the weight, NULL for pools. */
static const ecki_shape *open_window(window *w, const ecki_asking *ask, const ecki_shape *weight)
{
    const ecki_shape *x = ecki_asked(ask, 0);

    if (!x || x->ndim < 3 || (weight && weight->ndim != x->ndim)) return NULL;
    *w = (window){ .spatial = x->ndim - 2 };
    if (weight)
        memcpy(w->kernel, weight->dims + 2, (size_t)w->spatial * sizeof *w->kernel);
    else if (!read_steps(w->kernel, ask, "kernel_shape", w->spatial, -1))
        return NULL;
    return read_window(w, ask) ? x : NULL;
}

static bool conv(ecki_shape *out, const ecki_asking *ask)
{
    window w;
    const ecki_shape *weight = ecki_asked(ask, 1);
    const ecki_shape *x = weight ? open_window(&w, ask, weight) : NULL;

    if (!x) return false;
    *out = ecki_shape_of(x->ndim, x->dims);
    out->dims[1] = weight->dims[0];
    return slide(out, x, &w, false);
}

/** out = stride (in - 1) + output_padding + dilation (kernel - 1) + 1 - pads; SAME: in * stride. */
static bool conv_transpose(ecki_shape *out, const ecki_asking *ask)
{
    window w;
    ecki_list more, sizes;
    const ecki_shape *weight = ecki_asked(ask, 1);
    const ecki_shape *x = weight ? open_window(&w, ask, weight) : NULL;

    if (!x || !ecki_asked_list(&more, ask, "output_padding", -1) ||
        !ecki_asked_list(&sizes, ask, "output_shape", -1))
        return false;
    *out = ecki_shape_of(x->ndim, x->dims);
    if (!ecki_mul(weight->dims[1], ecki_asked_integer(ask, "group", 1), &out->dims[1]))
        return false;
    for (int32_t i = 0; i < w.spatial; i++) {
        const int64_t added = more.count == w.spatial ? more.values[i] : 0;
        int64_t size = w.stride[i] * (x->dims[2 + i] - 1) + added +
                       w.dilation[i] * (w.kernel[i] - 1) + 1 - w.begin[i] - w.end[i];
        if (w.same) size = x->dims[2 + i] * w.stride[i];
        if (sizes.count >= w.spatial) size = sizes.values[sizes.count - w.spatial + i];
        out->dims[2 + i] = size;
    }
    return true;
}

static bool pool(ecki_shape *out, const ecki_asking *ask)
{
    window w;
    const ecki_shape *x = open_window(&w, ask, NULL);

    if (!x) return false;
    *out = ecki_shape_of(x->ndim, x->dims);
    return slide(out, x, &w, ecki_asked_integer(ask, "ceil_mode", 0) != 0);
}

static bool global_pool(ecki_shape *out, const ecki_asking *ask)
{
    const ecki_shape *x = ecki_asked(ask, 0);

    if (!x || x->ndim < 2) return false;
    *out = ecki_shape_of(x->ndim, x->dims);
    for (int32_t i = 2; i < x->ndim; i++)
        out->dims[i] = 1;
    return true;
}

/* ---- products --------------------------------------------------------------------------------------------------- */

static bool matmul(ecki_shape *out, const ecki_asking *ask)
{
    const ecki_shape *a = ecki_asked(ask, 0), *b = ecki_asked(ask, 1);

    if (!a || !b || a->ndim < 1 || b->ndim < 1) return false;
    // a vector is a row on the left and a column on the right, and its one is taken away again
    const int32_t lead_a = ecki_max(a->ndim - 2, 0), lead_b = ecki_max(b->ndim - 2, 0);
    const ecki_shape many_a = ecki_shape_of(lead_a, a->dims),
                     many_b = ecki_shape_of(lead_b, b->dims);
    if (a->dims[a->ndim - 1] != b->dims[ecki_max(b->ndim - 2, 0)]) return false;
    if (!ecki_broadcast(out, &many_a, &many_b)) return false;
    if (a->ndim > 1) out->dims[out->ndim++] = a->dims[a->ndim - 2];
    if (b->ndim > 1) out->dims[out->ndim++] = b->dims[b->ndim - 1];
    return true;
}

static bool gemm(ecki_shape *out, const ecki_asking *ask)
{
    const ecki_shape *a = ecki_asked(ask, 0), *b = ecki_asked(ask, 1);

    if (!a || !b || a->ndim != 2 || b->ndim != 2) return false;
    const int64_t dims[] = { a->dims[ecki_asked_integer(ask, "transA", 0) != 0],
                             b->dims[ecki_asked_integer(ask, "transB", 0) == 0] };
    *out = ecki_shape_of(2, dims);
    return true;
}

/* ---- number by number ------------------------------------------------------------------------------------------- */

/** The shape of the first input for the first output alone. */
static bool first_alone(ecki_shape *out, const ecki_asking *ask)
{
    const ecki_shape *x = ask->slot == 0 ? ecki_asked(ask, 0) : NULL;
    if (x) *out = ecki_shape_of(x->ndim, x->dims);
    return x != NULL;
}

/** The shape of the first input for every output. */
static bool alike(ecki_shape *out, const ecki_asking *ask)
{
    const ecki_shape *x = ecki_asked(ask, 0);
    if (x) *out = ecki_shape_of(x->ndim, x->dims);
    return x != NULL;
}

/** As it is, numbers too; those of a Cast to whole numbers lose what follows the point. */
static bool unchanged(ecki_shape *out, const ecki_asking *ask)
{
    const ecki_shape *x = ecki_asked(ask, 0);

    if (!x) return false;
    *out = *x;
    const int64_t to = ecki_asked_integer(ask, "to", 1);
    const bool real = to == 1 || to == 10 || to == 11 || to == 16;
    for (int32_t i = 0; i < out->count && !real; i++)
        out->numbers[i] = trunc(out->numbers[i]);
    return true;
}

/** All inputs stretched to one shape. */
static bool stretched(ecki_shape *out, const ecki_asking *ask)
{
    const ecki_shape *x = ecki_asked(ask, 0);

    if (!x) return false;
    ecki_shape all = ecki_shape_of(x->ndim, x->dims);
    for (int32_t i = 1; i < ask->node->input_count; i++) {
        const ecki_shape *next = ecki_asked(ask, i);
        if (!next || !ecki_broadcast(&all, &all, next)) return false;
    }
    *out = all;
    return true;
}

/** One number of the four kinds of arithmetic; whole numbers divide to whole numbers. */
static double calculate(char kind, double x, double y)
{
    switch (kind) {
    case 'A':
        return x + y;
    case 'S':
        return x - y;
    case 'M':
        return x * y;
    default:
        return y == 0 ? NAN : x == trunc(x) && y == trunc(y) ? trunc(x / y) : x / y;
    }
}

/** Add, Sub, Mul, Div: numbers too, of vectors alike in length or with one number. */
static bool arithmetic(ecki_shape *out, const ecki_asking *ask)
{
    const ecki_shape *x = ecki_asked(ask, 0), *y = ecki_asked(ask, 1);

    if (!stretched(out, ask) || !y) return false;
    if (x->count < 1 || y->count < 1) return true;
    const int32_t count = x->count > y->count ? x->count : y->count;
    if ((x->count != count && x->count != 1) || (y->count != count && y->count != 1) ||
        out->ndim > 1)
        return true;
    for (int32_t i = 0; i < count; i++) {
        out->numbers[i] = calculate(ask->node->type[0], x->numbers[x->count > 1 ? i : 0],
                                    y->numbers[y->count > 1 ? i : 0]);
        if (!(fabs(out->numbers[i]) < (double)LARGE)) return true;
    }
    out->count = count;
    return true;
}

const ecki_named_rule ecki_window_rules[] = {
    { "Conv", conv },
    { "ConvTranspose", conv_transpose },
    { "MaxPool", pool },
    { "AveragePool", pool },
    { "LpPool", pool },
    { "GlobalAveragePool", global_pool },
    { "GlobalMaxPool", global_pool },
    { "GlobalLpPool", global_pool },
    { "MatMul", matmul },
    { "Gemm", gemm },
    { "Add", arithmetic },
    { "Sub", arithmetic },
    { "Mul", arithmetic },
    { "Div", arithmetic },
    { "Pow", stretched },
    { "Min", stretched },
    { "Max", stretched },
    { "Sum", stretched },
    { "Mean", stretched },
    { "Mod", stretched },
    { "And", stretched },
    { "Or", stretched },
    { "Xor", stretched },
    { "Equal", stretched },
    { "Greater", stretched },
    { "Less", stretched },
    { "GreaterOrEqual", stretched },
    { "LessOrEqual", stretched },
    { "Where", stretched },
    { "Identity", unchanged },
    { "Cast", unchanged },
    { "Dropout", alike },
    { "BatchNormalization", first_alone },
    { "InstanceNormalization", alike },
    { "LayerNormalization", first_alone },
    { "GroupNormalization", alike },
    { "RMSNormalization", alike },
    { "LRN", alike },
    { "LpNormalization", alike },
    { "MeanVarianceNormalization", alike },
    { "Relu", alike },
    { "LeakyRelu", alike },
    { "PRelu", alike },
    { "ThresholdedRelu", alike },
    { "Elu", alike },
    { "Selu", alike },
    { "Celu", alike },
    { "Gelu", alike },
    { "Mish", alike },
    { "Swish", alike },
    { "Sigmoid", alike },
    { "HardSigmoid", alike },
    { "HardSwish", alike },
    { "Tanh", alike },
    { "Softmax", alike },
    { "LogSoftmax", alike },
    { "Hardmax", alike },
    { "Softplus", alike },
    { "Softsign", alike },
    { "Clip", alike },
    { "Abs", alike },
    { "Neg", alike },
    { "Sign", alike },
    { "Floor", alike },
    { "Ceil", alike },
    { "Round", alike },
    { "Reciprocal", alike },
    { "Sqrt", alike },
    { "Exp", alike },
    { "Log", alike },
    { "Erf", alike },
    { "Sin", alike },
    { "Cos", alike },
    { "Tan", alike },
    { "Not", alike },
    { "IsNaN", alike },
    { "IsInf", alike },
    { "CumSum", alike },
    { "Trilu", alike },
    { "Shrink", alike },
    { "ScatterND", alike },
    { "ScatterElements", alike },
    { "QuantizeLinear", alike },
    { "DequantizeLinear", alike },
    { NULL, NULL },
};
