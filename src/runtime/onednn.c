/**
 * A net is a list of steps over memory of ours: layers, and reorders where two neighbours want different layouts. The
 * first and the last reorder, to and from row-major, are marked: a pass inside a larger net leaves them out.
 *
 * Scratch memory is ours too (oneDNN's user mode). Direct algorithms only: Winograd's would add an error of its own.
 */
#include "runtime/onednn.h"

#include <oneapi/dnnl/dnnl.h>
#include <stdbool.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/random.h"
#include "eckart/runtime.h"

enum { ARGUMENTS = 5, MEMORIES_A_LAYER = 6, STEPS_A_LAYER = 2 };

typedef struct step {
    dnnl_primitive_t primitive;
    dnnl_exec_arg_t arguments[ARGUMENTS];
    int count;
    bool end; /**< a reorder to or from row-major */
} step;

struct ecki_net {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_attr_t attributes;
    dnnl_memory_t *memories; /**< everything steps work on */
    void **blocks; /**< what they lie in; NULL: the caller's */
    int64_t memory_count;
    step *steps;
    int64_t step_count;
    dnnl_memory_t input, now; /**< what comes in, row-major; what the last step made */
    dnnl_memory_desc_t plain; /**< of what the last layer made, in row-major order */
    dnnl_memory_t output; /**< the same, at last */
    float *x, *y; /**< numbers for passes without a caller */
};

/** What one layer is to oneDNN. */
typedef struct layer_shapes {
    dnnl_memory_desc_t source, weight, bias, target; /**< row-major */
    dnnl_dims_t stride, dilation, pad_begin, pad_end;
} layer_shapes;

#define TEXT_OF(number) #number
#define TEXT(number) TEXT_OF(number)

const char *eck_runtime_description(void)
{
    return "oneDNN " TEXT(DNNL_VERSION_MAJOR) "." TEXT(DNNL_VERSION_MINOR) "." TEXT(
        DNNL_VERSION_PATCH);
}

/** A status of oneDNN as one of ours. */
static eck_status judge(dnnl_status_t found, const char *what, eck_error *err)
{
    switch (found) {
    case dnnl_success:
        return ECK_OK;
    case dnnl_out_of_memory:
        return ecki_error(err, ECK_E_NOMEM, -1, "not enough memory: oneDNN, %s", what);
    case dnnl_unimplemented:
    case dnnl_invalid_arguments:
        return ecki_error(err, ECK_E_UNSUPPORTED, -1, "oneDNN has no %s of this shape", what);
    default:
        return ecki_error(err, ECK_E_SOLVER, -1, "oneDNN failed: %s, status %d", what, (int)found);
    }
}

#define TRY_DNNL(call, what) ECK_TRY(judge(call, what, err))

void ecki_net_free(ecki_net *net)
{
    if (!net) return;
    for (int64_t i = 0; i < net->step_count; i++)
        dnnl_primitive_destroy(net->steps[i].primitive);
    for (int64_t i = 0; i < net->memory_count; i++) {
        dnnl_memory_destroy(net->memories[i]);
        ecki_free(net->blocks[i]);
    }
    if (net->attributes) dnnl_primitive_attr_destroy(net->attributes);
    if (net->stream) dnnl_stream_destroy(net->stream);
    if (net->engine) dnnl_engine_destroy(net->engine);
    ecki_free(net->steps);
    ecki_free(net->memories);
    ecki_free(net->blocks);
    ecki_free(net->x);
    ecki_free(net->y);
    ecki_free(net);
}

