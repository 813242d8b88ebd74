/**
 * What operators make of shapes, second half: what moves elements about, and what computes shapes from shapes. There the
 * numbers of small tensors are followed too.
 */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "model/shapes.h"

/** Axes as marks, [ECK_DIMS_MAX]; none given: all where `all`, else none. */
static bool mark_axes(bool *marks, const ecki_asking *ask, int32_t slot, int32_t ndim, bool all)
{
    ecki_list axes;
    int32_t axis;

    if (!ecki_asked_list(&axes, ask, "axes", slot)) return false;
    for (int32_t i = 0; i < ECK_DIMS_MAX; i++)
        marks[i] = all && axes.count <= 0;
    for (int32_t i = 0; i < axes.count; i++) {
        if (!ecki_axis(&axis, axes.values[i], ndim)) return false;
        marks[axis] = true;
    }
    return true;
}

/** Numbers stay in their order through what only writes a shape anew. */
static void keep_numbers(ecki_shape *out, const ecki_shape *x)
{
    out->count = x->count;
    memcpy(out->numbers, x->numbers, sizeof out->numbers);
}

/** How an axis of a result runs through what it is made of. */
typedef struct walk {
    int32_t axis; /**< there */
    int64_t start, step;
} walk;

/** The numbers of `out`, whose axes walk through those of x. */
static void pick_numbers(ecki_shape *out, const ecki_shape *x, const walk *walks)
{
    int64_t strides[ECK_DIMS_MAX], stride = 1;
    const int64_t count = ecki_shape_size(out);

    if (x->count < 0 || count < 0 || count > ECKI_NUMBERS_MAX) return;
    for (int32_t i = x->ndim - 1; i >= 0; i--) {
        strides[i] = stride;
        stride *= x->dims[i];
    }
    for (int64_t n = 0; n < count; n++) {
        int64_t rest = n, from = 0;
        for (int32_t i = out->ndim - 1; i >= 0; i--) {
            from +=
                (walks[i].start + walks[i].step * (rest % out->dims[i])) * strides[walks[i].axis];
            rest /= out->dims[i];
        }
        out->numbers[n] = x->numbers[from];
    }
    out->count = (int32_t)count;
}

/* ---- shapes written anew ---------------------------------------------------------------------------------------- */

static bool reshape(ecki_shape *out, const ecki_asking *ask)
{
    const ecki_shape *x = ecki_asked(ask, 0);
    ecki_list sizes;
    int32_t open = -1;
    int64_t product = 1;

    if (!x || !ecki_asked_list(&sizes, ask, "shape", 1)) return false;
    if (sizes.count < 0 || sizes.count > ECK_DIMS_MAX) return false;
    const bool zero_stays = ecki_asked_integer(ask, "allowzero", 0) == 0;
    ecki_shape shape = { .ndim = sizes.count, .count = -1 };
    for (int32_t i = 0; i < sizes.count; i++) {
        int64_t size = sizes.values[i];
        if (size == 0 && zero_stays) {
            if (i >= x->ndim) return false;
            size = x->dims[i];
        }
        if (size == -1 && open < 0) {
            open = i;
            continue;
        }
        if (size < 0 || !ecki_mul(product, size, &product)) return false;
        shape.dims[i] = size;
    }
    const int64_t count = ecki_shape_size(x);
    if (open >= 0) {
        if (product <= 0 || count < 0 || count % product != 0) return false;
        shape.dims[open] = count / product;
    } else if (product != count) {
        return false;
    }
    keep_numbers(&shape, x);
    *out = shape;
    return true;
}

static bool flatten(ecki_shape *out, const ecki_asking *ask)
{
    const ecki_shape *x = ecki_asked(ask, 0);
    int64_t dims[] = { 1, 1 };

    if (!x) return false;
    int64_t axis = ecki_asked_integer(ask, "axis", 1);
    if (axis < 0) axis += x->ndim;
    for (int32_t i = 0; i < x->ndim; i++)
        if (!ecki_mul(dims[i >= axis], x->dims[i], &dims[i >= axis])) return false;
    *out = ecki_shape_of(2, dims);
    return true;
}

