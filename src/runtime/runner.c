/**
 * From a chain and a place to a net: what every stage is given and makes, whether that fits, and its weight in F32.
 */
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "runtime/runner.h"

/** What oneDNN counts with. */
enum { SIZE_MAX_DNNL = INT32_MAX };

void eck_runner_free(eck_runner *runner)
{
    if (!runner) return;
    ecki_net_free(runner->net);
    ecki_free(runner);
}

int32_t eck_place_output(int64_t *out, const eck_place *place, const eck_stage *stage)
{
    const bool transposed = stage->kind == ECK_STAGE_CONV_TRANSPOSE;
    const int32_t spatial = stage->kind == ECK_STAGE_CONV || transposed ? stage->spatial : 0;

    for (int32_t d = 0; d < spatial; d++) {
        const int64_t stride = stage->stride[d] == -1 ? place->stride[d] : stage->stride[d];
        const int64_t dilation = stage->dilation[d] == -1 ? place->dilation[d] : stage->dilation[d];
        const int64_t reach = dilation * (stage->kernel[d] - 1) + 1;
        const int64_t padding = place->pad_begin[d] + place->pad_end[d];
        const int64_t left = place->input[d] + padding - reach;
        out[d] = left < 0 ? 0 : left / stride + 1;
        if (transposed)
            out[d] = stride * (place->input[d] - 1) + reach - padding + place->output_padding[d];
    }
    return spatial;
}

/** "stage 2: padding of 5, at least 0 is needed" unless low <= number <= INT32_MAX. */
static eck_status check_number(int64_t number, int64_t low, const char *what, int32_t stage,
                               eck_error *err)
{
    if (number >= low && number <= SIZE_MAX_DNNL) return ECK_OK;
    return ecki_error(err, ECK_E_RANGE, -1, "stage %d: %s %lld: %lld to %d are allowed", stage,
                      what, (long long)number, (long long)low, SIZE_MAX_DNNL);
}

/** The stage that pads along a dimension: the first wider than one tap, or the first. Among transposed convolutions, if there
 * are any: the first of these wider than one tap, or the last. */
static int32_t padding_stage(const eck_chain *chain, int32_t d)
{
    int32_t last = -1;

    for (int32_t i = 0; i < chain->count; i++) {
        if (chain->stages[i].kind != ECK_STAGE_CONV_TRANSPOSE) continue;
        if (chain->stages[i].kernel[d] > 1) return i;
        last = i;
    }
    for (int32_t i = 0; i < chain->count && last < 0; i++)
        if (chain->stages[i].kernel[d] > 1) return i;
    return ecki_max(last, 0);
}

static bool is_convolution(const eck_stage *stage)
{
    return stage->kind == ECK_STAGE_CONV || stage->kind == ECK_STAGE_CONV_TRANSPOSE;
}

/** Weight and channels of a stage, behind one that makes `channels`. */
static eck_status check_stage(const eck_stage *stage, int32_t i, int64_t channels, eck_error *err)
{
    eck_status status = ECK_OK;
    int64_t shape[ECK_DIMS_MAX];
    const bool linear = stage->kind == ECK_STAGE_LINEAR;

    ECK_REQUIRE(linear || is_convolution(stage), ECK_E_UNSUPPORTED, -1,
                "stage %d is of kind %d: linear stages and convolutions run", i, (int)stage->kind);
    ECK_REQUIRE(linear || (stage->spatial >= 1 && stage->spatial <= ECK_SPATIAL_MAX), ECK_E_SHAPE,
                -1, "stage %d has %d spatial dimensions: 1 to %d are allowed", i, stage->spatial,
                ECK_SPATIAL_MAX);
    ECK_TRY(check_number(stage->in, 1, "channels in", i, err));
    ECK_TRY(check_number(stage->out, 1, "channels out", i, err));
    ECK_REQUIRE(stage->groups >= 1 && stage->in % stage->groups == 0 &&
                    stage->out % stage->groups == 0 && (!linear || stage->groups == 1),
                ECK_E_SHAPE, -1, "stage %d: %lld groups of %lld -> %lld channels", i,
                (long long)stage->groups, (long long)stage->in, (long long)stage->out);
    ECK_REQUIRE(stage->in == channels, ECK_E_SHAPE, -1,
                "stage %d takes %lld channels, it is given %lld", i, (long long)stage->in,
                (long long)channels);
    ECK_REQUIRE(stage->weight, ECK_E_SHAPE, -1, "stage %d has no weight", i);
    const int32_t ndim = eck_stage_shape(stage, shape);
    ECK_REQUIRE(stage->weight->ndim == ndim &&
                    memcmp(stage->weight->shape, shape, (size_t)ndim * sizeof *shape) == 0,
                ECK_E_SHAPE, -1, "stage %d: its weight is not of its shape", i);
    ECK_REQUIRE(!stage->bias || (stage->bias->ndim == 1 && stage->bias->shape[0] == stage->out),
                ECK_E_SHAPE, -1, "stage %d: its bias is not one of %lld numbers", i,
                (long long)stage->out);
done:
    return status;
}