eck_status ecki_net_create(ecki_net **out, int64_t layers, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_net *net = NULL;

    ECK_ALLOC(net, 1);
    // Two for the ends.
    ECK_ALLOC(net->memories, MEMORIES_A_LAYER * layers + 2);
    ECK_ALLOC(net->blocks, MEMORIES_A_LAYER * layers + 2);
    ECK_ALLOC(net->steps, STEPS_A_LAYER * layers + 1);
    TRY_DNNL(dnnl_engine_create(&net->engine, dnnl_cpu, 0), "engine");
    TRY_DNNL(dnnl_stream_create(&net->stream, net->engine, dnnl_stream_default_flags), "stream");
    TRY_DNNL(dnnl_primitive_attr_create(&net->attributes), "attributes");
    TRY_DNNL(dnnl_primitive_attr_set_scratchpad_mode(net->attributes, dnnl_scratchpad_mode_user),
             "scratch memory");
    *out = net;
    net = NULL;
done:
    ecki_net_free(net);
    return status;
}

/** Memory of that layout, of ours or, later, of the caller. */
static eck_status add_memory(dnnl_memory_t *out, ecki_net *net, const dnnl_memory_desc_t *layout,
                             bool ours, eck_error *err)
{
    eck_status status = ECK_OK;
    const size_t size = dnnl_memory_desc_get_size(layout);
    char *block = NULL;

    // Scratch memory of no bytes has no place.
    if (ours && size > 0) ECK_ALLOC(block, (int64_t)size);
    TRY_DNNL(dnnl_memory_create(out, layout, net->engine, block), "memory");
    net->memories[net->memory_count] = *out;
    net->blocks[net->memory_count++] = block;
    block = NULL;
done:
    ecki_free(block);
    return status;
}

/** A row-major layout. */
static eck_status plain_layout(dnnl_memory_desc_t *out, int ndim, const int64_t *dims,
                               eck_error *err)
{
    eck_status status = ECK_OK;
    dnnl_dims_t sizes, strides;
    int64_t count = 1;

    for (int i = ndim - 1; i >= 0; i--) {
        sizes[i] = dims[i];
        strides[i] = count;
        ECK_REQUIRE(ecki_mul(count, dims[i], &count), ECK_E_SHAPE, -1, "the layer is too large");
    }
    TRY_DNNL(dnnl_memory_desc_init_by_strides(out, ndim, sizes, dnnl_f32, strides), "layout");
done:
    return status;
}

/** The same shape in whatever layout a kernel likes. */
static dnnl_memory_desc_t any_layout(const dnnl_memory_desc_t *plain)
{
    dnnl_memory_desc_t any;

    // Of a shape that there is a layout of already.
    dnnl_memory_desc_init_by_tag(&any, plain->ndims, plain->dims, dnnl_f32, dnnl_format_tag_any);
    return any;
}

/** Of the weight as the stage holds it. To oneDNN outputs come before inputs, in a transposed convolution too. */
static eck_status weight_layout(dnnl_memory_desc_t *out, const ecki_window *w, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t outputs = w->out / w->groups, inputs = w->in / w->groups;
    const int skip = w->groups > 1 ? 0 : 1;
    int64_t sizes[DNNL_MAX_NDIMS] = { w->groups, w->transposed ? inputs : outputs,
                                      w->transposed ? outputs : inputs };
    dnnl_memory_desc_t stored;

    for (int32_t d = 0; d < w->spatial; d++)
        sizes[3 + d] = w->kernel[d];
    ECK_TRY(plain_layout(&stored, 3 + w->spatial - skip, sizes + skip, err));
    *out = stored;
    if (w->transposed) {
        int turn[DNNL_MAX_NDIMS];
        for (int i = 0; i < stored.ndims; i++)
            turn[i] = i;
        turn[1 - skip] = 2 - skip;
        turn[2 - skip] = 1 - skip;
        TRY_DNNL(dnnl_memory_desc_permute_axes(out, &stored, turn), "layout");
    }
done:
    return status;
}