static bool squeeze(ecki_shape *out, const ecki_asking *ask)
{
    const ecki_shape *x = ecki_asked(ask, 0);
    ecki_list axes;
    bool marks[ECK_DIMS_MAX];
    ecki_shape shape = { .count = -1 };

    if (!x || !ecki_asked_list(&axes, ask, "axes", 1)) return false;
    if (!mark_axes(marks, ask, 1, x->ndim, false)) return false;
    for (int32_t i = 0; i < x->ndim; i++)
        if (axes.count > 0 ? !marks[i] : x->dims[i] != 1) shape.dims[shape.ndim++] = x->dims[i];
    keep_numbers(&shape, x);
    *out = shape;
    return true;
}

static bool unsqueeze(ecki_shape *out, const ecki_asking *ask)
{
    const ecki_shape *x = ecki_asked(ask, 0);
    ecki_list axes;
    bool marks[ECK_DIMS_MAX];
    ecki_shape shape = { .count = -1 };
    int32_t from = 0;

    if (!x || !ecki_asked_list(&axes, ask, "axes", 1)) return false;
    if (axes.count < 0 || x->ndim + axes.count > ECK_DIMS_MAX) return false;
    shape.ndim = x->ndim + axes.count;
    if (!mark_axes(marks, ask, 1, shape.ndim, false)) return false;
    for (int32_t i = 0; i < shape.ndim; i++) {
        if (!marks[i] && from >= x->ndim) return false; // one axis twice
        shape.dims[i] = marks[i] ? 1 : x->dims[from++];
    }
    keep_numbers(&shape, x);
    *out = shape;
    return true;
}

static bool transpose(ecki_shape *out, const ecki_asking *ask)
{
    const ecki_shape *x = ecki_asked(ask, 0);
    ecki_list order;
    int32_t axis;
    walk walks[ECK_DIMS_MAX];

    if (!x || !ecki_asked_list(&order, ask, "perm", -1)) return false;
    if (order.count >= 0 && order.count != x->ndim) return false;
    *out = ecki_shape_of(x->ndim, x->dims);
    for (int32_t i = 0; i < x->ndim; i++) {
        if (!ecki_axis(&axis, order.count >= 0 ? order.values[i] : x->ndim - 1 - i, x->ndim))
            return false;
        out->dims[i] = x->dims[axis];
        walks[i] = (walk){ axis, 0, 1 };
    }
    if (ecki_shape_size(out) == ecki_shape_size(x)) pick_numbers(out, x, walks); // no axis twice
    return true;
}

/* ---- parts and sums of parts ------------------------------------------------------------------------------------ */

/** Puts the numbers of one more vector behind those that are there. */
static void join_numbers(ecki_shape *out, const ecki_shape *next)
{
    if (out->count < 0) return;
    if (next->count < 0 || out->ndim != 1 || out->count + next->count > ECKI_NUMBERS_MAX) {
        out->count = -1;
        return;
    }
    memcpy(out->numbers + out->count, next->numbers, (size_t)next->count * sizeof *next->numbers);
    out->count += next->count;
}

static bool concat(ecki_shape *out, const ecki_asking *ask)
{
    const ecki_shape *x = ecki_asked(ask, 0);
    int32_t axis;

    if (!x || !ecki_axis(&axis, ecki_asked_integer(ask, "axis", 1), x->ndim)) return false;
    ecki_shape whole = *x;
    for (int32_t i = 1; i < ask->node->input_count; i++) {
        const ecki_shape *next = ecki_asked(ask, i);
        if (!next || next->ndim != x->ndim) return false;
        if (!ecki_add(whole.dims[axis], next->dims[axis], &whole.dims[axis])) return false;
        join_numbers(&whole, next);
    }
    *out = whole;
    return true;
}

static bool split(ecki_shape *out, const ecki_asking *ask)
{
    const ecki_shape *x = ecki_asked(ask, 0);
    ecki_list sizes;
    int32_t axis;

    if (!x || !ecki_axis(&axis, ecki_asked_integer(ask, "axis", 0), x->ndim) ||
        !ecki_asked_list(&sizes, ask, "split", 1))
        return false;
    *out = ecki_shape_of(x->ndim, x->dims);
    if (sizes.count > 0) {
        if (ask->slot >= sizes.count) return false;
        out->dims[axis] = sizes.values[ask->slot];
        return true;
    }
    // equal parts, the last one smaller if need be
    const int64_t parts = ask->node->output_count, size = (x->dims[axis] + parts - 1) / parts;
    out->dims[axis] = ecki_min(size, x->dims[axis] - size * ask->slot);
    return true;
}

/** How a Slice cuts one axis. */
typedef struct cut {
    int64_t start, step, count;
} cut;