/** The output of a transposed convolution along a dimension: stride (input - 1) + reach - padding + more. */
static eck_status window_turned(ecki_window *w, int32_t d, int64_t more, int32_t i, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t reach = w->dilation[d] * (w->kernel[d] - 1) + 1;
    const int64_t made = w->stride[d] * (w->input[d] - 1) + reach;
    const int64_t padding = w->pad_begin[d] + w->pad_end[d];

    ECK_REQUIRE(more >= 0 && more < w->stride[d], ECK_E_RANGE, -1,
                "stage %d: output padding %lld: 0 to %lld are allowed, less than the stride", i,
                (long long)more, (long long)w->stride[d] - 1);
    ECK_REQUIRE(padding < made + more, ECK_E_SHAPE, -1, "stage %d: padding cuts %lld off of %lld",
                i, (long long)padding, (long long)(made + more));
    w->output[d] = made - padding + more;
    ECK_TRY(check_number(w->output[d], 1, "output size", i, err));
done:
    return status;
}

/** One dimension of a window, from what comes in: output = (input + padding - reach) / stride + 1. */
static eck_status window_axis(ecki_window *w, int32_t d, int64_t more, int32_t i, eck_error *err)
{
    eck_status status = ECK_OK;

    ECK_TRY(check_number(w->kernel[d], 1, "kernel", i, err));
    ECK_TRY(check_number(w->input[d], 1, "input size", i, err));
    ECK_TRY(check_number(w->stride[d], 1, "stride", i, err));
    ECK_TRY(check_number(w->dilation[d], 1, "dilation", i, err));
    ECK_TRY(check_number(w->pad_begin[d], 0, "padding", i, err));
    ECK_TRY(check_number(w->pad_end[d], 0, "padding", i, err));
    if (w->transposed) return window_turned(w, d, more, i, err);
    const int64_t reach = w->dilation[d] * (w->kernel[d] - 1) + 1;
    const int64_t padded = w->input[d] + w->pad_begin[d] + w->pad_end[d];
    ECK_REQUIRE(reach <= padded, ECK_E_SHAPE, -1,
                "stage %d: a kernel that reaches over %lld does not fit into %lld, with padding", i,
                (long long)reach, (long long)padded);
    w->output[d] = (padded - reach) / w->stride[d] + 1;
    ECK_TRY(check_number(w->output[d], 1, "output size", i, err));
done:
    return status;
}

/** A stage where it stands; `before` is the window of the one in front of it, or NULL. */
static eck_status window_find(ecki_window *out, const eck_chain *chain, int32_t i,
                              const eck_place *place, const ecki_window *before, eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_stage *stage = &chain->stages[i];
    ecki_window w = { .spatial = is_convolution(stage) ? stage->spatial : 0,
                      .transposed = stage->kind == ECK_STAGE_CONV_TRANSPOSE,
                      .batch = place->batch,
                      .in = stage->in,
                      .out = stage->out,
                      .groups = stage->groups };

    ECK_REQUIRE(!before || before->spatial == w.spatial, ECK_E_SHAPE, -1,
                "stage %d has %d spatial dimensions, the one before it %d", i, w.spatial,
                before ? before->spatial : 0);
    for (int32_t d = 0; d < w.spatial; d++) {
        const bool pads = padding_stage(chain, d) == i;
        w.input[d] = before ? before->output[d] : place->input[d];
        w.kernel[d] = stage->kernel[d];
        w.stride[d] = stage->stride[d] == -1 ? place->stride[d] : stage->stride[d];
        w.dilation[d] = stage->dilation[d] == -1 ? place->dilation[d] : stage->dilation[d];
        w.pad_begin[d] = pads ? place->pad_begin[d] : 0;
        w.pad_end[d] = pads ? place->pad_end[d] : 0;
        ECK_TRY(window_axis(&w, d, pads ? place->output_padding[d] : 0, i, err));
    }
    *out = w;
done:
    return status;
}

