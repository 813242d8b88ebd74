/**
 * The shapes of the chains the methods make: known from layer and ranks alone, before any number is.
 *
 * For every spatial dimension one stage has the kernel, and takes stride and dilation with it; where the kernel has one
 * tap the first stage does, so that what follows has less to do. Every stage has the groups of the layer, or one for each
 * channel.
 */
#include "decompose/outline.h"

#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "decompose/adjoint.h"

int32_t ecki_wide_axes(int32_t *axes_out, const eck_stage *dense)
{
    int32_t count = 0;

    if (dense->kind != ECK_STAGE_CONV && !ecki_is_adjoint(dense)) return 0;
    for (int32_t d = 0; d < dense->spatial; d++)
        if (dense->kernel[d] > 1) axes_out[count++] = d;
    return count;
}

bool eck_method_applies(eck_method method, const eck_stage *dense)
{
    int32_t axes[ECK_SPATIAL_MAX];
    const int32_t wide = ecki_wide_axes(axes, dense);
    const bool conv = dense->kind == ECK_STAGE_CONV || ecki_is_adjoint(dense);

    if (dense->in < 1 || dense->out < 1 || dense->groups < 1) return false;
    if (conv && (dense->in % dense->groups != 0 || dense->out % dense->groups != 0)) return false;
    if (method == ECK_METHOD_SVD)
        return dense->kind == ECK_STAGE_LINEAR || dense->kind == ECK_STAGE_LOOKUP || conv;
    if (!conv || dense->in / dense->groups < 2 || dense->out / dense->groups < 2) return false;
    switch (method) {
    case ECK_METHOD_SPATIAL:
    case ECK_METHOD_TT:
        return wide >= 2;
    case ECK_METHOD_TUCKER1:
    case ECK_METHOD_TUCKER2:
    case ECK_METHOD_CP:
    case ECK_METHOD_DEPTHWISE:
        return wide >= 1;
    default:
        return false;
    }
}

int32_t ecki_rank_count(eck_method method, const eck_stage *dense)
{
    int32_t axes[ECK_SPATIAL_MAX];
    const int32_t wide = ecki_wide_axes(axes, dense);

    switch (method) {
    case ECK_METHOD_DENSE:
        return 0;
    case ECK_METHOD_TUCKER2:
        return 2;
    case ECK_METHOD_CP:
    case ECK_METHOD_TT:
        return wide + 1;
    default:
        return 1;
    }
}

/** A convolution of one tap. */
static eck_stage pointwise(int64_t in, int64_t out, const eck_stage *dense)
{
    eck_stage stage = eck_stage_linear(in, out);

    stage.kind = dense->kind;
    stage.spatial = dense->spatial;
    stage.groups = dense->groups;
    return stage;
}

/** The stage moves along one dimension as the layer does. */
static void take_axis(eck_stage *stage, const eck_stage *dense, int32_t axis)
{
    stage->kernel[axis] = dense->kernel[axis];
    stage->stride[axis] = dense->stride[axis];
    stage->dilation[axis] = dense->dilation[axis];
}

/** Stages of one tap, of the widths given, over the whole chain. */
static int32_t pointwise_stages(eck_stage *stages, const eck_stage *dense, const int64_t *ranks,
                                int32_t count)
{
    for (int32_t i = 0; i <= count; i++)
        stages[i] =
            pointwise(i > 0 ? ranks[i - 1] : dense->in, i < count ? ranks[i] : dense->out, dense);
    return count + 1;
}

/** A point of a transposed convolution as one of its mirror. */
static eck_point mirrored(const eck_stage *dense, eck_method method, const int64_t *ranks)
{
    eck_point point = { .method = method, .rank_count = ecki_rank_count(method, dense) };

    memcpy(point.ranks, ranks, (size_t)point.rank_count * sizeof *ranks);
    ecki_point_turn(&point);
    return point;
}

/** The stages of a transposed convolution: those of its mirror, turned around. */
static int32_t outline_adjoint(eck_stage *stages, const eck_stage *dense, eck_method method,
                               const int64_t *ranks)
{
    const eck_stage mirror = ecki_mirror(dense);
    const eck_point point = mirrored(dense, method, ranks);
    const int32_t count = ecki_outline(stages, &mirror, method, point.ranks);

    ecki_stages_turn(stages, count);
    return count;
}

int32_t ecki_outline(eck_stage *stages, const eck_stage *dense, eck_method method,
                     const int64_t *ranks)
{
    int32_t axes[ECK_SPATIAL_MAX];
    const int32_t wide = ecki_wide_axes(axes, dense);
    if (ecki_is_adjoint(dense)) return outline_adjoint(stages, dense, method, ranks);
    const int32_t count = pointwise_stages(stages, dense, ranks, ecki_rank_count(method, dense));

    if (dense->kind != ECK_STAGE_CONV) {
        stages[1].kind = ECK_STAGE_LINEAR;
        return count;
    }
    if (method == ECK_METHOD_DEPTHWISE) stages[0].groups = dense->in;
    for (int32_t d = 0; d < dense->spatial; d++)
        if (dense->kernel[d] == 1) take_axis(&stages[0], dense, d);
    for (int32_t i = 0; i < wide; i++) {
        int32_t place = 0;
        if (method == ECK_METHOD_SPATIAL) place = i > 0;
        if (method == ECK_METHOD_TUCKER1 || method == ECK_METHOD_TUCKER2) place = 1;
        if (method == ECK_METHOD_CP || method == ECK_METHOD_TT) place = i + 1;
        take_axis(&stages[place], dense, axes[i]);
        if (method == ECK_METHOD_CP) stages[place].groups = stages[place].in;
    }
    return count;
}