static cut make_cut(int64_t start, int64_t end, int64_t step, int64_t size)
{
    if (start < 0) start += size;
    if (end < 0) end += size;
    const int64_t top = step > 0 ? size : size - 1, bottom = step > 0 ? 0 : -1;
    if (size == 0) return (cut){ 0, step, 0 };
    start = ecki_max(0, ecki_min(start, top));
    end = ecki_max(bottom, ecki_min(end, size));
    const int64_t span = step > 0 ? end - start : start - end, stride = step > 0 ? step : -step;
    return (cut){ start, step, span > 0 ? (span + stride - 1) / stride : 0 };
}

static bool slice(ecki_shape *out, const ecki_asking *ask)
{
    const ecki_shape *x = ecki_asked(ask, 0);
    ecki_list starts, ends, axes, steps;
    int32_t axis;
    walk walks[ECK_DIMS_MAX];

    if (!x || !ecki_asked_list(&starts, ask, "starts", 1) ||
        !ecki_asked_list(&ends, ask, "ends", 2) || !ecki_asked_list(&axes, ask, "axes", 3) ||
        !ecki_asked_list(&steps, ask, NULL, 4))
        return false;
    if (starts.count < 0 || ends.count != starts.count ||
        (axes.count >= 0 && axes.count != starts.count) ||
        (steps.count >= 0 && steps.count != starts.count))
        return false;
    ecki_shape shape = ecki_shape_of(x->ndim, x->dims);
    for (int32_t i = 0; i < x->ndim; i++)
        walks[i] = (walk){ i, 0, 1 };
    for (int32_t i = 0; i < starts.count; i++) {
        const int64_t step = steps.count >= 0 ? steps.values[i] : 1;
        if (step == 0 || !ecki_axis(&axis, axes.count >= 0 ? axes.values[i] : i, x->ndim))
            return false;
        const cut c = make_cut(starts.values[i], ends.values[i], step, x->dims[axis]);
        shape.dims[axis] = c.count;
        walks[axis] = (walk){ axis, c.start, c.step };
    }
    pick_numbers(&shape, x, walks);
    *out = shape;
    return true;
}

static bool gather(ecki_shape *out, const ecki_asking *ask)
{
    const ecki_shape *x = ecki_asked(ask, 0), *at = ecki_asked(ask, 1);
    int32_t axis;

    if (!x || !at || !ecki_axis(&axis, ecki_asked_integer(ask, "axis", 0), x->ndim)) return false;
    if (x->ndim - 1 + at->ndim > ECK_DIMS_MAX) return false;
    ecki_shape shape = { .count = -1 };
    for (int32_t i = 0; i < x->ndim; i++) {
        if (i != axis) shape.dims[shape.ndim++] = x->dims[i];
        for (int32_t k = 0; i == axis && k < at->ndim; k++)
            shape.dims[shape.ndim++] = at->dims[k];
    }
    if (x->ndim == 1 && x->count > 0 && at->count >= 0) {
        for (int32_t i = 0; i < at->count; i++) {
            int32_t index;
            if (!ecki_axis(&index, (int64_t)at->numbers[i], x->count)) return false;
            shape.numbers[i] = x->numbers[index];
        }
        shape.count = at->count;
    }
    *out = shape;
    return true;
}

/* ---- sizes changed ---------------------------------------------------------------------------------------------- */

static bool pad(ecki_shape *out, const ecki_asking *ask)
{
    const ecki_shape *x = ecki_asked(ask, 0);
    ecki_list pads;

    if (!x || ecki_has_input(ask, 3) || !ecki_asked_list(&pads, ask, "pads", 1)) return false;
    if (pads.count != 2 * x->ndim) return false;
    *out = ecki_shape_of(x->ndim, x->dims);
    for (int32_t i = 0; i < x->ndim; i++)
        out->dims[i] += pads.values[i] + pads.values[i + x->ndim];
    return true;
}

