// Stages and chains: plain data. A chain owns its stages, their weights and their biases.
#include "eckart/stage.h"

#include "base/checked.h"
#include "base/memory.h"

void eck_chain_clear(eck_chain *chain)
{
    if (!chain) return;
    for (int32_t i = 0; i < chain->count; i++) {
        eck_array_free(chain->stages[i].weight);
        eck_array_free(chain->stages[i].bias);
    }
    ecki_free(chain->stages);
    chain->stages = NULL;
    chain->count = 0;
}

eck_stage eck_stage_linear(int64_t in, int64_t out)
{
    const eck_stage stage = { .kind = ECK_STAGE_LINEAR,
                              .in = in,
                              .out = out,
                              .groups = 1,
                              .kernel = { 1, 1, 1 },
                              .stride = { 1, 1, 1 },
                              .dilation = { 1, 1, 1 } };
    return stage;
}

eck_stage eck_stage_conv(int64_t in, int64_t out, int64_t groups, int32_t spatial,
                         const int64_t *kernel)
{
    eck_stage stage = eck_stage_linear(in, out);
    stage.kind = ECK_STAGE_CONV;
    stage.groups = groups;
    stage.spatial = (int32_t)ecki_max(0, ecki_min(spatial, ECK_SPATIAL_MAX));
    for (int32_t i = 0; i < stage.spatial; i++) {
        stage.kernel[i] = kernel[i];
        stage.stride[i] = -1;
        stage.dilation[i] = -1;
    }
    return stage;
}

int32_t eck_stage_shape(const eck_stage *stage, int64_t *shape_out)
{
    const int64_t groups = ecki_max(stage->groups, 1);
    int32_t ndim = 2;
    shape_out[0] = stage->out;
    shape_out[1] = stage->in;
    switch (stage->kind) {
    case ECK_STAGE_SCALE:
        return 1;
    case ECK_STAGE_LINEAR:
        return 2;
    case ECK_STAGE_LOOKUP:
        shape_out[0] = stage->in;
        shape_out[1] = stage->out;
        return 2;
    case ECK_STAGE_CONV:
        shape_out[1] = stage->in / groups;
        break;
    case ECK_STAGE_CONV_TRANSPOSE:
        shape_out[0] = stage->in;
        shape_out[1] = stage->out / groups;
        break;
    }
    for (int32_t i = 0; i < stage->spatial && i < ECK_SPATIAL_MAX; i++)
        shape_out[ndim++] = stage->kernel[i];
    return ndim;
}

int64_t eck_stage_parameters(const eck_stage *stage)
{
    int64_t shape[ECK_DIMS_MAX];
    int64_t count;
    const int32_t ndim = eck_stage_shape(stage, shape);
    return ecki_shape_count(ndim, shape, &count) ? count : INT64_MAX;
}
