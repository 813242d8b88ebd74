/**
 * The shapes of the chains the methods make: known from layer and ranks alone, before any number is.
 */
#include "base/memory.h"
#include "eckart/decompose.h"

/** Plain SVD: the layer with `rank` outputs, then a pointwise layer to the outputs it had. */
static void outline_svd(eck_stage *stages, const eck_stage *dense, int64_t rank)
{
    const int64_t ones[ECK_SPATIAL_MAX] = { 1, 1, 1 };

    if (dense->kind == ECK_STAGE_CONV) {
        stages[0] = eck_stage_conv(dense->in, rank * dense->groups, dense->groups, dense->spatial,
                                   dense->kernel);
        stages[1] =
            eck_stage_conv(rank * dense->groups, dense->out, dense->groups, dense->spatial, ones);
        return;
    }
    stages[0] = eck_stage_linear(dense->in, rank);
    stages[0].kind = dense->kind;
    stages[1] = eck_stage_linear(rank, dense->out);
}

eck_status eck_chain_outline(eck_chain *out, const eck_stage *dense, const eck_point *point,
                             eck_error *err)
{
    eck_status status = ECK_OK;
    eck_stage *stages = NULL;

    ECK_REQUIRE(point->method == ECK_METHOD_SVD, ECK_E_RANGE, -1, "method '%s' makes no chain",
                eck_method_name(point->method));
    ECK_REQUIRE(dense->kind == ECK_STAGE_LINEAR || dense->kind == ECK_STAGE_CONV ||
                    dense->kind == ECK_STAGE_LOOKUP,
                ECK_E_RANGE, -1, "plain SVD fits linear, convolution and lookup layers only");
    ECK_REQUIRE(point->rank_count == 1 && point->ranks[0] >= 1, ECK_E_RANGE, -1,
                "plain SVD needs one rank of at least 1, not %lld", (long long)point->ranks[0]);
    ECK_ALLOC(stages, 2);
    outline_svd(stages, dense, point->ranks[0]);
    out->stages = stages;
    out->count = 2;
done:
    return status;
}