static eck_status shapes_find(layer_shapes *out, const ecki_window *w, eck_error *err)
{
    eck_status status = ECK_OK;
    int64_t source[DNNL_MAX_NDIMS] = { w->batch, w->in },
            target[DNNL_MAX_NDIMS] = { w->batch, w->out };

    for (int32_t d = 0; d < w->spatial; d++) {
        source[2 + d] = w->input[d];
        target[2 + d] = w->output[d];
        out->stride[d] = w->stride[d];
        out->dilation[d] = w->dilation[d] - 1;
        out->pad_begin[d] = w->pad_begin[d];
        out->pad_end[d] = w->pad_end[d];
    }
    ECK_TRY(plain_layout(&out->source, 2 + w->spatial, source, err));
    ECK_TRY(plain_layout(&out->target, 2 + w->spatial, target, err));
    ECK_TRY(weight_layout(&out->weight, w, err));
    ECK_TRY(plain_layout(&out->bias, 1, &w->out, err));
done:
    return status;
}

/** The kernel of a layer, which chooses its layouts. */
static eck_status kernel_find(dnnl_primitive_desc_t *out, const ecki_net *net, const ecki_window *w,
                              const layer_shapes *s, bool bias, eck_error *err)
{
    eck_status status = ECK_OK;
    const dnnl_memory_desc_t source = any_layout(&s->source), weight = any_layout(&s->weight),
                             target = any_layout(&s->target);
    const dnnl_memory_desc_t *addend = bias ? &s->bias : NULL;
    dnnl_convolution_desc_t conv;
    dnnl_deconvolution_desc_t deconv;
    dnnl_inner_product_desc_t product;

    if (w->spatial == 0) {
        TRY_DNNL(dnnl_inner_product_forward_desc_init(&product, dnnl_forward_inference, &source,
                                                      &weight, addend, &target),
                 "inner product");
        TRY_DNNL(dnnl_primitive_desc_create(out, &product, net->attributes, net->engine, NULL),
                 "inner product");
    } else if (w->transposed) {
        TRY_DNNL(dnnl_dilated_deconvolution_forward_desc_init(
                     &deconv, dnnl_forward_inference, dnnl_deconvolution_direct, &source, &weight,
                     addend, &target, s->stride, s->dilation, s->pad_begin, s->pad_end),
                 "transposed convolution");
        TRY_DNNL(dnnl_primitive_desc_create(out, &deconv, net->attributes, net->engine, NULL),
                 "transposed convolution");
    } else {
        TRY_DNNL(dnnl_dilated_convolution_forward_desc_init(
                     &conv, dnnl_forward_inference, dnnl_convolution_direct, &source, &weight,
                     addend, &target, s->stride, s->dilation, s->pad_begin, s->pad_end),
                 "convolution");
        TRY_DNNL(dnnl_primitive_desc_create(out, &conv, net->attributes, net->engine, NULL),
                 "convolution");
    }
done:
    return status;
}

/** A step that moves numbers from one layout to another; not run. */
static eck_status add_reorder(ecki_net *net, dnnl_memory_t from, dnnl_memory_t to, bool end,
                              eck_error *err)
{
    eck_status status = ECK_OK;
    dnnl_primitive_desc_t found = NULL;
    const dnnl_memory_desc_t *source, *target;
    step *now = &net->steps[net->step_count];

    TRY_DNNL(dnnl_memory_get_memory_desc(from, &source), "layout");
    TRY_DNNL(dnnl_memory_get_memory_desc(to, &target), "layout");
    TRY_DNNL(
        dnnl_reorder_primitive_desc_create(&found, source, net->engine, target, net->engine, NULL),
        "reorder");
    TRY_DNNL(dnnl_primitive_create(&now->primitive, found), "reorder");
    now->arguments[0] = (dnnl_exec_arg_t){ DNNL_ARG_FROM, from };
    now->arguments[1] = (dnnl_exec_arg_t){ DNNL_ARG_TO, to };
    now->count = 2;
    now->end = end;
    net->step_count++;
done:
    if (found) dnnl_primitive_desc_destroy(found);
    return status;
}