/** Adds a stage to the net, weight and bias widened or rounded to F32. */
static eck_status add_stage(ecki_net *net, const eck_stage *stage, const ecki_window *window,
                            eck_error *err)
{
    eck_status status = ECK_OK;
    eck_array *weight = NULL, *bias = NULL;

    ECK_TRY(eck_array_convert(&weight, eck_array_view(stage->weight), ECK_DTYPE_F32, err));
    if (stage->bias)
        ECK_TRY(eck_array_convert(&bias, eck_array_view(stage->bias), ECK_DTYPE_F32, err));
    ECK_TRY(ecki_net_add(net, window, weight->data, bias ? bias->data : NULL, err));
done:
    eck_array_free(weight);
    eck_array_free(bias);
    return status;
}

/** All stages, on the threads of the runner. */
static eck_status fill(eck_runner *runner, const eck_chain *chain, const eck_place *place,
                       eck_error *err)
{
    eck_status status = ECK_OK;
    const int32_t saved = ecki_openmp_enter(runner->threads);

    for (int32_t i = 0; i < chain->count; i++) {
        const ecki_window before = runner->back;
        ECK_TRY(check_stage(&chain->stages[i], i, i > 0 ? before.out : chain->stages[0].in, err));
        ECK_TRY(window_find(&runner->back, chain, i, place, i > 0 ? &before : NULL, err));
        if (i == 0) runner->front = runner->back;
        ECK_TRY(add_stage(runner->net, &chain->stages[i], &runner->back, err));
    }
    ECK_TRY(ecki_net_finish(runner->net, err));
done:
    ecki_openmp_leave(saved);
    return status;
}

eck_status eck_runner_create(eck_runner **out, const eck_chain *chain, const eck_place *place,
                             const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_place usual = ECK_PLACE_INIT;
    eck_runner *runner = NULL;

    if (!place) place = &usual;
    ECK_REQUIRE(chain->count >= 1, ECK_E_SHAPE, -1, "the chain has no stage");
    ECK_REQUIRE(place->batch >= 1 && place->batch <= SIZE_MAX_DNNL, ECK_E_RANGE, -1,
                "batch %lld: 1 to %d are allowed", (long long)place->batch, SIZE_MAX_DNNL);
    ECK_ALLOC(runner, 1);
    runner->threads = ecki_threads(context);
    ECK_TRY(ecki_net_create(&runner->net, chain->count, err));
    ECK_TRY(fill(runner, chain, place, err));
    *out = runner;
    runner = NULL;
done:
    eck_runner_free(runner);
    return status;
}

int32_t eck_runner_input(const eck_runner *runner, int64_t *shape_out)
{
    const ecki_window *w = &runner->front;

    shape_out[0] = w->batch;
    shape_out[1] = w->in;
    memcpy(shape_out + 2, w->input, (size_t)w->spatial * sizeof *shape_out);
    return 2 + w->spatial;
}

int32_t eck_runner_output(const eck_runner *runner, int64_t *shape_out)
{
    const ecki_window *w = &runner->back;

    shape_out[0] = w->batch;
    shape_out[1] = w->out;
    memcpy(shape_out + 2, w->output, (size_t)w->spatial * sizeof *shape_out);
    return 2 + w->spatial;
}

eck_status eck_runner_run(eck_runner *runner, float *y, const float *x, eck_error *err)
{
    const int32_t saved = ecki_openmp_enter(runner->threads);
    const eck_status status = ecki_net_run(runner->net, y, x, err);

    ecki_openmp_leave(saved);
    return status;
}