/** Widths are whole groups and as large as that method can use. */
static eck_status check_ranks(const eck_stage *dense, const eck_point *point, eck_error *err)
{
    eck_status status = ECK_OK;
    const int32_t count = ecki_rank_count(point->method, dense);
    const char *name = eck_method_name(point->method);

    ECK_REQUIRE(point->rank_count == count, ECK_E_RANGE, -1,
                "method '%s' has %d ranks for this layer, the point has %d", name, count,
                point->rank_count);
    for (int32_t i = 0; i < count; i++) {
        ECK_REQUIRE(point->ranks[i] >= 1, ECK_E_RANGE, -1,
                    "method '%s': rank %d is %lld, at least 1 is needed", name, i,
                    (long long)point->ranks[i]);
        ECK_REQUIRE(point->ranks[i] % dense->groups == 0, ECK_E_RANGE, -1,
                    "method '%s': rank %lld is no multiple of the layer's %lld groups", name,
                    (long long)point->ranks[i], (long long)dense->groups);
        ECK_REQUIRE(point->method != ECK_METHOD_CP || point->ranks[i] == point->ranks[0],
                    ECK_E_RANGE, -1,
                    "method 'cp' has the same rank throughout, found %lld and %lld",
                    (long long)point->ranks[0], (long long)point->ranks[i]);
    }
    const int64_t channels = ecki_mirror(dense).in;
    ECK_REQUIRE(point->method != ECK_METHOD_DEPTHWISE || point->ranks[0] % channels == 0,
                ECK_E_RANGE, -1, "method 'depthwise': rank %lld is no multiple of %lld channels",
                (long long)point->ranks[0], (long long)channels);
done:
    return status;
}

eck_status eck_chain_outline(eck_chain *out, const eck_stage *dense, const eck_point *point,
                             eck_error *err)
{
    eck_status status = ECK_OK;
    eck_stage *stages = NULL;

    ECK_REQUIRE(point->method > ECK_METHOD_DENSE && point->method <= ECK_METHOD_DEPTHWISE,
                ECK_E_RANGE, -1, "method '%s' makes no chain", eck_method_name(point->method));
    ECK_REQUIRE(eck_method_applies(point->method, dense), ECK_E_UNSUPPORTED, -1,
                "method '%s' does not factor a layer of this kind (%d) and shape",
                eck_method_name(point->method), (int)dense->kind);
    ECK_TRY(check_ranks(dense, point, err));
    ECK_ALLOC(stages, ECKI_STAGES_MAX);
    out->count = ecki_outline(stages, dense, point->method, point->ranks);
    out->stages = stages;
done:
    return status;
}

int64_t ecki_outline_parameters(const eck_stage *dense, eck_method method, const int64_t *ranks)
{
    eck_stage stages[ECKI_STAGES_MAX];
    const int32_t count = ecki_outline(stages, dense, method, ranks);
    int64_t sum = 0;

    for (int32_t i = 0; i < count; i++)
        if (!ecki_add(sum, eck_stage_parameters(&stages[i]), &sum)) return INT64_MAX;
    return sum;
}

int64_t ecki_outline_macs(const eck_stage *dense, eck_method method, const int64_t *ranks)
{
    eck_stage stages[ECKI_STAGES_MAX];
    const eck_stage mirror = ecki_mirror(dense);
    const eck_point point = mirrored(dense, method, ranks);
    const bool adjoint = ecki_is_adjoint(dense);
    // A transposed convolution does for every input what its mirror does for every output.
    const int32_t count = ecki_outline(stages, &mirror, method, adjoint ? point.ranks : ranks);
    int64_t sum = 0;

    if (dense->kind == ECK_STAGE_LOOKUP) return ranks[0] * dense->out;
    for (int32_t i = 0; i < count; i++) {
        // What strides later runs so much more often.
        int64_t macs = eck_stage_parameters(&stages[i]);
        for (int32_t j = i + 1; j < count; j++)
            for (int32_t d = 0; d < dense->spatial; d++) {
                if (stages[j].stride[d] < 0) return -1;
                if (!ecki_mul(macs, stages[j].stride[d], &macs)) return INT64_MAX;
            }
        if (!ecki_add(sum, macs, &sum)) return INT64_MAX;
    }
    return sum;
}

/** True if one of the stages first .. end - 1 moves along dimension d. */
static bool one_moves(const eck_chain *chain, int32_t first, int32_t end, int32_t d)
{
    for (int32_t j = first; j < end; j++) {
        const eck_stage *stage = &chain->stages[j];
        if (stage->spatial > d && (stage->kernel[d] > 1 || stage->stride[d] > 1)) return true;
    }
    return false;
}

/** True if stage i works on the layer's input along dimension d: a convolution that one after it moves, or a transposed one
 *  that none before it has moved, since those multiply with every number that comes in. */
static bool works_on_input(const eck_chain *chain, int32_t i, int32_t d)
{
    if (chain->stages[i].kind == ECK_STAGE_CONV_TRANSPOSE) return !one_moves(chain, 0, i, d);
    return one_moves(chain, i + 1, chain->count, d);
}

int64_t eck_chain_macs(const eck_chain *chain, const int64_t *input, const int64_t *output)
{
    int64_t sum = 0;

    for (int32_t i = 0; i < chain->count; i++) {
        const eck_stage *stage = &chain->stages[i];
        int64_t macs = stage->kind == ECK_STAGE_LOOKUP ? 0 : eck_stage_parameters(stage);
        for (int32_t d = 0; d < stage->spatial; d++)
            if (!ecki_mul(macs, works_on_input(chain, i, d) ? input[d] : output[d], &macs))
                return INT64_MAX;
        if (!ecki_add(sum, macs, &sum)) return INT64_MAX;
    }
    return sum;
}