static eck_status run_step(const ecki_net *net, const step *now, eck_error *err)
{
    eck_status status = ECK_OK;

    TRY_DNNL(dnnl_primitive_execute(now->primitive, net->stream, now->count, now->arguments),
             "a pass");
done:
    return status;
}

/** The weight, copied into the layout the kernel likes. */
static eck_status add_weight(dnnl_memory_t *out, ecki_net *net, const layer_shapes *s,
                             const dnnl_memory_desc_t *wanted, const float *weight, eck_error *err)
{
    eck_status status = ECK_OK;
    dnnl_memory_t given = NULL;
    void *data;

    memcpy(&data, &weight, sizeof data); // only read, though the type cannot say so
    ECK_TRY(add_memory(out, net, wanted, true, err));
    TRY_DNNL(dnnl_memory_create(&given, &s->weight, net->engine, data), "memory");
    ECK_TRY(add_reorder(net, given, *out, false, err));
    // Run once and taken off the list again.
    step *now = &net->steps[--net->step_count];
    status = run_step(net, now, err);
    if (status == ECK_OK) status = judge(dnnl_stream_wait(net->stream), "a pass", err);
    dnnl_primitive_destroy(now->primitive);
    memset(now, 0, sizeof *now);
done:
    if (given) dnnl_memory_destroy(given);
    return status;
}

/** What comes in, in the layout the kernel likes: what there is, or a reorder of it. */
static eck_status lead_in(ecki_net *net, const layer_shapes *s, const dnnl_memory_desc_t *wanted,
                          eck_error *err)
{
    eck_status status = ECK_OK;
    const dnnl_memory_desc_t *found;
    const bool first = !net->input;
    dnnl_memory_t turned = NULL;

    if (first) {
        ECK_TRY(add_memory(&net->input, net, &s->source, false, err));
        net->now = net->input;
    }
    TRY_DNNL(dnnl_memory_get_memory_desc(net->now, &found), "layout");
    if (dnnl_memory_desc_equal(found, wanted)) goto done;
    ECK_TRY(add_memory(&turned, net, wanted, true, err));
    ECK_TRY(add_reorder(net, net->now, turned, first, err));
    net->now = turned;
done:
    return status;
}

static eck_status add_bias(dnnl_memory_t *out, ecki_net *net, const layer_shapes *s,
                           const float *bias, eck_error *err)
{
    eck_status status = ECK_OK;
    ECK_TRY(add_memory(out, net, &s->bias, true, err));
    memcpy(net->blocks[net->memory_count - 1], bias, dnnl_memory_desc_get_size(&s->bias));
done:
    return status;
}

/** The step of a layer whose kernel is found. */
static eck_status add_layer(ecki_net *net, const_dnnl_primitive_desc_t kernel,
                            const layer_shapes *s, const float *weight, const float *bias,
                            eck_error *err)
{
    eck_status status = ECK_OK;
    dnnl_memory_t w = NULL, b = NULL, scratch = NULL, target = NULL;
    const dnnl_memory_desc_t *source_wanted =
        dnnl_primitive_desc_query_md(kernel, dnnl_query_src_md, 0);
    const dnnl_memory_desc_t *weight_wanted =
        dnnl_primitive_desc_query_md(kernel, dnnl_query_weights_md, 0);
    const dnnl_memory_desc_t *made = dnnl_primitive_desc_query_md(kernel, dnnl_query_dst_md, 0);
    const dnnl_memory_desc_t *aside =
        dnnl_primitive_desc_query_md(kernel, dnnl_query_scratchpad_md, 0);

    ECK_TRY(lead_in(net, s, source_wanted, err));
    ECK_TRY(add_weight(&w, net, s, weight_wanted, weight, err));
    if (bias) ECK_TRY(add_bias(&b, net, s, bias, err));
    ECK_TRY(add_memory(&scratch, net, aside, true, err));
    ECK_TRY(add_memory(&target, net, made, true, err));
    step *now = &net->steps[net->step_count];
    TRY_DNNL(dnnl_primitive_create(&now->primitive, kernel), "a kernel");
    now->arguments[now->count++] = (dnnl_exec_arg_t){ DNNL_ARG_SRC, net->now };
    now->arguments[now->count++] = (dnnl_exec_arg_t){ DNNL_ARG_WEIGHTS, w };
    now->arguments[now->count++] = (dnnl_exec_arg_t){ DNNL_ARG_DST, target };
    now->arguments[now->count++] = (dnnl_exec_arg_t){ DNNL_ARG_SCRATCHPAD, scratch };
    if (b) now->arguments[now->count++] = (dnnl_exec_arg_t){ DNNL_ARG_BIAS, b };
    net->step_count++;
    net->now = target;
    net->plain = s->target;
done:
    return status;
}