/** Upsample and Resize: sizes as given, or each size times its scale, rounded down. */
static bool resize(ecki_shape *out, const ecki_asking *ask)
{
    const ecki_onnx *onnx = ask->shapes->onnx;
    const ecki_shape *x = ecki_asked(ask, 0);
    const bool plain = strcmp(ask->node->type, "Upsample") == 0 || onnx->opset < 11;
    const int32_t scales_at = plain ? 1 : 2;
    const ecki_shape *scales = ecki_asked(ask, scales_at);

    if (!x || ecki_onnx_attribute_of(onnx, ask->node, "axes") ||
        ecki_onnx_attribute_of(onnx, ask->node, "keep_aspect_ratio_policy"))
        return false;
    *out = ecki_shape_of(x->ndim, x->dims);
    if (!plain && ecki_has_input(ask, 3)) {
        const ecki_shape *sizes = ecki_asked(ask, 3);
        for (int32_t i = 0; sizes && i < x->ndim && sizes->count == x->ndim; i++)
            out->dims[i] = (int64_t)sizes->numbers[i];
        return sizes && sizes->count == x->ndim;
    }
    if (!scales || scales->count != x->ndim) return false;
    for (int32_t i = 0; i < x->ndim; i++) {
        const double size = floor((double)x->dims[i] * scales->numbers[i]);
        if (!(size >= 0 && size < 0x1p40)) return false;
        out->dims[i] = (int64_t)size;
    }
    return true;
}

static bool expand(ecki_shape *out, const ecki_asking *ask)
{
    const ecki_shape *x = ecki_asked(ask, 0);
    ecki_list sizes;

    if (!x || !ecki_asked_list(&sizes, ask, NULL, 1)) return false;
    if (sizes.count < 0 || sizes.count > ECK_DIMS_MAX) return false;
    const ecki_shape wanted = ecki_shape_of(sizes.count, sizes.values);
    return ecki_broadcast(out, x, &wanted);
}

static bool tile(ecki_shape *out, const ecki_asking *ask)
{
    const ecki_shape *x = ecki_asked(ask, 0);
    ecki_list times;

    if (!x || !ecki_asked_list(&times, ask, NULL, 1) || times.count != x->ndim) return false;
    *out = ecki_shape_of(x->ndim, x->dims);
    for (int32_t i = 0; i < x->ndim; i++)
        if (!ecki_mul(x->dims[i], times.values[i], &out->dims[i])) return false;
    return true;
}

static bool reduce(ecki_shape *out, const ecki_asking *ask)
{
    const ecki_shape *x = ecki_asked(ask, 0);
    bool marks[ECK_DIMS_MAX];

    if (!x || ecki_asked_integer(ask, "noop_with_empty_axes", 0) != 0) return false;
    if (!mark_axes(marks, ask, 1, x->ndim, true)) return false;
    const bool kept = ecki_asked_integer(ask, "keepdims", 1) != 0;
    ecki_shape shape = { .count = -1 };
    for (int32_t i = 0; i < x->ndim; i++)
        if (!marks[i] || kept) shape.dims[shape.ndim++] = marks[i] ? 1 : x->dims[i];
    *out = shape;
    return true;
}

static bool arg_reduce(ecki_shape *out, const ecki_asking *ask)
{
    const ecki_shape *x = ecki_asked(ask, 0);
    int32_t axis;

    if (!x || !ecki_axis(&axis, ecki_asked_integer(ask, "axis", 0), x->ndim)) return false;
    const bool kept = ecki_asked_integer(ask, "keepdims", 1) != 0;
    ecki_shape shape = { .count = -1 };
    for (int32_t i = 0; i < x->ndim; i++)
        if (i != axis || kept) shape.dims[shape.ndim++] = i == axis ? 1 : x->dims[i];
    *out = shape;
    return true;
}

/** Blocks of channels to places (up), or places to blocks of channels. */
static bool move_depth(ecki_shape *out, const ecki_asking *ask, bool up)
{
    const ecki_shape *x = ecki_asked(ask, 0);
    const int64_t block = ecki_asked_integer(ask, "blocksize", 0);

    if (!x || x->ndim != 4 || block < 1 || block > 4096) return false;
    *out = ecki_shape_of(4, x->dims);
    if (up) {
        if (x->dims[1] % (block * block) != 0) return false;
        out->dims[1] /= block * block;
        return ecki_mul(out->dims[2], block, &out->dims[2]) &&
               ecki_mul(out->dims[3], block, &out->dims[3]);
    }
    out->dims[2] /= block;
    out->dims[3] /= block;
    return ecki_mul(out->dims[1], block * block, &out->dims[1]);
}

static bool depth_to_space(ecki_shape *out, const ecki_asking *ask)
{
    return move_depth(out, ask, true);
}

static bool space_to_depth(ecki_shape *out, const ecki_asking *ask)
{
    return move_depth(out, ask, false);
}

/* ---- shapes as numbers ------------------------------------------------------------------------------------------ */

