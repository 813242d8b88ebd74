/**
 * A chain as the matrix of the layer it stands for.
 *
 * All stages but the last are multiplied out once, in F64, unless there is only one of them: then
 * its weight is read in the type it is stored in. Every read multiplies rows of the last stage with
 * that. Always true of a built operator: the stages fit each other and the dense layer, so that
 * reading can only run out of memory.
 */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "decompose/adjoint.h"
#include "decompose/compose.h"
#include "eckart/decompose.h"
#include "linalg/op.h"
#include "tensor/codec.h"

enum { PANEL = 256 }; // rows of a prefix made at a time

/** The operator's own: the last joint, and what was made for it. */
struct chain_operator {
    ecki_joint joint;
    eck_array *prefix; /**< product of all stages but the last; NULL if there is only one */
    eck_stage ones; /**< a scale by one, the last stage of a chain of one */
    eck_chain mirror; /**< of a transposed convolution: the chain that is multiplied out */
    ecki_map whole; /**< shape and bounds of what is read */
    /** Of a plain product of two matrices, which vectors can pass through one by one; else NULL. */
    eck_operator *left, *right, *product;
};

static int64_t gcd(int64_t a, int64_t b)
{
    while (b != 0) {
        const int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

// ---- checks

/** Whether a stage of this kind may stand at place i of a chain for `dense`. */
static bool kind_allowed(const eck_stage *stage, int32_t i, const eck_stage *dense)
{
    switch (stage->kind) {
    case ECK_STAGE_LOOKUP:
        return i == 0 && dense->kind == ECK_STAGE_LOOKUP;
    case ECK_STAGE_LINEAR:
        return dense->kind == ECK_STAGE_LINEAR || (dense->kind == ECK_STAGE_LOOKUP && i > 0);
    case ECK_STAGE_SCALE:
        return dense->kind != ECK_STAGE_LOOKUP || i > 0;
    case ECK_STAGE_CONV:
        if (ecki_is_adjoint(dense) && ecki_stage_taps(stage) != 1) return false;
        return stage->spatial == dense->spatial && dense->kind != ECK_STAGE_LOOKUP;
    case ECK_STAGE_CONV_TRANSPOSE:
        return stage->spatial == dense->spatial && ecki_is_adjoint(dense);
    default:
        return false;
    }
}

/** Sizes of a layer by itself. */
static eck_status check_sizes(const eck_stage *stage, const char *what, int32_t i, eck_error *err)
{
    eck_status status = ECK_OK;

    ECK_REQUIRE(stage->in >= 1 && stage->out >= 1, ECK_E_SHAPE, -1,
                "%s %d has %lld -> %lld channels", what, i, (long long)stage->in,
                (long long)stage->out);
    ECK_REQUIRE(stage->spatial >= 0 && stage->spatial <= ECK_SPATIAL_MAX, ECK_E_SHAPE, -1,
                "%s %d has %d spatial dimensions, allowed 0..%d", what, i, stage->spatial,
                ECK_SPATIAL_MAX);
    for (int32_t d = 0; d < stage->spatial; d++)
        ECK_REQUIRE(stage->kernel[d] >= 1, ECK_E_SHAPE, -1, "%s %d has a kernel of %lld", what, i,
                    (long long)stage->kernel[d]);
    ECK_REQUIRE(stage->groups >= 1 && stage->in % stage->groups == 0 &&
                    stage->out % stage->groups == 0,
                ECK_E_SHAPE, -1, "%s %d: %lld groups do not divide %lld -> %lld channels", what, i,
                (long long)stage->groups, (long long)stage->in, (long long)stage->out);
    ECK_REQUIRE(stage->kind == ECK_STAGE_CONV || ecki_is_adjoint(stage) || stage->groups == 1,
                ECK_E_SHAPE, -1, "%s %d: only a convolution has groups", what, i);
    ECK_REQUIRE(stage->kind != ECK_STAGE_SCALE || stage->in == stage->out, ECK_E_SHAPE, -1,
                "%s %d scales %lld channels to %lld", what, i, (long long)stage->in,
                (long long)stage->out);
    ECK_REQUIRE(eck_stage_parameters(stage) < INT64_MAX, ECK_E_SHAPE, -1, "%s %d is too large",
                what, i);
done:
    return status;
}

/** The weight of a stage has the shape its kind wants. */
static eck_status check_weight(const eck_stage *stage, int32_t i, eck_error *err)
{
    eck_status status = ECK_OK;
    int64_t shape[ECK_DIMS_MAX];
    const int32_t ndim = eck_stage_shape(stage, shape);

    ECK_REQUIRE(stage->weight, ECK_E_RANGE, -1, "stage %d has no weight", i);
    ECK_REQUIRE(eck_dtype_is_readable(stage->weight->dtype), ECK_E_UNSUPPORTED, -1,
                "stage %d is stored as %s, which holds no numbers", i,
                eck_dtype_name(stage->weight->dtype));
    ECK_REQUIRE(stage->weight->ndim == ndim, ECK_E_SHAPE, -1,
                "the weight of stage %d has %d dimensions, expected %d", i, stage->weight->ndim,
                ndim);
    for (int32_t d = 0; d < ndim; d++)
        ECK_REQUIRE(stage->weight->shape[d] == shape[d], ECK_E_SHAPE, -1,
                    "dimension %d of the weight of stage %d is %lld, expected %lld", d, i,
                    (long long)stage->weight->shape[d], (long long)shape[d]);
done:
    return status;
}

/** Fails on NaN and infinity in a weight, with the place of the first. */
static eck_status check_finite(const eck_stage *stage, int32_t i, eck_error *err)
{
    eck_status status = ECK_OK;
    enum { COUNT = 512 };
    double numbers[COUNT];
    const eck_array *w = stage->weight;
    const int64_t total = eck_array_count(w), size = eck_dtype_bits(w->dtype) / 8;

    for (int64_t first = 0; first < total; first += COUNT) {
        const int64_t count = ecki_min(COUNT, total - first);
        ecki_widen_f64(w->dtype, (const char *)w->data + first * size, 1, numbers, count);
        for (int64_t j = 0; j < count; j++)
            ECK_REQUIRE(isfinite(numbers[j]), ECK_E_NONFINITE, first + j,
                        "element %lld of the weight of stage %d is not finite",
                        (long long)(first + j), i);
    }
done:
    return status;
}

/** True for the kinds that have a kernel. */
static bool is_conv(const eck_stage *stage)
{
    return stage->kind == ECK_STAGE_CONV || ecki_is_adjoint(stage);
}

/**
 * A stage moves by whole steps of the dense layer's kernel: it is dilated as that is, and nothing
 * before it (of a transposed convolution, behind it) strides along a dimension in which it has more
 * than one tap. What the file does not say (-1) is taken to be so.
 */
static eck_status check_steps(const eck_chain *chain, const eck_stage *dense, int32_t d,
                              eck_error *err)
{
    eck_status status = ECK_OK;
    int64_t stride = 1; // of all stages so far; -1 unknown
    const bool adjoint = ecki_is_adjoint(dense);

    for (int32_t k = 0; k < chain->count; k++) {
        const int32_t i = adjoint ? chain->count - 1 - k : k;
        const eck_stage *stage = &chain->stages[i];
        if (!is_conv(stage)) continue;
        const bool wide = stage->kernel[d] > 1;
        ECK_REQUIRE(!wide || stride == 1 || stride == -1, ECK_E_SHAPE, -1,
                    "stage %d has a kernel of %lld %s a stride of %lld", i,
                    (long long)stage->kernel[d], adjoint ? "before" : "after", (long long)stride);
        ECK_REQUIRE(!wide || stage->dilation[d] < 0 || dense->dilation[d] < 0 ||
                        stage->dilation[d] == dense->dilation[d],
                    ECK_E_SHAPE, -1, "stage %d is dilated by %lld, the layer by %lld", i,
                    (long long)stage->dilation[d], (long long)dense->dilation[d]);
        if (stride < 0 || stage->stride[d] < 0)
            stride = -1;
        else
            ECK_REQUIRE(ecki_mul(stride, stage->stride[d], &stride), ECK_E_SHAPE, -1,
                        "strides overflow");
    }
    ECK_REQUIRE(stride < 0 || dense->stride[d] < 0 || stride == dense->stride[d], ECK_E_SHAPE, -1,
                "the stages stride by %lld, the layer by %lld", (long long)stride,
                (long long)dense->stride[d]);
done:
    return status;
}

/** Kernels of the stages add up to that of the dense layer. */
static eck_status check_kernels(const eck_chain *chain, const eck_stage *dense, eck_error *err)
{
    eck_status status = ECK_OK;

    for (int32_t d = 0; d < dense->spatial; d++) {
        int64_t kernel = 1;
        for (int32_t i = 0; i < chain->count; i++)
            if (is_conv(&chain->stages[i]))
                ECK_REQUIRE(ecki_add(kernel, chain->stages[i].kernel[d] - 1, &kernel), ECK_E_SHAPE,
                            -1, "kernels overflow");
        ECK_REQUIRE(kernel == dense->kernel[d], ECK_E_SHAPE, -1,
                    "the stages make a kernel of %lld in dimension %d, the layer has %lld",
                    (long long)kernel, d, (long long)dense->kernel[d]);
        ECK_TRY(check_steps(chain, dense, d, err));
    }
done:
    return status;
}

eck_status ecki_chain_check(const eck_chain *chain, const eck_stage *dense, eck_error *err)
{
    eck_status status = ECK_OK;
    int64_t blocks = 0; // runs of channels that see separate inputs; gcd(0, n) = n
    int64_t channels = dense->in;

    ECK_REQUIRE(dense->kind == ECK_STAGE_LINEAR || dense->kind == ECK_STAGE_LOOKUP ||
                    is_conv(dense),
                ECK_E_UNSUPPORTED, -1, "a chain cannot stand for a layer of this kind (%d)",
                (int)dense->kind);
    ECK_TRY(check_sizes(dense, "layer", 0, err));
    ECK_REQUIRE(chain->count >= 1, ECK_E_SHAPE, -1, "the chain has no stage");
    for (int32_t i = 0; i < chain->count; i++) {
        const eck_stage *stage = &chain->stages[i];
        ECK_TRY(check_sizes(stage, "stage", i, err));
        ECK_REQUIRE(kind_allowed(stage, i, dense), ECK_E_UNSUPPORTED, -1,
                    "stage %d is of a kind (%d) that cannot stand there", i, (int)stage->kind);
        ECK_REQUIRE(stage->in == channels, ECK_E_SHAPE, -1,
                    "stage %d takes %lld channels, it is given %lld", i, (long long)stage->in,
                    (long long)channels);
        channels = stage->out;
        blocks = gcd(blocks, ecki_stage_groups(stage));
    }
    ECK_REQUIRE(channels == dense->out, ECK_E_SHAPE, -1,
                "the chain makes %lld channels, the layer %lld", (long long)channels,
                (long long)dense->out);
    ECK_REQUIRE(blocks % dense->groups == 0, ECK_E_SHAPE, -1,
                "the chain mixes the %lld groups of the layer", (long long)dense->groups);
    ECK_TRY(check_kernels(chain, dense, err));
done:
    return status;
}

// ---- the operator

/** Multiplies a joint out. */
static eck_status multiply_out(eck_array **out, const ecki_joint *joint, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_array *array = NULL;
    const ecki_map map = ecki_joint_map(joint);
    const int64_t shape[] = { map.channels, map.row_step };

    ECK_TRY(eck_array_create(&array, ECK_DTYPE_F64, 2, shape, err));
    for (int64_t row = 0; row < map.channels; row += PANEL) {
        const int64_t rows = ecki_min(PANEL, map.channels - row);
        double *data = (double *)array->data + row * map.row_step;
        ECK_TRY(ecki_joint_read(joint, row, 0, ecki_panel(data, ECK_DTYPE_F64, rows, map.row_step),
                                err));
    }
    *out = array;
    array = NULL;
done:
    eck_array_free(array);
    return status;
}

/** The map of stages 0 .. count - 2, made or borrowed. */
static eck_status make_prefix(struct chain_operator *self, const eck_chain *chain, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_array *next = NULL;
    ecki_map map = ecki_map_of_stage(&chain->stages[0]);

    for (int32_t i = 1; i + 1 < chain->count; i++) {
        const eck_stage *stage = &chain->stages[i];
        const ecki_joint joint = { map, stage, gcd(map.blocks, ecki_stage_groups(stage)) };
        ECK_TRY(multiply_out(&next, &joint, err));
        eck_array_free(self->prefix);
        self->prefix = next;
        map = ecki_joint_map(&joint);
        ecki_joint_bound(&map, &joint);
        map.data = next->data;
    }
    self->joint.map = map;
done:
    return status;
}

/** A last stage that changes nothing, for a chain of one. */
static eck_status make_ones(eck_stage *out, int64_t channels, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_stage stage = eck_stage_linear(channels, channels);

    stage.kind = ECK_STAGE_SCALE;
    ECK_TRY(eck_array_create(&stage.weight, ECK_DTYPE_F64, 1, &channels, err));
    for (int64_t i = 0; i < channels; i++)
        ((double *)stage.weight->data)[i] = 1.0;
    *out = stage;
done:
    return status;
}

static void chain_operator_free(void *memory)
{
    struct chain_operator *self = memory;

    if (!self) return;
    eck_operator_free(self->product);
    eck_operator_free(self->left);
    eck_operator_free(self->right);
    eck_array_free(self->prefix);
    eck_array_free(self->ones.weight);
    eck_chain_clear(&self->mirror);
    ecki_free(self);
}

static eck_status chain_operator_read(void *memory, int64_t row, int64_t col, eck_panel out,
                                      eck_error *err)
{
    eck_status status = ECK_OK;
    const struct chain_operator *self = memory;
    double *wide = NULL;
    int64_t size;

    if (out.dtype == ECK_DTYPE_F64) return ecki_joint_read(&self->joint, row, col, out, err);
    ECK_REQUIRE(ecki_mul(out.rows, out.cols, &size), ECK_E_SHAPE, -1, "the block is too large");
    ECK_ALLOC_RAW(wide, size);
    const eck_panel panel = ecki_panel(wide, ECK_DTYPE_F64, out.rows, out.cols);
    ECK_TRY(ecki_joint_read(&self->joint, row, col, panel, err));
    for (int64_t i = 0; i < out.rows; i++)
        ecki_round_f64(out.dtype, wide + i * out.cols, (float *)out.data + i * out.ld, out.cols);
done:
    ecki_free(wide);
    return status;
}

/** What certificates ask for. */
static eck_status chain_operator_measure(ecki_measure *out, void *memory,
                                         const eck_context *context, eck_error *err)
{
    const struct chain_operator *self = memory;

    (void)context;
    (void)err;
    out->magnitude = self->whole.magnitude;
    out->error = self->whole.error;
    out->depth = self->product ? self->joint.map.channels + 3 : 0;
    return ECK_OK;
}

static eck_status chain_operator_apply(void *memory, double scale, eck_panel x, eck_panel out,
                                       const eck_context *context, eck_error *err)
{
    const struct chain_operator *self = memory;

    return eck_operator_apply(self->product, scale, x, out, context, err);
}

static eck_status chain_operator_apply_transpose(void *memory, double scale, eck_panel y,
                                                 eck_panel out, const eck_context *context,
                                                 eck_error *err)
{
    const struct chain_operator *self = memory;

    return eck_operator_apply_transpose(self->product, scale, y, out, context, err);
}

/** The last joint as a product of two operators, if it is one: no groups, and a last stage of one
 * tap. */
static eck_status make_product(struct chain_operator *self, eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_map *map = &self->joint.map;
    const eck_stage *stage = self->joint.stage;

    if (map->blocks > 1 || ecki_stage_groups(stage) > 1 || ecki_stage_taps(stage) > 1)
        return ECK_OK;
    eck_view right = eck_view_matrix(map->data, map->dtype, map->channels, map->width * map->taps);
    right.stride[0] = map->row_step;
    right.stride[1] = map->col_step;
    const eck_view left =
        eck_view_matrix(stage->weight->data, stage->weight->dtype, stage->out, stage->in);
    ECK_TRY(eck_operator_dense(&self->left, left, err));
    ECK_TRY(eck_operator_dense(&self->right, right, err));
    ECK_TRY(eck_operator_product(&self->product, self->left, self->right, 1.0, err));
done:
    return status;
}

/** The stages that an operator keeps, and what is multiplied out. */
static eck_status chain_operator_create(struct chain_operator **out, const eck_chain *chain,
                                        const eck_stage *dense, eck_error *err)
{
    eck_status status = ECK_OK;
    struct chain_operator *self = NULL;

    ECK_ALLOC(self, 1);
    if (ecki_is_adjoint(dense)) {
        ECK_TRY(ecki_chain_mirror(&self->mirror, chain, err));
        chain = &self->mirror;
    }
    self->joint.blocks = dense->groups;
    self->joint.stage = &chain->stages[chain->count - 1];
    if (chain->count == 1) {
        ECK_TRY(make_ones(&self->ones, ecki_stage_rows(dense), err));
        self->joint.stage = &self->ones;
    }
    ECK_TRY(make_prefix(self, chain, err));
    self->whole = ecki_joint_map(&self->joint);
    ecki_joint_bound(&self->whole, &self->joint);
    ECK_TRY(make_product(self, err));
    *out = self;
    self = NULL;
done:
    chain_operator_free(self);
    return status;
}

/** F32 stands for everything narrower too: a product of 16-bit numbers is none. */
static eck_dtype storage_of(const eck_chain *chain)
{
    for (int32_t i = 0; i < chain->count; i++)
        if (eck_dtype_bits(chain->stages[i].weight->dtype) > 32) return ECK_DTYPE_F64;
    return ECK_DTYPE_F32;
}

eck_status eck_operator_chain(eck_operator **out, const eck_chain *chain, const eck_stage *dense,
                              eck_error *err)
{
    eck_status status = ECK_OK;
    struct chain_operator *self = NULL;
    eck_operator *a = NULL;
    eck_operator_info info = ECK_OPERATOR_INFO_INIT;
    const eck_operator_methods methods = { .version = 1,
                                           .read = chain_operator_read,
                                           .free = chain_operator_free };

    ECK_TRY(ecki_chain_check(chain, dense, err));
    for (int32_t i = 0; i < chain->count; i++)
        ECK_TRY(check_weight(&chain->stages[i], i, err));
    ECK_TRY(chain_operator_create(&self, chain, dense, err));
    // Large numbers may overflow the bound too: only what is there decides.
    for (int32_t i = 0; i < chain->count && !isfinite(self->whole.error); i++)
        ECK_TRY(check_finite(&chain->stages[i], i, err));
    info.rows = self->whole.channels;
    info.cols = self->whole.row_step;
    info.storage = storage_of(chain);
    info.resident = true;
    info.name = "chain";
    info.read_error = self->whole.error;
    ECK_TRY(eck_operator_create(&a, &info, &methods, self, err));
    a->extra.measure = chain_operator_measure;
    if (self->product) {
        a->extra.apply = chain_operator_apply;
        a->extra.apply_transpose = chain_operator_apply_transpose;
    }
    self = NULL;
    *out = a;
done:
    chain_operator_free(self);
    return status;
}