eck_status ecki_net_add(ecki_net *net, const ecki_window *window, const float *weight,
                        const float *bias, eck_error *err)
{
    eck_status status = ECK_OK;
    layer_shapes shapes;
    dnnl_primitive_desc_t kernel = NULL;

    ECK_TRY(shapes_find(&shapes, window, err));
    ECK_TRY(kernel_find(&kernel, net, window, &shapes, bias != NULL, err));
    ECK_TRY(add_layer(net, kernel, &shapes, weight, bias, err));
done:
    if (kernel) dnnl_primitive_desc_destroy(kernel);
    return status;
}

eck_status ecki_net_finish(ecki_net *net, eck_error *err)
{
    eck_status status = ECK_OK;

    ECK_TRY(add_memory(&net->output, net, &net->plain, false, err));
    ECK_TRY(add_reorder(net, net->now, net->output, true, err));
done:
    return status;
}

static eck_status run_steps(const ecki_net *net, bool ends, eck_error *err)
{
    eck_status status = ECK_OK;

    for (int64_t i = 0; i < net->step_count; i++)
        if (ends || !net->steps[i].end) ECK_TRY(run_step(net, &net->steps[i], err));
    TRY_DNNL(dnnl_stream_wait(net->stream), "a pass");
done:
    return status;
}

eck_status ecki_net_run(ecki_net *net, float *y, const float *x, eck_error *err)
{
    eck_status status = ECK_OK;
    void *data;

    memcpy(&data, &x, sizeof data); // only read, though the type cannot say so
    TRY_DNNL(dnnl_memory_set_data_handle(net->input, data), "input");
    TRY_DNNL(dnnl_memory_set_data_handle(net->output, y), "output");
    ECK_TRY(run_steps(net, true, err));
done:
    return status;
}

/** Uniform numbers between -1 and 1, so that no sum overflows or dies away. */
static eck_status make_up(float **out, const dnnl_memory_desc_t *layout, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t count = (int64_t)(dnnl_memory_desc_get_size(layout) / sizeof(float));
    float *numbers = NULL;

    ECK_ALLOC_RAW(numbers, count);
    for (int64_t i = 0; i < count; i++)
        numbers[i] = (float)(2.0 * ecki_random_uniform(1, 0, (uint64_t)i) - 1.0);
    *out = numbers;
done:
    return status;
}

eck_status ecki_net_pass(ecki_net *net, int64_t passes, eck_error *err)
{
    eck_status status = ECK_OK;
    const dnnl_memory_desc_t *given;

    if (!net->x) {
        TRY_DNNL(dnnl_memory_get_memory_desc(net->input, &given), "layout");
        ECK_TRY(make_up(&net->x, given, err));
        ECK_TRY(make_up(&net->y, &net->plain, err));
        // Once with the ends: the first layer's own input is filled.
        ECK_TRY(ecki_net_run(net, net->y, net->x, err));
    }
    TRY_DNNL(dnnl_memory_set_data_handle(net->input, net->x), "input");
    for (int64_t i = 0; i < passes; i++)
        ECK_TRY(run_steps(net, false, err));
done:
    return status;
}