static bool shape_itself(ecki_shape *out, const ecki_asking *ask)
{
    const ecki_shape *x = ecki_asked(ask, 0);

    if (!x) return false;
    const cut c = make_cut(ecki_asked_integer(ask, "start", 0),
                           ecki_asked_integer(ask, "end", x->ndim), 1, x->ndim);
    *out = ecki_shape_of(1, &c.count);
    out->count = (int32_t)c.count;
    for (int32_t i = 0; i < out->count; i++)
        out->numbers[i] = (double)x->dims[c.start + i];
    return true;
}

static bool size(ecki_shape *out, const ecki_asking *ask)
{
    const ecki_shape *x = ecki_asked(ask, 0);

    if (!x || ecki_shape_size(x) < 0) return false;
    *out = (ecki_shape){ .ndim = 0, .count = 1 };
    out->numbers[0] = (double)ecki_shape_size(x);
    return true;
}

static bool constant_of_shape(ecki_shape *out, const ecki_asking *ask)
{
    ecki_list sizes;

    if (!ecki_asked_list(&sizes, ask, NULL, 0)) return false;
    if (sizes.count < 0 || sizes.count > ECK_DIMS_MAX) return false;
    *out = ecki_shape_of(sizes.count, sizes.values);
    double filling;
    const int64_t count = ecki_shape_size(out);
    if (count < 0 || count > ECKI_NUMBERS_MAX || !ecki_asked_filling(&filling, ask, "value"))
        return true;
    for (int32_t i = 0; i < count; i++)
        out->numbers[i] = filling;
    out->count = (int32_t)count;
    return true;
}

/** A Constant node whose numbers are attributes; tensors are known before. */
static bool constant(ecki_shape *out, const ecki_asking *ask)
{
    const ecki_onnx *onnx = ask->shapes->onnx;
    const ecki_onnx_attribute *one = ecki_onnx_attribute_of(onnx, ask->node, "value_int");
    ecki_list many;

    if (one) {
        *out = (ecki_shape){ .ndim = 0, .count = 1 };
        out->numbers[0] = (double)one->integer;
        return true;
    }
    if (!ecki_onnx_attribute_of(onnx, ask->node, "value_ints") ||
        !ecki_asked_list(&many, ask, "value_ints", -1))
        return false;
    const int64_t count = many.count;
    *out = ecki_shape_of(1, &count);
    out->count = many.count;
    for (int32_t i = 0; i < many.count; i++)
        out->numbers[i] = (double)many.values[i];
    return true;
}

/** LSTM, GRU, RNN: Y [steps, directions, batch, hidden], then the last states [directions, batch, hidden]. */
static bool recurrent(ecki_shape *out, const ecki_asking *ask)
{
    const ecki_shape *x = ecki_asked(ask, 0), *r = ecki_asked(ask, 2);

    if (!x || !r || x->ndim != 3 || r->ndim != 3 || ecki_asked_integer(ask, "layout", 0) != 0)
        return false;
    const int64_t dims[] = { x->dims[0], r->dims[0], x->dims[1], r->dims[2] };
    *out = ask->slot == 0 ? ecki_shape_of(4, dims) : ecki_shape_of(3, dims + 1);
    return true;
}

const ecki_named_rule ecki_move_rules[] = {
    { "Reshape", reshape },
    { "Flatten", flatten },
    { "Squeeze", squeeze },
    { "Unsqueeze", unsqueeze },
    { "Transpose", transpose },
    { "Concat", concat },
    { "Split", split },
    { "Slice", slice },
    { "Gather", gather },
    { "Pad", pad },
    { "Resize", resize },
    { "Upsample", resize },
    { "Expand", expand },
    { "Tile", tile },
    { "ReduceMean", reduce },
    { "ReduceSum", reduce },
    { "ReduceMax", reduce },
    { "ReduceMin", reduce },
    { "ReduceProd", reduce },
    { "ReduceL1", reduce },
    { "ReduceL2", reduce },
    { "ReduceSumSquare", reduce },
    { "ReduceLogSumExp", reduce },
    { "ArgMax", arg_reduce },
    { "ArgMin", arg_reduce },
    { "DepthToSpace", depth_to_space },
    { "SpaceToDepth", space_to_depth },
    { "Shape", shape_itself },
    { "Size", size },
    { "ConstantOfShape", constant_of_shape },
    { "Constant", constant },
    { "LSTM", recurrent },
    { "GRU", recurrent },
    { "RNN", recurrent },
    { NULL, NULL },
};
